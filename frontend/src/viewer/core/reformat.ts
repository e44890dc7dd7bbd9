import { t } from "../../i18n";
import type { ImageFacts, Vec2, Vec3 } from "./manifest";
import type { Camera, CellFrame, Crop, RenderPreset } from "./render3d";
import { frameKey, type Stack, type StackFrame } from "./stack";
import type { Tint } from "./surfaces3d";
import { add, cross, dot, scale } from "./vectors";
import type { SampleGrid, Slab, VolumeGeometry, VolumePlan } from "./volume";

/** Planes through a volume, as stacks of pictures like any other. */

export type PlaneKind = "axial" | "coronal" | "sagittal";

export interface PlaneAxes {
  right: Vec3;
  down: Vec3;
}

/** As radiologists look: from the feet, from the front, from the left side. */
export const STRAIGHT: Readonly<Record<PlaneKind, PlaneAxes>> = {
  axial: { right: [1, 0, 0], down: [0, 1, 0] },
  coronal: { right: [1, 0, 0], down: [0, 0, -1] },
  sagittal: { right: [0, 1, 0], down: [0, 0, -1] },
};

export const PLANE_NAMES: Readonly<Record<PlaneKind, string>> = {
  axial: t("Axial"),
  coronal: t("Coronal"),
  sagittal: t("Sagittal"),
};

/** How parallel planes run through the whole volume. */
export interface PlaneGrid extends SampleGrid {
  normal: Vec3;
  /** Distance of neighbouring planes in mm, and how many there are. */
  step: number;
  count: number;
}

/** What a stack of reformatted pictures is made of. */
export interface Reformat {
  plan: VolumePlan;
  kind: PlaneKind;
  axes: PlaneAxes;
  grid: PlaneGrid;
  slab: Slab;
  isOblique: boolean;
}

const SLAB_NAMES = { mip: "MIP", minip: "MinIP", average: "average" } as const;

/** "MIP 12 mm": of what the values of a slab are; null in a thin plane. Kept with measurements. */
export function slabText({ mode, thickness }: Slab): string | null {
  return mode === "thin" ? null : `${SLAB_NAMES[mode]} ${Number(thickness.toFixed(1))} mm`;
}

/** Segments within a picture of the whole volume. */
export interface Solids3d {
  /** Told apart by it: what cells they cover is found anew when it changes. */
  key: string;
  tints: readonly Tint[];
  /** The segment of each cell, in pieces of a few milliseconds. */
  cells: (frame: CellFrame) => Generator<void, Uint8Array<ArrayBuffer>>;
}

/** What a picture of the whole volume is made of. */
export interface Rendering3d {
  plan: VolumePlan;
  camera: Camera;
  preset: RenderPreset;
  crop: Crop;
  /** While a hand turns it, a coarse picture is enough. */
  isMoving: boolean;
  solids?: Solids3d | null;
}

const MOST_PIXELS = 1024;
const ALONG = 0.9;
/** Pixels along a side of a picture of the whole volume: when still, and while it is turned. */
export const RENDERED_SIDE = 256;
export const MOVING_SIDE = 128;
/** The start of the keys of reformatted frames. */
export const REFORMAT_PREFIX = "reformat-";

/** The patient's points in the middle of the corner voxels. */
function corners(geometry: VolumeGeometry): Vec3[] {
  const { columns, rows, pixel, row, column, normal, locations } = geometry;
  const found: Vec3[] = [];
  for (let k = 0; k < locations.length; k++) {
    for (const c of [0, (columns - 1) * pixel[0]]) {
      for (const r of [0, (rows - 1) * pixel[1]]) {
        const inRow = scale(row, (geometry.alongRow[k] as number) + c);
        const inColumn = scale(column, (geometry.alongColumn[k] as number) + r);
        found.push(add(add(inRow, inColumn), scale(normal, locations[k] as number)));
      }
    }
  }
  return found;
}

function extent(points: readonly Vec3[], axis: Vec3): Vec2 {
  const places = points.map((point) => dot(point, axis));
  return [Math.min(...places), Math.max(...places)];
}

/** The box along the patient's axes that holds the volume. */
export function boxOfVolume(geometry: VolumeGeometry): { low: Vec3; high: Vec3 } {
  const points = corners(geometry);
  const [x, y, z] = (
    [
      [1, 0, 0],
      [0, 1, 0],
      [0, 0, 1],
    ] as const
  ).map((axis) => extent(points, axis)) as [Vec2, Vec2, Vec2];
  return { low: [x[0], y[0], z[0]], high: [x[1], y[1], z[1]] };
}

/** The middle of the volume. */
export function middleOfVolume({ geometry }: VolumePlan): Vec3 {
  const points = corners(geometry);
  const middle = (axis: Vec3): number => {
    const [low, high] = extent(points, axis);
    return (low + high) / 2;
  };
  return [middle([1, 0, 0]), middle([0, 1, 0]), middle([0, 0, 1])];
}

