import type { Vec2 } from "./manifest";

/** Masks: runs of equal pixels, brushes, outlines, and what lies between two slices. */

/** Of each run the value in the lowest 8 bits and the length above them: `imaging.masks.to_runs`. */
export type Runs = Uint32Array;

/** A rectangle of pixels of a frame; beyond it all are 0. */
export interface Patch {
  left: number;
  top: number;
  width: number;
  height: number;
  data: Uint8Array;
}

export function toRuns(mask: Uint8Array): Runs {
  let count = 0;
  for (let i = 0; i < mask.length; i++) {
    if (i === 0 || mask[i] !== mask[i - 1]) {
      count++;
    }
  }
  const runs = new Uint32Array(count);
  let at = -1;
  let start = 0;
  for (let i = 0; i < mask.length; i++) {
    if (i === 0 || mask[i] !== mask[i - 1]) {
      if (at >= 0) {
        runs[at] = (((i - start) << 8) | (mask[start] as number)) >>> 0;
      }
      at++;
      start = i;
    }
  }
  if (at >= 0) {
    runs[at] = (((mask.length - start) << 8) | (mask[start] as number)) >>> 0;
  }
  return runs;
}

export function fromRuns(runs: Runs, length: number): Uint8Array {
  const mask = new Uint8Array(length);
  let at = 0;
  for (const run of runs) {
    const size = run >>> 8;
    const value = run & 0xff;
    if (value !== 0) {
      mask.fill(value, at, at + size);
    }
    at += size;
  }
  return mask;
}

/** The part of a frame that holds anything; null where nothing does. */
export function patchOfRuns(runs: Runs, rows: number, columns: number): Patch | null {
  let top = rows;
  let bottom = -1;
  let left = columns;
  let right = -1;
  let at = 0;
  for (const run of runs) {
    const size = run >>> 8;
    if ((run & 0xff) !== 0 && size > 0) {
      const first = Math.floor(at / columns);
      const last = Math.floor((at + size - 1) / columns);
      top = Math.min(top, first);
      bottom = Math.max(bottom, last);
      if (first === last) {
        left = Math.min(left, at % columns);
        right = Math.max(right, (at + size - 1) % columns);
      } else {
        left = 0;
        right = columns - 1;
      }
    }
    at += size;
  }
  if (bottom < 0) {
    return null;
  }
  const width = right - left + 1;
  const height = bottom - top + 1;
  const data = new Uint8Array(width * height);
  at = 0;
  for (const run of runs) {
    let size = run >>> 8;
    const value = run & 0xff;
    let from = at;
    at += size;
    while (value !== 0 && size > 0) {
      const row = Math.floor(from / columns);
      const column = from - row * columns;
      const here = Math.min(size, columns - column);
      const start = (row - top) * width + (column - left);
      data.fill(value, start, start + here);
      from += here;
      size -= here;
    }
  }
  return { left, top, width, height, data };
}

/** Calls for each pixel whose centre lies within `radius` of the line from `a` to `b`. */
export function alongStroke(
  a: Vec2,
  b: Vec2,
  radius: number,
  columns: number,
  rows: number,
  pixelAspect: number,
  call: (at: number) => void,
): void {
  const high = radius / pixelAspect;
  const left = Math.max(0, Math.ceil(Math.min(a[0], b[0]) - radius));
  const right = Math.min(columns - 1, Math.floor(Math.max(a[0], b[0]) + radius));
  const top = Math.max(0, Math.ceil(Math.min(a[1], b[1]) - high));
  const bottom = Math.min(rows - 1, Math.floor(Math.max(a[1], b[1]) + high));
  const dx = b[0] - a[0];
  const dy = (b[1] - a[1]) * pixelAspect;
  const length = dx * dx + dy * dy;
  for (let row = top; row <= bottom; row++) {
    const y = (row - a[1]) * pixelAspect;
    for (let column = left; column <= right; column++) {
      const x = column - a[0];
      const t = length > 0 ? Math.min(1, Math.max(0, (x * dx + y * dy) / length)) : 0;
      const ex = x - t * dx;
      const ey = y - t * dy;
      if (ex * ex + ey * ey <= radius * radius) {
        call(row * columns + column);
      }
    }
  }
}

