import { type Affine, apply } from "../core/affine";
import type { MeasurementKind, Vec2 } from "../core/manifest";
import { OUTLINES, outlineOf } from "../core/outline";

const MOST_HANDLES = 24;

/** Geometry of drawn measurements on the screen: for drawing them and for finding them. */

export function toScreen(points: readonly Vec2[], matrix: Affine): Vec2[] {
  return points.map((point) => apply(matrix, point));
}

/** Corners of the box of an ellipse or rectangle, in picture pixels, clockwise from the first. */
export function boxCorners(a: Vec2, b: Vec2): [Vec2, Vec2, Vec2, Vec2] {
  return [a, [b[0], a[1]], b, [a[0], b[1]]];
}

/** The places that can be dragged, in picture pixels. */
export function handles(kind: MeasurementKind, points: readonly Vec2[]): Vec2[] {
  const [a, b] = points;
  if ((kind === "ellipse" || kind === "rectangle") && a && b) {
    return boxCorners(a, b);
  }
  // An outline of many corners is moved as a whole.
  return OUTLINES.has(kind) && points.length > MOST_HANDLES ? [] : [...points];
}

/** The points after handle `index` was dragged to `to`. */
export function moveHandle(
  kind: MeasurementKind,
  points: readonly Vec2[],
  index: number,
  to: Vec2,
): Vec2[] {
  const [a, b] = points;
  if ((kind === "ellipse" || kind === "rectangle") && a && b) {
    const moved: [Vec2, Vec2][] = [
      [to, b],
      [
        [a[0], to[1]],
        [to[0], b[1]],
      ],
      [a, to],
      [
        [to[0], a[1]],
        [b[0], to[1]],
      ],
    ];
    return moved[index] ?? [a, b];
  }
  if (kind === "circle" && a && b && index === 0) {
    return moveAll(points, to[0] - a[0], to[1] - a[1]);
  }
  return points.map((point, position) => (position === index ? to : point));
}

export function moveAll(points: readonly Vec2[], dx: number, dy: number): Vec2[] {
  return points.map(([x, y]) => [x + dx, y + dy]);
}

export function distanceToSegment(p: Vec2, a: Vec2, b: Vec2): number {
  const dx = b[0] - a[0];
  const dy = b[1] - a[1];
  const length = dx * dx + dy * dy;
  const t =
    length === 0 ? 0 : Math.min(Math.max(((p[0] - a[0]) * dx + (p[1] - a[1]) * dy) / length, 0), 1);
  return Math.hypot(p[0] - a[0] - t * dx, p[1] - a[1] - t * dy);
}

function distanceToPolyline(p: Vec2, points: readonly Vec2[]): number {
  let best = Number.POSITIVE_INFINITY;
  for (let i = 1; i < points.length; i++) {
    best = Math.min(best, distanceToSegment(p, points[i - 1] as Vec2, points[i] as Vec2));
  }
  return best;
}

/** Distance in screen pixels from `p` to the outline of a shape whose points are on the screen. */
export function distanceToShape(kind: MeasurementKind, screen: readonly Vec2[], p: Vec2): number {
  const [a, b] = screen;
  if (!a) {
    return Number.POSITIVE_INFINITY;
  }
  if (kind === "probe" || kind === "text" || !b) {
    return Math.hypot(p[0] - a[0], p[1] - a[1]);
  }
  if (kind === "rectangle") {
    const corners = boxCorners(a, b);
    return distanceToPolyline(p, [...corners, corners[0]]);
  }
  if (kind === "circle") {
    return Math.abs(Math.hypot(p[0] - a[0], p[1] - a[1]) - Math.hypot(b[0] - a[0], b[1] - a[1]));
  }
  if (OUTLINES.has(kind)) {
    const corners = outlineOf(kind, screen);
    return distanceToPolyline(p, [...corners, corners[0] as Vec2]);
  }
  if ((kind === "cobb" || kind === "bidirectional") && screen.length === 4) {
    return Math.min(
      distanceToPolyline(p, screen.slice(0, 2)),
      distanceToPolyline(p, screen.slice(2)),
    );
  }
  if (kind === "ellipse") {
    const center: Vec2 = [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
    const rx = Math.abs(b[0] - a[0]) / 2;
    const ry = Math.abs(b[1] - a[1]) / 2;
    const outline: Vec2[] = [];
    for (let i = 0; i <= 48; i++) {
      const angle = (i / 48) * 2 * Math.PI;
      outline.push([center[0] + rx * Math.cos(angle), center[1] + ry * Math.sin(angle)]);
    }
    return distanceToPolyline(p, outline);
  }
  return distanceToPolyline(p, screen);
}

export interface Hit {
  key: string;
  /** The handle under the pointer, or null for the shape as a whole. */
  handle: number | null;
}

export interface Candidate {
  key: string;
  kind: MeasurementKind;
  points: readonly Vec2[];
  isSelected: boolean;
}

/** What lies under the pointer: handles before outlines, the selected shape before others. */
export function hitTest(
  candidates: readonly Candidate[],
  matrix: Affine,
  at: Vec2,
  reach: number,
): Hit | null {
  const ordered = [...candidates].sort((a, b) => Number(b.isSelected) - Number(a.isSelected));
  let best: { hit: Hit; distance: number } | null = null;
  for (const { key, kind, points } of ordered) {
    for (const [index, point] of toScreen(handles(kind, points), matrix).entries()) {
      const distance = Math.hypot(at[0] - point[0], at[1] - point[1]);
      if (distance <= reach && (!best || distance < best.distance)) {
        best = { hit: { key, handle: index }, distance };
      }
    }
  }
  if (best) {
    return best.hit;
  }
  for (const { key, kind, points } of ordered) {
    const distance = distanceToShape(kind, toScreen(points, matrix), at);
    if (distance <= reach && (!best || distance < best.distance)) {
      best = { hit: { key, handle: null }, distance };
    }
  }
  return best?.hit ?? null;
}
