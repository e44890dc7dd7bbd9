import type { PixelArray } from "./frame";
import type { Vec3 } from "./manifest";
import {
  clear,
  fillLine,
  type Line,
  mixLines,
  pointIn,
  type SliceValues,
  shrunk,
} from "./sampling";
import type { Rescale } from "./stack";
import { finished } from "./turns";
import { cross, dot } from "./vectors";
import type { SampleGrid, Slab, SlabMode, VolumeGeometry } from "./volume";

/** Most planes that a slab is put together from. */
const MOST_LAYERS = 48;
/** Lines that meet another pair of slices within this many points are steep. */
const SHORT = 12;
/** A line of points that leaves its place between two slices by less than this lies at one, in mm. */
const LEVEL_MM = 1e-6;

interface Place {
  lower: number;
  upper: number;
  share: number;
}

type Points = Pick<Line, "at" | "stride" | "count">;

/** Where a line of points runs: its first point, and what each further one adds. */
interface Run {
  location: number;
  alongRow: number;
  alongColumn: number;
}

/**
 * The voxels of one series, sampled anywhere between them; outside of them values are NaN. Slices
 * at full resolution are not copied: who gives them keeps them as they are.
 */
export class Volume {
  private readonly slices: (SliceValues | null)[];
  /** Nearest slice that is here, at or below and at or above each place; -1 where there is none. */
  private readonly below: Int32Array;
  private readonly above: Int32Array;
  private isSettled = false;
  private readonly lowest: number;
  private readonly highest: number;
  /** Beyond the outermost slices lies half a slice of their own values, then nothing. */
  private readonly margin: number;

  constructor(readonly geometry: VolumeGeometry) {
    const count = geometry.locations.length;
    this.lowest = geometry.locations[0] as number;
    this.highest = geometry.locations[count - 1] as number;
    this.margin = (this.highest - this.lowest) / (count - 1) / 2;
    this.slices = new Array<SliceValues | null>(count).fill(null);
    this.below = new Int32Array(count).fill(-1);
    this.above = new Int32Array(count).fill(-1);
  }

  /** Takes the stored values of one slice, at the file's own resolution. */
  put(index: number, data: PixelArray, storedColumns: number): void {
    const { shrink, columns, rows, rescales } = this.geometry;
    this.slices[index] = {
      data: shrink === 1 ? data : shrunk(data, storedColumns, columns, rows, shrink),
      ...(rescales[index] as Rescale),
    };
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
    return finished(this.sampling(grid, slab));
  }

  /** The same in pieces of a few milliseconds, between which the page can do something else. */
  *sampling(grid: SampleGrid, slab: Slab): Generator<void, Float32Array<ArrayBuffer>> {
    const out = new Float32Array(grid.columns * grid.rows);
    const { pixel } = this.geometry;
    if (slab.mode === "thin" || slab.thickness <= 0) {
      this.samplePlane(grid, out);
      return out;
    }
    const finest = Math.min(...pixel, grid.pixel);
    const wanted = Math.max(Math.round(slab.thickness / finest) + 1, 2);
    const layers = slab.isWhole ? wanted : Math.min(wanted, MOST_LAYERS);
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
      yield;
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
    const along = (direction: Vec3, by: number): Run => ({
      location: dot(direction, g.normal) * by,
      alongRow: dot(direction, g.row) * by,
      alongColumn: dot(direction, g.column) * by,
    });
    const origin = along(grid.origin, 1);
    const right = along(grid.right, grid.pixel);
    const down = along(grid.down, grid.pixelDown ?? grid.pixel);
    // Lines run where they change slices least: mostly they stay between two.
    const isAcross = Math.abs(right.location) <= Math.abs(down.location);
    const [inner, outer] = isAcross ? [right, down] : [down, right];
    const count = isAcross ? grid.columns : grid.rows;
    const lines = isAcross ? grid.rows : grid.columns;
    const stride = isAcross ? 1 : grid.columns;
    const next = isAcross ? grid.columns : 1;
    const kept = this.isUpright(inner, outer, Math.max(count, lines))
      ? [0, 1].map(() => ({ k: -1, values: new Float32Array(count) }))
      : null;
    const usual = (this.highest - this.lowest) / (g.locations.length - 1);
    const isSteep = Math.abs(inner.location) * SHORT > usual;
    for (let index = 0; index < lines; index++) {
      const start: Run = {
        location: origin.location + index * outer.location,
        alongRow: origin.alongRow + index * outer.alongRow,
        alongColumn: origin.alongColumn + index * outer.alongColumn,
      };
      const points = { at: index * next, stride, count };
      if (kept) {
        this.mixLine(start, inner, points, kept, out);
      } else if (isSteep) {
        this.sampleSteep(start, inner, points, out);
      } else {
        this.sampleLine(start, inner, points, out);
      }
    }
  }

