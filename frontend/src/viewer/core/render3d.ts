import { t } from "../../i18n";
import type { Vec3 } from "./manifest";
import { Surfaces, type Tint } from "./surfaces3d";
import { cross, dot } from "./vectors";
import { THIN } from "./volume";
import type { Volume } from "./voxels";

/** Pictures of a whole volume, computed with the processor: coarse, but the same everywhere. */

/** Values, colours (0 to 255) and opacity a millimetre (0 to 1) between which is interpolated. */
export type TransferPoint = readonly [
  value: number,
  red: number,
  green: number,
  blue: number,
  opacity: number,
];

export interface RenderPreset {
  id: string;
  name: string;
  /** Highest value along each ray instead of light and matter. */
  isMip: boolean;
  /** In modality values, or as shares of the volume's range where `isRelative`. */
  points: readonly TransferPoint[];
  isRelative: boolean;
}

export const CT_PRESETS: readonly RenderPreset[] = [
  {
    id: "bone",
    name: t("Bone"),
    isMip: false,
    isRelative: false,
    points: [
      [150, 150, 70, 50, 0],
      [300, 215, 170, 120, 0.15],
      [700, 245, 235, 210, 0.6],
      [2000, 255, 255, 250, 0.9],
    ],
  },
  {
    id: "skin",
    name: t("Skin and bone"),
    isMip: false,
    isRelative: false,
    points: [
      [-500, 190, 130, 110, 0],
      [-250, 215, 160, 135, 0.12],
      [50, 225, 170, 140, 0.18],
      [300, 245, 230, 205, 0.6],
      [2000, 255, 255, 250, 0.9],
    ],
  },
  {
    id: "vessels",
    name: t("Vessels"),
    isMip: false,
    isRelative: false,
    points: [
      [120, 120, 0, 0, 0],
      [220, 210, 40, 30, 0.25],
      [400, 250, 190, 150, 0.5],
      [1500, 255, 255, 245, 0.8],
    ],
  },
  {
    id: "lung",
    name: t("Lung"),
    isMip: false,
    isRelative: false,
    points: [
      [-950, 60, 60, 90, 0],
      [-850, 130, 150, 190, 0.012],
      [-600, 190, 180, 190, 0.03],
      [-300, 230, 150, 140, 0],
    ],
  },
];

export const COMMON_PRESETS: readonly RenderPreset[] = [
  {
    id: "surface",
    name: t("Surface"),
    isMip: false,
    isRelative: true,
    points: [
      [0.12, 120, 90, 80, 0],
      [0.3, 210, 175, 150, 0.2],
      [1, 255, 250, 240, 0.7],
    ],
  },
  { id: "mip", name: "MIP", isMip: true, isRelative: true, points: [] },
];

/** Nothing of the volume itself. */
export const SEGMENTS_ALONE: RenderPreset = {
  id: "segments",
  name: t("Segments alone"),
  isMip: false,
  isRelative: true,
  points: [],
};

export function presetsOf(modality: string | null): readonly RenderPreset[] {
  return modality === "CT" ? [...CT_PRESETS, ...COMMON_PRESETS] : COMMON_PRESETS;
}

/** Shares of the volume's extent that are kept, along the patient's x, y and z: [from, to]. */
export type Crop = readonly [
  readonly [number, number],
  readonly [number, number],
  readonly [number, number],
];

export const WHOLE: Crop = [
  [0, 1],
  [0, 1],
  [0, 1],
];

export interface Camera {
  right: Vec3;
  down: Vec3;
}

/** As seen from the front, the feet below. */
export const FRONT: Camera = { right: [1, 0, 0], down: [0, 0, -1] };

/** Most cells along the longest side of the grid that is drawn. */
const MOST_CELLS = 160;
const TABLE = 1024;
const ENOUGH = 0.97;
/** A step that covers less is not seen. */
const CLEAR = 0.001;
/** How often the step that meets a surface is halved: to a sixteenth of its length. */
const HALVINGS = 4;
/** Of a MIP, values below this share of the range are as good as black. */
const DARK = 0.05;
/** How much of the picture's side the sphere about what is seen takes. */
const FILLED = 0.96;

interface Sphere {
  middle: Vec3;
  radius: number;
}

/** Even cells along the patient's axes, from the lowest place on. */
export interface CellFrame {
  /** The middle of the first cell, LPS in mm. */
  low: Vec3;
  counts: readonly [number, number, number];
  /** Length of a side, in mm. */
  size: number;
}

