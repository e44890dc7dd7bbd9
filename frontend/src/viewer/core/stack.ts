import type { FrameFacts, ImageFacts, Manifest, SeriesFacts, Vec2, Vec3 } from "./manifest";
import type { Reformat, Rendering3d } from "./reformat";
import { cross, dot } from "./vectors";

/** One frame of a series in reading order. */
export interface StackFrame {
  /** `<image id>:<frame number>`, the name used for fetching and caching. */
  key: string;
  image: ImageFacts;
  /** DICOM's frame number, from 1. */
  frame_number: number;
  facts: FrameFacts | null;
}

export interface Stack {
  series: SeriesFacts;
  frames: readonly StackFrame[];
  /** Of a series of another study than the window's: that study. */
  owner?: Manifest;
  /** Of pictures that are computed from a volume: how. */
  reformat?: Reformat;
  /** Of a picture of the whole volume: how. */
  rendering?: Rendering3d;
}

/** Cine objects above this many frames a second are taken for a wrong Frame Time. */
const MAX_FPS = 120;
const DEFAULT_FPS = 10;
/** From so many slices on a series is a volume, as the server counts. */
const VOLUME_SLICES = 5;

export function frameKey(imageId: string, frameNumber: number): string {
  return `${imageId}:${frameNumber}`;
}

/** Flattens a series to its frames. Objects without pixels keep one place that says why. */
export function buildStack(series: SeriesFacts, owner?: Manifest): Stack {
  const frames: StackFrame[] = [];
  for (const image of series.images) {
    const count = image.transport === null ? 1 : Math.max(1, image.NumberOfFrames ?? 1);
    for (let index = 0; index < count; index++) {
      frames.push({
        key: frameKey(image.id, index + 1),
        image,
        frame_number: index + 1,
        facts: image.frames?.[index] ?? null,
      });
    }
  }
  return owner ? { series, frames, owner } : { series, frames };
}

/** The other study that a stack, or the volume that it is computed from, belongs to. */
export function ownerOf(stack: Stack | null): Manifest | null {
  const source = stack?.reformat?.plan.stack ?? stack?.rendering?.plan.stack ?? stack;
  return source?.owner ?? null;
}

/** True for pictures that no file holds: planes and views of a volume. */
export function isComputed(stack: Stack | null): boolean {
  return Boolean(stack?.reformat ?? stack?.rendering);
}

export function clampIndex(stack: Stack, index: number): number {
  return Math.min(Math.max(index, 0), Math.max(0, stack.frames.length - 1));
}

/** True when the series has nothing that could be drawn. */
export function isDocument(series: SeriesFacts): boolean {
  return !series.images.some((image) => image.transport !== null);
}

export function framePosition(frame: StackFrame): Vec3 | null {
  return frame.facts?.ImagePositionPatient ?? frame.image.ImagePositionPatient;
}

/** Row and column direction cosines, or null where the object has none. */
export function frameAxes(frame: StackFrame): { row: Vec3; column: Vec3 } | null {
  const iop = frame.facts?.ImageOrientationPatient ?? frame.image.ImageOrientationPatient;
  if (iop?.length !== 6 || iop.some((value) => !Number.isFinite(value))) {
    return null;
  }
  const [a, b, c, d, e, f] = iop as [number, number, number, number, number, number];
  if (Math.hypot(a, b, c) === 0 || Math.hypot(d, e, f) === 0) {
    return null;
  }
  return { row: [a, b, c], column: [d, e, f] };
}

/** Pixel Spacing of the frame in mm [between rows, between columns], as the file says it. */
export function framePixelSpacing(frame: StackFrame): Vec2 | null {
  const spacing = frame.facts?.PixelSpacing ?? frame.image.PixelSpacing;
  return isUsableSpacing(spacing) ? spacing : null;
}

export function isUsableSpacing(spacing: Vec2 | null | undefined): spacing is Vec2 {
  return (
    Array.isArray(spacing) &&
    spacing.length === 2 &&
    spacing.every((value) => Number.isFinite(value) && value > 0)
  );
}

export function frameThickness(frame: StackFrame): number | null {
  return frame.facts?.SliceThickness ?? frame.image.SliceThickness;
}

/** Slice Location, or the position along the slice normal where the file gives only that. */
export function frameLocation(frame: StackFrame): number | null {
  if (frame.facts === null && frame.image.SliceLocation !== null) {
    return frame.image.SliceLocation;
  }
  const axes = frameAxes(frame);
  const position = framePosition(frame);
  return axes && position ? dot(cross(axes.row, axes.column), position) : null;
}