  /** Whether neighbouring lines meet the same pixels, slice after slice. */
  private isUpright(inner: Run, outer: Run, count: number): boolean {
    const { alongRow, alongColumn } = this.geometry;
    const isSame = (places: readonly number[]): boolean =>
      places.every((place) => Math.abs(place - (places[0] as number)) < LEVEL_MM);
    return (
      Math.abs(inner.location) * count < LEVEL_MM &&
      Math.abs(outer.alongRow) * count < LEVEL_MM &&
      Math.abs(outer.alongColumn) * count < LEVEL_MM &&
      isSame(alongRow) &&
      isSame(alongColumn)
    );
  }

  /**
   * A line of an upright plane. What it meets in a slice is read once for all lines between this
   * slice and its neighbours: down a column every pixel is another line of the processor's cache.
   */
  private mixLine(
    start: Run,
    step: Run,
    points: Points,
    kept: { k: number; values: Float32Array }[],
    out: Float32Array,
  ): void {
    const place = this.placeOf(start.location);
    if (!place) {
      clear(out, points, 0, points.count);
      return;
    }
    const { lower, upper, share } = place;
    const valuesIn = (k: number, other: number): Float32Array => {
      const found = kept.find((entry) => entry.k === k);
      const entry = found ?? (kept.find((one) => one.k !== other) as (typeof kept)[0]);
      if (!found) {
        entry.k = k;
        const whole = { at: 0, stride: 1, count: points.count };
        this.fillPart({ lower: k, upper: k, share: 0 }, 0, start, step, whole, entry.values);
      }
      return entry.values;
    };
    const one = valuesIn(lower, upper);
    mixLines(out, points, one, share === 0 ? one : valuesIn(upper, lower), share);
  }

  /** Cuts a line where it passes from one pair of slices to the next. */
  private sampleLine(start: Run, step: Run, points: Points, out: Float32Array): void {
    const { locations } = this.geometry;
    const { lowest, highest, margin } = this;
    const isLevel = Math.abs(step.location) * points.count < LEVEL_MM;
    let k = 0;
    for (let i = 0; i < points.count; ) {
      const location = start.location + i * step.location;
      let from = Number.NEGATIVE_INFINITY;
      let to = Number.POSITIVE_INFINITY;
      if (location < lowest) {
        from = location < lowest - margin ? from : lowest - margin;
        to = location < lowest - margin ? lowest - margin : lowest;
      } else if (location >= highest) {
        from = location > highest + margin ? highest + margin : highest;
        to = location > highest + margin ? to : highest + margin;
      } else {
        k = this.find(location, k);
        from = locations[k] as number;
        to = locations[k + 1] as number;
      }
      const length = isLevel ? points.count : pointsWithin(location, step.location, from, to);
      const count = Math.min(length, points.count - i);
      const part = { at: points.at + i * points.stride, stride: points.stride, count };
      const place = this.placeOf(location, k);
      if (place) {
        const here: Run = {
          location,
          alongRow: start.alongRow + i * step.alongRow,
          alongColumn: start.alongColumn + i * step.alongColumn,
        };
        const isBetween = !isLevel && location >= lowest && location < highest;
        this.fillPart(place, isBetween ? step.location : 0, here, step, part, out);
      } else {
        clear(out, part, 0, count);
      }
      i += count;
    }
  }

