import { describe, expect, it } from "vitest";
import type { Frame, PixelArray } from "../../src/viewer/core/frame";
import {
  displayLevel,
  dragWindow,
  fileTables,
  fileWindows,
  fullRangeWindow,
  paint,
  renderingOf,
  type VoiFunction,
  type Window,
  windowOfBox,
} from "../../src/viewer/core/voi";
import { frame } from "../factory";

function window(center: number, width: number, fn: VoiFunction = "LINEAR"): Window {
  return { center, width, function: fn };
}

function pixels(data: PixelArray, samples: 1 | 3 = 1): Frame {
  const values = [...data];
  const min = Math.min(...values);
  const max = Math.max(...values);
  return { key: "f:1", rows: 1, columns: data.length / samples, samples, data, min, max };
}

/** Grey levels of a painted one-row frame. */
function levels(found: Frame, window: Window, facts = frame(), invert = false): number[] {
  const out = new Uint32Array(found.columns);
  paint(found, renderingOf(facts, window, invert), out);
  return [...out].map((word) => word & 0xff);
}

describe("the window, by PS3.3 C.11.2.1.2", () => {
  // The standard's own examples: c=2048, w=4096; c=2048, w=1; c=0, w=100; c=0, w=1.
  it.each([
    [2048, 4096, 0, 0],
    [2048, 4096, 4095, 255],
    [2048, 4096, 2048, ((2048 - 2047.5) / 4095 + 0.5) * 255],
    [2048, 1, 2047, 0],
    [2048, 1, 2048, 255],
    [0, 100, -50, 0],
    [0, 100, 49.1, 255],
    [0, 100, 0, ((0 + 0.5) / 99 + 0.5) * 255],
    [0, 1, -1, 0],
    [0, 1, 0, 255],
  ])("LINEAR c=%d w=%d of %d", (center, width, value, level) => {
    expect(displayLevel(value, window(center, width))).toBeCloseTo(level, 9);
  });

  it.each([
    [2048, 4096, 0, 0],
    [2048, 4096, 4096, 255],
    [0, 100, -50, 0],
    [0, 100, 0, 127.5],
    [0, 100, 50, 255],
  ])("LINEAR_EXACT c=%d w=%d of %d", (center, width, value, level) => {
    expect(displayLevel(value, window(center, width, "LINEAR_EXACT"))).toBeCloseTo(level, 9);
  });

  it("SIGMOID is half at the centre and never reaches its ends", () => {
    expect(displayLevel(50, window(50, 100, "SIGMOID"))).toBeCloseTo(127.5);
    expect(displayLevel(150, window(50, 100, "SIGMOID"))).toBeCloseTo(255 / (1 + Math.exp(-4)));
  });

  it("takes float windows narrower than one unit as exact", () => {
    expect(displayLevel(0.005, window(0.005, 0.01))).toBeCloseTo(127.5);
  });
});

