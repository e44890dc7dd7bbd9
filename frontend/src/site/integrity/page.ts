import { askBefore } from "../facilities/confirm";
import type { Frame } from "../frame";
import { getFragment } from "../http";
import { writeTimes } from "../times";

/** Conflicts, deletions, patients: forms that ask first, and a list that keeps itself fresh. */
export function start(frame: Frame): void {
  askBefore(document);
  const place = document.querySelector<HTMLElement>("[data-fresh]");
  if (!place) {
    return;
  }
  const refresh = async () => {
    if (place.contains(document.activeElement)) {
      return;
    }
    let rows: DocumentFragment;
    try {
      rows = await getFragment(place.dataset.fresh ?? "");
    } catch {
      return; // the frame shows and mends a lost line
    }
    place.replaceChildren(rows);
    writeTimes(place);
    const count = place.querySelector<HTMLElement>("[data-waiting-count]");
    const shown = document.querySelector("[data-waiting]");
    if (count && shown) {
      shown.textContent = count.dataset.waitingCount ?? "";
    }
  };
  frame.live.on("conflict.new", () => void refresh());
  frame.live.on("hello", () => void refresh());
}
