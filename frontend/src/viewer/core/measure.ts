import { type Calibration, calibrate, pixelAspect } from "./calibration";
import type { Frame } from "./frame";
import type { MeasurementKind, Statistics, Vec2, Vec3 } from "./manifest";
import { eachPixelWithin, OUTLINES, outlineArea, outlineOf, REGIONS } from "./outline";
import { quantityOf, toldRescale, toldUnit } from "./quantity";
import { slabText } from "./reformat";
import { frameAxes, framePixelSpacing, framePosition, type Stack, type StackFrame } from "./stack";
import { add, scale } from "./vectors";

/**
 * Points of each kind, in picture pixels: length, height, profile and calibration: both ends; angle:
 * an arm's end, the vertex, the other arm's end; ellipse and rectangle: two opposite corners of the
 * box, parallel to the picture; circle: the middle and a point of the edge; bidirectional: both ends
 * of the long axis, then of the short one; Cobb: both ends of one line, then of the other; probe and
 * text: the place; arrow: the tip, then the text's end. Outlines have as many as they need (0 here).
 */
export const POINT_COUNT: Record<MeasurementKind, number> = {
  length: 2,
  angle: 3,
  ellipse: 2,
  rectangle: 2,
  circle: 2,
  freehand: 0,
  spline: 0,
  livewire: 0,
  bidirectional: 4,
  cobb: 4,
  height: 2,
  profile: 2,
  probe: 1,
  calibration: 2,
  arrow: 2,
  text: 1,
};

export interface Result {
  value: number | null;
  second_value: number | null;
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
  const tally = new Tally();
  eachPixelInBox(pixels, kind, box, (offset) =>
    tally.take((pixels.data[offset] as number) * rescale.slope + rescale.intercept),
  );
  return tally.result();
}

/** Calls for the offset of each pixel whose centre lies in the shape. */
function eachPixelInBox(
  { rows, columns }: Frame,
  kind: "ellipse" | "rectangle",
  box: Box,
  call: (offset: number) => void,
): void {
  const cx = (box.left + box.right) / 2;
  const cy = (box.top + box.bottom) / 2;
  const rx = (box.right - box.left) / 2;
  const ry = (box.bottom - box.top) / 2;
  if (kind === "ellipse" && (rx === 0 || ry === 0)) {
    return;
  }
  const firstRow = Math.max(0, Math.ceil(box.top));
  const lastRow = Math.min(rows - 1, Math.floor(box.bottom));
  for (let row = firstRow; row <= lastRow; row++) {
    let left = box.left;
    let right = box.right;
    if (kind === "ellipse") {
      const half = rx * Math.sqrt(Math.max(0, 1 - ((row - cy) / ry) ** 2));
      left = cx - half;
      right = cx + half;
    }
    const lastColumn = Math.min(columns - 1, Math.floor(right));
    for (let column = Math.max(0, Math.ceil(left)); column <= lastColumn; column++) {
      call(row * columns + column);
    }
  }
}

/** Offsets of the pixels of a region. */
export function regionOffsets(
  kind: MeasurementKind,
  points: readonly Vec2[],
  frame: StackFrame,
  pixels: Frame,
): number[] {
  const [a, b] = points;
  const found: number[] = [];
  const take = (offset: number): void => {
    found.push(offset);
  };
  if (OUTLINES.has(kind)) {
    eachPixelWithin(outlineOf(kind, points), pixels, take);
  } else if (a && b) {
    const box = kind === "circle" ? circleBox(a, b, shape(frame)) : boxOf(a, b);
    eachPixelInBox(pixels, kind === "rectangle" ? kind : "ellipse", box, take);
  }
  return found;
}

/** Welford's running mean and deviation: exact enough for any number of pixels. */
class Tally {
  private count = 0;
  private mean = 0;
  private squares = 0;
  private min = Number.POSITIVE_INFINITY;
  private max = Number.NEGATIVE_INFINITY;

