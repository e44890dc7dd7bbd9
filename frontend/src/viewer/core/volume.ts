import type { PixelArray } from "./frame";
import type { Vec2, Vec3 } from "./manifest";
import { subtract, unit } from "./planes";
import {
  frameAxes,
  framePixelSpacing,
  framePosition,
  frameRescale,
  isColor,
  type Rescale,
  type Stack,
  type StackFrame,
} from "./stack";
import { cross, dot } from "./vectors";

/** Where the voxels of a series lie. Slices may lean (tilted gantry) and stand at uneven distances. */
export interface VolumeGeometry {
  columns: number;
  rows: number;
  /** Width and height of a pixel in mm. */
  pixel: Vec2;
  row: Vec3;
  column: Vec3;
  normal: Vec3;
  /** Of each slice: its place along the normal, and its first pixel along rows and columns; mm. */
  locations: readonly number[];
  alongRow: readonly number[];
  alongColumn: readonly number[];
  rescales: readonly Rescale[];
  /** How many stored pixels make one of the volume in each direction. */
  shrink: number;
}

export interface VolumePlan {
  stack: Stack;
  geometry: VolumeGeometry;
  /** The series' frames in the order of their places. */
  frames: readonly StackFrame[];
  /** Usual distance of neighbouring slices in mm. */
  spacing: number;
  /** What readers must know of a volume made of this series. */
  notes: readonly string[];
}

const FEWEST_SLICES = 3;
/** Differences below these are the rounding of files. */
const SAME_DIRECTION = 1e-3;
const SAME_PLACE_MM = 1e-2;
const SAME_SIZE = 1e-4;
const TILT_DEG = 0.5;
const UNEVEN_SHARE = 0.05;
/** A volume above this many bytes of stored values is taken at half its resolution, or a quarter. */
const MOST_BYTES = 320 * 1024 * 1024;

interface Placed {
  frame: StackFrame;
  location: number;
  position: Vec3;
}

function numberOf(value: number): string {
  return String(Math.round(value * 10) / 10);
}

/** Reads whether and how a series makes a volume; a refusal says in words why it does not. */
export function planVolume(stack: Stack): VolumePlan | { refusal: string } {
  const frames = stack.frames.filter(({ image }) => image.transport !== null);
  const [first] = frames;
  const axes = first && frameAxes(first);
  const spacing = first && framePixelSpacing(first);
  if (!first || frames.length < FEWEST_SLICES) {
    return {
      refusal: `This series has ${frames.length === 1 ? "one image" : `${frames.length} images`}. Reformatting needs at least ${FEWEST_SLICES} slices.`,
    };
  }
  if (frames.some(isColor)) {
    return { refusal: "This series is in colour. Only grey pictures can be reformatted." };
  }
  if (!axes || !spacing || frames.some((frame) => !framePosition(frame))) {
    return {
      refusal:
        "The files of this series do not say where their pictures lie in the patient, so they cannot be reformatted.",
    };
  }
  const row = unit(axes.row);
  const column = unit(axes.column);
  const normal = unit(cross(row, column));
  if (!frames.every((frame) => isLike(frame, first, row, column, spacing))) {
    return {
      refusal:
        "The pictures of this series differ in direction, size or pixel spacing, so they make no volume.",
    };
  }
  const placed: Placed[] = frames
    .map((frame) => {
      const position = framePosition(frame) as Vec3;
      return { frame, position, location: dot(position, normal) };
    })
    .sort((a, b) => a.location - b.location);
  const gaps = placed
    .slice(1)
    .map(({ location }, at) => location - (placed[at] as Placed).location);
  if (gaps.some((gap) => gap < SAME_PLACE_MM)) {
    return {
      refusal:
        "Several pictures of this series lie at the same place (phases, echoes or directions). Reformatting needs one picture a place.",
    };
  }
  const usual = [...gaps].sort((a, b) => a - b)[Math.floor(gaps.length / 2)] as number;
  const { Rows: rows, Columns: columns, BitsAllocated: bits } = first.image;
  const bytes = (rows ?? 0) * (columns ?? 0) * placed.length * Math.ceil((bits ?? 16) / 8);
  const shrink = bytes <= MOST_BYTES ? 1 : bytes <= 4 * MOST_BYTES ? 2 : 4;
  return {
    stack,
    frames: placed.map(({ frame }) => frame),
    spacing: usual,
    notes: notesOf(stack, placed, gaps, usual, normal, shrink),
    geometry: {
      columns: Math.floor((columns ?? 0) / shrink),
      rows: Math.floor((rows ?? 0) / shrink),
      pixel: [spacing[1] * shrink, spacing[0] * shrink],
      row,
      column,
      normal,
      locations: placed.map(({ location }) => location),
      // The middle of the pixels that make one lies further in than the first one's.
      alongRow: placed.map(({ position }) => dot(position, row) + ((shrink - 1) / 2) * spacing[1]),
      alongColumn: placed.map(
        ({ position }) => dot(position, column) + ((shrink - 1) / 2) * spacing[0],
      ),
      rescales: placed.map(({ frame }) => frameRescale(frame)),
      shrink,
    },
  };
}

