import type { Pane } from "../engine/pane";

const held = new WeakMap<Pane, () => void>();

/**
 * Lays the picture by `lay`, and again whenever the viewport has another size, until somebody lays
 * it otherwise or hangs something else: a true size stays true beside a notice that takes room.
 */
export function keepSized(pane: Pane, lay: () => void): void {
  held.get(pane)?.();
  let isOwn = false;
  const set = (): void => {
    isOwn = true;
    lay();
    isOwn = false;
  };
  const release = (): void => {
    held.delete(pane);
    for (const off of offs) {
      off();
    }
  };
  const offs = [
    pane.on("resized", set),
    pane.on("viewed", () => {
      if (!isOwn) {
        release();
      }
    }),
    pane.on("hung", release),
  ];
  held.set(pane, release);
  set();
}
