import type { Frame } from "../frame";
import { askBefore } from "./confirm";
import { offerEcho } from "./echo";
import { Listening } from "./listening";

export function start(frame: Frame): void {
  askBefore(document);
  const root = document.querySelector<HTMLElement>("[data-facility][data-live-url]");
  if (root) {
    new Listening(root, frame);
    for (const row of root.querySelectorAll<HTMLElement>("[data-echo]")) {
      offerEcho(row);
    }
    root.dataset["ready"] = "";
  }
  document
    .querySelector('[data-action="print"]')
    ?.addEventListener("click", () => globalThis.print());
}
