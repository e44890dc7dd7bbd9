import { describe, expect, it } from "vitest";
import type { Frame } from "../../src/viewer/core/frame";
import type { Vec2 } from "../../src/viewer/core/manifest";
import { evaluate, roiStatistics, toPatient } from "../../src/viewer/core/measure";
import type { Stack, StackFrame } from "../../src/viewer/core/stack";
import { stack as makeStack } from "../factory";

/** A 20 x 10 ramp: stored value = 100 row + column. */
function ramp(): Frame {
  const data = new Uint16Array(200);
  for (let row = 0; row < 10; row++) {
    for (let column = 0; column < 20; column++) {
      data[row * 20 + column] = 100 * row + column;
    }
  }
  return { key: "f:1", rows: 10, columns: 20, samples: 1, data, min: 0, max: 919 };
}

function measured(
  kind: Parameters<typeof evaluate>[0],
  points: readonly Vec2[],
  facts: Parameters<typeof makeStack>[0] = {},
  pixels: Frame | null = ramp(),
): ReturnType<typeof evaluate> {
  const stack: Stack = makeStack({ Rows: 10, Columns: 20, ...facts });
  return evaluate(kind, points, stack, stack.frames[0] as StackFrame, pixels);
}

describe("lengths", () => {
  it("use both spacings of pixels that are not square", () => {
    // 3 columns of 1 mm and 2 rows of 2 mm: 3-4-5.
    const found = measured(
      "length",
      [
        [0, 0],
        [3, 2],
      ],
      { PixelSpacing: [2, 1] },
    );
    expect(found).toMatchObject({ value: 5, unit: "mm", unit_source: "PixelSpacing" });
  });

  it("are in pixels, and say so, without calibration", () => {
    const found = measured(
      "length",
      [
        [0, 0],
        [3, 4],
      ],
      { PixelSpacing: null },
    );
    expect(found).toMatchObject({ value: 5, unit: "px", unit_source: "none" });
  });

  it("are in the patient's size where the magnification is known", () => {
    const found = measured(
      "length",
      [
        [0, 0],
        [10, 0],
      ],
      {
        SOPClassUID: "1.2.840.10008.5.1.4.1.1.1.1",
        PixelSpacing: null,
        ImagerPixelSpacing: [0.5, 0.5],
        EstimatedRadiographicMagnificationFactor: 2,
      },
    );
    expect(found.value).toBeCloseTo(2.5);
  });
});

describe("angles", () => {
  it.each<[string, readonly Vec2[], number]>([
    [
      "right",
      [
        [0, 5],
        [0, 0],
        [5, 0],
      ],
      90,
    ],
    [
      "straight",
      [
        [0, 0],
        [5, 0],
        [10, 0],
      ],
      180,
    ],
    [
      "none",
      [
        [5, 5],
        [0, 0],
        [7, 7],
      ],
      0,
    ],
    [
      "of 60 degrees",
      [
        [10, 0],
        [0, 0],
        [5, 5 * Math.sqrt(3)],
      ],
      60,
    ],
  ])("%s", (_name, points, degrees) => {
    expect(measured("angle", points).value).toBeCloseTo(degrees);
  });

  it("take the shape of pixels into account", () => {
    // One column of 1 mm and one row of 2 mm: atan(2).
    const found = measured(
      "angle",
      [
        [1, 0],
        [0, 0],
        [1, 1],
      ],
      { PixelSpacing: [2, 1] },
    );
    expect(found.value).toBeCloseTo((Math.atan(2) * 180) / Math.PI);
    const ratio = measured(
      "angle",
      [
        [1, 0],
        [0, 0],
        [1, 1],
      ],
      {
        PixelSpacing: null,
        PixelAspectRatio: [2, 1],
      },
    );
    expect(ratio.value).toBeCloseTo((Math.atan(2) * 180) / Math.PI);
    expect(ratio.unit_source).toBe("none");
  });
});

