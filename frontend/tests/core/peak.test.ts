import { describe, expect, it } from "vitest";
import type { Frame } from "../../src/viewer/core/frame";
import {
  PEAK_RADIUS_MM,
  peakValue,
  sliceReach,
  sphere,
  voxelSize,
} from "../../src/viewer/core/peak";
import type { VolumeGeometry } from "../../src/viewer/core/volume";

const RESCALE = { slope: 1, intercept: 0 };

/** A cube of pictures whose values are a function of column, row and slice. */
function cube(
  side: number,
  reach: number,
  value: (column: number, row: number, slice: number) => number,
) {
  const slices = new Map<number, { pixels: Frame; rescale: typeof RESCALE }>();
  for (let slice = -reach; slice <= reach; slice++) {
    const data = Float32Array.from({ length: side * side }, (_, at) =>
      value(at % side, Math.floor(at / side), slice),
    );
    const pixels: Frame = {
      key: `${slice}`,
      rows: side,
      columns: side,
      samples: 1,
      data,
      min: 0,
      max: 0,
    };
    slices.set(slice, { pixels, rescale: RESCALE });
  }
  return slices;
}

describe("the hottest cubic centimetre", () => {
  it("is a sphere of 6.2 mm radius", () => {
    expect(PEAK_RADIUS_MM).toBeCloseTo(6.2035, 4);
    // One cubic centimetre in voxels of 2 x 2 x 2 mm is 125 of them; in 4 x 4 x 5 mm 12.5.
    for (const [size, count] of [
      [[2, 2, 2], 125],
      [[4, 4, 5], 12.5],
    ] as const) {
      const total = sphere(size).reduce((sum, { share }) => sum + share, 0);
      expect(total / count).toBeGreaterThan(0.98);
      expect(total / count).toBeLessThan(1.02);
    }
    expect(sliceReach([2, 2, 5])).toBe(1);
    expect(sliceReach([2, 2, 2])).toBe(3);
  });

  it("of values that grow evenly is the value in its middle", () => {
    const slices = cube(15, 3, (column, row, slice) => 2 * column + 3 * row + 5 * slice + 100);
    expect(peakValue([7 * 15 + 6], slices, [2, 2, 2])).toBeCloseTo(2 * 6 + 3 * 7 + 100, 4);
    // Of several middles the highest counts.
    const middles = [7 * 15 + 6, 7 * 15 + 8, 5 * 15 + 7];
    expect(peakValue(middles, slices, [2, 2, 2])).toBeCloseTo(2 * 8 + 3 * 7 + 100, 4);
  });

  it("of one hot voxel is its share of the sphere", () => {
    const slices = cube(15, 3, (column, row, slice) =>
      column === 7 && row === 7 && slice === 0 ? 125 : 0,
    );
    const found = peakValue([7 * 15 + 7], slices, [2, 2, 2]);
    expect(found).toBeGreaterThan(0.98);
    expect(found).toBeLessThan(1.02);
  });

  it("is not told where slices are missing or the sphere leaves the picture", () => {
    const slices = cube(15, 3, () => 1);
    expect(peakValue([0], slices, [2, 2, 2])).toBeNull();
    expect(peakValue([0, 7 * 15 + 7], slices, [2, 2, 2])).toBeCloseTo(1, 6);
    slices.delete(-3);
    expect(peakValue([7 * 15 + 7], slices, [2, 2, 2])).toBeNull();
  });

  it("needs slices at even distances", () => {
    const geometry = { pixel: [2, 3], locations: [0, 4, 8] } as unknown as VolumeGeometry;
    expect(voxelSize(geometry)).toEqual([2, 3, 4]);
    expect(voxelSize({ ...geometry, locations: [0, 4, 9] })).toBeNull();
  });
});
