import type { Vec2 } from "./manifest";

/** [a, b, c, d, e, f]: x' = a x + c y + e, y' = b x + d y + f (the order of CanvasRenderingContext2D). */
export type Affine = readonly [number, number, number, number, number, number];

export function apply(m: Affine, p: Vec2): Vec2 {
  return [m[0] * p[0] + m[2] * p[1] + m[4], m[1] * p[0] + m[3] * p[1] + m[5]];
}

export function invert(m: Affine): Affine {
  const det = m[0] * m[3] - m[1] * m[2];
  if (det === 0 || !Number.isFinite(det)) {
    throw new RangeError("The transform cannot be inverted.");
  }
  const a = m[3] / det;
  const b = -m[1] / det;
  const c = -m[2] / det;
  const d = m[0] / det;
  return [a, b, c, d, -(a * m[4] + c * m[5]), -(b * m[4] + d * m[5])];
}