describe("painting", () => {
  it("applies the rescale before the window", () => {
    // Stored 1024 is 0 HU, stored 1064 is 40 HU: the middle of W 400 L 40.
    expect(levels(pixels(Uint16Array.of(1024, 1064, 824, 1264)), window(40, 401))).toEqual([
      102, 128, 0, 255,
    ]);
  });

  it("shows MONOCHROME1's lowest value white, and the person's inversion turns it back", () => {
    const negative = frame({ PhotometricInterpretation: "MONOCHROME1", RescaleIntercept: 0 });
    const found = pixels(Uint16Array.of(0, 100));
    expect(levels(found, window(50, 100, "LINEAR_EXACT"), negative)).toEqual([255, 0]);
    expect(levels(found, window(50, 100, "LINEAR_EXACT"), negative, true)).toEqual([0, 255]);
  });

  it("takes Presentation LUT Shape INVERSE for the same, not for a second turn", () => {
    const found = pixels(Uint16Array.of(0, 100));
    for (const PhotometricInterpretation of ["MONOCHROME1", "MONOCHROME2"]) {
      const inverse = frame({
        PhotometricInterpretation,
        PresentationLUTShape: "INVERSE",
        RescaleIntercept: 0,
      });
      expect(levels(found, window(50, 100, "LINEAR_EXACT"), inverse)).toEqual([255, 0]);
    }
  });

  it("paints signed pixels", () => {
    const plain = frame({ RescaleIntercept: 0 });
    expect(
      levels(pixels(Int16Array.of(-50, 0, 50)), window(0, 100, "LINEAR_EXACT"), plain),
    ).toEqual([0, 128, 255]);
  });

  it.each(["LINEAR", "LINEAR_EXACT", "SIGMOID"] as const)(
    "paints floats by the standard's own formula: %s",
    (name) => {
      const values = Float32Array.from({ length: 997 }, (_, i) => Math.sin(i) * 700 + i / 7);
      const found = { ...pixels(Int16Array.of(0)), data: values, columns: values.length };
      for (const shown of [window(40, 400, name), window(-7.3, 1, name), window(3, 0.25, name)]) {
        for (const inverted of [false, true]) {
          const out = new Uint32Array(values.length);
          paint(found, { rescale: { slope: -1.5, intercept: 20 }, window: shown, inverted }, out);
          const wanted = [...values].map((value) => {
            const level = displayLevel(value * -1.5 + 20, shown);
            return Math.round(inverted ? 255 - level : level);
          });
          expect([...out].map((word) => word & 0xff)).toEqual(wanted);
        }
      }
    },
  );

  it("paints floats and wide integers without a table", () => {
    const plain = frame({ RescaleIntercept: 0 });
    expect(
      levels(pixels(Float32Array.of(0, 0.5, 1)), window(0.5, 1, "LINEAR_EXACT"), plain),
    ).toEqual([0, 128, 255]);
    const wide = pixels(Uint32Array.of(0, 2_000_000_000, 4_000_000_000));
    expect(levels(wide, window(2e9, 4e9, "LINEAR_EXACT"), plain)).toEqual([0, 128, 255]);
  });

  it("leaves colour as it is at its own window", () => {
    const colour = frame({ SamplesPerPixel: 3, PhotometricInterpretation: "RGB" });
    const found = pixels(Uint8Array.of(255, 0, 0, 10, 20, 30), 3);
    const out = new Uint32Array(2);
    paint(found, renderingOf(colour, window(127.5, 255, "LINEAR_EXACT"), false), out);
    expect([...out].map((word) => word.toString(16))).toEqual(["ff0000ff", "ff1e140a"]);
  });

  it("is opaque everywhere", () => {
    const out = new Uint32Array(2);
    paint(pixels(Uint16Array.of(0, 4095)), renderingOf(frame(), window(40, 400), false), out);
    expect([...out].map((word) => word >>> 24)).toEqual([255, 255]);
  });
});

describe("windows to start from", () => {
  it("are the file's, named, each once, unusable ones left out", () => {
    const found = fileWindows(
      frame({
        WindowCenter: [40, 40, 500, 10],
        WindowWidth: [80, 80, 2000, 0],
        WindowCenterWidthExplanation: ["BRAIN", "AGAIN", "BONE", "BAD"],
      }),
    );
    expect(found.map(({ name }) => name)).toEqual(["BRAIN", "BONE"]);
  });

  it("are the frame's own in a multi-frame object", () => {
    const facts = frame();
    const own = {
      ...facts,
      facts: {
        ImagePositionPatient: null,
        ImageOrientationPatient: null,
        PixelSpacing: null,
        SliceThickness: null,
        WindowCenter: [7],
        WindowWidth: [70],
        RescaleSlope: null,
        RescaleIntercept: null,
      },
    };
    expect(fileWindows(own)[0]?.window).toMatchObject({ center: 7, width: 70 });
  });

  it("leave pixel padding out of the full range", () => {
    const padded = frame({ PixelPaddingValue: -2000, RescaleIntercept: 0 });
    const found = fullRangeWindow(padded, pixels(Int16Array.of(-2000, -100, 300)));
    expect(found).toMatchObject({ center: 100, width: 400 });
  });
});

