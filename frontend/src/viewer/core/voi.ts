import { t } from "../../i18n";
import type { Colors } from "./colors";
import type { Frame, PixelArray } from "./frame";
import { type LookupTable, tableLevel } from "./lut";
import { frameRescale, isColor, type Rescale, type StackFrame } from "./stack";

export type VoiFunction = "LINEAR" | "LINEAR_EXACT" | "SIGMOID";

/** A window in modality units (HU for CT). */
export interface Window {
  center: number;
  width: number;
  function: VoiFunction;
  /** Which of the file's VOI LUTs stands in the place of the function, from 0. */
  lut?: number;
  /** That table, where pictures are drawn with it. */
  table?: LookupTable;
}

/** Maps 8-bit colour samples to themselves. */
export const COLOR_WINDOW: Window = { center: 127.5, width: 255, function: "LINEAR_EXACT" };

function voiFunction(name: string | null): VoiFunction {
  return name === "LINEAR_EXACT" || name === "SIGMOID" ? name : "LINEAR";
}

/** Grey level 0 to 255 of a modality value (PS3.3 C.11.2.1.2 and C.11.2.1.3). */
export function displayLevel(value: number, window: Window): number {
  const { center, width } = window;
  if (window.table) {
    return tableLevel(value, window.table);
  }
  if (window.function === "SIGMOID") {
    return 255 / (1 + Math.exp((-4 * (value - center)) / width));
  }
  // The standard's LINEAR needs a width of at least 1; narrower windows occur with float pixels.
  if (window.function === "LINEAR" && width >= 1) {
    if (value <= center - 0.5 - (width - 1) / 2) {
      return 0;
    }
    if (value > center - 0.5 + (width - 1) / 2) {
      return 255;
    }
    return ((value - (center - 0.5)) / (width - 1) + 0.5) * 255;
  }
  if (value <= center - width / 2) {
    return 0;
  }
  return value > center + width / 2 ? 255 : ((value - center) / width + 0.5) * 255;
}

function usable(center: number | undefined, width: number | undefined): boolean {
  return (
    center !== undefined &&
    width !== undefined &&
    Number.isFinite(center) &&
    Number.isFinite(width) &&
    width > 0
  );
}

export interface NamedWindow {
  name: string;
  window: Window;
}

/** The windows that the file itself carries, with the file's explanations as names. */
export function fileWindows(frame: StackFrame): NamedWindow[] {
  const centers = frame.facts?.WindowCenter ?? frame.image.WindowCenter ?? [];
  const widths = frame.facts?.WindowWidth ?? frame.image.WindowWidth ?? [];
  const names = frame.image.WindowCenterWidthExplanation ?? [];
  const found: NamedWindow[] = [];
  for (let i = 0; i < Math.min(centers.length, widths.length); i++) {
    const center = centers[i];
    const width = widths[i];
    if (center !== undefined && width !== undefined && usable(center, width)) {
      const isRepeated = found.some(
        ({ window }) => window.center === center && window.width === width,
      );
      if (isRepeated) {
        continue;
      }
      const name = names[i]?.trim();
      found.push({
        name: name || (centers.length > 1 ? t("File window {i}", { i: i + 1 }) : t("File window")),
        window: { center, width, function: voiFunction(frame.image.VOILUTFunction) },
      });
    }
  }
  return found;
}

/** The VOI LUTs that the file itself carries, each as the window of its inputs. */
export function fileTables({ image }: StackFrame): NamedWindow[] {
  const all = image.VOILUTSequence ?? [];
  return all.map(({ LUTExplanation, LUTDescriptor: [count, first] }, lut) => ({
    name:
      LUTExplanation?.trim() ||
      (all.length > 1 ? t("File VOI LUT {number}", { number: lut + 1 }) : t("File VOI LUT")),
    window: { center: first + (count - 1) / 2, width: count, function: "LINEAR_EXACT", lut },
  }));
}

/** The choice of a window or table, without the table's values: what is kept, and passed on. */
export function withoutValues({ table: _, ...choice }: Window): Window {
  return choice;
}