function isLike(
  frame: StackFrame,
  first: StackFrame,
  row: Vec3,
  column: Vec3,
  size: Vec2,
): boolean {
  const axes = frameAxes(frame);
  const spacing = framePixelSpacing(frame);
  return (
    axes !== null &&
    spacing !== null &&
    Math.abs(dot(unit(axes.row), row) - 1) < SAME_DIRECTION &&
    Math.abs(dot(unit(axes.column), column) - 1) < SAME_DIRECTION &&
    Math.abs(spacing[0] - size[0]) < SAME_SIZE &&
    Math.abs(spacing[1] - size[1]) < SAME_SIZE &&
    frame.image.Rows === first.image.Rows &&
    frame.image.Columns === first.image.Columns
  );
}

function notesOf(
  stack: Stack,
  placed: readonly Placed[],
  gaps: readonly number[],
  usual: number,
  normal: Vec3,
  shrink: number,
): string[] {
  const notes: string[] = [];
  const [first] = placed;
  const last = placed.at(-1);
  if (first && last) {
    const along = unit(subtract(last.position, first.position));
    const tilt = (Math.acos(Math.min(1, Math.abs(dot(along, normal)))) * 180) / Math.PI;
    if (tilt > TILT_DEG) {
      notes.push(
        `The gantry was tilted by ${numberOf(tilt)}°. The reformatted pictures are straightened by each slice's own position.`,
      );
    }
  }
  const widest = Math.max(...gaps);
  const narrowest = Math.min(...gaps);
  if (widest - narrowest > UNEVEN_SHARE * usual) {
    notes.push(
      `The slices are unevenly spaced (${numberOf(narrowest)} to ${numberOf(widest)} mm). Between them values are estimated; look at the original pictures before you trust a detail.`,
    );
  }
  if (shrink > 1) {
    notes.push(
      `This series is large: it is reformatted at ${shrink === 2 ? "half" : "a quarter of"} its resolution.`,
    );
  }
  if (stack.series.warning) {
    notes.push(stack.series.warning);
  }
  return notes;
}

export type SlabMode = "thin" | "mip" | "minip" | "average";

export interface Slab {
  mode: SlabMode;
  /** Of the slab, in mm; a thin plane ignores it. */
  thickness: number;
}

export const THIN: Slab = { mode: "thin", thickness: 10 };

/** A grid of points in the patient, on which a volume is sampled. */
export interface SampleGrid {
  origin: Vec3;
  right: Vec3;
  down: Vec3;
  /** Distance of neighbouring points in mm. */
  pixel: number;
  columns: number;
  rows: number;
}

/** Most planes that a slab is put together from. */
const MOST_LAYERS = 48;