  take(value: number): void {
    // Outside of a volume there is no value.
    if (Number.isNaN(value)) {
      return;
    }
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
  const value =
    (pixels.data[row * pixels.columns + column] as number) * rescale.slope + rescale.intercept;
  return Number.isNaN(value) ? null : value;
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
  const { unit, note } = calibration;
  const quantity = quantityOf(stack);
  const holdsValues = kind === "probe" || kind === "profile" || REGIONS.has(kind);
  const slab = holdsValues && stack.reformat ? slabText(stack.reformat.slab) : null;
  const sources = [slab, quantity && holdsValues ? `SUV by ${quantity.origin}` : null];
  const values_source = sources.filter(Boolean).join("; ");
  const place = placeSource(stack, calibration, slab);
  const unit_source = values_source ? `${place}; ${values_source}` : place;
  const [a, b, c, d] = points;
  const empty: Result = {
    value: null,
    second_value: null,
    unit: null,
    unit_source,
    note,
    statistics: null,
  };
  if (!a) {
    return empty;
  }
  const rescale = toldRescale(stack, frame);
  if (kind === "probe") {
    const value = pixels ? probeValue(pixels, a, rescale) : null;
    const source = values_source || "none";
    return { ...empty, value, unit: toldUnit(stack, frame), unit_source: source, note: null };
  }
  if (kind === "arrow" || kind === "text" || !b) {
    return { ...empty, unit_source: "none", note: null };
  }
  const pixelSize = calibration.unit === "mm" ? calibration.pixelSize : shape(frame);
  switch (kind) {
    case "length":
      return { ...empty, value: distance(a, b, calibration), unit };
    case "height":
      return { ...empty, value: Math.abs(b[1] - a[1]) * calibration.pixelSize[1], unit };
    case "angle":
      return { ...empty, value: c ? angle(a, b, c, pixelSize) : null, unit: "deg" };
    case "cobb": {
      const value = c && d ? lineAngle(a, b, c, d, pixelSize) : null;
      return { ...empty, value, unit: "deg" };
    }
    case "bidirectional": {
      const second_value = c && d ? distance(c, d, calibration) : null;
      return { ...empty, value: distance(a, b, calibration), second_value, unit };
    }
    case "calibration":
      return { ...empty, unit: "mm", unit_source: "given by hand" };
    case "profile": {
      const values = pixels ? profileValues(pixels, a, b, rescale) : [];
      const tally = new Tally();
      for (const value of values) {
        tally.take(value);
      }
      const found = tally.result();
      const about = { area: null, area_unit: null, unit: toldUnit(stack, frame) };
      const statistics = found && { ...found, ...about };
      return { ...empty, value: distance(a, b, calibration), unit, statistics };
    }
    default:
      return { ...empty, ...region(kind, points, stack, frame, pixels, calibration) };
  }
}

/** Where millimetres come from; the server keeps 64 characters, those of the values included. */
function placeSource(stack: Stack, { source }: Calibration, slab: string | null): string {
  if (!stack.reformat) {
    return source;
  }
  return slab ? `${source} of the slices` : `${source} of the slices and their positions`;
}

/** Area and statistics of a region. */
function region(
  kind: MeasurementKind,
  points: readonly Vec2[],
  stack: Stack,
  frame: StackFrame,
  pixels: Frame | null,
  { pixelSize: [width, height], unit }: Calibration,
): Pick<Result, "value" | "unit" | "statistics"> {
  const [a, b] = points as [Vec2, Vec2];
  const rescale = toldRescale(stack, frame);
  let area: number;
  let found: ReturnType<Tally["result"]> = null;
  if (OUTLINES.has(kind)) {
    const corners = outlineOf(kind, points);
    area = outlineArea(corners) * width * height;
    found = pixels && outlineStatistics(pixels, corners, rescale);
  } else {
    const box = kind === "circle" ? circleBox(a, b, shape(frame)) : boxOf(a, b);
    const rectangle = (box.right - box.left) * width * (box.bottom - box.top) * height;
    area = kind === "rectangle" ? rectangle : (rectangle * Math.PI) / 4;
    found = pixels && roiStatistics(pixels, kind === "rectangle" ? kind : "ellipse", box, rescale);
  }
  return {
    value: area,
    unit: `${unit}2`,
    statistics: found && {
      ...found,
      area,
      area_unit: `${unit}2`,
      unit: toldUnit(stack, frame),
    },
  };
}

/** The box of a circle about `middle` through `edge`; pixels need not be square. */
export function circleBox(middle: Vec2, edge: Vec2, [width, height]: Vec2): Box {
  const radius = Math.hypot((edge[0] - middle[0]) * width, (edge[1] - middle[1]) * height);
  return {
    left: middle[0] - radius / width,
    right: middle[0] + radius / width,
    top: middle[1] - radius / height,
    bottom: middle[1] + radius / height,
  };
}

/** Angle between two lines, whatever the direction they were drawn in: 0 to 90 degrees. */
export function lineAngle(a: Vec2, b: Vec2, c: Vec2, d: Vec2, pixelSize: Vec2): number {
  const moved: Vec2 = [a[0] + d[0] - c[0], a[1] + d[1] - c[1]];
  const between = angle(b, a, moved, pixelSize);
  return Math.min(between, 180 - between);
}

/** Ends of the short axis that a long one is given first: half as long, across its middle. */
export function shortAxis(a: Vec2, b: Vec2, [width, height]: Vec2): [Vec2, Vec2] {
  const middle: Vec2 = [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
  const across: Vec2 = [
    (-(b[1] - a[1]) * height) / width / 4,
    ((b[0] - a[0]) * width) / height / 4,
  ];
  return [
    [middle[0] - across[0], middle[1] - across[1]],
    [middle[0] + across[0], middle[1] + across[1]],
  ];
}

/** Modality values along a line, one about every pixel, bilinear; both ends included. */
export function profileValues(
  pixels: Frame,
  a: Vec2,
  b: Vec2,
  rescale: { slope: number; intercept: number },
): number[] {
  if (pixels.samples !== 1) {
    return [];
  }
  const { data, columns, rows } = pixels;
  const count = Math.max(1, Math.round(Math.hypot(b[0] - a[0], b[1] - a[1])));
  return Array.from({ length: count + 1 }, (_, index) => {
    const x = Math.min(Math.max(a[0] + ((b[0] - a[0]) * index) / count, 0), columns - 1);
    const y = Math.min(Math.max(a[1] + ((b[1] - a[1]) * index) / count, 0), rows - 1);
    const [x0, y0] = [Math.floor(x), Math.floor(y)];
    const [x1, y1] = [Math.min(x0 + 1, columns - 1), Math.min(y0 + 1, rows - 1)];
    const at = (column: number, row: number): number => data[row * columns + column] as number;
    const top = at(x0, y0) * (1 - x + x0) + at(x1, y0) * (x - x0);
    const bottom = at(x0, y1) * (1 - x + x0) + at(x1, y1) * (x - x0);
    return (top * (1 - y + y0) + bottom * (y - y0)) * rescale.slope + rescale.intercept;
  });
}

function outlineStatistics(
  pixels: Frame,
  corners: readonly Vec2[],
  rescale: { slope: number; intercept: number },
): ReturnType<Tally["result"]> {
  if (pixels.samples !== 1) {
    return null;
  }
  const tally = new Tally();
  eachPixelWithin(corners, pixels, (offset) =>
    tally.take((pixels.data[offset] as number) * rescale.slope + rescale.intercept),
  );
  return tally.result();
}

/** Relative pixel size, for angles in pictures that know their aspect but no millimetres. */
function shape(frame: StackFrame): Vec2 {
  return [1, pixelAspect(frame)];
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
