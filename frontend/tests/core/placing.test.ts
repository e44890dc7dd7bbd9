import { describe, expect, it } from "vitest";
import { edgeLetters } from "../../src/viewer/core/orientation";
import { breastPlacement, placedView } from "../../src/viewer/core/placing";
import { imageToScreen, UPRIGHT } from "../../src/viewer/core/view";
import { frame } from "../factory";

const plain = { ImageOrientationPatient: null, ImagePositionPatient: null };

/** Letters at the right and lower edge after placing a picture of these directions. */
function placed(side: "L" | "R", across: string, down: string): string[] {
  const picture = frame({ ...plain, PatientOrientation: [across, down] });
  const { orientation } = breastPlacement(picture, side);
  const letters = edgeLetters(picture, orientation);
  return [letters?.right ?? "", letters?.bottom ?? ""];
}

describe("a breast", () => {
  it.each([
    ["R", "P", "L", "P", "L"],
    ["R", "A", "L", "P", "L"],
    ["R", "A", "R", "P", "L"],
    ["L", "A", "R", "A", "R"],
    ["L", "P", "L", "A", "R"],
    ["R", "P", "FL", "P", "FL"],
    ["R", "A", "HR", "P", "FL"],
    ["L", "P", "FR", "A", "FR"],
    // Stored lying on its side.
    ["L", "FR", "A", "A", "FR"],
    ["R", "F", "A", "P", "F"],
  ] as const)(
    "of the side %s, stored with %s to the right and %s below, stands with %s and %s there",
    (side, across, down, right, below) => {
      expect(placed(side, across, down)).toEqual([right, below]);
    },
  );

  it("lies as it came where the file says no directions", () => {
    const { orientation, edge } = breastPlacement(frame(plain), "L");
    expect(orientation).toEqual(UPRIGHT);
    expect(edge).toBe("left");
  });
});

describe("a placed picture", () => {
  const picture = { columns: 100, rows: 200, pixelAspect: 1 };
  const viewport = { width: 400, height: 300 };

  it.each([
    ["left", 1, 0],
    ["left", 0.5, 0],
    ["right", 1, 400],
    ["right", 0.5, 400],
  ] as const)("touches the %s edge at %s of the fitting scale", (edge, zoom, at) => {
    const view = placedView({ orientation: UPRIGHT, edge }, picture, viewport, zoom);
    const [a, , , , x] = imageToScreen(view, picture, viewport);
    const [first, last] = [x - a / 2, x + a * 99.5];
    expect(edge === "left" ? first : last).toBeCloseTo(at, 9);
  });

  it("touches the edge with its turned side", () => {
    const turned = { orientation: [0, -1, 1, 0], edge: "right" } as const;
    const view = placedView(turned, picture, viewport, 0.5);
    const [, , m2, , x] = imageToScreen(view, picture, viewport);
    // Rows run to the left: the first row lies at the right edge.
    expect(x - m2 / 2).toBeCloseTo(400, 9);
  });

  it("stands in the middle without an edge", () => {
    const view = placedView({ orientation: UPRIGHT, edge: null }, picture, viewport, 1);
    expect(view.pan).toEqual([0, 0]);
  });
});
