import { type Calibration, calibrate } from "./calibration";
import type { Frame } from "./frame";
import type { MeasurementKind, Statistics, Vec2, Vec3 } from "./manifest";
import {
  frameAxes,
  framePixelSpacing,
  framePosition,
  frameRescale,
  frameUnit,
  type Stack,
  type StackFrame,
} from "./stack";
import { add, scale } from "./vectors";

/**
 * Points of each kind, in picture pixels: length: both ends; angle: an arm's end, the vertex, the
 * other arm's end; ellipse and rectangle: two opposite corners of the box, parallel to the picture;
 * probe: the pixel; arrow: the tip, then the text's end.
 */
export const POINT_COUNT: Record<MeasurementKind, number> = {
  length: 2,
  angle: 3,
  ellipse: 2,
  rectangle: 2,
  probe: 1,
  arrow: 2,
};

export interface Result {
  value: number | null;
  unit: string | null;
  unit_source: string;
  note: string | null;
  statistics: Statistics | null;
}

export function distance(a: Vec2, b: Vec2, calibration: Calibration): number {
  const [width, height] = calibration.pixelSize;
  return Math.hypot((b[0] - a[0]) * width, (b[1] - a[1]) * height);
}

/** Angle at `vertex` in degrees, 0 to 180; pixels that are not square are taken into account. */
export function angle(one: Vec2, vertex: Vec2, other: Vec2, pixelSize: Vec2): number {
  const ax = (one[0] - vertex[0]) * pixelSize[0];
  const ay = (one[1] - vertex[1]) * pixelSize[1];
  const bx = (other[0] - vertex[0]) * pixelSize[0];
  const by = (other[1] - vertex[1]) * pixelSize[1];
  return (Math.abs(Math.atan2(ax * by - ay * bx, ax * bx + ay * by)) * 180) / Math.PI;
}

interface Box {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

export function boxOf(a: Vec2, b: Vec2): Box {
  return {
    left: Math.min(a[0], b[0]),
    right: Math.max(a[0], b[0]),
    top: Math.min(a[1], b[1]),
    bottom: Math.max(a[1], b[1]),
  };
}

/**
 * Statistics of the modality values of all pixels whose centre lies in the shape (its edge
 * included). The deviation is of these pixels themselves (divided by their count). Null where no
 * pixel centre lies inside, or where the picture is in colour.
 */
export function roiStatistics(
  pixels: Frame,
  kind: "ellipse" | "rectangle",
  box: Box,
  rescale: { slope: number; intercept: number },
): Pick<Statistics, "mean" | "sd" | "min" | "max" | "count"> | null {
  if (pixels.samples !== 1) {
    return null;
  }
  const cx = (box.left + box.right) / 2;
  const cy = (box.top + box.bottom) / 2;
  const rx = (box.right - box.left) / 2;
  const ry = (box.bottom - box.top) / 2;
  const firstRow = Math.max(0, Math.ceil(box.top));
  const lastRow = Math.min(pixels.rows - 1, Math.floor(box.bottom));
  const tally = new Tally();
  for (let row = firstRow; row <= lastRow; row++) {
    let left = box.left;
    let right = box.right;
    if (kind === "ellipse") {
      if (rx === 0 || ry === 0) {
        return null;
      }
      const half = rx * Math.sqrt(Math.max(0, 1 - ((row - cy) / ry) ** 2));
      left = cx - half;
      right = cx + half;
    }
    const lastColumn = Math.min(pixels.columns - 1, Math.floor(right));
    const start = row * pixels.columns;
    for (let column = Math.max(0, Math.ceil(left)); column <= lastColumn; column++) {
      tally.take((pixels.data[start + column] as number) * rescale.slope + rescale.intercept);
    }
  }
  return tally.result();
}

/** Welford's running mean and deviation: exact enough for any number of pixels. */
class Tally {
  private count = 0;
  private mean = 0;
  private squares = 0;
  private min = Number.POSITIVE_INFINITY;
  private max = Number.NEGATIVE_INFINITY;

