import { expect, it } from "vitest";
import { cellCount, layoutOf, parseLayout } from "../../src/viewer/core/layout";

it("knows the layouts from 1x1 to 4x4 and no other text", () => {
  expect(parseLayout("2x3")).toEqual({ rows: 2, columns: 3 });
  expect(cellCount(layoutOf(4, 4))).toBe(16);
  for (const text of ["5x1", "0x1", "2x", "x", null, 4, "2x2x2"]) {
    expect(parseLayout(text)).toBeNull();
  }
});
