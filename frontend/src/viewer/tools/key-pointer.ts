import type { Vec2 } from "../core/manifest";
import type { Size } from "../core/view";

const STEPS: Readonly<Record<string, Vec2>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};
const STEP = 10;
const LONG_STEP = 50;

/** What a key does to a pointer that keys move; `at` in CSS pixels of the viewport. */
export type PointerKey = { kind: "move"; at: Vec2 } | { kind: "press" } | { kind: "end" } | null;

/** Arrows move by 10 pixels, with Shift by 50, with Ctrl by one; Enter and Space press. */
export function pointerKey(name: string, at: Vec2, size: Size): PointerKey {
  if (name === "Enter" || name === "Space") {
    return { kind: "press" };
  }
  if (name === "Escape") {
    return { kind: "end" };
  }
  const cut = name.lastIndexOf("+");
  const step = STEPS[name.slice(cut + 1)];
  const modifier = name.slice(0, Math.max(cut, 0));
  if (!step || !["", "Shift", "Control"].includes(modifier)) {
    return null;
  }
  const by = modifier === "Shift" ? LONG_STEP : modifier === "Control" ? 1 : STEP;
  const clamp = (value: number, end: number): number => Math.min(Math.max(value, 0), end);
  return {
    kind: "move",
    at: [clamp(at[0] + step[0] * by, size.width), clamp(at[1] + step[1] * by, size.height)],
  };
}
