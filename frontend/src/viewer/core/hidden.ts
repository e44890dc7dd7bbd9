import { t } from "../../i18n";
import { lookupTables } from "./lut";
import type { StackFrame } from "./stack";

/** What a file carries and its picture here does not show, each as a sentence for the reader. */
export function hiddenTexts({ image, facts }: StackFrame): { keyword: string; text: string }[] {
  const windows = facts?.WindowCenter ?? image.WindowCenter;
  const shown = windows?.length ? t("the file's window") : t("the whole range of its values");
  const found: { keyword: string; text: string }[] = [];
  if (image.hidden?.includes("OverlayData")) {
    const text = t("This image has overlay graphics that are not drawn here.");
    found.push({ keyword: "OverlayData", text });
  }
  const problem = lookupTables.problem(image);
  if (problem) {
    const text = t(
      "The VOI LUT of this image could not be fetched; the window shown is {shown}. {problem}",
      { shown, problem },
    );
    found.push({ keyword: "VOILUTSequence", text });
  }
  return found;
}
