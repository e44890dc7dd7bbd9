import type { Frame } from "./frame";
import { getFragment } from "./http";
import { writeTimes } from "./times";

const CURSOR = "cursor";

/** The first page of notifications, kept fresh without taking a line away from under the hand. */
export function start(frame: Frame): void {
  const place = document.querySelector<HTMLElement>("[data-notices]");
  if (!place || new URLSearchParams(location.search).has(CURSOR)) {
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
    let notices: DocumentFragment;
    try {
      notices = await getFragment(place.dataset.notices ?? "", asking.signal);
    } catch {
      return; // a newer question took its place, or the line is lost: the frame shows and mends that
    }
    place.replaceChildren(notices);
    writeTimes(place);
    const unread = Number(place.querySelector<HTMLElement>("[data-unread]")?.dataset.unread);
    const markAll = document.querySelector<HTMLElement>("[data-mark-all]");
    if (markAll) {
      markAll.hidden = !unread;
    }
  };
  frame.live.on("hello", () => void refresh());
  frame.live.on("notification.new", () => void refresh());
  frame.live.on("notification.changed", () => void refresh());
  frame.live.on("notification.unread", () => void refresh());
  place.addEventListener("focusout", () => {
    setTimeout(() => isLate && void refresh());
  });
}
