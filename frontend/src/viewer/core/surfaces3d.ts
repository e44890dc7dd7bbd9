import type { Vec3 } from "./manifest";
import { dot } from "./vectors";

/** Segments in pictures of a whole volume. */

/** How a segment looks: its colour (0 to 255), and how much of what is behind it it hides (0 to 1). */
export interface Tint {
  rgb: readonly [number, number, number];
  opacity: number;
}

const ENOUGH = 0.97;
/** How often the step that meets a surface is halved: to a sixteenth of its length. */
const HALVINGS = 4;
/** Cells on each side over which a segment's surface is smoothed. */
const SMOOTH = 2;

/** Segments among the cells, seen as surfaces: a ray meets one where it enters it. */
export class Surfaces {
  constructor(
    private readonly labels: Uint8Array,
    private readonly counts: readonly [number, number, number],
    private readonly tints: readonly Tint[],
  ) {}

  /** The segment in which a place of a ray lies; 0 of none. */
  at(start: Vec3, forward: Vec3, t: number): number {
    const [nx, ny, nz] = this.counts;
    const x = (start[0] + t * forward[0] + 0.5) | 0;
    const y = (start[1] + t * forward[1] + 0.5) | 0;
    const z = (start[2] + t * forward[2] + 0.5) | 0;
    return x < 0 || y < 0 || z < 0 || x >= nx || y >= ny || z >= nz
      ? 0
      : (this.labels[(z * ny + y) * nx + x] as number);
  }

  /** Colour and opacity of the surface that a ray has met within its last step. */
  shade(
    start: Vec3,
    forward: Vec3,
    t: number,
    stride: number,
    label: number,
  ): [number, number, number, number] {
    const tint = this.tints[label - 1];
    if (!tint) {
      return [0, 0, 0, 0];
    }
    let [clear, solid] = [t - stride, t];
    for (let halving = 0; halving < HALVINGS; halving++) {
      const between = (clear + solid) / 2;
      if (this.at(start, forward, between) === label) {
        solid = between;
      } else {
        clear = between;
      }
    }
    const x = start[0] + solid * forward[0];
    const y = start[1] + solid * forward[1];
    const z = start[2] + solid * forward[2];
    const light = this.light(x, y, z, forward, label);
    const [red, green, blue] = tint.rgb;
    return [red * light, green * light, blue * light, tint.opacity];
  }

  /** Lays what a ray meets over a colour. */
  over(
    start: Vec3,
    forward: Vec3,
    [from, to]: readonly [number, number],
    stride: number,
    rgb: [number, number, number],
  ): void {
    let [red, green, blue, alpha, inside] = [0, 0, 0, 0, 0];
    for (let t = from; t <= to && alpha < ENOUGH; t += stride) {
      const label = this.at(start, forward, t);
      if (label !== 0 && label !== inside) {
        const [r, g, b, opacity] = this.shade(start, forward, t, stride, label);
        red += r * opacity * (1 - alpha);
        green += g * opacity * (1 - alpha);
        blue += b * opacity * (1 - alpha);
        alpha += opacity * (1 - alpha);
      }
      inside = label;
    }
    rgb[0] = Math.min(red + rgb[0] * (1 - alpha), 255);
    rgb[1] = Math.min(green + rgb[1] * (1 - alpha), 255);
    rgb[2] = Math.min(blue + rgb[2] * (1 - alpha), 255);
  }

  /** A lamp at the eye, on a surface smoothed over its neighbours: cells are cubes. */
  private light(x: number, y: number, z: number, forward: Vec3, label: number): number {
    const [nx, ny, nz] = this.counts;
    const [cx, cy, cz] = [Math.round(x), Math.round(y), Math.round(z)];
    let [gx, gy, gz] = [0, 0, 0];
    for (let dz = -SMOOTH; dz <= SMOOTH; dz++) {
      const k = cz + dz;
      for (let dy = -SMOOTH; dy <= SMOOTH; dy++) {
        const j = cy + dy;
        for (let dx = -SMOOTH; dx <= SMOOTH; dx++) {
          const i = cx + dx;
          const isThere = i >= 0 && j >= 0 && k >= 0 && i < nx && j < ny && k < nz;
          if (isThere && this.labels[(k * ny + j) * nx + i] === label) {
            gx += dx;
            gy += dy;
            gz += dz;
          }
        }
      }
    }
    const length = Math.hypot(gx, gy, gz);
    const facing = length > 0 ? Math.abs(dot([gx, gy, gz], forward)) / length : 1;
    return 0.3 + 0.7 * facing;
  }
}
