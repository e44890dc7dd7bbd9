import { describe, expect, it } from "vitest";
import { gridOfPlanes, type MaskPlane } from "../../src/viewer/core/derived";
import type { Vec3 } from "../../src/viewer/core/manifest";
import { unit } from "../../src/viewer/core/planes";
import {
  type Camera,
  CellGrid,
  FRONT,
  type RenderPreset,
  WHOLE,
} from "../../src/viewer/core/render3d";
import { type SolidSegment, segmentCells } from "../../src/viewer/core/segment-cells";
import { finished } from "../../src/viewer/core/turns";
import { cross } from "../../src/viewer/core/vectors";

/** Cells of 1 mm from -20 to 20 mm. */
const COUNT = 41;
const FRAME = { low: [-20, -20, -20] as Vec3, size: 1, counts: [COUNT, COUNT, COUNT] as const };
const NOTHING: RenderPreset = {
  id: "nothing",
  name: "",
  isMip: false,
  isRelative: true,
  points: [],
};
const RED = { rgb: [250, 0, 0], opacity: 1 } as const;
const GREEN = { rgb: [0, 250, 0], opacity: 1 } as const;

/** A ball as another maker's masks hold it: planes of any direction, here and there a pixel size. */
function ball(
  middle: Vec3,
  radius: number,
  {
    row = [1, 0, 0],
    column = [0, 1, 0],
    pixel = 0.5,
    step = 1,
  }: Partial<{
    row: Vec3;
    column: Vec3;
    pixel: number;
    step: number;
  }> = {},
): SolidSegment {
  const [right, down] = [unit(row), unit(column)];
  const normal = cross(right, down);
  const side = 80;
  const planes = Array.from({ length: Math.ceil(40 / step) }, (_, k): MaskPlane => {
    const off = k * step - 20;
    const corner = (axis: 0 | 1 | 2): number =>
      off * normal[axis] - (side / 2) * pixel * (right[axis] + down[axis]);
    const origin: Vec3 = [corner(0), corner(1), corner(2)];
    const data = Uint8Array.from({ length: side * side }, (_, i) => {
      const [c, r] = [i % side, Math.floor(i / side)];
      const far = ([0, 1, 2] as const).map(
        (axis) => origin[axis] + pixel * (c * right[axis] + r * down[axis]) - middle[axis],
      );
      return Math.hypot(...far) <= radius ? 1 : 0;
    });
    return {
      SOPInstanceUID: null,
      frame_number: null,
      part: 1,
      rows: side,
      columns: side,
      plane: {
        origin,
        row: right,
        column: down,
        normal,
        pixel: [pixel, pixel],
        columns: side,
        rows: side,
      },
      patch: () => ({ left: 0, top: 0, width: side, height: side, data }),
    };
  });
  const grid = gridOfPlanes(planes, step);
  if (!grid) {
    throw new Error("no grid");
  }
  return { grid, isIn: (value) => value !== 0 };
}

function cells(labels: Uint8Array | null): CellGrid {
  const values = new Float32Array(COUNT ** 3);
  const grid = new CellGrid({ ...FRAME, values, min: 0, max: 1 });
  grid.setLabels(labels);
  return grid;
}

describe("segments as cells", () => {
  it.each([
    ["axial", {}],
    ["coronal", { row: [1, 0, 0], column: [0, 0, -1] }],
    ["leaning", { row: [1, 0, 0], column: [0, 0.94, 0.342] }],
    ["thick", { step: 2.5, pixel: 0.8 }],
  ] as const)("lie where the masks lie: %s", (_name, how) => {
    const middle: Vec3 = [6, -5, 4];
    const labels = finished(segmentCells(FRAME, [ball(middle, 8, how as object)]));
    let [count, x, y, z] = [0, 0, 0, 0];
    let farthest = 0;
    for (const [at, label] of labels.entries()) {
      if (label === 1) {
        const place = [at % COUNT, Math.floor(at / COUNT) % COUNT, Math.floor(at / COUNT ** 2)].map(
          (cell) => cell - 20,
        ) as [number, number, number];
        count++;
        x += place[0];
        y += place[1];
        z += place[2];
        farthest = Math.max(
          farthest,
          Math.hypot(place[0] - middle[0], place[1] - middle[1], place[2] - middle[2]),
        );
      }
    }
    expect(count).toBeGreaterThan(0.9 * (4 / 3) * Math.PI * 512);
    expect(count).toBeLessThan(1.1 * (4 / 3) * Math.PI * 512);
    expect(farthest).toBeLessThan(9.5);
    expect(Math.abs(x / count - 6)).toBeLessThan(0.2);
    expect(Math.abs(y / count + 5)).toBeLessThan(0.2);
    expect(Math.abs(z / count - 4)).toBeLessThan(0.6);
  });

  it("are numbered in their order; the last has what several cover", () => {
    const labels = finished(
      segmentCells(FRAME, [ball([-8, 0, 0], 5), ball([8, 0, 0], 5), ball([8, 0, 0], 3)]),
    );
    const at = (x: number): number | undefined => labels[(20 * COUNT + 20) * COUNT + x + 20];
    expect([at(-8), at(4), at(8), at(0)]).toEqual([1, 2, 3, 0]);
  });
});

