import { describe, expect, it } from "vitest";
import { apply } from "../../src/viewer/core/affine";
import type { Vec2, Vec3 } from "../../src/viewer/core/manifest";
import { cross, dot } from "../../src/viewer/core/vectors";
import {
  INITIAL_VIEW,
  imageToScreen,
  type Turn,
  turn,
  type View,
  zoomAt,
} from "../../src/viewer/core/view";
import { type CameraGeometry, cameraFor, storedWindow } from "../../src/viewer/engine/camera";

const VIEWPORT = { width: 600, height: 400 };
const GEOMETRY: CameraGeometry = {
  origin: [-120, 30, 8],
  row: [0, 1, 0],
  column: [0, 0, -1],
  spacing: [0.5, 0.8],
};
const PICTURE = { columns: 256, rows: 200, pixelAspect: 0.8 / 0.5 };

/** Where a camera with parallel projection draws a point: computed from its definition. */
function project(world: Vec3, camera: ReturnType<typeof cameraFor>): Vec2 {
  const direction: Vec3 = [
    -camera.viewPlaneNormal[0],
    -camera.viewPlaneNormal[1],
    -camera.viewPlaneNormal[2],
  ];
  const right = cross(direction, camera.viewUp);
  const from: Vec3 = [
    world[0] - camera.focalPoint[0],
    world[1] - camera.focalPoint[1],
    world[2] - camera.focalPoint[2],
  ];
  const perUnit = VIEWPORT.height / 2 / camera.parallelScale;
  return [
    VIEWPORT.width / 2 + dot(from, right) * perUnit,
    VIEWPORT.height / 2 - dot(from, camera.viewUp) * perUnit,
  ];
}

function worldOf([column, row]: Vec2): Vec3 {
  const { origin, row: r, column: c, spacing } = GEOMETRY;
  const at = (axis: 0 | 1 | 2): number =>
    origin[axis] + column * spacing[0] * r[axis] + row * spacing[1] * c[axis];
  return [at(0), at(1), at(2)];
}

describe("the engine's camera", () => {
  it.each<[string, Turn[]]>([
    ["upright", []],
    ["turned right", ["rotateRight"]],
    ["turned left", ["rotateLeft"]],
    ["upside down", ["rotateRight", "rotateRight"]],
    ["mirrored", ["flipHorizontal"]],
    ["mirrored and turned", ["flipVertical", "rotateRight"]],
  ])("draws %s what the view says", (_name, turns) => {
    const start: View = turns.reduce<View>((view, by) => turn(view, by), {
      ...INITIAL_VIEW,
      pan: [20, -35] as const,
    });
    const view = zoomAt(start, 1.7, [100, 50], VIEWPORT);
    const matrix = imageToScreen(view, PICTURE, VIEWPORT);
    const camera = cameraFor(view, matrix, VIEWPORT, GEOMETRY);
    for (const point of [
      [0, 0],
      [255, 0],
      [0, 199],
      [100.5, 30.25],
    ] as const) {
      const [x, y] = apply(matrix, point);
      const [u, v] = project(worldOf(point), camera);
      expect(u).toBeCloseTo(x, 6);
      expect(v).toBeCloseTo(y, 6);
    }
  });
});

describe("the window on stored values", () => {
  const rescale = { slope: 2, intercept: -1000 };

  it("undoes the rescale; LINEAR ends half a value further in", () => {
    const window = { center: 40, width: 401, function: "LINEAR" } as const;
    expect(storedWindow({ window, rescale, inverted: false })).toEqual({
      lower: (39.5 - 200 + 1000) / 2,
      upper: (39.5 + 200 + 1000) / 2,
      inverted: false,
    });
  });

  it("keeps the ends of an exact window", () => {
    const window = { center: 40, width: 400, function: "LINEAR_EXACT" } as const;
    expect(storedWindow({ window, rescale, inverted: true })).toEqual({
      lower: 420,
      upper: 620,
      inverted: true,
    });
  });

  it("turns light and dark over where the rescale falls", () => {
    const window = { center: 0, width: 100, function: "LINEAR_EXACT" } as const;
    const found = storedWindow({ window, rescale: { slope: -1, intercept: 0 }, inverted: false });
    expect(found).toEqual({ lower: -50, upper: 50, inverted: true });
  });
});
