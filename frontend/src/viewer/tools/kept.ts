import { type Appearance, isInitial, readAppearance } from "../core/appearance";
import { isComputed, type Stack } from "../core/stack";
import type { Pane } from "../engine/pane";

/** The server keeps a session of 16 KiB; a series takes a sixth of one. */
const MOST_KEPT = 40;

/** How the person has set each series, by its id; the untouched ones are left out. */
export class KeptAppearances {
  private readonly kept = new Map<string, Appearance>();

  /** Reads how the person left each series of this study. */
  constructor(stacks: readonly Stack[], kept: unknown) {
    const entries = kept && typeof kept === "object" ? Object.entries(kept) : [];
    for (const [id, value] of entries) {
      if (stacks.some(({ series }) => series.id === id)) {
        this.kept.set(id, readAppearance(value));
      }
    }
  }

  get(seriesId: string): Appearance | undefined {
    return this.kept.get(seriesId);
  }

  /** What is kept of each series that was set otherwise than it came, the latest last. */
  get latest(): Record<string, Appearance> {
    return Object.fromEntries([...this.kept].slice(-MOST_KEPT));
  }

  note(pane: Pane): void {
    const id = pane.stack?.series.id;
    if (id === undefined || isComputed(pane.stack) || pane.stack?.owner || pane.hanging) {
      return;
    }
    const { appearance } = pane;
    const before = this.kept.get(id);
    if (before && JSON.stringify(before) === JSON.stringify(appearance)) {
      return;
    }
    this.kept.delete(id);
    if (!isInitial(appearance)) {
      this.kept.set(id, appearance);
    }
  }
}
