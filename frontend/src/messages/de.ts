import type { Catalogue } from "../i18n";
import catalogue from "./de.json";

globalThis.noctisMessages = catalogue as Catalogue;