/** Cells with their values, x fastest. */
export interface Cells extends CellFrame {
  values: Float32Array<ArrayBuffer>;
  min: number;
  max: number;
}

/** The cells between two corners. */
export function cellFrame(low: Vec3, high: Vec3): CellFrame {
  const longest = Math.max(high[0] - low[0], high[1] - low[1], high[2] - low[2]);
  const size = Math.max(longest / (MOST_CELLS - 1), 1e-3);
  const count = (axis: 0 | 1 | 2): number =>
    Math.max(2, Math.floor((high[axis] - low[axis]) / size) + 1);
  return { low, size, counts: [count(0), count(1), count(2)] };
}

/** Samples the cells of a volume between two corners, in pieces of a few milliseconds. */
export function* cellsOf(volume: Volume, low: Vec3, high: Vec3): Generator<void, Cells> {
  const { size, counts } = cellFrame(low, high);
  const [nx, ny, nz] = counts;
  const values = new Float32Array(nx * ny * nz);
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  for (let z = 0; z < nz; z++) {
    const plane = volume.sample(
      {
        origin: [low[0], low[1], low[2] + z * size],
        right: [1, 0, 0],
        down: [0, 1, 0],
        pixel: size,
        columns: nx,
        rows: ny,
      },
      THIN,
    );
    values.set(plane, z * nx * ny);
    for (const value of plane) {
      min = value < min ? value : min;
      max = value > max ? value : max;
    }
    yield;
  }
  min = Number.isFinite(min) ? min : 0;
  max = Number.isFinite(max) ? max : 1;
  // Outside of the slices is what is lowest inside: mostly air.
  for (let i = 0; i < values.length; i++) {
    if (Number.isNaN(values[i])) {
      values[i] = min;
    }
  }
  return { low, counts, size, values, min, max };
}

/** Draws cells by following rays through them. */
export class CellGrid {
  readonly counts: readonly [number, number, number];
  private readonly cells: Float32Array;
  private readonly size: number;
  readonly min: number;
  readonly max: number;
  private readonly spheres = new Map<string, Sphere>();
  /** The segment of each cell, from 1; null without any. */
  private labels: Uint8Array | null = null;

  constructor({ counts, size, values, min, max }: Cells) {
    this.counts = counts;
    this.size = size;
    this.cells = values;
    this.min = min;
    this.max = max;
  }

  /** Lays segments into the volume. */
  setLabels(labels: Uint8Array | null): void {
    this.labels = labels;
    this.spheres.clear();
  }

  /** An RGB picture of `side` x `side` pixels that holds what is seen, however it is turned. */
  render(
    { right, down }: Camera,
    preset: RenderPreset,
    crop: Crop,
    side: number,
    coarse: number,
    tints: readonly Tint[] = [],
  ): Uint8Array<ArrayBuffer> {
    const out = new Uint8Array(side * side * 3);
    const { middle, radius } = this.sphereOf(preset);
    const forward = cross(right, down);
    const step = (2 * radius) / side;
    const stride = coarse;
    const lowEnd = crop.map((part, axis) => part[0] * ((this.counts[axis] as number) - 1));
    const highEnd = crop.map((part, axis) => part[1] * ((this.counts[axis] as number) - 1));
    const table = this.table(preset, stride * this.size);
    const ray = { rgb: [0, 0, 0] as [number, number, number] };
    const solids =
      this.labels && tints.length > 0 ? new Surfaces(this.labels, this.counts, tints) : null;
    for (let r = 0; r < side; r++) {
      for (let c = 0; c < side; c++) {
        const u = (c + 0.5) * step - radius;
        const v = (r + 0.5) * step - radius;
        const at = (axis: 0 | 1 | 2): number =>
          middle[axis] + u * right[axis] + v * down[axis] - radius * forward[axis];
        const start: Vec3 = [at(0), at(1), at(2)];
        const span = clip(start, forward, lowEnd, highEnd, 2 * radius);
        if (!span) {
          continue;
        }
        if (preset.isMip) {
          this.highest(start, forward, span, stride, ray.rgb);
          solids?.over(start, forward, span, stride, ray.rgb);
        } else {
          this.follow(start, forward, span, stride, table, ray.rgb, solids);
        }
        const offset = (r * side + c) * 3;
        out[offset] = ray.rgb[0];
        out[offset + 1] = ray.rgb[1];
        out[offset + 2] = ray.rgb[2];
      }
    }
    return out;
  }

