import { describe, expect, it } from "vitest";
import { directionLetters, edgeLetters } from "../../src/viewer/core/orientation";
import { INITIAL_VIEW, turn } from "../../src/viewer/core/view";
import { frame } from "../factory";

const UPRIGHT = INITIAL_VIEW.orientation;

describe("orientation letters", () => {
  it.each([
    ["axial", [1, 0, 0, 0, 1, 0], { left: "R", right: "L", top: "A", bottom: "P" }],
    ["coronal", [1, 0, 0, 0, 0, -1], { left: "R", right: "L", top: "H", bottom: "F" }],
    ["sagittal", [0, 1, 0, 0, 0, -1], { left: "A", right: "P", top: "H", bottom: "F" }],
    // 30 degrees oblique: the second letter appears, the stronger stays first.
    [
      "oblique",
      [0.866, 0.5, 0, -0.5, 0.866, 0],
      { left: "RA", right: "LP", top: "AL", bottom: "PR" },
    ],
  ])("%s", (_name, iop, letters) => {
    expect(edgeLetters(frame({ ImageOrientationPatient: iop }), UPRIGHT)).toEqual(letters);
  });

  it("follow a turn to the right", () => {
    const { orientation } = turn(INITIAL_VIEW, "rotateRight");
    expect(edgeLetters(frame(), orientation)).toEqual({
      left: "P",
      right: "A",
      top: "R",
      bottom: "L",
    });
  });

  it("follow a horizontal flip", () => {
    const { orientation } = turn(INITIAL_VIEW, "flipHorizontal");
    expect(edgeLetters(frame(), orientation)).toMatchObject({ left: "L", right: "R", top: "A" });
  });

  it("come from Patient Orientation where there is no geometry", () => {
    const plain = frame({ ImageOrientationPatient: null, PatientOrientation: ["L", "FP"] });
    expect(edgeLetters(plain, UPRIGHT)).toEqual({ left: "R", right: "L", top: "HA", bottom: "FP" });
    const { orientation } = turn(INITIAL_VIEW, "rotateLeft");
    expect(edgeLetters(plain, orientation)).toEqual({
      left: "HA",
      right: "FP",
      top: "L",
      bottom: "R",
    });
  });

  it("are left out where nothing is known", () => {
    const unknown = frame({ ImageOrientationPatient: null, PatientOrientation: null });
    expect(edgeLetters(unknown, UPRIGHT)).toBeNull();
    expect(edgeLetters(frame({ ImageOrientationPatient: [0, 0, 0, 0, 0, 0] }), UPRIGHT)).toBeNull();
  });

  it("leave out shares below 0.2", () => {
    expect(directionLetters([0.99, 0.1, 0.05])).toBe("L");
  });
});
