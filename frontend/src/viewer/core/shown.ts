import { t } from "../../i18n";
import { Emitter } from "./emitter";

/** What stood shorter than this was never painted by a display. */
const LEAST_MS = 10;

/** For each image, by frame number, milliseconds: what the server answers. */
export type ShownTimes = Readonly<Record<string, Readonly<Record<string, number>>>>;
export type ShownEntry = readonly [imageId: string, frameNumber: number, shownMs: number];

interface Events {
  /** A frame was shown for the first time, or earlier windows became known. */
  change: undefined;
}

/**
 * Which frames stood on the screen in full fidelity, and how long. Times are totals of this
 * window, so that sending one twice adds nothing. A frame in two viewports counts once.
 */
export class ShownLedger extends Emitter<Events> {
  private readonly places = new Map<object, string>();
  private readonly totals = new Map<string, number>();
  private readonly before = new Map<string, number>();
  private readonly unsent = new Set<string>();
  private settledAt = 0;
  private isPaused = false;

  /** Says what stands in a place of the screen now; null: nothing, or nothing exact. */
  show(place: object, key: string | null, now: number): void {
    if ((this.places.get(place) ?? null) === key) {
      return;
    }
    this.settle(now);
    if (key === null) {
      this.places.delete(place);
    } else {
      this.places.set(place, key);
    }
  }

  /** The tab is not visible: nothing is shown until it is again. */
  pause(isPaused: boolean, now: number): void {
    this.settle(now);
    this.isPaused = isPaused;
  }

  /** Adds the time since the last call to what stands on the screen. */
  settle(now: number): void {
    const elapsed = Math.max(0, now - this.settledAt);
    this.settledAt = now;
    if (this.isPaused || elapsed === 0) {
      return;
    }
    let isNew = false;
    for (const key of new Set(this.places.values())) {
      const sum = (this.totals.get(key) ?? 0) + elapsed;
      isNew ||= sum >= LEAST_MS && !this.has(key);
      this.totals.set(key, sum);
      if (sum >= LEAST_MS) {
        this.unsent.add(key);
      }
    }
    if (isNew) {
      this.emit("change", undefined);
    }
  }

  /** What the server knows of this person's other windows. */
  load(times: ShownTimes): void {
    this.before.clear();
    for (const [image, frames] of Object.entries(times)) {
      for (const [frame, shownMs] of Object.entries(frames)) {
        this.before.set(`${image}:${frame}`, shownMs);
      }
    }
    this.emit("change", undefined);
  }

  has(key: string): boolean {
    return (this.totals.get(key) ?? 0) >= LEAST_MS || this.before.has(key);
  }

  /** In all windows of this person, in ms. */
  shownMs(key: string): number {
    const own = this.totals.get(key) ?? 0;
    return (own >= LEAST_MS ? own : 0) + (this.before.get(key) ?? 0);
  }

  /** Up to `most` totals that the server does not have yet; they count as sent. */
  take(most: number): ShownEntry[] {
    const keys = [...this.unsent].slice(0, most);
    return keys.map((key) => {
      this.unsent.delete(key);
      const cut = key.lastIndexOf(":");
      const total = Math.max(1, Math.round(this.totals.get(key) ?? 0));
      return [key.slice(0, cut), Number(key.slice(cut + 1)), total] as const;
    });
  }

  /** They did not arrive: they are sent again with the next. */
  giveBack(entries: readonly ShownEntry[]): void {
    for (const [image, frame] of entries) {
      this.unsent.add(`${image}:${frame}`);
    }
  }
}

/** Places of a stack's frames that were never shown. */
export function unseen(
  frames: readonly { key: string; image: { transport: unknown } }[],
  ledger: Pick<ShownLedger, "has">,
): number[] {
  return frames.flatMap(({ key, image }, index) =>
    image.transport === null || ledger.has(key) ? [] : [index],
  );
}

/** "12 of 300 images of series 3 not shown in full yet". */
export function unseenText(missing: number, count: number, seriesNumber: number | null): string {
  const where =
    seriesNumber === null ? t("this series") : t("series {number}", { number: seriesNumber });
  if (missing === 0 && count === 1) {
    return t("The only image of {where} was shown in full.", { where });
  }
  if (missing === 0) {
    return t("All {count} images of {where} were shown in full.", { count, where });
  }
  return t("{missing} of {count} images of {where} not shown in full yet.", {
    missing,
    count,
    where,
  });
}
