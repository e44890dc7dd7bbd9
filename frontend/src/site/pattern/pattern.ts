/** A rectangle in device pixels, filled with one grey value of 8 bits. */
export interface Rect {
  x: number;
  y: number;
  width: number;
  height: number;
  grey: number;
}

/** Where a part of the pattern lies, for those who check what was drawn. */
export interface Part extends Rect {
  name: string;
}

export interface Pattern {
  rects: Rect[];
  parts: Part[];
}

/** The pattern's grid, as in SMPTE RP 133 and AAPM TG18-QC: everything stands on its squares. */
const SQUARES = 32;
const MIDDLE = 128;
const STEPS = 18;
const DIFFERENCES = 10;
const PERCENT_5 = 13;
const PERCENT_95 = 242;

/** Collects rectangles on the grid; every edge lies between two device pixels. */
class Sheet {
  readonly rects: Rect[] = [];
  readonly parts: Part[] = [];

  constructor(
    private readonly left: number,
    private readonly top: number,
    private readonly unit: number,
  ) {}

  /** Fills squares of the grid; half squares are cut to whole pixels. */
  fill(x: number, y: number, width: number, height: number, grey: number, name?: string): Rect {
    const at = (value: number): number => Math.floor(value * this.unit);
    const rect = {
      x: this.left + at(x),
      y: this.top + at(y),
      width: at(x + width) - at(x),
      height: at(y + height) - at(y),
      grey,
    };
    this.rects.push(rect);
    if (name !== undefined) {
      this.parts.push({ ...rect, name });
    }
    return rect;
  }
}

/** Greys from black to white in equal steps of the display's values; 0 and 255 among them. */
export function greySteps(): number[] {
  return Array.from({ length: STEPS }, (_, index) => Math.round((index * 255) / (STEPS - 1)));
}

/** The whole pattern for a canvas of so many device pixels. */
export function testPattern(width: number, height: number): Pattern {
  const unit = Math.max(2, Math.floor(Math.min(width, height) / SQUARES));
  const left = Math.floor((width - SQUARES * unit) / 2);
  const top = Math.floor((height - SQUARES * unit) / 2);
  const sheet = new Sheet(left, top, unit);
  sheet.rects.push({ x: 0, y: 0, width, height, grey: MIDDLE });
  edges(sheet, width, height);
  grid(sheet, width, height, { left, top, unit });
  greys(sheet);
  contrasts(sheet, 1, 0, 1, "dark");
  contrasts(sheet, 8, MIDDLE, 1, "middle");
  contrasts(sheet, 21, 255, -1, "bright");
  extremes(sheet);
  linePairs(sheet);
  ramp(sheet);
  return { rects: sheet.rects, parts: sheet.parts };
}

/** One grey over the whole canvas: spots, edges and stripes of the display show on it. */
export function evenField(width: number, height: number, percent: number): Pattern {
  const grey = Math.round((percent / 100) * 255);
  const rect = { x: 0, y: 0, width, height, grey };
  return { rects: [rect], parts: [{ ...rect, name: `even ${percent}` }] };
}

/** A white line of one pixel along the canvas' edges: all four are to be seen. */
function edges({ rects }: Sheet, width: number, height: number): void {
  rects.push(
    { x: 0, y: 0, width, height: 1, grey: 255 },
    { x: 0, y: height - 1, width, height: 1, grey: 255 },
    { x: 0, y: 0, width: 1, height, grey: 255 },
    { x: width - 1, y: 0, width: 1, height, grey: 255 },
  );
}

/** Lines of one pixel around squares: they are to look square, and everywhere alike. */
function grid(
  { rects }: Sheet,
  width: number,
  height: number,
  { left, top, unit }: { left: number; top: number; unit: number },
): void {
  const step = 4 * unit;
  for (let x = left % step; x < width; x += step) {
    rects.push({ x, y: 0, width: 1, height, grey: 191 });
  }
  for (let y = top % step; y < height; y += step) {
    rects.push({ x: 0, y, width, height: 1, grey: 191 });
  }
}

/** Patches from black to white, each with a corner a little darker and one a little brighter. */
function greys(sheet: Sheet): void {
  greySteps().forEach((grey, index) => {
    const x = 2.5 + (index % 9) * 3;
    const y = index < 9 ? 4 : 17;
    sheet.fill(x, y, 3, 3, grey, `grey ${index}`);
    sheet.fill(x, y, 0.75, 0.75, Math.min(255, grey + 4));
    sheet.fill(x + 2.25, y + 2.25, 0.75, 0.75, Math.max(0, grey - 4));
  });
}

/** Squares that differ from what is around them by 1, 2, 3 ... of 255. */
function contrasts(sheet: Sheet, y: number, around: number, sign: 1 | -1, name: string): void {
  sheet.fill(6, y, 20, 2, around, name);
  for (let difference = 1; difference <= DIFFERENCES; difference++) {
    const x = 6.5 + (difference - 1) * 2;
    sheet.fill(x, y + 0.5, 1, 1, around + sign * difference, `${name} ${difference}`);
  }
}

/** 5 % on black and 95 % on white: both inner squares are to be seen. */
function extremes(sheet: Sheet): void {
  sheet.fill(4, 11.5, 4, 4, 0, "0 %");
  sheet.fill(5, 12.5, 2, 2, PERCENT_5, "5 %");
  sheet.fill(24, 11.5, 4, 4, 255, "100 %");
  sheet.fill(25, 12.5, 2, 2, PERCENT_95, "95 %");
}

/** Black and white lines of one pixel and of two, upright and level, in the middle and corners. */
function linePairs(sheet: Sheet): void {
  const places = [
    [10, 12, 1],
    [18, 12, 2],
    [1, 1, 1],
    [27, 1, 1],
    [1, 29, 1],
    [27, 29, 1],
  ] as const;
  for (const [x, y, thickness] of places) {
    lines(sheet, x, y, thickness, "upright");
    lines(sheet, x + 2, y, thickness, "level");
  }
}

function lines(
  sheet: Sheet,
  x: number,
  y: number,
  thickness: number,
  direction: "upright" | "level",
): void {
  const box = sheet.fill(x, y, 1.75, 2, 0, `lines ${direction} ${thickness} at ${x},${y}`);
  const length = direction === "upright" ? box.width : box.height;
  for (let at = 0; at < length; at += 2 * thickness) {
    const thick = Math.min(thickness, length - at);
    sheet.rects.push(
      direction === "upright"
        ? { ...box, x: box.x + at, width: thick, grey: 255 }
        : { ...box, y: box.y + at, height: thick, grey: 255 },
    );
  }
}

/** All 256 greys side by side: no step of it may stand out, and no band may be missing. */
function ramp(sheet: Sheet): void {
  const box = sheet.fill(2, 25, 28, 2.5, MIDDLE);
  const each = Math.max(1, Math.floor(box.width / 256));
  const start = box.x + Math.floor((box.width - each * 256) / 2);
  for (let grey = 0; grey < 256; grey++) {
    sheet.rects.push({ ...box, x: start + grey * each, width: each, grey });
  }
  sheet.parts.push({ ...box, x: start, width: each * 256, name: "ramp" });
}
