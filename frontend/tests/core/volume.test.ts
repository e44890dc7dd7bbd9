import { describe, expect, it } from "vitest";
import type { Vec3 } from "../../src/viewer/core/manifest";
import { interleavedOrder } from "../../src/viewer/core/order";
import { planeOf, planePoint } from "../../src/viewer/core/planes";
import {
  indexAt,
  middleOfVolume,
  type PlaneAxes,
  reformatStack,
  rotate,
  STRAIGHT,
  turnAxes,
} from "../../src/viewer/core/reformat";
import { buildStack, type Stack, type StackFrame } from "../../src/viewer/core/stack";
import { planVolume, THIN, type VolumePlan } from "../../src/viewer/core/volume";
import { Volume } from "../../src/viewer/core/voxels";
import { image, series } from "../factory";

/** Linear in the patient's millimetres: right sampling gives exactly this between voxels too. */
const field = ([x, y, z]: Vec3): number => 2 * x + 3 * y + 5 * z + 1000;

function stackAt(positions: readonly Vec3[], iop = [1, 0, 0, 0, 1, 0], facts = {}): Stack {
  return buildStack(
    series(
      positions.map((ImagePositionPatient, index) =>
        image({
          id: `i${index}`,
          Rows: 12,
          Columns: 16,
          PixelSpacing: [2, 1.5],
          ImagePositionPatient,
          ImageOrientationPatient: iop,
          ...facts,
        }),
      ),
    ),
  );
}

function planned(stack: Stack): VolumePlan {
  const plan = planVolume(stack);
  if ("refusal" in plan) {
    throw new Error(plan.refusal);
  }
  return plan;
}

/** A volume of the field, filled as the files would; `leave` says which slices are missing. */
function filled(plan: VolumePlan, leave: (index: number) => boolean = () => false): Volume {
  const volume = new Volume(plan.geometry);
  for (const [index, frame] of plan.frames.entries()) {
    const plane = planeOf(frame);
    if (!plane || leave(index)) {
      continue;
    }
    const data = new Float32Array(plane.rows * plane.columns);
    for (let r = 0; r < plane.rows; r++) {
      for (let c = 0; c < plane.columns; c++) {
        // The factory's rescale takes 1024 away again.
        data[r * plane.columns + c] = field(planePoint(plane, [c, r])) + 1024;
      }
    }
    volume.put(index, data, plane.columns);
  }
  return volume;
}

function worst(
  plan: VolumePlan,
  volume: Volume,
  axes: PlaneAxes,
): { error: number; share: number } {
  const stack = reformatStack(plan, "coronal", axes, THIN);
  const grid = stack.reformat?.grid;
  const index = grid ? indexAt(grid, middleOfVolume(plan)) : 0;
  const frame = stack.frames[index] as StackFrame;
  const plane = planeOf(frame);
  if (!grid || !plane) {
    throw new Error("A reformatted picture has geometry.");
  }
  const data = volume.sample({ ...grid, origin: plane.origin }, THIN);
  let error = 0;
  let count = 0;
  for (let r = 0; r < grid.rows; r++) {
    for (let c = 0; c < grid.columns; c++) {
      const value = data[r * grid.columns + c] as number;
      if (!Number.isNaN(value)) {
        count += 1;
        const at = planePoint(plane, [c, r]);
        // Beyond the outermost voxels' middles the edge's values are held.
        const isInside = volumeHolds(plan, at);
        error = isInside ? Math.max(error, Math.abs(value - field(at))) : error;
      }
    }
  }
  return { error, share: count / data.length };
}

function volumeHolds({ geometry: g }: VolumePlan, at: Vec3): boolean {
  const along = (axis: Vec3): number => at[0] * axis[0] + at[1] * axis[1] + at[2] * axis[2];
  const location = along(g.normal);
  const first = g.locations[0] as number;
  const last = g.locations.at(-1) as number;
  const share = (location - first) / (last - first);
  const begin = (list: readonly number[]): number =>
    (list[0] as number) + share * ((list.at(-1) as number) - (list[0] as number));
  const column = (along(g.row) - begin(g.alongRow)) / g.pixel[0];
  const row = (along(g.column) - begin(g.alongColumn)) / g.pixel[1];
  return (
    share >= 0 &&
    share <= 1 &&
    column >= 0 &&
    row >= 0 &&
    column <= g.columns - 1 &&
    row <= g.rows - 1
  );
}