/** 1 for each pixel whose centre lies inside a closed outline (even-odd), else 0. */
export function insideOf(outline: readonly Vec2[], columns: number, rows: number): Uint8Array {
  const mask = new Uint8Array(columns * rows);
  for (let row = 0; row < rows; row++) {
    const crossings: number[] = [];
    for (let i = 0; i < outline.length; i++) {
      const a = outline[i] as Vec2;
      const b = outline[(i + 1) % outline.length] as Vec2;
      if (a[1] > row !== b[1] > row) {
        crossings.push(a[0] + ((row - a[1]) / (b[1] - a[1])) * (b[0] - a[0]));
      }
    }
    crossings.sort((p, q) => p - q);
    for (let i = 0; i + 1 < crossings.length; i += 2) {
      const from = Math.max(0, Math.ceil(crossings[i] as number));
      const to = Math.min(columns - 1, Math.floor(crossings[i + 1] as number));
      if (to >= from) {
        mask.fill(1, row * columns + from, row * columns + to + 1);
      }
    }
  }
  return mask;
}

/**
 * The edges between pixels that are in and pixels that are not, as straight pieces in picture
 * coordinates: [x1, y1, x2, y2, ...]. Pixel centres have whole coordinates.
 */
export function edgesOf(patch: Patch, isIn: (value: number) => boolean): number[] {
  const { left, top, width, height, data } = patch;
  const table = Array.from({ length: 256 }, (_, value) => isIn(value));
  const at = (column: number, row: number): boolean =>
    column >= 0 &&
    row >= 0 &&
    column < width &&
    row < height &&
    (table[data[row * width + column] as number] as boolean);
  const edges: number[] = [];
  // Level pieces, joined along a row; then upright ones, joined along a column.
  for (let row = 0; row <= height; row++) {
    let start = -1;
    for (let column = 0; column <= width; column++) {
      const isEdge = column < width && at(column, row - 1) !== at(column, row);
      if (isEdge && start < 0) {
        start = column;
      } else if (!isEdge && start >= 0) {
        const y = top + row - 0.5;
        edges.push(left + start - 0.5, y, left + column - 0.5, y);
        start = -1;
      }
    }
  }
  for (let column = 0; column <= width; column++) {
    let start = -1;
    for (let row = 0; row <= height; row++) {
      const isEdge = row < height && at(column - 1, row) !== at(column, row);
      if (isEdge && start < 0) {
        start = row;
      } else if (!isEdge && start >= 0) {
        const x = left + column - 0.5;
        edges.push(x, top + start - 0.5, x, top + row - 0.5);
        start = -1;
      }
    }
  }
  return edges;
}

/** Distance of each pixel from the border of a mask, above 0 inside (chamfer 3-4, in thirds). */
export function signedDistance(mask: Uint8Array, columns: number, rows: number): Int32Array {
  const far = 3 * (columns + rows);
  const toOutside = chamfer(mask, columns, rows, (value) => value === 0, far);
  const toInside = chamfer(mask, columns, rows, (value) => value !== 0, far);
  const distance = new Int32Array(mask.length);
  for (let i = 0; i < mask.length; i++) {
    distance[i] = (toOutside[i] as number) - (toInside[i] as number);
  }
  return distance;
}

function chamfer(
  mask: Uint8Array,
  columns: number,
  rows: number,
  isStart: (value: number) => boolean,
  far: number,
): Int32Array {
  const found = new Int32Array(mask.length);
  for (let i = 0; i < mask.length; i++) {
    found[i] = isStart(mask[i] as number) ? 0 : far;
  }
  const relax = (i: number, column: number, row: number, step: 1 | -1): void => {
    let best = found[i] as number;
    const isBefore = step === 1 ? row > 0 : row < rows - 1;
    const isAfter = step === 1 ? column > 0 : column < columns - 1;
    const isBeyond = step === 1 ? column < columns - 1 : column > 0;
    if (isAfter) {
      best = Math.min(best, (found[i - step] as number) + 3);
    }
    if (isBefore) {
      const above = i - step * columns;
      best = Math.min(best, (found[above] as number) + 3);
      if (isAfter) {
        best = Math.min(best, (found[above - step] as number) + 4);
      }
      if (isBeyond) {
        best = Math.min(best, (found[above + step] as number) + 4);
      }
    }
    found[i] = best;
  };
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      relax(row * columns + column, column, row, 1);
    }
  }
  for (let row = rows - 1; row >= 0; row--) {
    for (let column = columns - 1; column >= 0; column--) {
      relax(row * columns + column, column, row, -1);
    }
  }
  return found;
}

/** What a shape is at `share` of the way from one slice to another (shape-based interpolation). */
export function between(
  one: Uint8Array,
  other: Uint8Array,
  share: number,
  columns: number,
  rows: number,
): Uint8Array {
  const a = signedDistance(one, columns, rows);
  const b = signedDistance(other, columns, rows);
  const mask = new Uint8Array(one.length);
  for (let i = 0; i < mask.length; i++) {
    mask[i] = (1 - share) * (a[i] as number) + share * (b[i] as number) > 0 ? 1 : 0;
  }
  return mask;
}
