import sentences from "../../../locale/de/sentences.json";
import type { Catalogue } from "../i18n";
import catalogue from "./de.json";

globalThis.noctisMessages = catalogue as Catalogue;
globalThis.noctisSentences = sentences;
