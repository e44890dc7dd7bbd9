import type { Frame } from "../frame";
import { getFragment } from "../http";
import { writeTimes } from "../times";

/** The list of refused callers, kept fresh without taking a select away from under the hand. */
export function start(frame: Frame): void {
  const place = document.querySelector<HTMLElement>("[data-knocks]");
  if (!place) {
    return;
  }
  let isLate = false;
  let asking: AbortController | undefined;
  const refresh = async () => {
    if (place.contains(document.activeElement)) {
      isLate = true;
      return;
    }
    isLate = false;
    asking?.abort();
    asking = new AbortController();
    let rows: DocumentFragment;
    try {
      rows = await getFragment(place.dataset["knocks"] ?? "", asking.signal);
    } catch {
      return; // a newer question took its place, or the line is lost: the frame shows and mends that
    }
    place.replaceChildren(rows);
    writeTimes(place);
    const count = place.querySelector<HTMLElement>("[data-waiting-count]");
    const shown = document.querySelector("[data-waiting]");
    if (count && shown) {
      shown.textContent = count.dataset["waitingCount"] ?? "";
    }
  };
  frame.live.on("caller.refused", () => void refresh());
  frame.live.on("hello", () => void refresh());
  place.addEventListener("focusout", () => {
    setTimeout(() => isLate && void refresh());
  });
}
