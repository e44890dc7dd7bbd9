import { LiveEntries } from "../entries/live";
import type { Frame } from "../frame";

/** The reason is what one wants to write next. */
function opened(target: EventTarget | null): void {
  if (target instanceof HTMLDetailsElement && target.open) {
    target.querySelector<HTMLInputElement>("input:not([type=hidden])")?.focus();
  }
}

function pressed(event: KeyboardEvent): void {
  const details = (event.target as HTMLElement).closest("details");
  if (event.key === "Escape" && details?.open) {
    details.open = false;
    details.querySelector("summary")?.focus();
  }
}

export function start(frame: Frame): void {
  const place = document.querySelector<HTMLElement>("[data-queue]");
  if (place) {
    new LiveEntries(place, frame, "workitem.changed");
    place.addEventListener("toggle", (event) => opened(event.target), true);
    place.addEventListener("keydown", pressed);
    // Somebody was faster than this script.
    opened(place.querySelector("details[open]"));
  }
}
