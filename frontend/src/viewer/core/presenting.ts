import type { Vec2 } from "./manifest";
import type { StackFrame } from "./stack";
import {
  fitScale,
  MAX_ZOOM,
  MIN_ZOOM,
  type PictureSize,
  type Size,
  turn,
  UPRIGHT,
  type View,
} from "./view";
import type { Window } from "./voi";

/** How presentation states want images shown: docs/api/viewer.md, "Presentation states". */

export interface StateArea {
  left: number;
  top: number;
  width: number;
  height: number;
  mode: "SCALE TO FIT" | "TRUE SIZE" | "MAGNIFY";
  magnification: number | null;
  pixel_width_mm: number | null;
}

/** What a state asks of an image; no frame numbers: of all its frames. */
export interface StateLook {
  SOPInstanceUID: string;
  frame_numbers: readonly number[];
  window: Window | null;
  invert: boolean;
  rotation: number;
  is_flipped: boolean;
  area: StateArea | null;
  /** What the server alone draws. */
  not_applied: readonly string[];
}

export interface StateFacts {
  image_id: string;
  SOPInstanceUID: string;
  SeriesNumber: number | null;
  SeriesDescription: string;
  InstanceNumber: number | null;
  problem: string | null;
  images: readonly StateLook[];
}

/** What is known of the screen; `pixelsPerMm` is null where nobody has measured it. */
export interface ScreenFacts {
  devicePixelRatio: number;
  pixelsPerMm: number | null;
}

/** Why a true size that was asked for cannot be kept. */
export type Unmet = "no-spacing" | "no-screen";

export function lookOf(state: StateFacts, frame: StackFrame): StateLook | null {
  return (
    state.images.find(
      ({ SOPInstanceUID, frame_numbers }) =>
        SOPInstanceUID === frame.image.SOPInstanceUID &&
        (frame_numbers.length === 0 || frame_numbers.includes(frame.frame_number)),
    ) ?? null
  );
}

/**
 * The view that a state asks for: turned clockwise, then mirrored, its area in the middle of the
 * viewport and as large as its size mode says (PS3.3 C.10.4, C.10.6). A true size that cannot be
 * kept is fitted, and `unmet` says why.
 */
export function presentedView(
  look: StateLook,
  picture: PictureSize,
  viewport: Size,
  screen: ScreenFacts,
): { view: View; unmet: Unmet | null } {
  let upright: View = { orientation: UPRIGHT, zoom: 1, pan: [0, 0] };
  for (let degrees = 0; degrees < look.rotation; degrees += 90) {
    upright = turn(upright, "rotateRight");
  }
  const { orientation } = look.is_flipped ? turn(upright, "flipHorizontal") : upright;
  const { columns, rows, pixelAspect } = picture;
  const area = look.area ?? { left: 0, top: 0, width: columns, height: rows };
  const shown: PictureSize = { columns: area.width, rows: area.height, pixelAspect };
  const fitted = fitScale(shown, viewport, orientation);
  const { scale, unmet } = look.area ? wantedScale(look.area, screen) : NO_SCALE;
  const whole = fitScale(picture, viewport, orientation);
  const zoom = Math.min(Math.max((scale ?? fitted) / whole, MIN_ZOOM), MAX_ZOOM);
  // From the picture's middle to that of the area, in CSS pixels of the upright picture.
  const off: Vec2 = [
    (area.left + area.width / 2 - columns / 2) * whole * zoom,
    (area.top + area.height / 2 - rows / 2) * whole * zoom * pixelAspect,
  ];
  const [a, b, c, d] = orientation;
  const pan: Vec2 = [-(a * off[0] + b * off[1]) || 0, -(c * off[0] + d * off[1]) || 0];
  return { view: { orientation, zoom, pan }, unmet };
}

const NO_SCALE: { scale: number | null; unmet: Unmet | null } = { scale: null, unmet: null };

/** CSS pixels a column is wide; null: as it fits. */
function wantedScale(area: StateArea, { devicePixelRatio, pixelsPerMm }: ScreenFacts) {
  if (area.mode === "MAGNIFY" && area.magnification) {
    return { scale: area.magnification / devicePixelRatio, unmet: null };
  }
  if (area.mode !== "TRUE SIZE") {
    return NO_SCALE;
  }
  if (area.pixel_width_mm === null) {
    return { scale: null, unmet: "no-spacing" as const };
  }
  return pixelsPerMm === null
    ? { scale: null, unmet: "no-screen" as const }
    : { scale: area.pixel_width_mm * pixelsPerMm, unmet: null };
}
