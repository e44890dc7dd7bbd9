import type { PixelArray } from "./frame";

/** Values along lines through slices: the one inner loop of everything that is reformatted. */

/** Stored values of a slice, and what makes modality values of them. */
export interface SliceValues {
  data: PixelArray;
  slope: number;
  intercept: number;
}

/** Evenly spaced points between two slices, and where their values go. */
export interface Line {
  /** Place of the first value, and distance of the next. */
  at: number;
  stride: number;
  count: number;
  /** Columns and rows of the first point, and how they grow. */
  x: number;
  dx: number;
  y: number;
  dy: number;
  /** How far from the first slice towards the second. */
  share: number;
  dshare: number;
}

/** A step along pixels that strays less than this from whole ones over a line is taken for whole. */
const STRAY = 1e-6;

/**
 * Fills a line: bilinear in both slices, linear between them, NaN beyond their pixels. With one
 * slice alone, or at its place, the other is not read.
 */
export function fillLine(
  out: Float32Array,
  line: Line,
  one: SliceValues,
  two: SliceValues | null,
  columns: number,
  rows: number,
): void {
  const isMixed = two !== null && (line.share !== 0 || line.dshare !== 0);
  const other = isMixed ? two : null;
  const [from, to] = within(line, -0.5, columns - 0.5, -0.5, rows - 0.5);
  clear(out, line, 0, from);
  clear(out, line, to, line.count);
  // Neighbours on the right and below exist for these: most points need no clamping.
  const [first, last] = within(line, 0, columns - 1, 0, rows - 1);
  const inner = Math.min(Math.max(first, from), to);
  const end = Math.min(Math.max(last, inner), to);
  const right = Math.round(line.dx);
  const down = Math.round(line.dy);
  const strays = Math.max(Math.abs(line.dx - right), Math.abs(line.dy - down)) * line.count;
  fillPoints(out, line, from, inner, one, other, columns, rows);
  if (strays < STRAY && line.dshare === 0) {
    fillWhole(out, line, inner, end, one, other, columns, right + down * columns);
  } else {
    fillPoints(out, line, inner, end, one, other, columns, rows);
  }
  fillPoints(out, line, end, to, one, other, columns, rows);
}

/** The points of a line that lie in [low, high] of columns and rows; above, the end is left out. */
function within(
  { x, dx, y, dy, count }: Line,
  left: number,
  right: number,
  top: number,
  bottom: number,
): readonly [number, number] {
  const [a, b] = span(x, dx, left, right, count);
  const [c, d] = span(y, dy, top, bottom, count);
  const from = Math.max(a, c);
  return [from, Math.max(Math.min(b, d), from)];
}

function span(
  start: number,
  step: number,
  low: number,
  high: number,
  count: number,
): readonly [number, number] {
  if (Math.abs(step) * count < STRAY) {
    return start >= low && start <= high ? [0, count] : [0, 0];
  }
  const one = ((step > 0 ? low : high) - start) / step;
  const other = ((step > 0 ? high : low) - start) / step;
  const from = Math.min(Math.max(Math.ceil(one), 0), count);
  return [from, Math.min(Math.max(Math.floor(other) + 1, from), count)];
}

/** Says of points that there is no value. */
export function clear(
  out: Float32Array,
  { at, stride }: Pick<Line, "at" | "stride">,
  from: number,
  to: number,
): void {
  for (let i = from; i < to; i++) {
    out[at + i * stride] = Number.NaN;
  }
}

/** Any points; those in the outer half of the outermost pixels hold these pixels' values. */
function fillPoints(
  out: Float32Array,
  { at, stride, x, dx, y, dy, share, dshare }: Line,
  from: number,
  to: number,
  one: SliceValues,
  two: SliceValues | null,
  columns: number,
  rows: number,
): void {
  for (let i = from; i < to; i++) {
    const by = share + i * dshare;
    const value = pointIn(one, x + i * dx, y + i * dy, columns, rows);
    const other = two ? pointIn(two, x + i * dx, y + i * dy, columns, rows) * by : 0;
    out[at + i * stride] = two ? value * (1 - by) + other : value;
  }
}

