import { describe, expect, it } from "vitest";
import { apply, invert } from "../../src/viewer/core/affine";
import {
  fitScale,
  INITIAL_VIEW,
  imageToScreen,
  oneToOne,
  type PictureSize,
  screenToImage,
  seenRegion,
  shownZoom,
  type Turn,
  trueSize,
  turn,
  type View,
  zoomAt,
} from "../../src/viewer/core/view";

const PICTURE: PictureSize = { columns: 100, rows: 50, pixelAspect: 1 };
const VIEWPORT = { width: 400, height: 300 };

function turned(...by: Turn[]): View {
  return by.reduce((view, one) => turn(view, one), INITIAL_VIEW);
}

/** Where a picture point lies on the screen. */
function at(view: View, column: number, row: number, picture = PICTURE): number[] {
  return [...apply(imageToScreen(view, picture, VIEWPORT), [column, row])].map(
    (value) => Math.round(value * 1000) / 1000,
  );
}

describe("the view transform", () => {
  it("fits the whole picture, centred", () => {
    // 100 columns on 400 pixels: 4 a column; the picture's own edges lie half a pixel outside its centres.
    expect(at(INITIAL_VIEW, -0.5, -0.5)).toEqual([0, 50]);
    expect(at(INITIAL_VIEW, 99.5, 49.5)).toEqual([400, 250]);
  });

  it("draws pixels that are twice as high as wide twice as high", () => {
    const tall = { ...PICTURE, pixelAspect: 2 };
    expect(fitScale(tall, VIEWPORT, INITIAL_VIEW.orientation)).toBe(3);
    const [, top] = at(INITIAL_VIEW, 0, 0, tall);
    const [, next] = at(INITIAL_VIEW, 0, 1, tall);
    expect((next as number) - (top as number)).toBeCloseTo(6);
  });

  it("turns right: what was at the upper edge comes to the right edge", () => {
    const [x, y] = at(turned("rotateRight"), 49.5, -0.5);
    expect(x).toBeGreaterThan(200);
    expect(y).toBe(150);
  });

  it("turns left: what was at the upper edge comes to the left edge", () => {
    const [x] = at(turned("rotateLeft"), 49.5, -0.5);
    expect(x).toBeLessThan(200);
  });

  it.each<[string, Turn[]]>([
    ["four right turns", ["rotateRight", "rotateRight", "rotateRight", "rotateRight"]],
    ["right then left", ["rotateRight", "rotateLeft"]],
    ["two horizontal flips", ["flipHorizontal", "flipHorizontal"]],
    [
      "both flips and half a turn",
      ["flipHorizontal", "flipVertical", "rotateRight", "rotateRight"],
    ],
  ])("%s change nothing", (_name, by) => {
    expect(turned(...by).orientation).toEqual(INITIAL_VIEW.orientation);
  });

  it("flips what is on the screen, also after a turn", () => {
    const before = at(turned("rotateRight"), 10, 10);
    const after = at(turned("rotateRight", "flipHorizontal"), 10, 10);
    expect(after[1]).toBe(before[1]);
    expect(after[0]).toBeCloseTo(400 - (before[0] as number));
  });

  it("turns the displacement with the picture", () => {
    const moved: View = { ...INITIAL_VIEW, pan: [30, 10] };
    expect(turn(moved, "rotateRight").pan).toEqual([-10, 30]);
    expect(turn(moved, "flipVertical").pan).toEqual([30, -10]);
  });

  it("keeps the point under the pointer while zooming", () => {
    const start = turn({ ...INITIAL_VIEW, pan: [13, -7] }, "rotateRight");
    const anchor = [120, 80] as const;
    const before = screenToImage(imageToScreen(start, PICTURE, VIEWPORT), anchor);
    const zoomed = zoomAt(start, 2.5, anchor, VIEWPORT);
    const after = screenToImage(imageToScreen(zoomed, PICTURE, VIEWPORT), anchor);
    expect(after[0]).toBeCloseTo(before[0]);
    expect(after[1]).toBeCloseTo(before[1]);
  });

  it("shows one column a device pixel at 1:1", () => {
    const view = oneToOne(INITIAL_VIEW, PICTURE, VIEWPORT, 2);
    expect(shownZoom(view, PICTURE, VIEWPORT)).toBeCloseTo(0.5);
  });

  it("inverts its transforms and refuses flat ones", () => {
    const matrix = imageToScreen(turned("rotateLeft", "flipVertical"), PICTURE, VIEWPORT);
    const [x, y] = apply(invert(matrix), apply(matrix, [12.25, 33.5]));
    expect(x).toBeCloseTo(12.25);
    expect(y).toBeCloseTo(33.5);
    expect(() => invert([1, 2, 2, 4, 0, 0])).toThrow(RangeError);
  });
});

describe("true size", () => {
  it("gives a picture column as much of the screen as it has of the patient", () => {
    // 0.5 mm a column at 4 CSS pixels a millimetre.
    const view = trueSize(turned("rotateLeft"), PICTURE, VIEWPORT, 0.5, 4);
    expect(shownZoom(view, PICTURE, VIEWPORT)).toBeCloseTo(2, 12);
    expect(view.pan).toEqual([0, 0]);
    const [x0 = 0, y0 = 0] = at(view, 0, 0);
    const [x1 = 0, y1 = 0] = at(view, 10, 0);
    expect(Math.hypot(x1 - x0, y1 - y0)).toBeCloseTo(20, 12);
  });
});

describe("what is seen of a picture", () => {
  it("is all of it when it fits, however large the viewport is", () => {
    expect(seenRegion(INITIAL_VIEW, PICTURE, VIEWPORT)).toBeNull();
    expect(seenRegion({ ...INITIAL_VIEW, zoom: 0.5 }, PICTURE, VIEWPORT)).toBeNull();
  });

  it("is the part within the viewport", () => {
    // 8 pixels a column: 50 columns by 37.5 rows about the middle.
    const region = seenRegion({ ...INITIAL_VIEW, zoom: 2 }, PICTURE, VIEWPORT);
    expect(region?.map((value) => Math.round(value * 100) / 100)).toEqual([25, 6.25, 50, 37.5]);
  });

  it("is cut off at the picture's edges when it is moved", () => {
    const region = seenRegion({ ...INITIAL_VIEW, pan: [200, 0] }, PICTURE, VIEWPORT);
    expect(region?.map(Math.round)).toEqual([0, 0, 50, 50]);
  });

  it("turns with the picture", () => {
    const view = { ...turned("rotateRight"), zoom: 4 };
    const [left, top, width, height] = seenRegion(view, PICTURE, VIEWPORT) ?? [];
    // Turned, 3 pixels a column at zoom 1: 12 now.
    expect(width).toBeCloseTo(300 / 12);
    expect(height).toBeCloseTo(400 / 12);
    expect([left, top].map((value) => Math.round((value as number) * 100) / 100)).toEqual([
      37.5, 8.33,
    ]);
  });

  it("is nothing to print when it has left the viewport", () => {
    expect(seenRegion({ ...INITIAL_VIEW, pan: [9000, 0] }, PICTURE, VIEWPORT)).toBeNull();
  });
});