/** The picture's pixel at a place in mm to the right and down of the middle of what is seen. */
function pixelAt(grid: CellGrid, rgb: Uint8Array, side: number, right: number, down: number) {
  const { radius } = grid.sphereOf(NOTHING);
  const place = (mm: number): number => Math.floor(((mm + radius) / (2 * radius)) * side);
  const at = 3 * (place(down) * side + place(right));
  return [rgb[at], rgb[at + 1], rgb[at + 2]] as const;
}

describe("segments in pictures of a volume", () => {
  // Both balls of 4 mm lie about the middle, 8 mm to the patient's left and right.
  const both = finished(segmentCells(FRAME, [ball([-8, 0, 0], 4), ball([8, 0, 0], 4)]));
  const side = 96;
  const draw = (camera: Camera, tints: Parameters<CellGrid["render"]>[5], labels = both) => {
    const grid = cells(labels);
    const rgb = grid.render(camera, NOTHING, WHOLE, side, 1, tints);
    return (right: number, down: number) => pixelAt(grid, rgb, side, right, down);
  };

  it("stand at their places in their colours, brightest where they face the eye", () => {
    const front = draw(FRONT, [RED, GREEN]);
    const [red, green] = [front(-8, 0), front(8, 0)];
    expect(red[0]).toBeGreaterThan(225);
    expect(red.slice(1)).toEqual([0, 0]);
    expect(green[1]).toBeGreaterThan(225);
    expect(green[0]).toBe(0);
    for (const [right, down] of [
      [0, 0],
      [-8, 5.5],
      [8, -5.5],
      [-13.5, 0],
    ] as const) {
      expect(front(right, down)).toEqual([0, 0, 0]);
    }
    expect(front(-8, 3.2)[0]).toBeLessThan(red[0] as number);
    // Seen from behind, left and right change places.
    const back = draw({ right: [-1, 0, 0], down: [0, 0, -1] }, [RED, GREEN]);
    expect(back(8, 0)[0]).toBeGreaterThan(225);
    expect(back(-8, 0)[1]).toBeGreaterThan(225);
  });

  it("hide one another as far as they are opaque", () => {
    // From the patient's left, the green one is in front of the red one.
    const left: Camera = { right: [0, 1, 0], down: [0, 0, -1] };
    expect(draw(left, [RED, GREEN])(0, 0)[0]).toBe(0);
    const [red, green] = draw(left, [RED, { ...GREEN, opacity: 0.5 }])(0, 0);
    expect(Math.abs((red as number) - (green as number))).toBeLessThan(25);
    expect(green).toBeGreaterThan(100);
    expect(green).toBeLessThan(130);
  });

  it("lie over the brightest value of a projection, and go with their labels", () => {
    const grid = cells(both);
    const mip: RenderPreset = { ...NOTHING, id: "mip", isMip: true };
    const rgb = grid.render(FRONT, mip, WHOLE, side, 1, [RED, GREEN]);
    expect(pixelAt(grid, rgb, side, -8, 0)[0]).toBeGreaterThan(225);
    grid.setLabels(null);
    expect(Math.max(...grid.render(FRONT, mip, WHOLE, side, 1, [RED, GREEN]))).toBe(0);
  });
});
