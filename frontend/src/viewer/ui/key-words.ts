import { t } from "../../i18n";

/** What stands on keyboards of the page's language; letters and signs stand for themselves. */
const WORDS: Readonly<Record<string, string>> = {
  Control: t("Ctrl"),
  Shift: t("Shift"),
  Enter: t("Enter"),
  Escape: t("Esc"),
  Space: t("Space"),
  Backspace: t("Backspace"),
  Delete: t("Del"),
  Home: t("Home"),
  End: t("End"),
  PageUp: t("PgUp"),
  PageDown: t("PgDn"),
  ArrowUp: "↑",
  ArrowDown: "↓",
  ArrowLeft: "←",
  ArrowRight: "→",
};

/** "Ctrl+Z" of "Control+z", in the page's language. */
export function keyWords(name: string): string {
  const parts = name.split("+").filter(Boolean);
  const words = parts.map((key) => WORDS[key] ?? (key.length === 1 ? key.toUpperCase() : key));
  return (name.endsWith("+") ? [...words, "+"] : words).join("+");
}
