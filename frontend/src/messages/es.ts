import sentences from "../../../locale/es/sentences.json";
import type { Catalogue } from "../i18n";
import catalogue from "./es.json";

globalThis.noctisMessages = catalogue as Catalogue;
globalThis.noctisSentences = sentences;
