/** Marks of a report such as [M1], and the measurements and images that they stand for. */

export interface MeasurementReference {
  mark: string;
  kind: "measurement";
  measurement_id: string;
  version: number;
  /** What was written for it. */
  words: string;
}

export interface ImageReference {
  mark: string;
  kind: "image";
  SOPInstanceUID: string;
  frame_number: number;
  words: string;
}

export type Reference = MeasurementReference | ImageReference;

export interface ReportText {
  text: string;
  references: readonly Reference[];
}

export type Standing =
  | { state: "same" }
  /** The measurement says something else by now. */
  | { state: "changed"; words: string }
  /** It was deleted. */
  | { state: "gone" };

const LONGEST_WORDS = 300;

/** A mark that no reference and no text has. */
export function nextMark(kind: Reference["kind"], { text, references }: ReportText): string {
  const letter = kind === "measurement" ? "M" : "K";
  for (let number = 1; ; number++) {
    const mark = `${letter}${number}`;
    if (!references.some((reference) => reference.mark === mark) && !text.includes(`[${mark}]`)) {
      return mark;
    }
  }
}

/** What stands in the text: the words, and the mark that ties them to what they speak of. */
export function phrase({ words, mark }: Pick<Reference, "words" | "mark">): string {
  return `${words} [${mark}]`;
}

/** Puts a phrase into a text, with a space where it would touch a word. */
export function insert(
  text: string,
  start: number,
  end: number,
  added: string,
): { text: string; caret: number } {
  const before = text.slice(0, start);
  const after = text.slice(end);
  const lead = before === "" || /\s$/.test(before) ? "" : " ";
  const tail = after === "" || /^[\s.,;:)]/.test(after) ? "" : " ";
  const middle = `${lead}${added}`;
  return { text: `${before}${middle}${tail}${after}`, caret: before.length + middle.length };
}

/** References whose mark still stands in the text. */
export function used({ text, references }: ReportText): Reference[] {
  return references.filter(({ mark }) => text.includes(`[${mark}]`));
}

/** Whether what a reference says is still so; `wordsNow` null: what it names is gone. */
export function standing(reference: Reference, wordsNow: string | null): Standing {
  if (wordsNow === null) {
    return { state: "gone" };
  }
  return shortened(wordsNow) === reference.words
    ? { state: "same" }
    : { state: "changed", words: shortened(wordsNow) };
}

export function shortened(words: string): string {
  return words.slice(0, LONGEST_WORDS);
}

/** Writes what a measurement says now in the place of what it said; the rest of the text stays. */
export function update(report: ReportText, mark: string, words: string): ReportText {
  const old = report.references.find((reference) => reference.mark === mark);
  if (!old) {
    return report;
  }
  const fresh = { ...old, words: shortened(words) };
  const isIntact = report.text.includes(phrase(old));
  return {
    text: isIntact
      ? report.text.replaceAll(phrase(old), phrase(fresh))
      : // The person worded it otherwise: the new words go before the mark, nothing is taken away.
        report.text.replace(`[${mark}]`, `(now ${fresh.words}) [${mark}]`),
    references: report.references.map((reference) => (reference === old ? fresh : reference)),
  };
}

/** Both texts, the second below the first; marks of the second that clash get new numbers. */
export function putBelow(above: ReportText, below: ReportText): ReportText {
  let { text } = below;
  const references: Reference[] = [...above.references];
  for (const reference of used(below)) {
    const known = above.references.find(({ mark }) => mark === reference.mark);
    if (known && JSON.stringify(known) === JSON.stringify(reference)) {
      continue;
    }
    if (!known) {
      references.push(reference);
      continue;
    }
    const mark = nextMark(reference.kind, { text: `${above.text}${text}`, references });
    text = text.replaceAll(`[${reference.mark}]`, `[${mark}]`);
    references.push({ ...reference, mark });
  }
  const parts = [above.text.trimEnd(), text].filter((part) => part !== "");
  return { text: parts.join("\n\n"), references };
}
