import { describe, expect, it } from "vitest";
import { contourDistance, outlinesOn } from "../../src/viewer/core/contours";
import {
  type Contour,
  cutMasks,
  cutValues,
  gridOfPlanes,
  packed,
  readDrawn,
  unpack,
} from "../../src/viewer/core/derived";
import { isoline } from "../../src/viewer/core/isolines";
import type { Vec2, Vec3 } from "../../src/viewer/core/manifest";
import { toRuns } from "../../src/viewer/core/masks";
import type { Plane } from "../../src/viewer/core/planes";

const SIZE = 8;

/** An object of 8 x 8 pixels of 2 mm in slices of 3 mm; `runs` of each slice behind one another. */
function answer(slices: readonly Uint8Array[], form = "BINARY"): ArrayBuffer {
  const runs = slices.map(toRuns);
  let offset = 0;
  // The server leaves out what nothing is drawn on.
  const drawnOn = (own: Uint32Array): boolean => own.some((run) => (run & 0xff) !== 0);
  const planes = runs.map((own, index) => {
    const facts = {
      part: form === "BINARY" ? 1 : null,
      SOPInstanceUID: null,
      frame_number: null,
      ImagePositionPatient: [10, 20, 30 + 3 * index],
      ImageOrientationPatient: [1, 0, 0, 0, 1, 0],
      PixelSpacing: [2, 2],
      Rows: SIZE,
      Columns: SIZE,
      offset,
      count: own.length,
    };
    offset += own.length;
    return { own, facts };
  });
  const head = {
    kind: "segmentation",
    form,
    slice_distance_mm: 3,
    parts: [{ number: 1 }],
    planes: planes.flatMap(({ own, facts }) => (drawnOn(own) ? [facts] : [])),
  };
  return packed(head, Uint32Array.from(runs.flatMap((own) => [...own]))).buffer;
}

function plane(origin: Vec3, row: Vec3, column: Vec3, normal: Vec3, pixel: Vec2): Plane {
  return { origin, row, column, normal, pixel, columns: SIZE, rows: SIZE };
}

function block(): Uint8Array {
  const mask = new Uint8Array(SIZE * SIZE);
  for (let row = 2; row < 6; row++) {
    mask.fill(1, row * SIZE + 3, row * SIZE + 5);
  }
  return mask;
}

describe("an answer of the server", () => {
  it("is a head and runs behind it", () => {
    const content = packed({ name: "ä" }, Uint32Array.of(7, 8));
    const { head, bytes } = unpack<{ name: string }>(content.buffer);
    expect(head.name).toBe("ä");
    expect([...new Uint32Array(bytes)]).toEqual([7, 8]);
  });
});

describe("masks on another plane", () => {
  const drawn = readDrawn(answer([block(), block(), new Uint8Array(SIZE * SIZE)]));
  const grid = gridOfPlanes(drawn.masks, drawn.sliceDistance);

  it("are cut where the plane runs through them", () => {
    // Coronal, through the fourth row: columns are x, rows are z in steps of 3 mm from z 30.
    const coronal = plane([10, 26, 30], [1, 0, 0], [0, 0, 1], [0, -1, 0], [2, 3]);
    const patch = grid && cutMasks(grid, coronal);
    const rows = Array.from({ length: 3 }, (_, row) =>
      [...(patch?.data ?? []).slice(row * SIZE, (row + 1) * SIZE)].join(""),
    );
    expect(rows).toEqual(["00011000", "00011000", "00000000"]);
  });

  it("leave a slice out that nothing is drawn on", () => {
    const parted = readDrawn(answer([block(), new Uint8Array(SIZE * SIZE), block()]));
    const between = gridOfPlanes(parted.masks, parted.sliceDistance);
    const at = (z: number): boolean =>
      between !== null &&
      cutMasks(between, plane([10, 20, z], [1, 0, 0], [0, 1, 0], [0, 0, 1], [2, 2])) !== null;
    expect([30, 33, 36].map(at)).toEqual([true, false, true]);
  });

  it("reach half a slice and no further", () => {
    const at = (z: number): boolean =>
      grid !== null &&
      cutMasks(grid, plane([10, 20, z], [1, 0, 0], [0, 1, 0], [0, 0, 1], [2, 2])) !== null;
    expect([28.4, 28.6, 34.4, 34.6].map(at)).toEqual([false, true, true, false]);
  });
});