/** The voxels of one series, sampled anywhere between them; outside of them values are NaN. */
export class Volume {
  private readonly slices: (PixelArray | null)[];
  /** Nearest slice that is here, at or below and at or above each place; -1 where there is none. */
  private readonly below: Int32Array;
  private readonly above: Int32Array;
  private isSettled = false;

  constructor(readonly geometry: VolumeGeometry) {
    const count = geometry.locations.length;
    this.slices = new Array<PixelArray | null>(count).fill(null);
    this.below = new Int32Array(count).fill(-1);
    this.above = new Int32Array(count).fill(-1);
  }

  /** Takes the stored values of one slice, at the file's own resolution. */
  put(index: number, data: PixelArray, storedColumns: number): void {
    const { shrink, columns, rows } = this.geometry;
    this.slices[index] = shrink === 1 ? data : shrunk(data, storedColumns, columns, rows, shrink);
    this.isSettled = false;
  }

  private settle(): void {
    const count = this.slices.length;
    let known = -1;
    for (let k = 0; k < count; k++) {
      known = this.slices[k] ? k : known;
      this.below[k] = known;
    }
    known = -1;
    for (let k = count - 1; k >= 0; k--) {
      known = this.slices[k] ? k : known;
      this.above[k] = known;
    }
    this.isSettled = true;
  }

  /** Samples a plane or a slab in modality values, row by row. */
  sample(grid: SampleGrid, slab: Slab): Float32Array<ArrayBuffer> {
    const out = new Float32Array(grid.columns * grid.rows);
    const { pixel } = this.geometry;
    if (slab.mode === "thin" || slab.thickness <= 0) {
      this.samplePlane(grid, out);
      return out;
    }
    const finest = Math.min(...pixel, grid.pixel);
    const layers = Math.min(Math.max(Math.round(slab.thickness / finest) + 1, 2), MOST_LAYERS);
    const normal = cross(grid.right, grid.down);
    const layer = new Float32Array(out.length);
    const counts = slab.mode === "average" ? new Uint16Array(out.length) : null;
    out.fill(Number.NaN);
    for (let index = 0; index < layers; index++) {
      const off = (index / (layers - 1) - 0.5) * slab.thickness;
      const [x, y, z] = grid.origin;
      const origin: Vec3 = [x + off * normal[0], y + off * normal[1], z + off * normal[2]];
      this.samplePlane({ ...grid, origin }, layer);
      merge(out, layer, slab.mode, counts);
    }
    if (counts) {
      for (let i = 0; i < out.length; i++) {
        out[i] = (out[i] as number) / (counts[i] as number);
      }
    }
    return out;
  }

  private samplePlane(grid: SampleGrid, out: Float32Array): void {
    if (!this.isSettled) {
      this.settle();
    }
    const { geometry: g } = this;
    const stepRight = grid.pixel;
    const along = (axis: Vec3): readonly [number, number, number] => [
      dot(grid.origin, axis),
      dot(grid.right, axis) * stepRight,
      dot(grid.down, axis) * stepRight,
    ];
    const [l0, lc, lr] = along(g.normal);
    const [u0, uc, ur] = along(g.row);
    const [v0, vc, vr] = along(g.column);
    let hint = 0;
    let at = 0;
    for (let r = 0; r < grid.rows; r++) {
      for (let c = 0; c < grid.columns; c++) {
        const location = l0 + c * lc + r * lr;
        hint = this.find(location, hint);
        out[at++] = this.value(location, hint, u0 + c * uc + r * ur, v0 + c * vc + r * vr);
      }
    }
  }

  /** Index of the last slice at or below a place, searched from where the last one was found. */
  private find(location: number, hint: number): number {
    const { locations } = this.geometry;
    let k = hint;
    while (k > 0 && location < (locations[k] as number)) {
      k -= 1;
    }
    while (k < locations.length - 2 && location >= (locations[k + 1] as number)) {
      k += 1;
    }
    return k;
  }