describe("dragging the window", () => {
  it("widens to the right, raises the centre downwards, never below a width of one", () => {
    expect(dragWindow(window(40, 400), 10, 0, true)).toMatchObject({ width: 416, center: 40 });
    expect(dragWindow(window(40, 400), 0, 10, true)).toMatchObject({ width: 400, center: 56 });
    expect(dragWindow(window(40, 400), -100000, 0, true).width).toBe(1);
    expect(dragWindow(window(0.5, 1), -100000, 0, false).width).toBeGreaterThan(0);
  });
});

describe("the window of a box", () => {
  const found: Frame = { ...pixels(Int16Array.of(10, 20, 30, 40, 50, 60)), rows: 2, columns: 3 };
  const facts = frame({ RescaleSlope: 2, RescaleIntercept: -100, PixelPaddingValue: 60 });
  const box = (left: number, top: number, right: number, bottom: number) =>
    windowOfBox(found, { left, top, right, bottom }, facts);

  it("reaches from its lowest to its highest value", () => {
    // Stored 20 to 50 are -60 to 0.
    expect(box(0.6, -0.4, 1.4, 1.4)).toEqual({
      center: -30,
      width: 60,
      function: "LINEAR_EXACT",
    });
    // Pixel padding does not count, and what lies outside is nothing.
    expect(box(-5, -5, 9, 9)).toMatchObject({ center: -40, width: 80 });
  });

  it("is none where there is one value or nothing", () => {
    expect(box(0.2, 0.2, 0.8, 0.8)).toBeNull();
    expect(box(-0.4, -0.4, 0.4, 0.4)).toBeNull();
    expect(
      windowOfBox(pixels(new Uint8Array(3), 3), { left: 0, top: 0, right: 1, bottom: 1 }, facts),
    ).toBeNull();
  });

  it("has no value where a volume has none", () => {
    const open = { ...pixels(Float32Array.of(5, Number.NaN, 15)), rows: 1, columns: 3 };
    const whole = { left: 0, top: 0, right: 2, bottom: 0 };
    const plain = frame({ RescaleSlope: 1, RescaleIntercept: 0 });
    expect(windowOfBox(open, whole, plain)).toMatchObject({ center: 10, width: 10 });
  });
});

describe("a VOI LUT, by PS3.3 C.11.2.1.1", () => {
  // Two bits in use: the levels are 0, 85, 170 and 255.
  const table = { first: 10, values: Uint16Array.of(3, 0, 1, 2), bits: 2 };
  const lut: Window = { ...window(11.5, 4), lut: 0, table };

  it("stands in the window's place, its ends beyond its inputs", () => {
    const values = Uint16Array.of(0, 10, 11, 12, 13, 99);
    const facts = frame({ RescaleIntercept: 0 });
    expect(levels(pixels(values), lut, facts)).toEqual([255, 255, 0, 85, 170, 170]);
    expect(levels(pixels(values), lut, facts, true)).toEqual([0, 0, 255, 170, 85, 85]);
  });

  it("takes the nearest whole input, of halves the even one", () => {
    const values = Float32Array.of(10.5, 11.5, 12.4, 12.6, Number.NaN);
    const facts = frame({ RescaleIntercept: 0 });
    expect(levels(pixels(values), lut, facts).slice(0, 4)).toEqual([255, 85, 85, 170]);
  });

  it("is offered under the file's name for it, as the window of its inputs", () => {
    const offered = fileTables(
      frame({
        VOILUTSequence: [
          { LUTExplanation: "BONE ", LUTDescriptor: [256, -128, 12] },
          { LUTExplanation: null, LUTDescriptor: [4, 10, 2] },
        ],
      }),
    );
    expect(offered.map(({ name }) => name)).toEqual(["BONE", "File VOI LUT 2"]);
    expect(offered[1]?.window).toEqual({
      center: 11.5,
      width: 4,
      function: "LINEAR_EXACT",
      lut: 1,
    });
  });

  it("gives way to a straight window when somebody drags", () => {
    const dragged = dragWindow(lut, 10, 0, true);
    expect(dragged).toEqual({ center: 11.5, width: 6.5, function: "LINEAR_EXACT" });
  });
});