export interface Rescale {
  slope: number;
  intercept: number;
}

/** Modality LUT of the frame; identity where the file has none or an unusable one. */
export function frameRescale(frame: StackFrame): Rescale {
  const slope = frame.facts?.RescaleSlope ?? frame.image.RescaleSlope;
  const intercept = frame.facts?.RescaleIntercept ?? frame.image.RescaleIntercept;
  return {
    slope: slope !== null && slope !== 0 && Number.isFinite(slope) ? slope : 1,
    intercept: intercept !== null && Number.isFinite(intercept) ? intercept : 0,
  };
}

/**
 * Unit of the modality values, or null where the file does not say one. CT without Rescale Type is
 * in HU (PS3.3 C.8.2.1.1.2); "US" means unspecified. PET says it in Units (PS3.3 C.8.9.1.1.3), which
 * come before a Rescale Type that some scanners write beside them.
 */
export function frameUnit(stack: Stack, frame: StackFrame): string | null {
  const units = frame.image.Units?.trim();
  if (units && stack.series.Modality === "PT") {
    return units;
  }
  const type = frame.image.RescaleType?.trim();
  if (type && type !== "US") {
    return type;
  }
  const hasRescale =
    (frame.facts?.RescaleIntercept ?? frame.image.RescaleIntercept) !== null &&
    (frame.facts?.RescaleSlope ?? frame.image.RescaleSlope) !== null;
  return stack.series.Modality === "CT" && !type && hasRescale ? "HU" : null;
}

export function isColor(frame: StackFrame): boolean {
  const photometric = frame.image.PhotometricInterpretation ?? "";
  return (frame.image.SamplesPerPixel ?? 1) > 1 || photometric === "PALETTE COLOR";
}

/** Frames a second for cine: what the file recommends, else from Frame Time, else 10. */
export function stackFps(stack: Stack): number {
  const image = stack.frames[0]?.image;
  const recommended = image?.RecommendedDisplayFrameRate;
  if (recommended && recommended > 0 && recommended <= MAX_FPS) {
    return recommended;
  }
  const time = image?.FrameTime;
  if (time && time > 0 && 1000 / time <= MAX_FPS) {
    return Math.round((1000 / time) * 10) / 10;
  }
  return DEFAULT_FPS;
}

export interface Place {
  seriesIndex: number;
  index: number;
}

export function findFrame(
  stacks: readonly Stack[],
  matches: (frame: StackFrame) => boolean,
): Place | null {
  for (const [seriesIndex, stack] of stacks.entries()) {
    const index = stack.frames.findIndex(matches);
    if (index >= 0) {
      return { seriesIndex, index };
    }
  }
  return null;
}

/** Where a series is begun: a volume in its middle, everything else at its start. */
export function startingIndex(stack: Stack): number {
  const isVolume =
    stack.frames.length >= VOLUME_SLICES &&
    stack.frames.every(
      ({ image }) => image.ImagePositionPatient !== null && (image.NumberOfFrames ?? 1) === 1,
    );
  return isVolume ? Math.floor((stack.frames.length - 1) / 2) : 0;
}

/** Modalities of objects that describe images. */
export const COMPANIONS = new Set("SR PR KO SEG REG DOC RTSTRUCT RTPLAN RTDOSE AU".split(" "));

function frameAt(stacks: readonly Stack[], place: Place): StackFrame | undefined {
  return stacks[place.seriesIndex]?.frames[place.index];
}

/** Where reading starts: the kept session, else the manifest's first picture, else the first series. */
export function startingPlace(manifest: Manifest, stacks: readonly Stack[]): Place | null {
  const drawable = stacks.findIndex((stack) => !isDocument(stack.series));
  for (const wanted of [manifest.session, manifest.first_image]) {
    if (wanted) {
      const key = frameKey(wanted.image_id, wanted.frame_number);
      const place = findFrame(stacks, (frame) => frame.key === key);
      // A presentation state that was looked at last is no place to begin reading pictures.
      if (place && (drawable < 0 || frameAt(stacks, place)?.image.transport !== null)) {
        return place;
      }
    }
  }
  if (stacks.length === 0) {
    return null;
  }
  // Images that cannot be drawn say why: that comes before what describes them.
  const meant = stacks.findIndex(({ series }) => !COMPANIONS.has(series.Modality ?? ""));
  return { seriesIndex: Math.max(drawable >= 0 ? drawable : meant, 0), index: 0 };
}