  /** Modality value at one place: bilinear in two slices, linear between them. */
  private value(location: number, k: number, alongRow: number, alongColumn: number): number {
    const { geometry: g, below, above } = this;
    const { locations } = g;
    const last = locations.length - 1;
    const lowest = locations[0] as number;
    const highest = locations[last] as number;
    const margin = (highest - lowest) / last / 2;
    if (location < lowest - margin || location > highest + margin) {
      return Number.NaN;
    }
    let lower = below[k] as number;
    let upper = above[k + 1] as number;
    if (lower < 0) {
      lower = upper;
    } else if (upper < 0) {
      upper = lower;
    }
    if (lower < 0) {
      return Number.NaN;
    }
    const from = locations[lower] as number;
    const to = locations[upper] as number;
    const share = to > from ? Math.min(Math.max((location - from) / (to - from), 0), 1) : 0;
    // A leaning stack's slices begin elsewhere each: the place within them runs along.
    const beginRow =
      (g.alongRow[lower] as number) * (1 - share) + (g.alongRow[upper] as number) * share;
    const beginColumn =
      (g.alongColumn[lower] as number) * (1 - share) + (g.alongColumn[upper] as number) * share;
    const column = (alongRow - beginRow) / g.pixel[0];
    const row = (alongColumn - beginColumn) / g.pixel[1];
    if (column < -0.5 || row < -0.5 || column > g.columns - 0.5 || row > g.rows - 0.5) {
      return Number.NaN;
    }
    const one = this.inSlice(lower, column, row);
    return share === 0 ? one : one * (1 - share) + this.inSlice(upper, column, row) * share;
  }

  private inSlice(k: number, column: number, row: number): number {
    const { columns, rows, rescales } = this.geometry;
    const data = this.slices[k] as PixelArray;
    const c = Math.min(Math.max(column, 0), columns - 1);
    const r = Math.min(Math.max(row, 0), rows - 1);
    const c0 = Math.min(Math.floor(c), Math.max(columns - 2, 0));
    const r0 = Math.min(Math.floor(r), Math.max(rows - 2, 0));
    const fc = c - c0;
    const fr = r - r0;
    const at = r0 * columns + c0;
    const next = columns > 1 ? 1 : 0;
    const under = rows > 1 ? columns : 0;
    const top = (data[at] as number) * (1 - fc) + (data[at + next] as number) * fc;
    const bottom =
      (data[at + under] as number) * (1 - fc) + (data[at + under + next] as number) * fc;
    const { slope, intercept } = rescales[k] as Rescale;
    return (top * (1 - fr) + bottom * fr) * slope + intercept;
  }
}

function merge(
  out: Float32Array,
  layer: Float32Array,
  mode: SlabMode,
  counts: Uint16Array | null,
): void {
  for (let i = 0; i < out.length; i++) {
    const value = layer[i] as number;
    const before = out[i] as number;
    if (Number.isNaN(value)) {
      continue;
    }
    if (counts) {
      out[i] = (counts[i] as number) === 0 ? value : before + value;
      counts[i] = (counts[i] as number) + 1;
    } else if (Number.isNaN(before) || (mode === "mip" ? value > before : value < before)) {
      out[i] = value;
    }
  }
}

/** Means of blocks of pixels. */
function shrunk(
  data: PixelArray,
  storedColumns: number,
  columns: number,
  rows: number,
  by: number,
): PixelArray {
  const out = new (data.constructor as new (length: number) => PixelArray)(columns * rows);
  const isWhole = !(data instanceof Float32Array || data instanceof Float64Array);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) {
      let sum = 0;
      for (let y = 0; y < by; y++) {
        const start = (r * by + y) * storedColumns + c * by;
        for (let x = 0; x < by; x++) {
          sum += data[start + x] as number;
        }
      }
      const mean = sum / (by * by);
      out[r * columns + c] = isWhole ? Math.round(mean) : mean;
    }
  }
  return out;
}