  /**
   * The sphere about all cells that a preset shows, in cells: of a head in air the head alone.
   * Cropping leaves it as it is, so that nothing moves while a side is cut away.
   */
  sphereOf(preset: RenderPreset): Sphere {
    const known = this.spheres.get(preset.id);
    if (known) {
      return known;
    }
    const [nx, ny, nz] = this.counts;
    const isSeen = this.seenBy(preset);
    let [x0, y0, z0, x1, y1, z1] = [nx, ny, nz, -1, -1, -1];
    const { labels } = this;
    this.each((x, y, z, value, at) => {
      if (isSeen(value) || labels?.[at]) {
        x0 = x < x0 ? x : x0;
        x1 = x > x1 ? x : x1;
        y0 = y < y0 ? y : y0;
        y1 = y > y1 ? y : y1;
        z0 = z < z0 ? z : z0;
        z1 = z > z1 ? z : z1;
      }
    });
    const isEmpty = x1 < 0;
    const middle: Vec3 = isEmpty
      ? [(nx - 1) / 2, (ny - 1) / 2, (nz - 1) / 2]
      : [(x0 + x1) / 2, (y0 + y1) / 2, (z0 + z1) / 2];
    let square = isEmpty ? (nx * nx + ny * ny + nz * nz) / 4 : 0;
    this.each((x, y, z, value, at) => {
      const far = (x - middle[0]) ** 2 + (y - middle[1]) ** 2 + (z - middle[2]) ** 2;
      if (far > square && (isSeen(value) || labels?.[at])) {
        square = far;
      }
    });
    const sphere = { middle, radius: (Math.sqrt(square) + 1) / FILLED };
    this.spheres.set(preset.id, sphere);
    return sphere;
  }

  private each(visit: (x: number, y: number, z: number, value: number, at: number) => void): void {
    const [nx, ny, nz] = this.counts;
    let at = 0;
    for (let z = 0; z < nz; z++) {
      for (let y = 0; y < ny; y++) {
        for (let x = 0; x < nx; x++) {
          visit(x, y, z, this.cells[at] as number, at);
          at++;
        }
      }
    }
  }

  private seenBy(preset: RenderPreset): (value: number) => boolean {
    const range = this.max - this.min || 1;
    if (preset.isMip) {
      return (value) => value > this.min + DARK * range;
    }
    const table = this.table(preset, this.size);
    const scale = (TABLE - 1) / range;
    return (value) => (table[(((value - this.min) * scale) | 0) * 4 + 3] as number) > CLEAR;
  }

  /** Colours and opacities of a step, over the whole range of values. */
  private table({ points, isRelative }: RenderPreset, stepMm: number): Float32Array {
    const table = new Float32Array(TABLE * 4);
    const range = this.max - this.min || 1;
    const place = (value: number): number => (isRelative ? this.min + value * range : value);
    for (let i = 0; i < TABLE; i++) {
      const value = this.min + (i / (TABLE - 1)) * range;
      const after = points.findIndex((point) => place(point[0]) >= value);
      const b = points[after < 0 ? points.length - 1 : after];
      const a = points[Math.max(after < 0 ? points.length - 1 : after - 1, 0)];
      if (!a || !b) {
        continue;
      }
      const width = place(b[0]) - place(a[0]);
      const share = width > 0 ? (value - place(a[0])) / width : 0;
      const isBelow = after === 0;
      for (let channel = 0; channel < 3; channel++) {
        const from = a[(channel + 1) as 1 | 2 | 3];
        const to = b[(channel + 1) as 1 | 2 | 3];
        table[i * 4 + channel] = from + share * (to - from);
      }
      const opacity = isBelow ? 0 : a[4] + share * (b[4] - a[4]);
      table[i * 4 + 3] = 1 - (1 - Math.min(opacity, 0.999)) ** stepMm;
    }
    return table;
  }