describe("values on another plane", () => {
  it("lie between pixels and slices in proportion", () => {
    const planes = [0, 1].map((index) => ({
      SOPInstanceUID: null,
      frame_number: null,
      plane: plane([0, 0, 10 * index], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1]),
      rows: SIZE,
      columns: SIZE,
      // 2x + 3y + 5z, which is linear: whoever samples it right gets exactly its value.
      values: Float32Array.from(
        { length: SIZE * SIZE },
        (_, at) => 2 * (at % SIZE) + 3 * Math.floor(at / SIZE) + 50 * index,
      ),
    }));
    const grid = gridOfPlanes(planes, 10);
    const target = plane([0.5, 1.25, 4], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1]);
    const found = grid ? cutValues(grid, target) : new Float32Array();
    expect(found[0]).toBeCloseTo(2 * 0.5 + 3 * 1.25 + 5 * 4, 5);
    expect(found[SIZE + 2]).toBeCloseTo(2 * 2.5 + 3 * 2.25 + 5 * 4, 5);
    // Beyond the grid there is no dose, not a dose of nothing.
    expect(found[SIZE - 1]).toBeNaN();
    const above = plane([0, 0, 11], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1]);
    expect(grid && cutValues(grid, above).every(Number.isNaN)).toBe(true);
  });
});

describe("lines of one value", () => {
  it("run where the value is", () => {
    const values = Float32Array.from({ length: 16 }, (_, at) => at % 4);
    const pieces = isoline(values, 4, 4, 1.25);
    const columns = pieces.filter((_, at) => at % 2 === 0);
    expect(columns).toHaveLength(6);
    expect(new Set(columns)).toEqual(new Set([1.25]));
  });
});

describe("structures", () => {
  const square = (z: number): Contour => ({
    points: Float32Array.of(2, 2, z, 6, 2, z, 6, 6, z, 2, 6, z),
    isClosed: true,
    SOPInstanceUID: null,
    frame_number: null,
  });
  const contours = [square(0), square(3), square(6)];

  it("lie on the slices that they were drawn on", () => {
    expect(contourDistance(contours)).toBe(3);
    const axial = plane([0, 0, 3.2], [1, 0, 0], [0, 1, 0], [0, 0, 1], [2, 2]);
    expect(outlinesOn(contours, axial, 3)).toEqual([
      {
        points: [
          [1, 1],
          [3, 1],
          [3, 3],
          [1, 3],
        ],
        isClosed: true,
      },
    ]);
  });

  it("are bars as high as their slices where other planes cut them", () => {
    const coronal = plane([0, 4, 0], [1, 0, 0], [0, 0, 1], [0, -1, 0], [1, 1]);
    const bands = outlinesOn(contours, coronal, 3);
    expect(bands).toHaveLength(3);
    const [first] = bands;
    const columns = first?.points.map(([x]) => x) ?? [];
    const rows = first?.points.map(([, y]) => y) ?? [];
    expect([Math.min(...columns), Math.max(...columns)]).toEqual([2, 6]);
    expect([Math.min(...rows), Math.max(...rows)]).toEqual([-1.5, 1.5]);
  });

  it("are not there where no plane meets them", () => {
    const away = plane([0, 40, 0], [1, 0, 0], [0, 0, 1], [0, -1, 0], [1, 1]);
    expect(outlinesOn(contours, away, 3)).toEqual([]);
  });
});
