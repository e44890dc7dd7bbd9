import type { MachineMark } from "./machine";
import type { Vec2, Vec3 } from "./manifest";
import { type Patch, patchOfRuns } from "./masks";
import { type Plane, unit } from "./planes";
import type { StackFrame } from "./stack";
import { cross, dot } from "./vectors";

/** Segments, structures, doses and maps as the server tells them: docs/api/viewer.md. */

export type DerivedKind = "segmentation" | "structures" | "dose" | "parametric";

export interface PartFacts {
  number: number;
  name: string;
  category: string;
  type: string;
  algorithm: string;
  algorithm_name: string;
  colour: string | null;
}

export interface DerivedObject {
  image_id: string;
  kind: DerivedKind;
  SeriesInstanceUID: string;
  SeriesNumber: number | null;
  SeriesDescription: string;
  FrameOfReferenceUID: string | null;
  url: string;
  problem: string | null;
  label: string;
  Manufacturer: string;
  author: string;
  at: string;
  notes: readonly string[];
  parts: readonly PartFacts[];
  /** Of an object that a program made. */
  machine?: MachineMark | null;
}

interface PlaneFacts {
  part: number | null;
  SOPInstanceUID: string | null;
  frame_number: number | null;
  ImagePositionPatient: Vec3 | null;
  ImageOrientationPatient: readonly number[] | null;
  PixelSpacing: Vec2 | null;
  Rows: number;
  Columns: number;
  offset: number;
  count: number;
}

interface ContourFacts {
  offset: number;
  count: number;
  is_closed: boolean;
  SOPInstanceUID: string | null;
  frame_number: number | null;
}

interface Head {
  kind: DerivedKind;
  form: "BINARY" | "FRACTIONAL" | "LABELMAP" | "VALUES" | "CONTOURS";
  slice_distance_mm: number | null;
  parts: readonly {
    number: number;
    volume_ml?: number | null;
    volume_source?: string;
    contours?: readonly ContourFacts[];
  }[];
  planes: readonly PlaneFacts[];
  unit?: string;
  quantity?: string;
  min?: number;
  max?: number;
}

/** Where a plane of pixels lies, and on which image. */
export interface Placed {
  SOPInstanceUID: string | null;
  frame_number: number | null;
  plane: Plane | null;
  rows: number;
  columns: number;
}

/** One frame of masks. `part` is null where the values say the part: its place in the list from 1. */
export interface MaskPlane extends Placed {
  part: number | null;
  patch: () => Patch | null;
}

export interface ValuePlane extends Placed {
  values: Float32Array;
}

export interface Contour {
  points: Float32Array;
  isClosed: boolean;
  SOPInstanceUID: string | null;
  frame_number: number | null;
}

/** What one object draws. */
export interface Drawn {
  form: Head["form"];
  sliceDistance: number | null;
  volumes: ReadonlyMap<number, { millilitres: number | null; source: string }>;
  masks: readonly MaskPlane[];
  values: readonly ValuePlane[];
  contours: ReadonlyMap<number, readonly Contour[]>;
  unit: string;
  quantity: string;
  min: number;
  max: number;
}

/** Splits an answer into its head and the bytes behind it. */
export function unpack<T>(buffer: ArrayBuffer): { head: T; bytes: ArrayBuffer } {
  const length = new DataView(buffer).getUint32(0, true);
  const text = new TextDecoder().decode(new Uint8Array(buffer, 4, length));
  return { head: JSON.parse(text) as T, bytes: buffer.slice(4 + length) };
}

export function packed(head: unknown, runs: Uint32Array): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(JSON.stringify(head));
  const length = Math.ceil(text.length / 4) * 4;
  const content = new Uint8Array(4 + length + runs.byteLength);
  content.fill(0x20, 4, 4 + length);
  new DataView(content.buffer).setUint32(0, length, true);
  content.set(text, 4);
  content.set(new Uint8Array(runs.buffer, runs.byteOffset, runs.byteLength), 4 + length);
  return content;
}

export function readDrawn(buffer: ArrayBuffer): Drawn {
  const { head, bytes } = unpack<Head>(buffer);
  const isValues = head.form === "VALUES";
  const runs = new Uint32Array(isValues || head.form === "CONTOURS" ? new ArrayBuffer(0) : bytes);
  const floats = new Float32Array(runs.length > 0 ? new ArrayBuffer(0) : bytes);
  return {
    form: head.form,
    sliceDistance: head.slice_distance_mm,
    volumes: new Map(
      head.parts.map((part) => [
        part.number,
        { millilitres: part.volume_ml ?? null, source: part.volume_source ?? "" },
      ]),
    ),
    masks: isValues ? [] : head.planes.map((facts) => maskPlane(facts, runs)),
    values: isValues
      ? head.planes.map((facts) => ({
          ...placed(facts),
          values: floats.subarray(facts.offset, facts.offset + facts.count),
        }))
      : [],
    contours: new Map(
      head.parts.map(({ number, contours }) => [
        number,
        (contours ?? []).map((one) => ({
          points: floats.subarray(one.offset, one.offset + 3 * one.count),
          isClosed: one.is_closed,
          SOPInstanceUID: one.SOPInstanceUID,
          frame_number: one.frame_number,
        })),
      ]),
    ),
    unit: head.unit ?? "",
    quantity: head.quantity ?? "",
    min: head.min ?? 0,
    max: head.max ?? 0,
  };
}

