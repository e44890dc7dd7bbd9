import type { Contour } from "./derived";
import type { Vec2, Vec3 } from "./manifest";
import { offPlane, onPicture, type Plane, unit } from "./planes";
import { cross, dot, norm } from "./vectors";

/** Outlines of structures in pictures: as they lie on them, or where other planes cut them. */

export interface Outline {
  points: readonly Vec2[];
  isClosed: boolean;
}

const PARALLEL = 0.999;

function pointOf(points: Float32Array, index: number): Vec3 {
  return [
    points[3 * index] as number,
    points[3 * index + 1] as number,
    points[3 * index + 2] as number,
  ];
}

/** The direction across an outline; null for points, lines and what is flat in no plane. */
export function acrossOf({ points }: Contour): Vec3 | null {
  const count = points.length / 3;
  let sum: Vec3 = [0, 0, 0];
  const start = pointOf(points, 0);
  for (let i = 1; i + 1 < count; i++) {
    const a = pointOf(points, i);
    const b = pointOf(points, i + 1);
    const turned = cross(
      [a[0] - start[0], a[1] - start[1], a[2] - start[2]],
      [b[0] - start[0], b[1] - start[1], b[2] - start[2]],
    );
    sum = [sum[0] + turned[0], sum[1] + turned[1], sum[2] + turned[2]];
  }
  return norm(sum) > 1e-6 ? unit(sum) : null;
}

/** The usual distance of a structure's outlines in mm. */
export function contourDistance(contours: readonly Contour[]): number | null {
  const first = contours.map(acrossOf).find((one) => one !== null);
  if (!first) {
    return null;
  }
  const places = [
    ...new Set(contours.map(({ points }) => dot(pointOf(points, 0), first).toFixed(2))),
  ]
    .map(Number)
    .sort((a, b) => a - b);
  const gaps = places
    .slice(1)
    .map((place, at) => place - (places[at] as number))
    .sort((a, b) => a - b);
  return gaps[Math.floor(gaps.length / 2)] ?? null;
}

/** What of a structure is seen in a picture, in its coordinates. */
export function outlinesOn(
  contours: readonly Contour[],
  plane: Plane,
  distance: number | null,
): Outline[] {
  const reach = (distance ?? 1) / 2;
  return contours.flatMap((contour) => {
    const across = acrossOf(contour);
    const count = contour.points.length / 3;
    const first = pointOf(contour.points, 0);
    if (across && Math.abs(dot(across, plane.normal)) < PARALLEL) {
      return contour.isClosed ? bandsOf(contour, plane, across, reach) : [];
    }
    // A place half way between two pictures belongs to one of them.
    const off = offPlane(plane, first);
    if (off <= -reach || off > reach) {
      return [];
    }
    const points = Array.from({ length: count }, (_, index) =>
      onPicture(plane, pointOf(contour.points, index)),
    );
    return [{ points, isClosed: contour.isClosed }];
  });
}

/** Where a plane cuts an outline: bars as thick as the outlines are apart. */
function bandsOf(contour: Contour, plane: Plane, across: Vec3, reach: number): Outline[] {
  const count = contour.points.length / 3;
  const hits: Vec3[] = [];
  for (let i = 0; i < count; i++) {
    const a = pointOf(contour.points, i);
    const b = pointOf(contour.points, (i + 1) % count);
    const da = offPlane(plane, a);
    const db = offPlane(plane, b);
    if (da < 0 !== db < 0) {
      const t = da / (da - db);
      hits.push([a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1]), a[2] + t * (b[2] - a[2])]);
    }
  }
  const along = cross(across, plane.normal);
  hits.sort((p, q) => dot(p, along) - dot(q, along));
  const up = (p: Vec3, by: number): Vec2 =>
    onPicture(plane, [p[0] + across[0] * by, p[1] + across[1] * by, p[2] + across[2] * by]);
  const bands: Outline[] = [];
  for (let i = 0; i + 1 < hits.length; i += 2) {
    const a = hits[i] as Vec3;
    const b = hits[i + 1] as Vec3;
    bands.push({
      points: [up(a, -reach), up(b, -reach), up(b, reach), up(a, reach)],
      isClosed: true,
    });
  }
  return bands;
}
