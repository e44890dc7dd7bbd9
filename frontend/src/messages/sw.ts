import sentences from "../../../locale/sw/sentences.json";
import type { Catalogue } from "../i18n";
import catalogue from "./sw.json";

globalThis.noctisMessages = catalogue as Catalogue;
globalThis.noctisSentences = sentences;
