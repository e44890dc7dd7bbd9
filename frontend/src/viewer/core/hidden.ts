import type { StackFrame } from "./stack";

/** What a file carries and its picture here does not show, each as a sentence for the reader. */
export function hiddenTexts({ image, facts }: StackFrame): { keyword: string; text: string }[] {
  const windows = facts?.WindowCenter ?? image.WindowCenter;
  const shown = windows?.length ? "the file's window" : "the whole range of its values";
  const texts: Record<string, string> = {
    OverlayData: "This image has overlay graphics that are not drawn here.",
    VOILUTSequence: `This image has a VOI LUT that is not applied; the window shown is ${shown}.`,
  };
  return (image.hidden ?? []).flatMap((keyword) => {
    const text = texts[keyword];
    return text ? [{ keyword, text }] : [];
  });
}