describe("regions", () => {
  it("a rectangle takes the pixels whose centres it holds, in modality values", () => {
    // Columns 2 to 4, rows 1 to 2: 102 103 104 202 203 204, minus 1024.
    const found = measured("rectangle", [
      [1.6, 0.7],
      [4.4, 2.3],
    ]);
    expect(found.statistics).toMatchObject({
      count: 6,
      mean: 153 - 1024,
      min: -922,
      max: -820,
      unit: "HU",
    });
    // Population deviation by hand: column variance 2/3, row variance 2500.
    expect(found.statistics?.sd).toBeCloseTo(Math.sqrt(2500 + 2 / 3));
    expect(found.value).toBeCloseTo(2.8 * 0.5 * 1.6 * 0.5);
    expect(found.unit).toBe("mm2");
  });

  it("a rectangle may be drawn from any corner", () => {
    const one = measured("rectangle", [
      [1.6, 0.7],
      [4.4, 2.3],
    ]);
    const other = measured("rectangle", [
      [4.4, 0.7],
      [1.6, 2.3],
    ]);
    expect(other.statistics).toEqual(one.statistics);
  });

  it("an ellipse agrees with testing every pixel centre by the equation", () => {
    const found = measured("ellipse", [
      [2.2, 1.1],
      [15.7, 8.4],
    ]);
    const [cx, cy, rx, ry] = [8.95, 4.75, 6.75, 3.65];
    const inside: number[] = [];
    for (let row = 0; row < 10; row++) {
      for (let column = 0; column < 20; column++) {
        if (((column - cx) / rx) ** 2 + ((row - cy) / ry) ** 2 <= 1) {
          inside.push(100 * row + column - 1024);
        }
      }
    }
    const mean = inside.reduce((sum, value) => sum + value, 0) / inside.length;
    const sd = Math.sqrt(
      inside.reduce((sum, value) => sum + (value - mean) ** 2, 0) / inside.length,
    );
    expect(found.statistics?.count).toBe(inside.length);
    expect(found.statistics?.mean).toBeCloseTo(mean);
    expect(found.statistics?.sd).toBeCloseTo(sd);
    expect(found.value).toBeCloseTo(Math.PI * rx * ry * 0.25);
  });

  it("beyond the picture counts only what is in it", () => {
    const found = measured("rectangle", [
      [-5, -5],
      [0.4, 0.4],
    ]);
    expect(found.statistics).toMatchObject({ count: 1, mean: -1024 });
  });

  it("without a pixel centre has an area and no statistics", () => {
    const found = measured("ellipse", [
      [1.2, 1.2],
      [1.4, 1.4],
    ]);
    expect(found.statistics).toBeNull();
    expect(found.value).toBeGreaterThan(0);
  });

  it("keeps precision on large offsets", () => {
    const data = new Float64Array(100).fill(1e9);
    data[0] = 1e9 + 1;
    const frame: Frame = {
      key: "k",
      rows: 10,
      columns: 10,
      samples: 1,
      data,
      min: 1e9,
      max: 1e9 + 1,
    };
    const box = { left: 0, right: 9, top: 0, bottom: 9 };
    const found = roiStatistics(frame, "rectangle", box, { slope: 1, intercept: 0 });
    expect(found?.sd).toBeCloseTo(Math.sqrt(0.01 * 0.99), 6);
  });

  it("has no grey statistics in colour", () => {
    const rgb: Frame = { ...ramp(), samples: 3, data: new Uint8Array(600), min: 0, max: 0 };
    expect(
      measured(
        "rectangle",
        [
          [0, 0],
          [5, 5],
        ],
        { SamplesPerPixel: 3 },
        rgb,
      ).statistics,
    ).toBeNull();
  });
});

describe("the probe", () => {
  it("reads the nearest pixel in modality values", () => {
    expect(measured("probe", [[3.4, 2.6]])).toMatchObject({ value: 303 - 1024, unit: "HU" });
  });

  it("reads nothing outside the picture", () => {
    expect(measured("probe", [[-3, 2]]).value).toBeNull();
  });

  it("has no unit where the file says none", () => {
    const stack = makeStack(
      { RescaleType: null, RescaleSlope: null, RescaleIntercept: null },
      { Modality: "MR" },
    );
    const found = evaluate("probe", [[1, 1]], stack, stack.frames[0] as StackFrame, ramp());
    expect(found).toMatchObject({ value: 101, unit: null });
  });
});

describe("patient coordinates", () => {
  it("follow PS3.3 C.7.6.2.1.1: columns along the row direction", () => {
    const stack = makeStack({
      ImagePositionPatient: [-100, 50, 7],
      ImageOrientationPatient: [0, 1, 0, 0, 0, -1],
      PixelSpacing: [2, 0.5],
    });
    expect(toPatient(stack.frames[0] as StackFrame, [[10, 3]])).toEqual([[-100, 55, 1]]);
  });

  it("are unknown without geometry", () => {
    const stack = makeStack({ ImagePositionPatient: null });
    expect(toPatient(stack.frames[0] as StackFrame, [[0, 0]])).toBeNull();
  });
});
