import type { Catalogue } from "../i18n";
import catalogue from "./fr.json";

globalThis.noctisMessages = catalogue as Catalogue;