  private follow(
    start: Vec3,
    forward: Vec3,
    [from, to]: readonly [number, number],
    stride: number,
    table: Float32Array,
    rgb: [number, number, number],
    solids: Surfaces | null,
  ): void {
    const scale = (TABLE - 1) / (this.max - this.min || 1);
    const entry = (t: number): number => {
      const value = this.value(
        start[0] + t * forward[0],
        start[1] + t * forward[1],
        start[2] + t * forward[2],
      );
      return (((value - this.min) * scale) | 0) * 4;
    };
    let [red, green, blue, alpha] = [0, 0, 0, 0];
    let wasClear = false;
    let inside = 0;
    for (let t = from; t <= to && alpha < ENOUGH; t += stride) {
      if (solids) {
        const label = solids.at(start, forward, t);
        if (label !== 0 && label !== inside) {
          const [r, g, b, opacity] = solids.shade(start, forward, t, stride, label);
          red += r * opacity * (1 - alpha);
          green += g * opacity * (1 - alpha);
          blue += b * opacity * (1 - alpha);
          alpha += opacity * (1 - alpha);
        }
        inside = label;
      }
      let index = entry(t);
      if ((table[index + 3] as number) <= CLEAR) {
        wasClear = true;
        continue;
      }
      if (wasClear) {
        // All rays begin at the surface itself: where steps happen to fall would be seen as rings.
        let clear = t - stride;
        for (let halving = 0; halving < HALVINGS; halving++) {
          const between = (clear + t) / 2;
          const found = entry(between);
          if ((table[found + 3] as number) > CLEAR) {
            t = between;
            index = found;
          } else {
            clear = between;
          }
        }
        wasClear = false;
      }
      const x = start[0] + t * forward[0];
      const y = start[1] + t * forward[1];
      const z = start[2] + t * forward[2];
      const opacity = table[index + 3] as number;
      const light = this.light(x, y, z, forward) * opacity * (1 - alpha);
      red += (table[index] as number) * light;
      green += (table[index + 1] as number) * light;
      blue += (table[index + 2] as number) * light;
      alpha += opacity * (1 - alpha);
    }
    rgb[0] = Math.min(red, 255);
    rgb[1] = Math.min(green, 255);
    rgb[2] = Math.min(blue, 255);
  }

  private highest(
    start: Vec3,
    forward: Vec3,
    [from, to]: readonly [number, number],
    stride: number,
    rgb: [number, number, number],
  ): void {
    let found = this.min;
    for (let t = from; t <= to; t += stride) {
      const value = this.value(
        start[0] + t * forward[0],
        start[1] + t * forward[1],
        start[2] + t * forward[2],
      );
      found = value > found ? value : found;
    }
    const level = ((found - this.min) / (this.max - this.min || 1)) * 255;
    rgb.fill(level);
  }

  /** A lamp at the eye: surfaces that face it are bright. */
  private light(x: number, y: number, z: number, forward: Vec3): number {
    const gx = this.value(x + 1, y, z) - this.value(x - 1, y, z);
    const gy = this.value(x, y + 1, z) - this.value(x, y - 1, z);
    const gz = this.value(x, y, z + 1) - this.value(x, y, z - 1);
    const length = Math.hypot(gx, gy, gz);
    const facing = length > 0 ? Math.abs(dot([gx, gy, gz], forward)) / length : 1;
    return 0.3 + 0.7 * facing;
  }

  private value(x: number, y: number, z: number): number {
    const [nx, ny, nz] = this.counts;
    const cx = x < 0 ? 0 : x > nx - 1.001 ? nx - 1.001 : x;
    const cy = y < 0 ? 0 : y > ny - 1.001 ? ny - 1.001 : y;
    const cz = z < 0 ? 0 : z > nz - 1.001 ? nz - 1.001 : z;
    const x0 = cx | 0;
    const y0 = cy | 0;
    const z0 = cz | 0;
    const fx = cx - x0;
    const fy = cy - y0;
    const fz = cz - z0;
    const at = (z0 * ny + y0) * nx + x0;
    const over = at + nx * ny;
    const { cells } = this;
    const a = (cells[at] as number) * (1 - fx) + (cells[at + 1] as number) * fx;
    const b = (cells[at + nx] as number) * (1 - fx) + (cells[at + nx + 1] as number) * fx;
    const c = (cells[over] as number) * (1 - fx) + (cells[over + 1] as number) * fx;
    const d = (cells[over + nx] as number) * (1 - fx) + (cells[over + nx + 1] as number) * fx;
    return (a * (1 - fy) + b * fy) * (1 - fz) + (c * (1 - fy) + d * fy) * fz;
  }
}

/** The part of a ray within the box that cropping leaves. */
function clip(
  start: Vec3,
  forward: Vec3,
  low: readonly number[],
  high: readonly number[],
  length: number,
): readonly [number, number] | null {
  let from = 0;
  let to = length;
  for (const axis of [0, 1, 2] as const) {
    const direction = forward[axis];
    const a = (low[axis] as number) - start[axis];
    const b = (high[axis] as number) - start[axis];
    if (Math.abs(direction) < 1e-9) {
      if (a > 0 || b < 0) {
        return null;
      }
      continue;
    }
    const one = a / direction;
    const other = b / direction;
    from = Math.max(from, Math.min(one, other));
    to = Math.min(to, Math.max(one, other));
  }
  return from < to ? [from, to] : null;
}
