import { describe, expect, it } from "vitest";
import type { Vec2 } from "../../src/viewer/core/manifest";
import {
  alongStroke,
  between,
  edgesOf,
  fromRuns,
  insideOf,
  patchOfRuns,
  signedDistance,
  toRuns,
} from "../../src/viewer/core/masks";

function picture(...rows: string[]): { mask: Uint8Array; columns: number; rows: number } {
  const columns = rows[0]?.length ?? 0;
  const values = rows.join("").split("");
  return {
    mask: Uint8Array.from(values, (letter) => (letter === "." ? 0 : Number(letter))),
    columns,
    rows: rows.length,
  };
}

function text(mask: Uint8Array, columns: number): string[] {
  const found: string[] = [];
  for (let at = 0; at < mask.length; at += columns) {
    found.push([...mask.subarray(at, at + columns)].map((value) => value || ".").join(""));
  }
  return found;
}

describe("runs", () => {
  it("hold value and length as the server reads them", () => {
    const { mask } = picture("..1", "1.2");
    // 2 of 0, 2 of 1, 1 of 0, 1 of 2.
    expect([...toRuns(mask)]).toEqual([2 << 8, (2 << 8) | 1, 1 << 8, (1 << 8) | 2]);
  });

  it("come back as they were", () => {
    const { mask } = picture(".11.", "1..2", "2222");
    expect(fromRuns(toRuns(mask), mask.length)).toEqual(mask);
  });

  it("of a patch cut it out of its frame", () => {
    const { mask, columns, rows } = picture(".....", "..12.", ".11..", ".....");
    const patch = patchOfRuns(toRuns(mask), rows, columns);
    expect(patch).toMatchObject({ left: 1, top: 1, width: 3, height: 2 });
    expect(text(patch?.data ?? new Uint8Array(), 3)).toEqual([".12", "11."]);
  });

  it("over the end of a row reach both edges", () => {
    const { mask, columns, rows } = picture("..1", "1..", "...");
    const patch = patchOfRuns(toRuns(mask), rows, columns);
    expect(patch).toMatchObject({ left: 0, top: 0, width: 3, height: 2 });
    expect(text(patch?.data ?? new Uint8Array(), 3)).toEqual(["..1", "1.."]);
  });

  it("of nothing are no patch", () => {
    expect(patchOfRuns(toRuns(new Uint8Array(9)), 3, 3)).toBeNull();
  });
});

function painted(a: Vec2, b: Vec2, radius: number, aspect = 1): string[] {
  const mask = new Uint8Array(9 * 7);
  alongStroke(a, b, radius, 9, 7, aspect, (at) => {
    mask[at] = 1;
  });
  return text(mask, 9);
}

describe("a brush", () => {
  it("paints pixels whose centres it covers", () => {
    expect(painted([4, 3], [4, 3], 1)).toEqual([
      ".........",
      ".........",
      "....1....",
      "...111...",
      "....1....",
      ".........",
      ".........",
    ]);
  });

  it("leaves no gap however fast it is moved", () => {
    expect(painted([0, 3], [8, 3], 0.5)[3]).toBe("111111111");
  });

  it("is round in millimetres where pixels are not square", () => {
    // Pixels twice as high as wide: a radius of 2 columns is 1 row.
    expect(painted([4, 3], [4, 3], 2, 2)).toEqual([
      ".........",
      ".........",
      "....1....",
      "..11111..",
      "....1....",
      ".........",
      ".........",
    ]);
  });

  it("stays on the picture", () => {
    expect(painted([-3, -3], [-3, -3], 5).join("").includes("1")).toBe(true);
    expect(painted([20, 20], [20, 20], 5).join("").includes("1")).toBe(false);
  });
});

describe("scissors", () => {
  it("take pixels whose centres lie inside", () => {
    const outline: Vec2[] = [
      [0.5, 0.5],
      [3.5, 0.5],
      [3.5, 2.5],
      [0.5, 2.5],
    ];
    expect(text(insideOf(outline, 5, 4), 5)).toEqual([".....", ".111.", ".111.", "....."]);
  });

  it("leave out what an outline goes round twice", () => {
    const square = (a: number, b: number): Vec2[] => [
      [a, a],
      [b, a],
      [b, b],
      [a, b],
      [a, a],
    ];
    const found = insideOf([...square(-0.5, 4.5), ...square(0.5, 3.5)], 5, 5);
    expect(text(found, 5)).toEqual(["11111", "1...1", "1...1", "1...1", "11111"]);
  });
});

describe("outlines", () => {
  it("run along the borders of pixels, joined where they are straight", () => {
    const patch = { left: 2, top: 1, width: 2, height: 1, data: Uint8Array.of(1, 1) };
    expect(edgesOf(patch, (value) => value === 1)).toEqual([
      1.5, 0.5, 3.5, 0.5, 1.5, 1.5, 3.5, 1.5, 1.5, 0.5, 1.5, 1.5, 3.5, 0.5, 3.5, 1.5,
    ]);
  });

  it("part two segments that touch", () => {
    const patch = { left: 0, top: 0, width: 2, height: 1, data: Uint8Array.of(1, 2) };
    const edges = edgesOf(patch, (value) => value === 1);
    expect(edges).toContain(0.5);
    expect(Math.max(...edges)).toBe(0.5);
  });
});

describe("filling between slices", () => {
  it("is half way a shape between two", () => {
    const disc = (radius: number): Uint8Array =>
      Uint8Array.from({ length: 41 * 41 }, (_, at) =>
        Math.hypot((at % 41) - 20, Math.floor(at / 41) - 20) <= radius ? 1 : 0,
      );
    const middle = between(disc(6), disc(14), 0.5, 41, 41);
    const radius = Math.sqrt(middle.reduce((sum, value) => sum + value, 0) / Math.PI);
    // The chamfer distance is within 8 % of the true one.
    expect(radius).toBeGreaterThan(9.2);
    expect(radius).toBeLessThan(10.8);
  });

  it("knows how deep a pixel lies", () => {
    const { mask, columns, rows } = picture(".....", ".111.", ".111.", ".111.", ".....");
    const distance = signedDistance(mask, columns, rows);
    expect(distance[2 * 5 + 2]).toBe(6);
    expect(distance[0]).toBe(-4);
  });
});
