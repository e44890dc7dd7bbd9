import type { SeriesFacts } from "./manifest";
import { edgeLetters } from "./orientation";
import type { StackFrame } from "./stack";
import {
  fitScale,
  type Orientation,
  type PictureSize,
  type Size,
  UPRIGHT,
  type View,
} from "./view";

/** How a layout wants a picture to lie in its viewport. */
export interface Placement {
  orientation: Orientation;
  /** The viewport's edge that the picture touches; null: it stands in the middle. */
  edge: "left" | "right" | null;
}

export const CENTRED: Placement = { orientation: UPRIGHT, edge: null };

const ORIENTATIONS: readonly Orientation[] = [
  [1, 0, 0, 1],
  [-1, 0, 0, 1],
  [1, 0, 0, -1],
  [-1, 0, 0, -1],
  [0, -1, 1, 0],
  [0, 1, -1, 0],
  [0, 1, 1, 0],
  [0, -1, -1, 0],
];

/**
 * How a breast lies when the person faces the reader: the right one with its chest wall at the right
 * edge, the left one at the left, so that they stand back to back; feet or, seen from above, the
 * middle of the body below. Pictures that say no directions lie as they came.
 */
export function breastPlacement(frame: StackFrame, side: "L" | "R"): Placement {
  const towardsRight = side === "R" ? "P" : "A";
  const medial = side === "R" ? "L" : "R";
  const asStored = edgeLetters(frame, UPRIGHT);
  const isUpright = asStored !== null && /[HF]/.test(Object.values(asStored).join(""));
  const below = isUpright ? "F" : medial;
  const likeness = (orientation: Orientation): number => {
    const letters = edgeLetters(frame, orientation);
    return letters === null
      ? 0
      : (letters.right.startsWith(towardsRight) ? 2 : 0) + (letters.bottom.includes(below) ? 1 : 0);
  };
  const [orientation = UPRIGHT] = [...ORIENTATIONS].sort(
    (one, other) => likeness(other) - likeness(one),
  );
  return { orientation, edge: side === "R" ? "right" : "left" };
}

/** The side that a picture shows, as its file says it. */
export function sideOf(series: SeriesFacts, frame: StackFrame): "L" | "R" | null {
  const side = frame.image.ImageLaterality ?? series.Laterality;
  return side === "L" || side === "R" ? side : null;
}

/** The view that lays a picture as it is wanted; `zoom` times the fitting scale. */
export function placedView(
  { orientation, edge }: Placement,
  picture: PictureSize,
  viewport: Size,
  zoom: number,
): View {
  const isTurned = orientation[0] === 0;
  const across = isTurned ? picture.rows * picture.pixelAspect : picture.columns;
  const shown = across * fitScale(picture, viewport, orientation) * zoom;
  const free = (viewport.width - shown) / 2;
  const shift = edge === null ? 0 : edge === "right" ? free : -free;
  return { orientation, zoom, pan: [shift, 0] };
}
