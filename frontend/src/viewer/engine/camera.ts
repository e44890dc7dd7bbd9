import { type Affine, apply, invert } from "../core/affine";
import type { Vec3 } from "../core/manifest";
import { cross } from "../core/vectors";
import { type Size, screenAxes, type View } from "../core/view";
import type { Rendering } from "../core/voi";

/** How a picture's view and window are said to an engine with a camera and textures. */

/** Further than any patient reaches, in the engine's world units. */
const FAR = 1_000_000;

/** What the window is on stored values, and whether a falling rescale turns light and dark over. */
export function storedWindow(rendering: Rendering): {
  lower: number;
  upper: number;
  inverted: boolean;
} {
  const { window, rescale, inverted } = rendering;
  // LINEAR counts whole values (PS3.3 C.11.2.1.2.1): its ends lie half a value further in.
  const isWhole = window.function === "LINEAR" && window.width >= 1;
  const half = isWhole ? Math.max(window.width - 1, 1e-3) / 2 : window.width / 2;
  const center = isWhole ? window.center - 0.5 : window.center;
  const a = (center - half - rescale.intercept) / rescale.slope;
  const b = (center + half - rescale.intercept) / rescale.slope;
  return {
    lower: Math.min(a, b),
    upper: Math.max(a, b),
    inverted: rescale.slope < 0 !== inverted,
  };
}

export interface CameraGeometry {
  origin: Vec3;
  row: Vec3;
  column: Vec3;
  /** Column and row spacing in the engine's world units. */
  spacing: readonly [number, number];
}

/** The camera under which the engine draws exactly what `imageToScreen` says. */
export function cameraFor(
  view: View,
  matrix: Affine,
  viewport: Size,
  geometry: CameraGeometry,
): {
  focalPoint: Vec3;
  position: Vec3;
  viewUp: Vec3;
  viewPlaneNormal: Vec3;
  parallelScale: number;
  clippingRange: readonly [number, number];
} {
  const { origin, row, column, spacing } = geometry;
  const [x, y] = apply(invert(matrix), [viewport.width / 2, viewport.height / 2]);
  const at = (axis: 0 | 1 | 2): number =>
    origin[axis] + x * spacing[0] * row[axis] + y * spacing[1] * column[axis];
  const focalPoint: Vec3 = [at(0), at(1), at(2)];
  const { right, down } = screenAxes(view.orientation, { row, column });
  const viewUp: Vec3 = [-down[0], -down[1], -down[2]];
  const viewPlaneNormal = cross(right, viewUp);
  const pixelsPerUnit = Math.hypot(matrix[0], matrix[1]) / spacing[0];
  return {
    focalPoint,
    position: [
      focalPoint[0] + viewPlaneNormal[0],
      focalPoint[1] + viewPlaneNormal[1],
      focalPoint[2] + viewPlaneNormal[2],
    ],
    viewUp,
    viewPlaneNormal,
    parallelScale: viewport.height / 2 / pixelsPerUnit,
    // One flat picture: nothing in front of or behind it may be cut off.
    clippingRange: [-FAR, FAR],
  };
}
