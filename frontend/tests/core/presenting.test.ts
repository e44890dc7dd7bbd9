import { describe, expect, it } from "vitest";
import { apply } from "../../src/viewer/core/affine";
import type { Vec2 } from "../../src/viewer/core/manifest";
import {
  lookOf,
  presentedView,
  type StateArea,
  type StateFacts,
  type StateLook,
} from "../../src/viewer/core/presenting";
import { imageToScreen } from "../../src/viewer/core/view";
import { frame } from "../factory";

const PICTURE = { columns: 100, rows: 80, pixelAspect: 1 };
const VIEWPORT = { width: 400, height: 300 };
const SCREEN = { devicePixelRatio: 2, pixelsPerMm: 4 };
/** 40 x 20 pixels, 10 from the left and 30 from above. */
const AREA: StateArea = {
  left: 10,
  top: 30,
  width: 40,
  height: 20,
  mode: "SCALE TO FIT",
  magnification: null,
  pixel_width_mm: null,
};

function look(facts: Partial<StateLook> = {}, area: Partial<StateArea> = {}): StateLook {
  return {
    SOPInstanceUID: "1.2.3",
    frame_numbers: [],
    window: null,
    invert: false,
    rotation: 0,
    is_flipped: false,
    area: { ...AREA, ...area },
    not_applied: [],
    ...facts,
  };
}

/** Where the corners of a box of pixels come to lie; its edges are half a pixel from their middles. */
function corners(
  said: StateLook,
  screen = SCREEN,
  picture = PICTURE,
): { at: Vec2[]; unmet: unknown } {
  const { view, unmet } = presentedView(said, picture, VIEWPORT, screen);
  const matrix = imageToScreen(view, picture, VIEWPORT);
  const ends: Vec2[] = [
    [9.5, 29.5],
    [49.5, 49.5],
  ];
  return { at: ends.map((end) => apply(matrix, end)), unmet };
}

const near = (points: readonly Vec2[]) => points.map((at) => at.map((v) => expect.closeTo(v, 6)));

describe("the view of a presentation state", () => {
  it("fits the area into the viewport, in the middle", () => {
    // Ten times: 400 x 200 of 400 x 300.
    expect(corners(look()).at).toEqual(
      near([
        [0, 50],
        [400, 250],
      ]),
    );
  });

  it("turns clockwise first and mirrors then", () => {
    // The upper left corner goes to the upper right one: 20 x 40 pixels at 7.5.
    expect(corners(look({ rotation: 90 })).at).toEqual(
      near([
        [275, 0],
        [125, 300],
      ]),
    );
    expect(corners(look({ rotation: 90, is_flipped: true })).at).toEqual(
      near([
        [125, 0],
        [275, 300],
      ]),
    );
    expect(corners(look({ rotation: 180 })).at[0]).toEqual(near([[400, 250]])[0]);
  });

  it("magnifies to device pixels and not to CSS pixels", () => {
    // Three device pixels are 1.5 CSS pixels: 60 x 30.
    const said = look({}, { mode: "MAGNIFY", magnification: 3 });
    expect(corners(said).at).toEqual(
      near([
        [170, 135],
        [230, 165],
      ]),
    );
  });

  it("is of true size on a screen of known size", () => {
    // Half a millimetre a pixel, four CSS pixels a millimetre: 80 x 40.
    const said = look({}, { mode: "TRUE SIZE", pixel_width_mm: 0.5 });
    const { at, unmet } = corners(said);
    expect(at).toEqual(
      near([
        [160, 130],
        [240, 170],
      ]),
    );
    expect(unmet).toBeNull();
  });

  it("is fitted, with the reason, where the true size cannot be known", () => {
    const fitted = corners(look()).at;
    const unknown = { ...SCREEN, pixelsPerMm: null };
    const said = look({}, { mode: "TRUE SIZE", pixel_width_mm: 0.5 });
    expect(corners(said, unknown as never)).toEqual({ at: fitted, unmet: "no-screen" });
    const without = look({}, { mode: "TRUE SIZE" });
    expect(corners(without)).toEqual({ at: fitted, unmet: "no-spacing" });
  });

  it("keeps the shape of pixels that are not square", () => {
    const flat = { ...PICTURE, pixelAspect: 0.5 };
    // 40 x 20 pixels are as wide as 40 x 10 square ones: ten times, 400 x 100.
    expect(corners(look(), SCREEN, flat).at).toEqual(
      near([
        [0, 100],
        [400, 200],
      ]),
    );
  });

  it("shows all of the image without an area", () => {
    const { view } = presentedView(look({ area: null }), PICTURE, VIEWPORT, SCREEN);
    expect(view).toEqual({ orientation: [1, 0, 0, 1], zoom: 1, pan: [0, 0] });
  });

  it("is that of the frames it names", () => {
    const state = { images: [look({ frame_numbers: [2, 3] })] } as unknown as StateFacts;
    const shown = frame({ SOPInstanceUID: "1.2.3", NumberOfFrames: 3 });
    expect(lookOf(state, shown)).toBeNull();
    expect(lookOf(state, { ...shown, frame_number: 3 })).toBe(state.images[0]);
    const other = { images: [look({ SOPInstanceUID: "9" })] } as unknown as StateFacts;
    expect(lookOf(other, shown)).toBeNull();
  });
});
