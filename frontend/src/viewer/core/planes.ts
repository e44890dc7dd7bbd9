import type { Vec2, Vec3 } from "./manifest";
import { frameAxes, framePixelSpacing, framePosition, type StackFrame } from "./stack";
import { add, cross, dot, norm, scale } from "./vectors";

/** Where pictures lie in the patient, and what of one picture is seen in another. */

export interface Plane {
  /** Centre of the first pixel, LPS in mm. */
  origin: Vec3;
  /** Unit directions of growing columns and rows. */
  row: Vec3;
  column: Vec3;
  normal: Vec3;
  /** Width and height of a pixel in mm. */
  pixel: Vec2;
  columns: number;
  rows: number;
}

/** How far from a picture a point still counts as lying on it, in mm. */
export const ON_PLANE_MM = 0.01;
/** Pictures turned against each other by less than this share no line (about 6 degrees). */
const PARALLEL = 0.995;

export function subtract(a: Vec3, b: Vec3): Vec3 {
  return [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
}

export function unit(a: Vec3): Vec3 {
  return scale(a, 1 / norm(a));
}

/** The plane of a frame; null where its file does not say where it lies. */
export function planeOf(frame: StackFrame): Plane | null {
  const axes = frameAxes(frame);
  const origin = framePosition(frame);
  const spacing = framePixelSpacing(frame);
  const { Rows: rows, Columns: columns } = frame.image;
  if (!axes || !origin || !spacing || !rows || !columns) {
    return null;
  }
  const row = unit(axes.row);
  const column = unit(axes.column);
  const normal = cross(row, column);
  if (norm(normal) < 0.5) {
    return null;
  }
  return {
    origin,
    row,
    column,
    normal: unit(normal),
    pixel: [spacing[1], spacing[0]],
    columns,
    rows,
  };
}

export function planePoint(plane: Plane, [column, row]: Vec2): Vec3 {
  const { origin, pixel } = plane;
  return add(add(origin, scale(plane.row, column * pixel[0])), scale(plane.column, row * pixel[1]));
}

/** Picture coordinates of the point of the plane that is nearest to `point`. */
export function onPicture(plane: Plane, point: Vec3): Vec2 {
  const from = subtract(point, plane.origin);
  return [dot(from, plane.row) / plane.pixel[0], dot(from, plane.column) / plane.pixel[1]];
}

/** Signed distance of a point from the plane, in mm. */
export function offPlane(plane: Plane, point: Vec3): number {
  return dot(subtract(point, plane.origin), plane.normal);
}

export function areParallel(one: Plane, other: Plane): boolean {
  return Math.abs(dot(one.normal, other.normal)) > PARALLEL;
}

/**
 * Where `other` cuts through `plane`: the part of the line that lies on `other`, in picture
 * coordinates of `plane`. Null where they do not meet.
 */
export function cutLine(plane: Plane, other: Plane): readonly [Vec2, Vec2] | null {
  if (areParallel(plane, other)) {
    return null;
  }
  const right = other.columns - 0.5;
  const bottom = other.rows - 0.5;
  const corners = (
    [
      [-0.5, -0.5],
      [right, -0.5],
      [right, bottom],
      [-0.5, bottom],
    ] as const
  ).map((corner) => planePoint(other, corner));
  const found: Vec3[] = [];
  for (const [index, a] of corners.entries()) {
    const b = corners[(index + 1) % 4] as Vec3;
    const da = offPlane(plane, a);
    const db = offPlane(plane, b);
    if (da < 0 !== db < 0) {
      found.push(add(a, scale(subtract(b, a), da / (da - db))));
    }
  }
  const [first, second] = found;
  return first && second ? [onPicture(plane, first), onPicture(plane, second)] : null;
}

/** The frame whose plane lies nearest to `point`, and how far it is; null without geometry. */
export function nearestFrame(
  frames: readonly StackFrame[],
  point: Vec3,
): { index: number; distance: number } | null {
  let best: { index: number; distance: number } | null = null;
  for (const [index, frame] of frames.entries()) {
    const axes = frameAxes(frame);
    const origin = framePosition(frame);
    if (!axes || !origin) {
      continue;
    }
    const distance = Math.abs(dot(subtract(point, origin), unit(cross(axes.row, axes.column))));
    if (!best || distance < best.distance) {
      best = { index, distance };
    }
  }
  return best;
}

/** The patient's point in the middle of a picture. */
export function middleOf(plane: Plane): Vec3 {
  return planePoint(plane, [(plane.columns - 1) / 2, (plane.rows - 1) / 2]);
}