function maskPlane(facts: PlaneFacts, runs: Uint32Array): MaskPlane {
  let known: Patch | null | undefined;
  return {
    ...placed(facts),
    part: facts.part,
    patch: () => {
      known ??= patchOfRuns(
        runs.subarray(facts.offset, facts.offset + facts.count),
        facts.Rows,
        facts.Columns,
      );
      return known;
    },
  };
}

function placed(facts: PlaneFacts): Placed {
  return {
    SOPInstanceUID: facts.SOPInstanceUID,
    frame_number: facts.frame_number,
    plane: planeOfFacts(facts),
    rows: facts.Rows,
    columns: facts.Columns,
  };
}

function planeOfFacts(facts: PlaneFacts): Plane | null {
  const { ImagePositionPatient: origin, ImageOrientationPatient: axes, PixelSpacing } = facts;
  if (!origin || !axes || !PixelSpacing) {
    return null;
  }
  const [a, b, c, d, e, f] = axes as [number, number, number, number, number, number];
  const row = unit([a, b, c]);
  const column = unit([d, e, f]);
  return {
    origin,
    row,
    column,
    normal: unit(cross(row, column)),
    pixel: [PixelSpacing[1], PixelSpacing[0]],
    columns: facts.Columns,
    rows: facts.Rows,
  };
}

/** Whether a plane was made of exactly this frame. */
export function liesOn(place: Placed, frame: StackFrame, columns: number, rows: number): boolean {
  const isImage =
    place.SOPInstanceUID !== null &&
    place.SOPInstanceUID === frame.image.SOPInstanceUID &&
    (place.frame_number === null
      ? (frame.image.NumberOfFrames ?? 1) <= 1
      : place.frame_number === frame.frame_number);
  return isImage && place.columns === columns && place.rows === rows;
}

/** A plane in its grid: its place along the normal, and its first pixel along rows and columns. */
export interface Slice<T extends Placed> {
  location: number;
  alongRow: number;
  alongColumn: number;
  plane: Plane;
  item: T;
}

/** Slices of one direction in the order of their places, for looking up points of the patient. */
export interface Grid<T extends Placed> {
  row: Vec3;
  column: Vec3;
  normal: Vec3;
  slices: readonly Slice<T>[];
  /** How far from a slice a point still belongs to it. */
  reach: number;
}

const SAME_DIRECTION = 1e-3;

export function gridOfPlanes<T extends Placed>(
  items: readonly T[],
  sliceDistance: number | null,
): Grid<T> | null {
  const first = items.find(({ plane }) => plane !== null)?.plane;
  if (!first) {
    return null;
  }
  const slices = items
    .flatMap((item) => {
      const { plane } = item;
      const isLike =
        plane &&
        dot(plane.row, first.row) > 1 - SAME_DIRECTION &&
        dot(plane.column, first.column) > 1 - SAME_DIRECTION;
      return plane && isLike
        ? [
            {
              item,
              plane,
              location: dot(plane.origin, first.normal),
              alongRow: dot(plane.origin, first.row),
              alongColumn: dot(plane.origin, first.column),
            },
          ]
        : [];
    })
    .sort((p, q) => p.location - q.location);
  const gaps = slices
    .slice(1)
    .map(({ location }, at) => location - (slices[at]?.location ?? 0))
    .filter((gap) => gap > 1e-3)
    .sort((p, q) => p - q);
  const usual = sliceDistance ?? gaps[Math.floor(gaps.length / 2)] ?? 1;
  return { row: first.row, column: first.column, normal: first.normal, slices, reach: usual / 2 };
}

/** The slice nearest to a place along the normal; -1 without any. */
export function nearestSlice<T extends Placed>(grid: Grid<T>, location: number): number {
  const { slices } = grid;
  let low = 0;
  let high = slices.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((slices[middle]?.location ?? 0) < location) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  const before = slices[low - 1];
  const here = slices[low];
  if (before && here && location - before.location <= here.location - location) {
    return low - 1;
  }
  return here ? low : -1;
}

