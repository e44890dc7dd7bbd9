import { describe, expect, it } from "vitest";
import { calibrate, ManualSizes } from "../../src/viewer/core/calibration";
import type { Frame } from "../../src/viewer/core/frame";
import { LiveWire } from "../../src/viewer/core/livewire";
import type { Vec2 } from "../../src/viewer/core/manifest";
import { evaluate, lineAngle, profileValues, shortAxis } from "../../src/viewer/core/measure";
import {
  closedCurve,
  eachPixelWithin,
  outlineArea,
  simplified,
} from "../../src/viewer/core/outline";
import { frame, stack } from "../factory";

/** 40 x 30 pixels whose stored value is its column plus ten times its row. */
const slope: Frame = {
  key: "k",
  rows: 30,
  columns: 40,
  samples: 1,
  data: Float32Array.from({ length: 1200 }, (_, i) => (i % 40) + 10 * Math.floor(i / 40)),
  min: 0,
  max: 329,
};
const plain = { slope: 1, intercept: 0 };

function measure(kind: Parameters<typeof evaluate>[0], points: Vec2[], facts = {}) {
  const one = stack({ PixelSpacing: [0.5, 0.25], RescaleIntercept: 0, ...facts });
  return evaluate(kind, points, one, one.frames[0] as never, slope);
}

describe("outlines", () => {
  const square: Vec2[] = [
    [2, 3],
    [12, 3],
    [12, 9],
    [2, 9],
  ];

  it("has the area of a polygon whichever way it runs", () => {
    expect(outlineArea(square)).toBe(60);
    expect(outlineArea([...square].reverse())).toBe(60);
  });

  it("takes the pixels whose centres lie inside, and no others", () => {
    const found: number[] = [];
    const triangle: Vec2[] = [
      [0.5, 0.5],
      [4.5, 0.5],
      [0.5, 4.5],
    ];
    eachPixelWithin(triangle, slope, (offset) => found.push(offset));
    // Centres (1..3, 1), (1..2, 2) and (1, 3); the slanted edge itself runs through three centres.
    const rows = found.map((offset) => [offset % 40, Math.floor(offset / 40)]);
    expect(rows).toEqual([
      [1, 1],
      [2, 1],
      [3, 1],
      [4, 1],
      [1, 2],
      [2, 2],
      [3, 2],
      [1, 3],
      [2, 3],
      [1, 4],
    ]);
  });

  it("measures area and values of a free region", () => {
    const found = measure(
      "freehand",
      square.map(([x, y]): Vec2 => [x + 0.5, y + 0.5]),
    );
    expect(found.value).toBeCloseTo(60 * 0.5 * 0.25, 9);
    expect(found.unit).toBe("mm2");
    expect(found.statistics?.count).toBe(60);
    // Columns 3 to 12 and rows 4 to 9.
    expect(found.statistics?.mean).toBeCloseTo(7.5 + 65, 6);
    expect(found.statistics?.min).toBe(43);
    expect(found.statistics?.max).toBe(102);
  });

  it("runs a spline through its points, outside the polygon", () => {
    const curve = closedCurve(square);
    for (const point of square) {
      expect(curve).toContainEqual(point);
    }
    expect(outlineArea(curve)).toBeGreaterThan(60);
    expect(measure("spline", square).value).toBeCloseTo(outlineArea(curve) * 0.125, 9);
  });

  it("leaves out what a straight line says already", () => {
    const line: Vec2[] = Array.from({ length: 50 }, (_, i) => [i, i * 2]);
    expect(simplified([...line, [49, 0]], 0.25)).toEqual([
      [0, 0],
      [49, 98],
      [49, 0],
    ]);
  });

  it("follows an edge instead of the straight way", () => {
    const columns = 60;
    const data = Float32Array.from({ length: 60 * 60 }, (_, i) => {
      const [x, y] = [i % columns, Math.floor(i / columns)];
      return Math.hypot(x - 30, y - 30) <= 20 ? 1000 : 0;
    });
    const disc: Frame = { ...slope, rows: 60, columns, data, max: 1000 };
    const path = new LiveWire(disc, [50, 30]).path([10, 30]);
    expect(path[0]).toEqual([50, 30]);
    expect(path.at(-1)).toEqual([10, 30]);
    for (const [x, y] of path) {
      expect(Math.abs(Math.hypot(x - 30, y - 30) - 20)).toBeLessThan(2);
    }
  });

  it("follows an edge in a plane that reaches beyond its volume", () => {
    const columns = 60;
    const data = Float32Array.from({ length: 60 * 60 }, (_, i) => {
      const [x, y] = [i % columns, Math.floor(i / columns)];
      const isIn = Math.hypot(x - 30, y - 30) <= 20;
      return y < 2 ? Number.NaN : isIn ? 1000 : 0;
    });
    const disc: Frame = { ...slope, rows: 60, columns, data, max: 1000 };
    for (const [x, y] of new LiveWire(disc, [50, 30]).path([10, 30])) {
      expect(Math.abs(Math.hypot(x - 30, y - 30) - 20)).toBeLessThan(2);
    }
  });
});

