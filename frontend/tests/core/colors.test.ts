import { describe, expect, it } from "vitest";
import { blend } from "../../src/viewer/core/blend";
import { COLOR_MAPS, colorsOf, isColorMap } from "../../src/viewer/core/colors";
import { type Overlay, paint, type Window } from "../../src/viewer/core/voi";

/** Red, green and blue of a word. */
const rgb = (word: number | undefined): number[] => {
  const value = word ?? 0;
  return [value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff];
};
const WINDOW: Window = { center: 127.5, width: 255, function: "LINEAR_EXACT" };

describe("colour maps", () => {
  it.each(COLOR_MAPS.map(({ id }) => id))("%s has 256 opaque colours", (id) => {
    const colors = colorsOf(id);
    expect(colors.length).toBe(256);
    expect(colors.every((word) => word >>> 24 === 0xff)).toBe(true);
    expect(colorsOf(id)).toBe(colors);
  });

  it("have the ends and middles that the standard gives them", () => {
    expect(rgb(colorsOf("hotIron")[0])).toEqual([0, 0, 0]);
    expect(rgb(colorsOf("hotIron")[128])).toEqual([255, 0, 0]);
    expect(rgb(colorsOf("hotIron")[255])).toEqual([255, 255, 255]);
    expect(rgb(colorsOf("pet")[128])).toEqual([128, 0, 255]);
    expect(rgb(colorsOf("winter")[0])).toEqual([0, 0, 255]);
    expect(rgb(colorsOf("inverse")[0])).toEqual([255, 255, 255]);
  });

  it("run through the rainbow from blue over green to red", () => {
    const rainbow = colorsOf("rainbow");
    expect(rgb(rainbow[0])).toEqual([0, 0, 255]);
    expect(rgb(rainbow[255])).toEqual([255, 0, 0]);
    const [red = 0, green = 0, blue = 0] = rgb(rainbow[128]);
    expect(green).toBe(255);
    expect(Math.max(red, blue)).toBeLessThan(10);
  });

  it("are known by name", () => {
    expect(isColorMap("pet")).toBe(true);
    expect(isColorMap("jet")).toBe(false);
  });

  it("colour grey pictures, and invert them before", () => {
    const data = Uint8Array.of(0, 128, 255);
    const pixels = { key: "k", rows: 1, columns: 3, samples: 1 as const, data, min: 0, max: 255 };
    const rescale = { slope: 1, intercept: 0 };
    const out = new Uint32Array(3);
    const colors = colorsOf("hotIron");
    paint(pixels, { rescale, window: WINDOW, inverted: false, colors }, out);
    expect([...out].map(rgb)).toEqual([
      [0, 0, 0],
      [255, 0, 0],
      [255, 255, 255],
    ]);
    paint(pixels, { rescale, window: WINDOW, inverted: true, colors }, out);
    expect(rgb(out[0])).toEqual([255, 255, 255]);
    const float = { ...pixels, data: Float32Array.of(0, 128, 255) };
    paint(float, { rescale, window: WINDOW, inverted: false, colors }, out);
    expect(rgb(out[1])).toEqual([255, 0, 0]);
    // Beyond a volume's edge there is no value, and no colour of one.
    const open = { ...pixels, data: Float32Array.of(Number.NaN, 0, 255) };
    const spring = colorsOf("spring");
    paint(open, { rescale, window: WINDOW, inverted: false, colors: spring }, out);
    expect([...out].map(rgb)).toEqual([
      [0, 0, 0],
      [255, 0, 255],
      [255, 255, 0],
    ]);
  });
});

describe("a picture laid over another", () => {
  const grey = 0xff646464;
  const over = (value: number, opacity: number): number[] => {
    const out = Uint32Array.of(grey);
    const overlay: Overlay = {
      data: Float32Array.of(value),
      window: { center: 5, width: 10, function: "LINEAR_EXACT" },
      colors: colorsOf("hotIron"),
      opacity,
    };
    blend(out, overlay);
    return rgb(out[0]);
  };

  it("is mixed with it by its opacity", () => {
    // The upper end of the window is white: 100 + (255 - 100) / 2.
    expect(over(20, 0.5)).toEqual([178, 178, 178]);
    expect(over(20, 1)).toEqual([255, 255, 255]);
    expect(over(20, 0)).toEqual([100, 100, 100]);
    // Level 128 is pure red.
    expect(over(5, 0.5)).toEqual([178, 50, 50]);
  });

  it("leaves the picture where it has no value, or none above its lower end", () => {
    expect(over(Number.NaN, 1)).toEqual([100, 100, 100]);
    expect(over(0, 1)).toEqual([100, 100, 100]);
    expect(over(-3, 1)).toEqual([100, 100, 100]);
  });

  it("fades away towards its lower end", () => {
    // Level 8 of 16: half as much of it, and its colour is nearly black.
    const [red = 0] = over(8 / 25.5, 1);
    expect(red).toBeGreaterThan(50);
    expect(red).toBeLessThan(70);
  });
});
