/** A message's forms by `Intl.PluralRules`; one text where the message does not count. */
export type Forms = Partial<Record<Intl.LDMLPluralRule, string>>;
export type Catalogue = Record<string, string | Forms>;
export type Values = Readonly<Record<string, string | number>>;

declare global {
  /** The page's catalogue, loaded before any other script; English needs none. */
  var noctisMessages: Catalogue | undefined;
}

/** The language of the page, which the server chose. Workers have no page: English. */
export const language =
  typeof document === "undefined" ? "en" : document.documentElement.lang || "en";

let plurals: Intl.PluralRules | undefined;

function filled(text: string, values: Values | undefined): string {
  return values
    ? text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole))
    : text;
}

/** A message in the page's language: the English text is its key; `{name}` stands for a value. */
export function t(text: string, values?: Values): string {
  const found = globalThis.noctisMessages?.[text];
  return filled(typeof found === "string" ? found : text, values);
}

/** A message that counts: `{count}` stands for the number, `one` is its key. */
export function tn(one: string, other: string, count: number, values?: Values): string {
  const found = globalThis.noctisMessages?.[one];
  plurals ??= new Intl.PluralRules(language);
  const form = plurals.select(count);
  const english = count === 1 ? one : other;
  const text = typeof found === "object" ? (found[form] ?? found.other ?? english) : english;
  return filled(text, { count, ...values });
}

/** Marks a text of a table: it stays English there, and `t` translates it where it is shown. */
export function msg(text: string): string {
  return text;
}