/** The grid of planes that covers the volume, its first plane at the lowest place along the normal. */
export function gridOf({ geometry, spacing }: VolumePlan, { right, down }: PlaneAxes): PlaneGrid {
  const points = corners(geometry);
  const normal = cross(right, down);
  const [left, farRight] = extent(points, right);
  const [top, bottom] = extent(points, down);
  const [first, last] = extent(points, normal);
  const finest = Math.min(...geometry.pixel);
  const widest = Math.max(farRight - left, bottom - top);
  const pixel = Math.max(finest, widest / (MOST_PIXELS - 1));
  const wanted = Math.abs(dot(normal, geometry.normal)) > ALONG ? spacing : pixel;
  const step = Math.max(wanted, (last - first) / (MOST_PIXELS - 1));
  const fill = (from: number, to: number, by: number): number =>
    Math.floor((to - from) / by + 1e-6) + 1;
  return {
    origin: add(add(scale(right, left), scale(down, top)), scale(normal, first)),
    right,
    down,
    normal,
    pixel,
    step,
    columns: fill(left, farRight, pixel),
    rows: fill(top, bottom, pixel),
    count: fill(first, last, step),
  };
}

/** The grid of one plane. */
export function planeAt(grid: PlaneGrid, index: number): SampleGrid {
  return { ...grid, origin: add(grid.origin, scale(grid.normal, index * grid.step)) };
}

/** The plane nearest to a point. */
export function indexAt(grid: PlaneGrid, point: Vec3): number {
  const along = dot(point, grid.normal) - dot(grid.origin, grid.normal);
  return Math.min(Math.max(Math.round(along / grid.step), 0), grid.count - 1);
}

let nextSerial = 1;

/** The planes of one direction as a stack; `serial` tells stacks of other directions or slabs apart. */
export function reformatStack(
  plan: VolumePlan,
  kind: PlaneKind,
  axes: PlaneAxes,
  slab: Slab,
): Stack {
  const grid = gridOf(plan, axes);
  const straight = STRAIGHT[kind];
  const isOblique =
    dot(axes.right, straight.right) < 1 - 1e-9 || dot(axes.down, straight.down) < 1 - 1e-9;
  const id = `${REFORMAT_PREFIX}${nextSerial++}`;
  const { series } = plan.stack;
  const name = isOblique ? `Oblique (${kind})` : PLANE_NAMES[kind];
  const base = plan.frames[Math.floor(plan.frames.length / 2)] as StackFrame;
  const image: ImageFacts = {
    ...base.image,
    id,
    SOPInstanceUID: "",
    Rows: grid.rows,
    Columns: grid.columns,
    NumberOfFrames: 1,
    BitsAllocated: 32,
    PixelSpacing: [grid.pixel, grid.pixel],
    ImagerPixelSpacing: null,
    ImageOrientationPatient: [...axes.right, ...axes.down],
    SliceThickness: slab.mode === "thin" ? null : slab.thickness,
    SliceLocation: null,
    WindowCenter: base.facts?.WindowCenter ?? base.image.WindowCenter,
    WindowWidth: base.facts?.WindowWidth ?? base.image.WindowWidth,
    RescaleSlope: 1,
    RescaleIntercept: 0,
    PixelPaddingValue: null,
    SequenceOfUltrasoundRegions: null,
    VOILUTSequence: [],
    frames: null,
    transport: "raw",
    problem: null,
    hidden: [],
  };
  const frames = Array.from({ length: grid.count }, (_, index) => ({
    key: frameKey(id, index + 1),
    image: { ...image, ImagePositionPatient: planeAt(grid, index).origin },
    frame_number: index + 1,
    facts: null,
  }));
  return {
    series: {
      ...series,
      id,
      SeriesDescription: [name, series.SeriesDescription].filter(Boolean).join(" of "),
      warning: null,
    },
    frames,
    reformat: { plan, kind, axes, grid, slab, isOblique },
  };
}

/** A picture of the whole volume as a stack of one. */
export function renderedStack(rendering: Rendering3d): Stack {
  const { plan } = rendering;
  const id = `${REFORMAT_PREFIX}${nextSerial++}`;
  const { series } = plan.stack;
  const base = plan.frames[0] as StackFrame;
  const image: ImageFacts = {
    ...base.image,
    id,
    SOPInstanceUID: "",
    Rows: RENDERED_SIDE,
    Columns: RENDERED_SIDE,
    NumberOfFrames: 1,
    SamplesPerPixel: 3,
    PhotometricInterpretation: "RGB",
    BitsAllocated: 8,
    PixelSpacing: null,
    ImagerPixelSpacing: null,
    PixelAspectRatio: null,
    ImagePositionPatient: null,
    ImageOrientationPatient: [...rendering.camera.right, ...rendering.camera.down],
    PatientOrientation: null,
    SliceThickness: null,
    SliceLocation: null,
    WindowCenter: null,
    WindowWidth: null,
    SequenceOfUltrasoundRegions: null,
    VOILUTSequence: [],
    PresentationLUTShape: null,
    frames: null,
    transport: "raw",
    problem: null,
    hidden: [],
  };
  return {
    series: {
      ...series,
      id,
      SeriesDescription: ["3D", series.SeriesDescription].filter(Boolean).join(" of "),
      warning: null,
    },
    frames: [{ key: frameKey(id, 1), image, frame_number: 1, facts: null }],
    rendering,
  };
}

/** Turns planes about an axis through the patient. */
export function turnAxes({ right, down }: PlaneAxes, about: Vec3, radians: number): PlaneAxes {
  return { right: rotate(right, about, radians), down: rotate(down, about, radians) };
}

/** Rodrigues' rotation of `vector` about the unit vector `axis`. */
export function rotate(vector: Vec3, axis: Vec3, radians: number): Vec3 {
  const cosine = Math.cos(radians);
  const turned = add(scale(vector, cosine), scale(cross(axis, vector), Math.sin(radians)));
  return add(turned, scale(axis, dot(axis, vector) * (1 - cosine)));
}
