import type { Vec3 } from "./manifest";
import { frameAxes, type StackFrame } from "./stack";
import { type Orientation, screenAxes } from "./view";

/** Below this share of a direction its letter is left out: about 11 degrees. */
const SMALLEST_SHARE = 0.2;

const OPPOSITE: Record<string, string> = {
  L: "R",
  R: "L",
  A: "P",
  P: "A",
  H: "F",
  F: "H",
};

/** Letters of a patient direction, the strongest first (PS3.3 C.7.6.1.1.1): "L", "AL", "PFR" ... */
export function directionLetters(direction: Vec3): string {
  const parts = [
    { size: Math.abs(direction[0]), letter: direction[0] < 0 ? "R" : "L" },
    { size: Math.abs(direction[1]), letter: direction[1] < 0 ? "A" : "P" },
    { size: Math.abs(direction[2]), letter: direction[2] < 0 ? "F" : "H" },
  ];
  return parts
    .filter((part) => part.size > SMALLEST_SHARE)
    .sort((one, other) => other.size - one.size)
    .map((part) => part.letter)
    .join("");
}

export function oppositeLetters(letters: string): string {
  return [...letters].map((letter) => OPPOSITE[letter] ?? letter).join("");
}

export interface EdgeLetters {
  left: string;
  right: string;
  top: string;
  bottom: string;
}

/**
 * Letters at the viewport's edges: from Image Orientation (Patient), else from Patient Orientation
 * (0020,0020), which names the directions of rows and columns.
 */
export function edgeLetters(frame: StackFrame, orientation: Orientation): EdgeLetters | null {
  const axes = frameAxes(frame);
  if (axes) {
    const { right, down } = screenAxes(orientation, axes);
    const rightLetters = directionLetters(right);
    const bottomLetters = directionLetters(down);
    return {
      right: rightLetters,
      left: oppositeLetters(rightLetters),
      bottom: bottomLetters,
      top: oppositeLetters(bottomLetters),
    };
  }
  const [row, column] = frame.image.PatientOrientation ?? [];
  if (!row && !column) {
    return null;
  }
  const pick = (alongRow: number, alongColumn: number): string => {
    const letters = (alongRow !== 0 ? row : column) ?? "";
    return alongRow + alongColumn > 0 ? letters : oppositeLetters(letters);
  };
  const right = pick(orientation[0], orientation[1]);
  const bottom = pick(orientation[2], orientation[3]);
  return { right, left: oppositeLetters(right), bottom, top: oppositeLetters(bottom) };
}
