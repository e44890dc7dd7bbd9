import type { Frame } from "./frame";
import type { MeasurementKind, Vec2 } from "./manifest";

/** Regions with an outline of their own: drawn freely, as a curve, or along edges. */

export const OUTLINES: ReadonlySet<MeasurementKind> = new Set(["freehand", "spline", "livewire"]);
export const REGIONS: ReadonlySet<MeasurementKind> = new Set([
  "ellipse",
  "rectangle",
  "circle",
  ...OUTLINES,
]);

/** Straight parts that a span of a curve is drawn with. */
const PARTS = 12;

/** The corners of a region's closed outline, in picture pixels. */
export function outlineOf(kind: MeasurementKind, points: readonly Vec2[]): readonly Vec2[] {
  return kind === "spline" ? closedCurve(points) : points;
}

/** A closed uniform Catmull-Rom curve through `points`. */
export function closedCurve(points: readonly Vec2[]): Vec2[] {
  const count = points.length;
  if (count < 3) {
    return [...points];
  }
  const at = (index: number): Vec2 => points[((index % count) + count) % count] as Vec2;
  return points.flatMap((_, index) => {
    const [a, b, c, d] = [at(index - 1), at(index), at(index + 1), at(index + 2)];
    return Array.from({ length: PARTS }, (_unused, part): Vec2 => {
      const t = part / PARTS;
      const mix = (axis: 0 | 1): number =>
        0.5 *
        (2 * b[axis] +
          (c[axis] - a[axis]) * t +
          (2 * a[axis] - 5 * b[axis] + 4 * c[axis] - d[axis]) * t ** 2 +
          (3 * b[axis] - a[axis] - 3 * c[axis] + d[axis]) * t ** 3);
      return [mix(0), mix(1)];
    });
  });
}

/** Area within a closed outline in square pixels (the shoelace formula). */
export function outlineArea(corners: readonly Vec2[]): number {
  let sum = 0;
  for (const [index, [x, y]] of corners.entries()) {
    const [nx, ny] = corners[(index + 1) % corners.length] as Vec2;
    sum += x * ny - nx * y;
  }
  return Math.abs(sum) / 2;
}

/** Calls for every pixel whose centre lies in the outline (even-odd where it crosses itself). */
export function eachPixelWithin(
  corners: readonly Vec2[],
  { columns, rows }: Pick<Frame, "columns" | "rows">,
  call: (offset: number) => void,
): void {
  const heights = corners.map(([, y]) => y);
  const first = Math.max(0, Math.ceil(Math.min(...heights)));
  const last = Math.min(rows - 1, Math.floor(Math.max(...heights)));
  for (let row = first; row <= last; row++) {
    const crossings: number[] = [];
    for (const [index, [x, y]] of corners.entries()) {
      const [nx, ny] = corners[(index + 1) % corners.length] as Vec2;
      if (y <= row !== ny <= row) {
        crossings.push(x + ((row - y) / (ny - y)) * (nx - x));
      }
    }
    crossings.sort((a, b) => a - b);
    for (let i = 0; i + 1 < crossings.length; i += 2) {
      const end = Math.min(columns - 1, Math.floor(crossings[i + 1] as number));
      for (let column = Math.max(0, Math.ceil(crossings[i] as number)); column <= end; column++) {
        call(row * columns + column);
      }
    }
  }
}

/** Leaves out corners that stray less than `reach` pixels from the line between their neighbours. */
export function simplified(points: readonly Vec2[], reach: number): Vec2[] {
  const first = points[0];
  const last = points.at(-1);
  if (!first || !last || points.length < 3) {
    return [...points];
  }
  let worst = 0;
  let far = 0;
  const length = Math.hypot(last[0] - first[0], last[1] - first[1]);
  for (let i = 1; i < points.length - 1; i++) {
    const [x, y] = points[i] as Vec2;
    const off =
      length === 0
        ? Math.hypot(x - first[0], y - first[1])
        : Math.abs((last[0] - first[0]) * (first[1] - y) - (first[0] - x) * (last[1] - first[1])) /
          length;
    if (off > worst) {
      worst = off;
      far = i;
    }
  }
  return worst <= reach
    ? [first, last]
    : [
        ...simplified(points.slice(0, far + 1), reach).slice(0, -1),
        ...simplified(points.slice(far), reach),
      ];
}