/** Places of a picture's pixels in a grid are straight: a start, and a step a column and a row. */
export function steps(
  plane: Plane,
  axis: Vec3,
): { start: number; byColumn: number; byRow: number } {
  return {
    start: dot(plane.origin, axis),
    byColumn: dot(plane.row, axis) * plane.pixel[0],
    byRow: dot(plane.column, axis) * plane.pixel[1],
  };
}

/** Masks of one part on a plane that cuts them: nearest pixel of the nearest slice. */
export function cutMasks(grid: Grid<MaskPlane>, target: Plane): Patch | null {
  const { columns, rows } = target;
  const along = steps(target, grid.normal);
  const right = steps(target, grid.row);
  const down = steps(target, grid.column);
  const corners = [0, (columns - 1) * along.byColumn].flatMap((c) =>
    [0, (rows - 1) * along.byRow].map((r) => along.start + c + r),
  );
  const first = grid.slices[0];
  const last = grid.slices.at(-1);
  if (
    !first ||
    !last ||
    Math.max(...corners) < first.location - grid.reach ||
    Math.min(...corners) > last.location + grid.reach
  ) {
    return null;
  }
  const isLevel = Math.abs(along.byColumn) < 1e-9 && Math.abs(along.byRow) < 1e-9;
  const constant = isLevel ? nearestSlice(grid, along.start) : -1;
  const data = new Uint8Array(columns * rows);
  let hasAny = false;
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const location = along.start + x * along.byColumn + y * along.byRow;
      const nearest = isLevel ? constant : nearestSlice(grid, location);
      const slice = grid.slices[nearest];
      if (!slice || Math.abs(slice.location - location) > grid.reach + 1e-6) {
        continue;
      }
      const { plane, item } = slice;
      const patch = item.patch();
      if (!patch) {
        continue;
      }
      const u = right.start + x * right.byColumn + y * right.byRow - slice.alongRow;
      const v = down.start + x * down.byColumn + y * down.byRow - slice.alongColumn;
      const column = Math.round(u / plane.pixel[0]) - patch.left;
      const row = Math.round(v / plane.pixel[1]) - patch.top;
      if (column >= 0 && row >= 0 && column < patch.width && row < patch.height) {
        const value = patch.data[row * patch.width + column] as number;
        if (value !== 0) {
          data[y * columns + x] = value;
          hasAny = true;
        }
      }
    }
  }
  return hasAny ? { left: 0, top: 0, width: columns, height: rows, data } : null;
}

/** Values on a plane, between pixels and slices by distance; NaN where there are none. */
export function cutValues(grid: Grid<ValuePlane>, target: Plane): Float32Array {
  const { columns, rows } = target;
  const found = new Float32Array(columns * rows).fill(Number.NaN);
  const along = steps(target, grid.normal);
  const right = steps(target, grid.row);
  const down = steps(target, grid.column);
  const { slices } = grid;
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const location = along.start + x * along.byColumn + y * along.byRow;
      const nearest = nearestSlice(grid, location);
      const here = slices[nearest];
      if (!here) {
        continue;
      }
      const off = location - here.location;
      const other = slices[nearest + (off > 0 ? 1 : -1)];
      if (!other && Math.abs(off) > (slices.length === 1 ? grid.reach : 1e-3)) {
        continue;
      }
      const u = right.start + x * right.byColumn + y * right.byRow;
      const v = down.start + x * down.byColumn + y * down.byRow;
      const value = valueAt(here, u, v);
      if (Math.abs(off) < 1e-3 || !other) {
        found[y * columns + x] = value;
      } else {
        const share = off / (other.location - here.location);
        found[y * columns + x] = value + (valueAt(other, u, v) - value) * share;
      }
    }
  }
  return found;
}

function valueAt(slice: Slice<ValuePlane>, u: number, v: number): number {
  const { plane, item } = slice;
  const x = (u - slice.alongRow) / plane.pixel[0];
  const y = (v - slice.alongColumn) / plane.pixel[1];
  const { columns, rows, values } = item;
  if (!(x >= -1e-6 && y >= -1e-6 && x <= columns - 1 + 1e-6 && y <= rows - 1 + 1e-6)) {
    return Number.NaN;
  }
  const left = Math.min(Math.max(Math.floor(x), 0), Math.max(columns - 2, 0));
  const top = Math.min(Math.max(Math.floor(y), 0), Math.max(rows - 2, 0));
  const fx = columns > 1 ? x - left : 0;
  const fy = rows > 1 ? y - top : 0;
  const at = (column: number, row: number): number =>
    values[Math.min(row, rows - 1) * columns + Math.min(column, columns - 1)] as number;
  const upper = at(left, top) * (1 - fx) + (fx > 0 ? at(left + 1, top) * fx : 0);
  const lower =
    fy > 0 ? at(left, top + 1) * (1 - fx) + (fx > 0 ? at(left + 1, top + 1) * fx : 0) : 0;
  return upper * (1 - fy) + lower * fy;
}
