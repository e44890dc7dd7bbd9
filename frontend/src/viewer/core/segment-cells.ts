import { type Grid, type MaskPlane, nearestSlice, steps } from "./derived";
import type { Vec3 } from "./manifest";
import { type Plane, planePoint } from "./planes";
import type { CellFrame } from "./render3d";

/** Which cells of a volume segments cover, for pictures of the whole of it. */

/** One segment as it lies in the patient. */
export interface SolidSegment {
  grid: Grid<MaskPlane>;
  isIn: (value: number) => boolean;
}

interface Box {
  low: Vec3;
  high: Vec3;
}

/** Masks are decoded when they are first looked at: so many at a time. */
const DECODED = 16;

/** The cells that may lie in a segment, from its masks' own rectangles. */
function* boxOf(
  { grid }: SolidSegment,
  { low, size, counts }: CellFrame,
): Generator<void, Box | null> {
  const least = [...counts] as [number, number, number];
  const most: [number, number, number] = [-1, -1, -1];
  for (const [number, { plane, item }] of grid.slices.entries()) {
    if (number % DECODED === DECODED - 1) {
      yield;
    }
    const patch = item.patch();
    if (!patch) {
      continue;
    }
    const { left, top, width, height } = patch;
    for (const column of [left - 0.5, left + width - 0.5]) {
      for (const row of [top - 0.5, top + height - 0.5]) {
        for (const off of [-grid.reach, grid.reach]) {
          const on = planePoint(plane, [column, row]);
          for (const axis of [0, 1, 2] as const) {
            const place = (on[axis] + off * grid.normal[axis] - low[axis]) / size;
            least[axis] = Math.min(least[axis], Math.floor(place));
            most[axis] = Math.max(most[axis], Math.ceil(place));
          }
        }
      }
    }
  }
  const inside = (place: number, axis: 0 | 1 | 2): number =>
    Math.min(Math.max(place, 0), counts[axis] - 1);
  return most[0] < 0 || most[1] < 0 || most[2] < 0
    ? null
    : {
        low: [inside(least[0], 0), inside(least[1], 1), inside(least[2], 2)],
        high: [inside(most[0], 0), inside(most[1], 1), inside(most[2], 2)],
      };
}

/**
 * The segment of each cell, from 1; 0 of none. Where several cover a cell, the last one has it.
 * Done in pieces of one layer of cells.
 */
export function* segmentCells(
  frame: CellFrame,
  segments: readonly SolidSegment[],
): Generator<void, Uint8Array<ArrayBuffer>> {
  const [nx, ny, nz] = frame.counts;
  const labels = new Uint8Array(nx * ny * nz);
  for (const [number, segment] of segments.entries()) {
    const box = yield* boxOf(segment, frame);
    for (let z = box?.low[2] ?? 0; box && z <= box.high[2]; z++) {
      fillLayer(labels, frame, segment, box, z, number + 1);
      yield;
    }
  }
  return labels;
}

function fillLayer(
  labels: Uint8Array,
  { low, size, counts: [nx, ny] }: CellFrame,
  { grid, isIn }: SolidSegment,
  box: Box,
  z: number,
  label: number,
): void {
  const layer: Plane = {
    origin: [low[0], low[1], low[2] + z * size],
    row: [1, 0, 0],
    column: [0, 1, 0],
    normal: [0, 0, 1],
    pixel: [size, size],
    columns: nx,
    rows: ny,
  };
  const along = steps(layer, grid.normal);
  const right = steps(layer, grid.row);
  const down = steps(layer, grid.column);
  const isLevel = Math.abs(along.byColumn) < 1e-9 && Math.abs(along.byRow) < 1e-9;
  const constant = isLevel ? nearestSlice(grid, along.start) : -1;
  for (let y = box.low[1]; y <= box.high[1]; y++) {
    for (let x = box.low[0]; x <= box.high[0]; x++) {
      const location = along.start + x * along.byColumn + y * along.byRow;
      const slice = grid.slices[isLevel ? constant : nearestSlice(grid, location)];
      if (!slice || Math.abs(slice.location - location) > grid.reach + 1e-6) {
        continue;
      }
      const patch = slice.item.patch();
      if (!patch) {
        continue;
      }
      const u = right.start + x * right.byColumn + y * right.byRow - slice.alongRow;
      const v = down.start + x * down.byColumn + y * down.byRow - slice.alongColumn;
      const column = Math.round(u / slice.plane.pixel[0]) - patch.left;
      const row = Math.round(v / slice.plane.pixel[1]) - patch.top;
      if (column >= 0 && row >= 0 && column < patch.width && row < patch.height) {
        if (isIn(patch.data[row * patch.width + column] as number)) {
          labels[(z * ny + y) * nx + x] = label;
        }
      }
    }
  }
}
