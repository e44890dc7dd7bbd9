import { LiveEntries } from "../entries/live";
import type { Frame } from "../frame";

export function start(frame: Frame): void {
  const place = document.querySelector<HTMLElement>("[data-queue]");
  if (place) {
    new LiveEntries(place, frame, "analysis.changed");
  }
}