  /** Between which slices a place lies, and how far from the lower one; null beyond them. */
  private placeOf(location: number, hint = 0): Place | null {
    const { lowest, highest, margin, geometry } = this;
    if (location < lowest - margin || location > highest + margin) {
      return null;
    }
    const k = this.find(location, hint);
    let lower = this.below[k] as number;
    let upper = this.above[k + 1] as number;
    lower = lower < 0 ? upper : lower;
    upper = upper < 0 ? lower : upper;
    if (lower < 0) {
      return null;
    }
    const low = geometry.locations[lower] as number;
    const gap = (geometry.locations[upper] as number) - low;
    const share = gap > 0 ? Math.min(Math.max((location - low) / gap, 0), 1) : 0;
    return { lower, upper, share };
  }

  /** Fills points that lie between the same two slices. */
  private fillPart(
    { lower, upper, share }: Place,
    climb: number,
    start: Run,
    step: Run,
    points: Points,
    out: Float32Array,
  ): void {
    const { geometry: g, slices } = this;
    const gap = (g.locations[upper] as number) - (g.locations[lower] as number);
    const dshare = gap > 0 ? climb / gap : 0;
    // A leaning stack's slices begin elsewhere each: the place within them runs along.
    const begin = (places: readonly number[]): number =>
      (places[lower] as number) * (1 - share) + (places[upper] as number) * share;
    const lean = (places: readonly number[]): number =>
      ((places[upper] as number) - (places[lower] as number)) * dshare;
    const line: Line = {
      ...points,
      x: (start.alongRow - begin(g.alongRow)) / g.pixel[0],
      dx: (step.alongRow - lean(g.alongRow)) / g.pixel[0],
      y: (start.alongColumn - begin(g.alongColumn)) / g.pixel[1],
      dy: (step.alongColumn - lean(g.alongColumn)) / g.pixel[1],
      share,
      dshare,
    };
    const one = slices[lower] as SliceValues;
    fillLine(out, line, one, slices[upper] as SliceValues, g.columns, g.rows);
  }

  /** A line that soon passes from slice to slice: each point finds its own two. */
  private sampleSteep(
    start: Run,
    step: Run,
    { at, stride, count }: Points,
    out: Float32Array,
  ): void {
    const { geometry: g, lowest, highest, margin, slices } = this;
    const { columns, rows, locations } = g;
    const [width, height] = g.pixel;
    let k = 0;
    for (let i = 0; i < count; i++) {
      const location = start.location + i * step.location;
      let value = Number.NaN;
      if (location >= lowest - margin && location <= highest + margin) {
        k = this.find(location, k);
        let lower = this.below[k] as number;
        let upper = this.above[k + 1] as number;
        lower = lower < 0 ? upper : lower;
        upper = upper < 0 ? lower : upper;
        const one = slices[lower];
        const two = slices[upper];
        if (one && two) {
          const low = locations[lower] as number;
          const gap = (locations[upper] as number) - low;
          const by = gap > 0 ? (location - low) / gap : 0;
          const share = by < 0 ? 0 : by > 1 ? 1 : by;
          const rest = 1 - share;
          const left = (g.alongRow[lower] as number) * rest + (g.alongRow[upper] as number) * share;
          const top =
            (g.alongColumn[lower] as number) * rest + (g.alongColumn[upper] as number) * share;
          const x = (start.alongRow + i * step.alongRow - left) / width;
          const y = (start.alongColumn + i * step.alongColumn - top) / height;
          if (x >= -0.5 && y >= -0.5 && x <= columns - 0.5 && y <= rows - 0.5) {
            value = pointIn(one, x, y, columns, rows) * rest;
            value += share > 0 ? pointIn(two, x, y, columns, rows) * share : 0;
          }
        }
      }
      out[at + i * stride] = value;
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
}

/** How many points of a line lie in [from, to), the first one included. */
function pointsWithin(location: number, step: number, from: number, to: number): number {
  const points =
    step > 0 ? Math.ceil((to - location) / step) : Math.floor((location - from) / -step) + 1;
  return Math.max(points, 1);
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
