import { describe, expect, it } from "vitest";
import type { Vec3 } from "../../src/viewer/core/manifest";
import {
  type Camera,
  CellGrid,
  type Crop,
  cellsOf,
  FRONT,
  type RenderPreset,
  WHOLE,
} from "../../src/viewer/core/render3d";
import { finished } from "../../src/viewer/core/turns";
import type { VolumeGeometry } from "../../src/viewer/core/volume";
import { Volume } from "../../src/viewer/core/voxels";

const COUNT = 41;

/** Air with a dense ball of 8 mm at the patient's left, a quarter of the way to the back and up. */
const BALL: Vec3 = [30, 10, 30];

function ballVolume(): Volume {
  const places = Array.from({ length: COUNT }, (_, k) => k);
  const geometry: VolumeGeometry = {
    columns: COUNT,
    rows: COUNT,
    pixel: [1, 1],
    row: [1, 0, 0],
    column: [0, 1, 0],
    normal: [0, 0, 1],
    locations: places,
    alongRow: places.map(() => 0),
    alongColumn: places.map(() => 0),
    rescales: places.map(() => ({ slope: 1, intercept: 0 })),
    shrink: 1,
  };
  const volume = new Volume(geometry);
  for (const z of places) {
    const data = Float32Array.from({ length: COUNT * COUNT }, (_, i) => {
      const [x, y] = [i % COUNT, Math.floor(i / COUNT)];
      return Math.hypot(x - BALL[0], y - BALL[1], z - BALL[2]) <= 8 ? 1000 : -1000;
    });
    volume.put(z, data, COUNT);
  }
  return volume;
}

const grid = new CellGrid(finished(cellsOf(ballVolume(), [0, 0, 0], [40, 40, 40])));
const SOLID: RenderPreset = {
  id: "solid",
  name: "Solid",
  isMip: false,
  isRelative: false,
  points: [
    [0, 200, 100, 50, 0],
    [500, 200, 100, 50, 0.95],
    [1000, 200, 100, 50, 0.95],
  ],
};
const MIP: RenderPreset = { ...SOLID, isMip: true, isRelative: true, points: [] };

/** Redder the denser: the depth at which a ray first meets the surface is seen. */
const GRADED: RenderPreset = {
  ...SOLID,
  id: "graded",
  points: [
    [-200, 60, 0, 0, 0],
    [-190, 60, 0, 0, 0.9],
    [100, 255, 0, 0, 0.9],
  ],
};

/** Matter whose surface leans back, denser the deeper. */
function slope(): CellGrid {
  const { geometry } = ballVolume();
  const volume = new Volume(geometry);
  for (const z of geometry.locations) {
    const data = Float32Array.from({ length: COUNT * COUNT }, (_, i) => {
      const y = Math.floor(i / COUNT);
      return Math.max(-1000, Math.min(1000, (y - 10 - 0.35 * z) * 250));
    });
    volume.put(z, data, COUNT);
  }
  return new CellGrid(finished(cellsOf(volume, [0, 0, 0], [40, 40, 40])));
}

/** Middle of what is drawn, in millimetres to the right and down of the volume's middle. */
function seen(camera: Camera, preset = SOLID, crop: Crop = WHOLE, stride = 0.75) {
  const side = 96;
  const rgb = grid.render(camera, preset, crop, side, stride);
  let [count, x, y] = [0, 0, 0];
  for (let i = 0; i < side * side; i++) {
    if ((rgb[i * 3] as number) > 40) {
      count += 1;
      x += (i % side) + 0.5 - side / 2;
      y += Math.floor(i / side) + 0.5 - side / 2;
    }
  }
  // The picture holds the sphere about what is seen; 160 cells stand for 40 mm.
  const { middle, radius } = grid.sphereOf(preset);
  const mm = ((2 * radius) / side) * (40 / 159);
  const off = (axis: Vec3): number =>
    axis.reduce((sum, part, at) => sum + part * ((middle[at] as number) * (40 / 159) - 20), 0);
  return {
    count,
    share: count / (side * side),
    right: (x / count) * mm + off(camera.right),
    down: (y / count) * mm + off(camera.down),
    area: count * mm * mm,
  };
}

describe("views of a volume", () => {
  it.each([
    ["from the front", FRONT, 10, -10],
    ["from the back", { right: [-1, 0, 0], down: [0, 0, -1] }, -10, -10],
    ["from the left", { right: [0, 1, 0], down: [0, 0, -1] }, -10, -10],
    ["from the feet", { right: [1, 0, 0], down: [0, 1, 0] }, 10, -10],
  ] as const)("shows the ball at its place %s", (_name, camera, right, down) => {
    for (const preset of [SOLID, MIP]) {
      const found = seen(camera, preset);
      expect(Math.abs(found.right - right)).toBeLessThan(0.6);
      expect(Math.abs(found.down - down)).toBeLessThan(0.6);
      // A ball of 8 mm; light falls off at its edge.
      expect(found.area).toBeGreaterThan(0.7 * Math.PI * 64);
      expect(found.area).toBeLessThan(1.2 * Math.PI * 64);
    }
  });

  it("fills the picture with what is seen, and not with the air about it", () => {
    // A disc that touches all four sides covers 79 %, the volume's own diagonal would leave 4 %.
    for (const preset of [SOLID, MIP]) {
      expect(seen(FRONT, preset).share).toBeGreaterThan(0.55);
    }
  });

  it("shows an even surface evenly, wherever the steps of the rays fall", () => {
    const side = 64;
    const rgb = slope().render(FRONT, GRADED, WHOLE, side, 1);
    const middle = Array.from({ length: 20 * 20 }, (_, i) => {
      const [c, r] = [22 + (i % 20), 22 + Math.floor(i / 20)];
      return rgb[(r * side + c) * 3] as number;
    });
    expect(Math.min(...middle)).toBeGreaterThan(60);
    expect(Math.max(...middle) - Math.min(...middle)).toBeLessThan(8);
  });

  it("shows the same coarsely", () => {
    const found = seen(FRONT, SOLID, WHOLE, 2);
    expect(Math.abs(found.right - 10)).toBeLessThan(0.8);
  });

  it("cuts away what cropping says", () => {
    const half: Crop = [
      [0, 0.4],
      [0, 1],
      [0, 1],
    ];
    expect(seen(FRONT, SOLID, half).count).toBe(0);
    expect(
      seen(FRONT, SOLID, [
        [0.98, 1],
        [0, 1],
        [0, 1],
      ]).count,
    ).toBe(0);
    const low: Crop = [
      [0, 1],
      [0, 1],
      [0, 0.75],
    ];
    const found = seen(FRONT, SOLID, low);
    const whole = seen(FRONT);
    expect(found.count / whole.count).toBeGreaterThan(0.35);
    expect(found.count / whole.count).toBeLessThan(0.65);
    expect(found.down).toBeGreaterThan(whole.down);
  });
});
