import { describe, expect, it } from "vitest";
import {
  cutLine,
  nearestFrame,
  offPlane,
  onPicture,
  planeOf,
  planePoint,
} from "../../src/viewer/core/planes";
import { buildStack } from "../../src/viewer/core/stack";
import { frame, image, series } from "../factory";

const axial = frame({
  Rows: 100,
  Columns: 200,
  PixelSpacing: [2, 1],
  ImagePositionPatient: [10, 20, 30],
});
const sagittal = frame({
  Rows: 50,
  Columns: 60,
  PixelSpacing: [1, 1],
  ImagePositionPatient: [50, 40, 60],
  ImageOrientationPatient: [0, 1, 0, 0, 0, -1],
});

describe("planes", () => {
  it("goes from the picture to the patient and back", () => {
    const plane = planeOf(axial);
    if (!plane) {
      throw new Error("The frame has geometry.");
    }
    const point = planePoint(plane, [7, 9]);
    expect(point).toEqual([17, 38, 30]);
    expect(onPicture(plane, point)).toEqual([7, 9]);
    expect(offPlane(plane, [0, 0, 33])).toBe(3);
  });

  it("finds the line along which two pictures cut, as long as the other picture is", () => {
    const one = planeOf(axial);
    const other = planeOf(sagittal);
    if (!one || !other) {
      throw new Error("The frames have geometry.");
    }
    const line = cutLine(one, other);
    // x = 50 is column 40; y from 39.5 to 99.5 mm is row 9.75 to 39.75 (2 mm each).
    const ends = [...(line ?? [])].sort((a, b) => a[1] - b[1]);
    expect(ends[0]?.[0]).toBeCloseTo(40, 9);
    expect(ends[0]?.[1]).toBeCloseTo(9.75, 9);
    expect(ends[1]?.[0]).toBeCloseTo(40, 9);
    expect(ends[1]?.[1]).toBeCloseTo(39.75, 9);
  });

  it("finds the line of a slanted picture on its own edges", () => {
    const one = planeOf(axial);
    // Its columns climb by 3 in 5: they reach z = 30 after 50 of 60 mm, 40 mm further back.
    const slanted = planeOf(
      frame({
        Rows: 61,
        Columns: 21,
        PixelSpacing: [1, 1],
        ImagePositionPatient: [50, 40, 0],
        ImageOrientationPatient: [1, 0, 0, 0, 0.8, 0.6],
      }),
    );
    const line = one && slanted && cutLine(one, slanted);
    const ends = [...(line ?? [])].sort((a, b) => a[0] - b[0]);
    expect(ends.map(([column]) => column)).toEqual([
      expect.closeTo(39.5, 9),
      expect.closeTo(60.5, 9),
    ]);
    // y = 40 + 40 mm is row (80 - 20) / 2.
    expect(ends.map(([, row]) => row)).toEqual([expect.closeTo(30, 9), expect.closeTo(30, 9)]);
  });

  it("draws no line for pictures beside each other or apart", () => {
    const one = planeOf(axial);
    const beside = planeOf(frame({ ImagePositionPatient: [0, 0, 35] }));
    const apart = planeOf(frame({ ...sagittal.image, ImagePositionPatient: [50, 40, 500] }));
    expect(one && beside && cutLine(one, beside)).toBeNull();
    expect(one && apart && cutLine(one, apart)).toBeNull();
  });

  it("finds the frame nearest to a point and knows frames without geometry", () => {
    const images = [0, 5, 10].map((z) => image({ id: `i${z}`, ImagePositionPatient: [0, 0, z] }));
    const { frames } = buildStack(series(images));
    expect(nearestFrame(frames, [3, 3, 6])).toEqual({ index: 1, distance: 1 });
    expect(nearestFrame([frame({ ImageOrientationPatient: null })], [0, 0, 0])).toBeNull();
    expect(planeOf(frame({ PixelSpacing: null }))).toBeNull();
  });
});
