import { tn } from "../../i18n";
import { localMoment } from "../times";
import { FACES } from "./list";
import { type Content, type Item, isProblem } from "./queue";

/** What was not taken and why, a file a line, for mail and spreadsheets. */
export function reportText(items: readonly Item<Content>[], now: Date): string {
  const lines = items
    .filter(isProblem)
    .map(({ state, name, reason }) => [FACES[state].word, name, reason].map(oneLine).join("\t"));
  const count = tn("{count} file was not taken", "{count} files were not taken", lines.length);
  return [`${count}, ${localMoment(now)}`, "", ...lines, ""].join("\n");
}

/** Names of files may hold anything: none of it makes a new line or column. */
function oneLine(text: string): string {
  return text.replace(/[\t\r\n]+/g, " ");
}

/** Copies a text; without the clipboard, which plain HTTP does not have, by a field. */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = document.createElement("textarea");
    field.className = "sr-only";
    field.value = text;
    document.body.append(field);
    field.select();
    const isCopied = document.execCommand("copy");
    field.remove();
    return isCopied;
  }
}

export function downloadText(text: string, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/plain;charset=utf-8" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