const straight = [0, 3, 6, 9, 12, 15].map((z): Vec3 => [10, 20, z]);

describe("reformatting", () => {
  it("gives the field's own values in straight and in oblique planes", () => {
    const plan = planned(stackAt(straight));
    const volume = filled(plan);
    for (const axes of [
      STRAIGHT.axial,
      STRAIGHT.coronal,
      STRAIGHT.sagittal,
      turnAxes(STRAIGHT.coronal, [0, 0, 1], 0.4),
      turnAxes(turnAxes(STRAIGHT.coronal, [0, 0, 1], 0.4), [1, 0, 0], -0.3),
      // So slightly that lines stay long between two slices, one way and the other.
      turnAxes(STRAIGHT.axial, [0, 1, 0], 0.02),
      turnAxes(STRAIGHT.coronal, [0, 1, 0], -0.02),
      turnAxes(STRAIGHT.sagittal, [1, 0, 0], 0.02),
      // Down along the slices, steeply through them.
      turnAxes(STRAIGHT.coronal, [0, 1, 0], 1.2),
      turnAxes(turnAxes(STRAIGHT.sagittal, [1, 0, 0], 0.8), [0, 0, 1], 0.5),
    ]) {
      const { error, share } = worst(plan, volume, axes);
      expect(error).toBeLessThan(1e-3);
      expect(share).toBeGreaterThan(0.4);
    }
  });

  it("straightens a tilted gantry and says so", () => {
    const iop = [1, 0, 0, 0, Math.cos(0.3), Math.sin(0.3)];
    const plan = planned(stackAt(straight, iop));
    expect(plan.notes).toEqual([expect.stringContaining("tilted by 17.2°")]);
    const { error } = worst(plan, filled(plan), STRAIGHT.coronal);
    expect(error).toBeLessThan(1e-3);
  });

  it("straightens slices that lean to the side, too", () => {
    const plan = planned(stackAt(straight, [Math.cos(0.3), 0, Math.sin(0.3), 0, 1, 0]));
    expect(plan.notes).toEqual([expect.stringContaining("tilted by 17.2°")]);
    expect(worst(plan, filled(plan), STRAIGHT.sagittal).error).toBeLessThan(1e-3);
  });

  it("keeps places where slices are unevenly spaced and says so", () => {
    const plan = planned(stackAt([0, 3, 6, 15, 18].map((z): Vec3 => [10, 20, z])));
    expect(plan.notes).toEqual([expect.stringContaining("unevenly spaced (3 to 9 mm)")]);
    const { error } = worst(plan, filled(plan), STRAIGHT.coronal);
    expect(error).toBeLessThan(1e-3);
  });

  it("gives the outermost pixels' values half a pixel beyond them, then none", () => {
    const plan = planned(stackAt(straight));
    const volume = filled(plan);
    const { pixel } = plan.geometry;
    // Across the slices (level, slightly and steeply leaning), from outside of the volume on.
    for (const tilt of [0, 0.01, 0.5]) {
      const right: Vec3 = [Math.cos(tilt), 0, Math.sin(tilt)];
      const grid = { right, down: [0, 1, 0] as Vec3, pixel: 0.5, columns: 90, rows: 60 };
      const origin: Vec3 = [0, 10, 7];
      const data = volume.sample({ ...grid, origin }, THIN);
      for (let r = 0; r < grid.rows; r++) {
        for (let c = 0; c < grid.columns; c++) {
          const [x, y, z] = [c * 0.5 * right[0], 10 + r * 0.5, 7 + c * 0.5 * right[2]];
          const held: Vec3 = [
            Math.min(Math.max(x, 10), 10 + 15 * pixel[0]),
            Math.min(Math.max(y, 20), 20 + 11 * pixel[1]),
            Math.min(Math.max(z, 0), 15),
          ];
          const off = [(x - held[0]) / pixel[0], (y - held[1]) / pixel[1], (z - held[2]) / 3];
          const isEdge = off.some((by) => Math.abs(Math.abs(by) - 0.5) < 1e-9);
          const wanted = off.every((by) => Math.abs(by) <= 0.5) ? field(held) : Number.NaN;
          const found = data[r * grid.columns + c] as number;
          if (!isEdge) {
            expect(Number.isNaN(found)).toBe(Number.isNaN(wanted));
          }
          if (!isEdge && !Number.isNaN(wanted)) {
            expect(Math.abs(found - wanted)).toBeLessThan(1e-3);
          }
        }
      }
    }
  });

  it("does the same in pieces", () => {
    const plan = planned(stackAt(straight));
    const volume = filled(plan);
    const grid = { origin: [10, 20, 7] as Vec3, ...STRAIGHT.axial, pixel: 1, columns: 9, rows: 9 };
    const slab = { mode: "average", thickness: 6 } as const;
    const work = volume.sampling(grid, slab);
    let pieces = 0;
    let step = work.next();
    while (!step.done) {
      pieces += 1;
      step = work.next();
    }
    expect(pieces).toBeGreaterThan(2);
    expect(step.value).toEqual(volume.sample(grid, slab));
  });

  it("halves above the bytes that there is room for", () => {
    const stack = stackAt(straight);
    const bytes = 12 * 16 * 2 * straight.length;
    const shrinkOf = (most: number): number => {
      const plan = planVolume(stack, most);
      return "refusal" in plan ? 0 : plan.geometry.shrink;
    };
    expect([bytes, bytes - 1, bytes / 4 - 1].map(shrinkOf)).toEqual([1, 2, 4]);
  });

  it("fills in between the slices that are here", () => {
    const plan = planned(stackAt(straight));
    const volume = filled(plan, (index) => index % 2 === 1 && index !== 5);
    expect(worst(plan, volume, STRAIGHT.coronal).error).toBeLessThan(1e-3);
    const empty = new Volume(plan.geometry).sample(
      { origin: [10, 20, 5], ...STRAIGHT.axial, pixel: 1, columns: 2, rows: 1 },
      THIN,
    );
    expect([...empty]).toEqual([Number.NaN, Number.NaN]);
  });

  it("takes the highest, the lowest and the mean of a slab", () => {
    const plan = planned(stackAt(straight));
    const volume = filled(plan);
    const grid = {
      origin: [14, 24, 7.5] as Vec3,
      ...STRAIGHT.axial,
      pixel: 1,
      columns: 1,
      rows: 1,
    };
    const middle = field([14, 24, 7.5]);
    const value = (mode: "mip" | "minip" | "average"): number =>
      volume.sample(grid, { mode, thickness: 6 })[0] as number;
    expect(value("mip")).toBeCloseTo(middle + 15, 3);
    expect(value("minip")).toBeCloseTo(middle - 15, 3);
    expect(value("average")).toBeCloseTo(middle, 3);
  });

  it("orders slices by place whatever their order in the series", () => {
    const plan = planned(stackAt([...straight].reverse()));
    expect(plan.geometry.locations).toEqual([0, 3, 6, 9, 12, 15]);
    expect(worst(plan, filled(plan), STRAIGHT.sagittal).error).toBeLessThan(1e-3);
  });

  it("halves what is too large, in the same place", () => {
    const plan = planned(stackAt(straight));
    const geometry = {
      ...plan.geometry,
      shrink: 2,
      columns: 8,
      rows: 6,
      pixel: [3, 4] as const,
      alongRow: plan.geometry.alongRow.map((at) => at + 0.75),
      alongColumn: plan.geometry.alongColumn.map((at) => at + 1),
    };
    const half = { ...plan, geometry };
    expect(worst(half, filled(half), STRAIGHT.coronal).error).toBeLessThan(1e-3);
  });

  it.each([
    ["too few", stackAt(straight.slice(0, 2)), "needs at least 3"],
    ["one place", stackAt([...straight, [10, 20, 3] as const]), "lie at the same place"],
    ["no place", stackAt(straight, [], {}), "do not say where"],
    ["colour", stackAt(straight, undefined, { SamplesPerPixel: 3 }), "in colour"],
  ])("refuses in words: %s", (_name, stack, words) => {
    expect(planVolume(stack)).toEqual({ refusal: expect.stringContaining(words) });
  });

  it("turns about an axis by the right-hand rule", () => {
    const [x, y, z] = rotate([1, 0, 0], [0, 0, 1], Math.PI / 2);
    expect([x, y, z].map((value) => Math.round(value * 1e9) / 1e9)).toEqual([0, 1, 0]);
  });

  it("asks for every eighth slice first, and for each once", () => {
    const order = interleavedOrder(20);
    expect(order.slice(0, 6)).toEqual([0, 8, 16, 4, 12, 2]);
    expect([...order].sort((a, b) => a - b)).toEqual([...Array(20).keys()]);
  });
});
