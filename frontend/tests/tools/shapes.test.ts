import { describe, expect, it } from "vitest";
import type { Affine } from "../../src/viewer/core/affine";
import {
  type Candidate,
  distanceToSegment,
  distanceToShape,
  handles,
  hitTest,
  moveHandle,
} from "../../src/viewer/tools/shapes";

const DOUBLE: Affine = [2, 0, 0, 2, 10, 0];

function candidate(key: string, facts: Partial<Candidate> = {}): Candidate {
  return {
    key,
    kind: "length",
    points: [
      [0, 0],
      [50, 0],
    ],
    isSelected: false,
    ...facts,
  };
}

describe("finding what is under the pointer", () => {
  it("prefers a handle to a line, in screen pixels", () => {
    // The ends lie at 10, 0 and 110, 0 of the screen.
    expect(hitTest([candidate("a")], DOUBLE, [108, 3], 8)).toEqual({ key: "a", handle: 1 });
    expect(hitTest([candidate("a")], DOUBLE, [60, 5], 8)).toEqual({ key: "a", handle: null });
    expect(hitTest([candidate("a")], DOUBLE, [60, 9], 8)).toBeNull();
  });

  it("prefers the nearer handle, and the selected shape where both are as near", () => {
    const other = candidate("b", {
      points: [
        [0, 3],
        [50, 3],
      ],
    });
    expect(hitTest([candidate("a"), other], DOUBLE, [10, 5], 8)).toEqual({ key: "b", handle: 0 });
    const twins = [candidate("a"), candidate("b", { isSelected: true })];
    expect(hitTest(twins, DOUBLE, [10, 0], 8)).toEqual({ key: "b", handle: 0 });
  });

  it("finds an ellipse at its outline, not in its middle", () => {
    const box = [
      [0, 0],
      [100, 40],
    ] as const;
    expect(distanceToShape("ellipse", box, [100, 20])).toBeLessThan(1);
    expect(distanceToShape("ellipse", box, [50, 20])).toBeGreaterThan(15);
  });

  it("measures to the ends beyond a segment", () => {
    expect(distanceToSegment([-3, 4], [0, 0], [10, 0])).toBe(5);
    expect(distanceToSegment([5, 4], [0, 0], [10, 0])).toBe(4);
  });
});

describe("dragging handles", () => {
  it("moves one corner of a box and leaves the opposite one", () => {
    const points = [
      [10, 10],
      [30, 20],
    ] as const;
    for (const [index, opposite] of [
      [0, 2],
      [1, 3],
      [2, 0],
      [3, 1],
    ] as const) {
      const before = handles("rectangle", points)[opposite];
      const moved = moveHandle("rectangle", points, index, [40, 50]);
      const after = handles("rectangle", moved);
      expect(after[index]).toEqual([40, 50]);
      expect(after[opposite]).toEqual(before);
    }
  });

  it("moves one point of an angle", () => {
    expect(
      moveHandle(
        "angle",
        [
          [0, 0],
          [5, 5],
          [9, 0],
        ],
        1,
        [6, 7],
      ),
    ).toEqual([
      [0, 0],
      [6, 7],
      [9, 0],
    ]);
  });
});
