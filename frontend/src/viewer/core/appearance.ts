import { type ColorMapId, isColorMap } from "./colors";
import { INITIAL_VIEW, MAX_ZOOM, MIN_ZOOM, type Orientation, type View } from "./view";
import type { Window } from "./voi";

/** How a person has set the pictures of a series: what is kept of a viewport beside its place. */
export interface Appearance {
  /** The person's own window; null: each frame's own. */
  window: Window | null;
  invert: boolean;
  view: View;
  /** Colours of grey pictures; absent: none. */
  colorMap?: ColorMapId;
}

export const INITIAL_APPEARANCE: Appearance = { window: null, invert: false, view: INITIAL_VIEW };

const FUNCTIONS = ["LINEAR", "LINEAR_EXACT", "SIGMOID"] as const;
/** Turns and mirrorings, as `Orientation` says. */
const ORIENTATIONS = ["1,0,0,1", "0,-1,1,0", "-1,0,0,-1", "0,1,-1,0"].concat(
  "-1,0,0,1",
  "1,0,0,-1",
  "0,1,1,0",
  "0,-1,-1,0",
);

export function isInitial({ window, invert, view, colorMap }: Appearance): boolean {
  return (
    window === null &&
    colorMap === undefined &&
    !invert &&
    view.zoom === 1 &&
    view.pan.every((value) => value === 0) &&
    String(view.orientation) === String(INITIAL_VIEW.orientation)
  );
}

function numbers(value: unknown, count: number): number[] | null {
  return Array.isArray(value) && value.length === count && value.every(Number.isFinite)
    ? (value as number[])
    : null;
}

function isIndex(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0;
}

function readWindow(value: unknown): Window | null {
  const { center, width, function: name, lut } = (value ?? {}) as Partial<Record<string, unknown>>;
  const kind = FUNCTIONS.find((known) => known === name);
  const [c, w] = numbers([center, width], 2) ?? [];
  return c !== undefined && w !== undefined && w > 0 && kind
    ? { center: c, width: w, function: kind, ...(isIndex(lut) ? { lut } : {}) }
    : null;
}

/** Reads what was kept; what makes no sense counts as untouched. */
export function readAppearance(value: unknown): Appearance {
  const kept = (value ?? {}) as Partial<Record<keyof Appearance, unknown>>;
  const { orientation, zoom, pan } = (kept.view ?? {}) as Partial<Record<string, unknown>>;
  const turned = numbers(orientation, 4);
  const moved = numbers(pan, 2);
  return {
    window: readWindow(kept.window),
    invert: kept.invert === true,
    ...(isColorMap(kept.colorMap) && kept.colorMap !== "grey" ? { colorMap: kept.colorMap } : {}),
    view: {
      orientation:
        turned && ORIENTATIONS.includes(String(turned))
          ? (turned as unknown as Orientation)
          : INITIAL_VIEW.orientation,
      zoom:
        typeof zoom === "number" && zoom >= MIN_ZOOM && zoom <= MAX_ZOOM ? zoom : INITIAL_VIEW.zoom,
      pan: moved ? [moved[0] as number, moved[1] as number] : INITIAL_VIEW.pan,
    },
  };
}
