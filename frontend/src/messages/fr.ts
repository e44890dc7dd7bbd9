import sentences from "../../../locale/fr/sentences.json";
import type { Catalogue } from "../i18n";
import catalogue from "./fr.json";

globalThis.noctisMessages = catalogue as Catalogue;
globalThis.noctisSentences = sentences;