/** Modality value at a point of a slice. */
export function pointIn(
  { data, slope, intercept }: SliceValues,
  column: number,
  row: number,
  columns: number,
  rows: number,
): number {
  const c = column < 0 ? 0 : column > columns - 1 ? columns - 1 : column;
  const r = row < 0 ? 0 : row > rows - 1 ? rows - 1 : row;
  const c0 = c | 0;
  const r0 = r | 0;
  const fc = c - c0;
  const fr = r - r0;
  const p = r0 * columns + c0;
  const q = fr === 0 ? p : p + columns;
  const next = fc === 0 ? 0 : 1;
  const top = (data[p] as number) * (1 - fc) + (data[p + next] as number) * fc;
  const bottom = (data[q] as number) * (1 - fc) + (data[q + next] as number) * fc;
  return (top * (1 - fr) + bottom * fr) * slope + intercept;
}

/** Steps of whole pixels: all points have the same weights. */
function fillWhole(
  out: Float32Array,
  line: Line,
  from: number,
  to: number,
  one: SliceValues,
  two: SliceValues | null,
  columns: number,
  step: number,
): void {
  if (from >= to) {
    return;
  }
  const c = snapped(line.x + from * line.dx);
  const r = snapped(line.y + from * line.dy);
  const c0 = Math.floor(c);
  const r0 = Math.floor(r);
  const taps = { p: r0 * columns + c0, step, columns, fc: c - c0, fr: r - r0 };
  const part = { at: line.at + from * line.stride, stride: line.stride, count: to - from };
  if (two) {
    fillTaps(out, part, one, taps, 1 - line.share, false);
    fillTaps(out, part, two, taps, line.share, true);
  } else {
    fillTaps(out, part, one, taps, 1, false);
  }
}

/** Rounding must not make a neighbour of a pixel that is met exactly. */
function snapped(value: number): number {
  const whole = Math.round(value);
  return Math.abs(value - whole) < STRAY ? whole : value;
}

interface Taps {
  p: number;
  step: number;
  columns: number;
  fc: number;
  fr: number;
}

/** One, two or four pixels make a value, always with the same weights. */
function fillTaps(
  out: Float32Array,
  { at, stride, count }: Pick<Line, "at" | "stride" | "count">,
  { data, slope, intercept }: SliceValues,
  { p, step, columns, fc, fr }: Taps,
  weight: number,
  adds: boolean,
): void {
  const plus = intercept * weight;
  const end = at + count * stride;
  const near = slope * weight;
  let q = p;
  if (fc === 0 && fr === 0) {
    for (let o = at; o < end; o += stride, q += step) {
      const value = (data[q] as number) * near + plus;
      out[o] = adds ? (out[o] as number) + value : value;
    }
  } else if (fc === 0 || fr === 0) {
    const share = fc + fr;
    const other = fc === 0 ? columns : 1;
    const [a, b] = [near * (1 - share), near * share];
    for (let o = at; o < end; o += stride, q += step) {
      const value = (data[q] as number) * a + (data[q + other] as number) * b + plus;
      out[o] = adds ? (out[o] as number) + value : value;
    }
  } else {
    const [a, b] = [near * (1 - fc) * (1 - fr), near * fc * (1 - fr)];
    const [c, d] = [near * (1 - fc) * fr, near * fc * fr];
    for (let o = at; o < end; o += stride, q += step) {
      const value =
        (data[q] as number) * a +
        (data[q + 1] as number) * b +
        (data[q + columns] as number) * c +
        (data[q + columns + 1] as number) * d +
        plus;
      out[o] = adds ? (out[o] as number) + value : value;
    }
  }
}

/** Mixes two lines of values. */
export function mixLines(
  out: Float32Array,
  { at, stride, count }: Pick<Line, "at" | "stride" | "count">,
  one: Float32Array,
  two: Float32Array,
  share: number,
): void {
  let place = at;
  for (let i = 0; i < count; i++) {
    out[place] = (one[i] as number) * (1 - share) + (two[i] as number) * share;
    place += stride;
  }
}

/** Means of blocks of pixels. */
export function shrunk(
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