  take(value: number): void {
    this.count += 1;
    const delta = value - this.mean;
    this.mean += delta / this.count;
    this.squares += delta * (value - this.mean);
    this.min = Math.min(this.min, value);
    this.max = Math.max(this.max, value);
  }

  result(): Pick<Statistics, "mean" | "sd" | "min" | "max" | "count"> | null {
    return this.count === 0
      ? null
      : {
          mean: this.mean,
          sd: Math.sqrt(this.squares / this.count),
          min: this.min,
          max: this.max,
          count: this.count,
        };
  }
}

/** Modality value of the pixel nearest to `point`; null outside the picture or in colour. */
export function probeValue(
  pixels: Frame,
  point: Vec2,
  rescale: { slope: number; intercept: number },
): number | null {
  const column = Math.round(point[0]);
  const row = Math.round(point[1]);
  const inside = column >= 0 && row >= 0 && column < pixels.columns && row < pixels.rows;
  if (!inside || pixels.samples !== 1) {
    return null;
  }
  return (pixels.data[row * pixels.columns + column] as number) * rescale.slope + rescale.intercept;
}

/** Everything a measurement says, from its points and the exact pixels (null: not loaded yet). */
export function evaluate(
  kind: MeasurementKind,
  points: readonly Vec2[],
  stack: Stack,
  frame: StackFrame,
  pixels: Frame | null,
): Result {
  const calibration = calibrate(frame, points);
  const { unit, source: unit_source, note } = calibration;
  const [a, b, c] = points;
  const empty: Result = { value: null, unit: null, unit_source, note, statistics: null };
  if (!a) {
    return empty;
  }
  const rescale = frameRescale(frame);
  if (kind === "probe") {
    const value = pixels ? probeValue(pixels, a, rescale) : null;
    return { ...empty, value, unit: frameUnit(stack, frame), unit_source: "none", note: null };
  }
  if (kind === "arrow" || !b) {
    return { ...empty, unit_source: "none", note: null };
  }
  if (kind === "length") {
    return { ...empty, value: distance(a, b, calibration), unit };
  }
  if (kind === "angle") {
    const pixelSize = calibration.unit === "mm" ? calibration.pixelSize : shape(frame);
    return { ...empty, value: c ? angle(a, b, c, pixelSize) : null, unit: "deg" };
  }
  const box = boxOf(a, b);
  const [width, height] = calibration.pixelSize;
  const rectangle = (box.right - box.left) * width * (box.bottom - box.top) * height;
  const area = kind === "rectangle" ? rectangle : (rectangle * Math.PI) / 4;
  const found = pixels ? roiStatistics(pixels, kind, box, rescale) : null;
  return {
    ...empty,
    value: area,
    unit: `${unit}2`,
    statistics: found && {
      ...found,
      area,
      area_unit: `${unit}2`,
      unit: frameUnit(stack, frame),
    },
  };
}

/** Relative pixel size, for angles in pictures that know their aspect but no millimetres. */
function shape(frame: StackFrame): Vec2 {
  const ratio = frame.image.PixelAspectRatio;
  return ratio && ratio[0] > 0 && ratio[1] > 0 ? [ratio[1], ratio[0]] : [1, 1];
}

/** Patient coordinates (LPS, mm) of picture points, PS3.3 C.7.6.2.1.1; null without geometry. */
export function toPatient(frame: StackFrame, points: readonly Vec2[]): Vec3[] | null {
  const axes = frameAxes(frame);
  const origin = framePosition(frame);
  const spacing = framePixelSpacing(frame);
  if (!axes || !origin || !spacing) {
    return null;
  }
  return points.map(([column, row]) =>
    add(add(origin, scale(axes.row, column * spacing[1])), scale(axes.column, row * spacing[0])),
  );
}
