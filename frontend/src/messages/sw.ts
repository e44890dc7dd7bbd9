import type { Catalogue } from "../i18n";
import catalogue from "./sw.json";

globalThis.noctisMessages = catalogue as Catalogue;
