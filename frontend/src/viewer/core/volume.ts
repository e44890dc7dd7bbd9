import { t, tn } from "../../i18n";
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

interface Placed {
  frame: StackFrame;
  location: number;
  position: Vec3;
}

function numberOf(value: number): string {
  return String(Math.round(value * 10) / 10);
}

/**
 * Reads whether and how a series makes a volume; a refusal says in words why it does not. Above
 * `mostBytes` of stored values the volume has half the resolution, or a quarter.
 */
export function planVolume(
  stack: Stack,
  mostBytes = Number.POSITIVE_INFINITY,
): VolumePlan | { refusal: string } {
  const frames = stack.frames.filter(({ image }) => image.transport !== null);
  const [first] = frames;
  const axes = first && frameAxes(first);
  const spacing = first && framePixelSpacing(first);
  if (!first || frames.length < FEWEST_SLICES) {
    return {
      refusal: tn(
        "This series has one image. Reformatting needs at least {fewest} slices.",
        "This series has {count} images. Reformatting needs at least {fewest} slices.",
        frames.length,
        { fewest: FEWEST_SLICES },
      ),
    };
  }
  if (frames.some(isColor)) {
    return { refusal: t("This series is in colour. Only grey pictures can be reformatted.") };
  }
  if (!axes || !spacing || frames.some((frame) => !framePosition(frame))) {
    return {
      refusal: t(
        "The files of this series do not say where their pictures lie in the patient, so they cannot be reformatted.",
      ),
    };
  }
  const row = unit(axes.row);
  const column = unit(axes.column);
  const normal = unit(cross(row, column));
  if (!frames.every((frame) => isLike(frame, first, row, column, spacing))) {
    return {
      refusal: t(
        "The pictures of this series differ in direction, size or pixel spacing, so they make no volume.",
      ),
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
      refusal: t(
        "Several pictures of this series lie at the same place (phases, echoes or directions). Reformatting needs one picture a place.",
      ),
    };
  }
  const usual = [...gaps].sort((a, b) => a - b)[Math.floor(gaps.length / 2)] as number;
  const { Rows: rows, Columns: columns, BitsAllocated: bits } = first.image;
  const bytes = (rows ?? 0) * (columns ?? 0) * placed.length * Math.ceil((bits ?? 16) / 8);
  const shrink = bytes <= mostBytes ? 1 : bytes <= 4 * mostBytes ? 2 : 4;
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
        t(
          "The gantry was tilted by {tilt}°. The reformatted pictures are straightened by each slice's own position.",
          { tilt: numberOf(tilt) },
        ),
      );
    }
  }
  const widest = Math.max(...gaps);
  const narrowest = Math.min(...gaps);
  if (widest - narrowest > UNEVEN_SHARE * usual) {
    notes.push(
      t(
        "The slices are unevenly spaced ({narrowest} to {widest} mm). Between them values are estimated; look at the original pictures before you trust a detail.",
        { narrowest: numberOf(narrowest), widest: numberOf(widest) },
      ),
    );
  }
  if (shrink > 1) {
    notes.push(
      shrink === 2
        ? t("This series is large: it is reformatted at half its resolution.")
        : t("This series is large: it is reformatted at a quarter of its resolution."),
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
  /** Every layer counts, however long it takes: a projection must not step over a small spot. */
  isWhole?: boolean;
}

export const THIN: Slab = { mode: "thin", thickness: 10 };

/** A grid of points in the patient, on which a volume is sampled. */
export interface SampleGrid {
  origin: Vec3;
  right: Vec3;
  down: Vec3;
  /** Distance of neighbouring points in mm; downwards another one where it is said. */
  pixel: number;
  pixelDown?: number;
  columns: number;
  rows: number;
}