describe("new measurements", () => {
  it("measures a circle about its middle, with pixels that are not square", () => {
    // Through (middle + 8 columns of 0.25 mm): radius 2 mm.
    const found = measure("circle", [
      [20, 15],
      [28, 15],
    ]);
    expect(found.value).toBeCloseTo(Math.PI * 4, 9);
    expect(found.statistics?.mean).toBeCloseTo(170, 6);
  });

  it("measures height along the columns alone", () => {
    expect(
      measure("height", [
        [3, 4],
        [30, 14],
      ]).value,
    ).toBeCloseTo(5, 9);
  });

  it("measures both axes", () => {
    const found = measure("bidirectional", [
      [0, 0],
      [16, 0],
      [8, 0],
      [8, 6],
    ]);
    expect(found.value).toBeCloseTo(4, 9);
    expect(found.second_value).toBeCloseTo(3, 9);
    const [c, d] = shortAxis([0, 0], [16, 0], [0.25, 0.5]);
    expect(measure("bidirectional", [[0, 0], [16, 0], c, d]).second_value).toBeCloseTo(2, 9);
    expect((c[0] + d[0]) / 2).toBeCloseTo(8, 9);
  });

  it("measures a Cobb angle whatever the direction of its lines", () => {
    const one: [Vec2, Vec2] = [
      [0, 0],
      [10, 0],
    ];
    const other: [Vec2, Vec2] = [
      [0, 20],
      [10, 30],
    ];
    const [a, b] = one;
    const [c, d] = other;
    expect(lineAngle(a, b, c, d, [1, 1])).toBeCloseTo(45, 9);
    expect(lineAngle(b, a, c, d, [1, 1])).toBeCloseTo(45, 9);
    expect(lineAngle(a, b, d, c, [1, 1])).toBeCloseTo(45, 9);
    expect(measure("cobb", [a, b, c, d]).value).toBeCloseTo((Math.atan(2) * 180) / Math.PI, 9);
  });

  it("draws a profile of the values between its ends", () => {
    const values = profileValues(slope, [2, 2], [2, 6], plain);
    expect(values).toEqual([22, 32, 42, 52, 62]);
    const found = measure("profile", [
      [2, 2],
      [2, 6],
    ]);
    expect(found.value).toBeCloseTo(2, 9);
    expect(found.statistics).toMatchObject({ mean: 42, min: 22, max: 62, count: 5 });
  });

  it("measures by a calibration line until it is gone", () => {
    const sizes = new ManualSizes();
    const one = frame({ PixelSpacing: null, PixelAspectRatio: [2, 1] });
    const changed = sizes.replace([
      {
        frame: one,
        points: [
          [0, 0],
          [0, 10],
        ],
        length: 40,
      },
    ]);
    expect([...changed]).toEqual(["1.2.3"]);
    // Ten rows are 40 mm, and rows are twice as high as columns are wide.
    expect(sizes.get("1.2.3")).toEqual([2, 4]);
    expect(
      sizes.replace([
        {
          frame: one,
          points: [
            [0, 0],
            [0, 10],
          ],
          length: 40,
        },
      ]).size,
    ).toBe(0);
    expect([...sizes.replace([])]).toEqual(["1.2.3"]);
    expect(calibrate(one, [[0, 0]]).unit).toBe("px");
  });
});