/** The same values from black to white on a straight line: what numbers and drags start from. */
export function withoutTable({ center, width, ...rest }: Window): Window {
  const isTable = rest.lut !== undefined;
  return { center, width, function: isTable ? "LINEAR_EXACT" : rest.function };
}

/** The whole range of the frame in modality units, pixel padding left out. */
export function fullRangeWindow(frame: StackFrame, pixels: Frame): Window {
  const { slope, intercept } = frameRescale(frame);
  let { min, max } = pixels;
  const padding = frame.image.PixelPaddingValue;
  if (padding !== null && (padding === min || padding === max) && min !== max) {
    ({ min, max } = rangeWithout(pixels, padding));
  }
  const low = Math.min(min * slope + intercept, max * slope + intercept);
  const high = Math.max(min * slope + intercept, max * slope + intercept);
  return { center: (low + high) / 2, width: high - low || 1, function: "LINEAR_EXACT" };
}

interface Box {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

/** From the lowest to the highest value of the pixels in a box, padding left out; null without any. */
export function windowOfBox(pixels: Frame, box: Box, frame: StackFrame): Window | null {
  const { data, columns, rows, samples } = pixels;
  if (samples !== 1) {
    return null;
  }
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  for (let r = Math.max(Math.ceil(box.top), 0); r <= Math.min(box.bottom, rows - 1); r++) {
    for (let c = Math.max(Math.ceil(box.left), 0); c <= Math.min(box.right, columns - 1); c++) {
      const value = data[r * columns + c] as number;
      if (!Number.isNaN(value) && value !== frame.image.PixelPaddingValue) {
        min = Math.min(min, value);
        max = Math.max(max, value);
      }
    }
  }
  if (min >= max) {
    return null;
  }
  const { slope, intercept } = frameRescale(frame);
  return {
    center: ((min + max) / 2) * slope + intercept,
    width: (max - min) * Math.abs(slope),
    function: "LINEAR_EXACT",
  };
}

function rangeWithout(pixels: Frame, padding: number): { min: number; max: number } {
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  for (const value of pixels.data) {
    if (value !== padding) {
      min = Math.min(min, value);
      max = Math.max(max, value);
    }
  }
  return min <= max ? { min, max } : { min: pixels.min, max: pixels.max };
}

/** Dragging right widens, dragging down raises the centre; steps follow the present width. */
export function dragWindow(window: Window, dx: number, dy: number, isInteger: boolean): Window {
  const step = Math.max(window.width / 250, isInteger ? 0.25 : 0);
  const smallest = isInteger ? 1 : Number.MIN_VALUE * 2 ** 60;
  const round = (value: number): number => (isInteger ? Math.round(value * 10) / 10 : value);
  return {
    ...withoutTable(window),
    width: round(Math.max(window.width + dx * step, smallest)),
    center: round(window.center + dy * step),
  };
}

/**
 * Table from stored values `min..max` to opaque RGBA words of a little-endian canvas. One table
 * look-up a pixel is what keeps a window step on the processor below a frame's time.
 */
export function buildTable(
  min: number,
  max: number,
  rescale: Rescale,
  window: Window,
  inverted: boolean,
  colors: Colors | null = null,
): Uint32Array<ArrayBuffer> {
  const table = new Uint32Array(max - min + 1);
  for (let i = 0; i < table.length; i++) {
    const level = displayLevel((i + min) * rescale.slope + rescale.intercept, window);
    table[i] = shade(level, inverted, colors);
  }
  return table;
}

function shade(level: number, inverted: boolean, colors: Colors | null): number {
  const rounded = Math.round(inverted ? 255 - level : level);
  if (colors) {
    return colors[rounded] as number;
  }
  return (0xff000000 | (rounded << 16) | (rounded << 8) | rounded) >>> 0;
}

/** What is laid over a picture: values at each of its pixels, NaN where there are none. */
export interface Overlay {
  data: Float32Array;
  /** In the overlay's own modality units. */
  window: Window;
  colors: Colors;
  /** 0: the picture alone, 1: the overlay alone. */
  opacity: number;
}

export interface Rendering {
  rescale: Rescale;
  window: Window;
  inverted: boolean;
  /** Colours in the place of grey levels. */
  colors?: Colors | null;
  /** What is laid over the picture. */
  overlay?: Overlay | null;
}

/**
 * MONOCHROME1 shows its lowest value white; Presentation LUT Shape INVERSE says the same thing
 * (PS3.3 C.11.6.1). `chosen` is the person's own inversion on top of it.
 */
export function isInverted({ image }: StackFrame, chosen: boolean): boolean {
  const isNegative =
    image.PhotometricInterpretation === "MONOCHROME1" || image.PresentationLUTShape === "INVERSE";
  return isNegative !== chosen;
}

export function renderingOf(frame: StackFrame, window: Window, chosenInvert: boolean): Rendering {
  return {
    rescale: isColor(frame) ? { slope: 1, intercept: 0 } : frameRescale(frame),
    window,
    inverted: isInverted(frame, chosenInvert),
  };
}

/** Tables longer than this cost more than computing the level of each pixel. */
const LONGEST_TABLE = 1 << 17;

/** Paints a frame as RGBA words; `out` holds rows x columns words. */
export function paint(pixels: Frame, rendering: Rendering, out: Uint32Array): void {
  const { rescale, window, inverted, colors = null } = rendering;
  const { data, min, max } = pixels;
  const isWhole = !(data instanceof Float32Array || data instanceof Float64Array);
  if (pixels.samples === 3) {
    paintColor(pixels, buildTable(0, 255, rescale, window, inverted), out);
  } else if (isWhole && max - min < LONGEST_TABLE) {
    const table = buildTable(min, max, rescale, window, inverted, colors);
    for (let i = 0; i < out.length; i++) {
      out[i] = table[(data[i] as number) - min] as number;
    }
  } else if (window.table || window.function === "SIGMOID") {
    for (let i = 0; i < out.length; i++) {
      const value = (data[i] as number) * rescale.slope + rescale.intercept;
      out[i] = shade(displayLevel(value, window), inverted, colors);
    }
  } else {
    paintRamp(data, rendering, out);
  }
}

/** `displayLevel` of a straight ramp, for pixels without a table: reformatted ones among them. */
function paintRamp(data: PixelArray, rendering: Rendering, out: Uint32Array): void {
  const { rescale, window, inverted, colors = null } = rendering;
  const { slope, intercept } = rescale;
  const isLinear = window.function === "LINEAR" && window.width >= 1;
  const middle = isLinear ? window.center - 0.5 : window.center;
  const width = isLinear ? window.width - 1 : window.width;
  const low = middle - width / 2;
  const high = middle + width / 2;
  const shades = Uint32Array.from({ length: 256 }, (_, level) => shade(level, false, colors));
  const nothing = shade(0, false, null);
  const lowest = inverted ? 255 : 0;
  const highest = 255 - lowest;
  // Half a level more, so that cutting rounds.
  const perValue = (inverted ? -255 : 255) / width;
  const gain = slope * perValue;
  const offset = (intercept - middle) * perValue + 127.5 + 0.5;
  for (let i = 0; i < out.length; i++) {
    const stored = data[i] as number;
    const value = stored * slope + intercept;
    const level = value <= low ? lowest : value > high ? highest : stored * gain + offset;
    // No value at all (beyond a volume's edge) is black either way.
    out[i] = level >= 0 ? (shades[level | 0] as number) : nothing;
  }
}

function paintColor(pixels: Frame, table: Uint32Array, out: Uint32Array): void {
  const { data } = pixels;
  for (let i = 0, j = 0; i < out.length; i++, j += 3) {
    const red = (table[data[j] as number] as number) & 0xff;
    const green = (table[data[j + 1] as number] as number) & 0xff;
    const blue = (table[data[j + 2] as number] as number) & 0xff;
    out[i] = (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0;
  }
}

/** True when window steps of less than one unit make no sense for the pixels. */
export function hasWholeValues(frame: StackFrame, pixels: Frame): boolean {
  const { slope } = frameRescale(frame);
  return (pixels.max - pixels.min) * Math.abs(slope) > 16;
}
