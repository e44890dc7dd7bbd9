/**
 * The English sentences of the server, in the language of the page (docs/adr/0119): recognised by
 * the words around their values, as archive/sentences.py does.
 */

import { language } from "./i18n";

declare global {
  /** The page's sentences, loaded with its catalogue; English has none. */
  var noctisSentences: Readonly<Record<string, string>> | undefined;
}

const LONGEST = 4000;
const DEEPEST = 3;
const PLACEHOLDER = /\{(\w+)\}/;
const RANGES = /^\d+(?: to \d+)?(?:, (?:\d+(?: to \d+)?|…))*$/;
const END = /[.?”)]\s+/;

interface Pattern {
  pieces: string[];
  names: string[];
  translation: string;
}

let patterns: Pattern[] | undefined;
let source: Readonly<Record<string, string>> | undefined;

function patternsOf(entries: Readonly<Record<string, string>>): Pattern[] {
  if (!patterns || source !== entries) {
    source = entries;
    const isWhole = (pattern: Pattern) => pattern.pieces.at(-1)?.endsWith(".") ?? false;
    const weight = (pattern: Pattern) => pattern.pieces.join("").length;
    patterns = Object.entries(entries)
      .filter(([text]) => PLACEHOLDER.test(text))
      .map(([text, translation]) => {
        const parts = text.split(PLACEHOLDER);
        const even = (index: number) => index % 2 === 0;
        return {
          pieces: parts.filter((_, index) => even(index)),
          names: parts.filter((_, index) => !even(index)),
          translation,
        };
      })
      .sort((a, b) => weight(b) - weight(a))
      // What ends with a full stop is a sentence, not a part of one with a full stop in its value.
      .sort((a, b) => Number(isWhole(b)) - Number(isWhole(a)));
  }
  return patterns;
}

function valuesIn(pattern: Pattern, text: string): Map<string, string> | null {
  const first = pattern.pieces[0] ?? "";
  const last = pattern.pieces.at(-1) ?? "";
  if (!text.startsWith(first) || !text.endsWith(last)) {
    return null;
  }
  let at = first.length;
  const end = text.length - last.length;
  const values: string[] = [];
  for (const piece of pattern.pieces.slice(1, -1)) {
    const found = text.indexOf(piece, at + 1);
    if (found < 0 || found + piece.length > end) {
      return null;
    }
    values.push(text.slice(at, found));
    at = found + piece.length;
  }
  if (at >= end) {
    return null;
  }
  values.push(text.slice(at, end));
  return new Map(pattern.names.map((name, index) => [name, values[index] ?? ""]));
}

/** Whether a value may hold ends of sentences: whole sentences may, beginnings may not. */
function fits(value: string, isOneSentence: boolean): boolean {
  return value.search(END) < 0 || (!isOneSentence && /[.?”)]$/.test(value));
}

/** What is known as one; values of one sentence hold no ends of sentences. */
function whole(text: string, depth: number, isOneSentence = true): string | null {
  const entries = globalThis.noctisSentences ?? {};
  const plain = Object.hasOwn(entries, text) ? entries[text] : undefined;
  if (plain !== undefined) {
    return plain;
  }
  const parts = depth > 0 && depth < DEEPEST ? text.split(", ") : [];
  if (parts.length > 1 && whole(parts[0] ?? "", depth - 1) !== null) {
    // A list of conditions, say.
    return parts.map((part) => whole(part, depth - 1) ?? part).join(", ");
  }
  for (const pattern of patternsOf(entries)) {
    const values = valuesIn(pattern, text);
    if (values && [...values.values()].every((value) => fits(value, isOneSentence))) {
      return pattern.translation.replace(/\{(\w+)\}/g, (_, name: string) => {
        const value = values.get(name) ?? "";
        return depth ? inParts(value, depth - 1) : value;
      });
    }
  }
  if (depth < DEEPEST) {
    // Not by a message: a facility may be called as a button is.
    return ofValue(text, depth);
  }
  const message = globalThis.noctisMessages?.[text];
  return typeof message === "string" ? message : null;
}

function ofValue(text: string, depth: number): string | null {
  const first = text[0] ?? "";
  if (first !== first.toUpperCase()) {
    // A sentence that goes on behind a colon; German begins with nouns, which keep their capital.
    const found = whole(first.toUpperCase() + text.slice(1), depth);
    return found && language !== "de" ? found.charAt(0).toLowerCase() + found.slice(1) : found;
  }
  return RANGES.test(text) ? text.replaceAll(" to ", "–") : null;
}

function inParts(text: string, depth: number): string {
  const found = whole(text, depth);
  if (found !== null) {
    return found;
  }
  const ends = [...text.matchAll(new RegExp(END, "g"))].map(
    (match) => match.index + match[0].length,
  );
  for (const end of ends.toReversed()) {
    const head = text.slice(0, end).trimEnd();
    const translation = whole(head, depth);
    if (translation !== null) {
      return translation + text.slice(head.length, end) + inParts(text.slice(end), depth);
    }
  }
  const asOne = whole(text, depth, false);
  if (asOne !== null) {
    return asOne;
  }
  // Of whom or what it is said, then a sentence.
  const colon = text.indexOf(": ") + 2;
  if (colon > 1) {
    const rest = text.slice(colon);
    const translation = inParts(rest, depth);
    if (translation !== rest) {
      return text.slice(0, colon) + translation;
    }
  }
  // What is not known stays English; what follows it may be known.
  const first = ends[0];
  return first === undefined ? text : text.slice(0, first) + inParts(text.slice(first), depth);
}

/** What the server says, in the language of the page; as it is where it is not known. */
export function said(text: string): string {
  return globalThis.noctisSentences && text.length <= LONGEST ? inParts(text, DEEPEST) : text;
}
