import { describe, expect, it } from "vitest";
import { type Display, displayReport } from "../../src/site/pattern/display";
import { evenField, greySteps, type Pattern, testPattern } from "../../src/site/pattern/pattern";

/** Grey values as a canvas would hold them. */
function paint(pattern: Pattern, width: number, height: number): Int16Array {
  const pixels = new Int16Array(width * height).fill(-1);
  for (const rect of pattern.rects) {
    expect([rect.x, rect.y, rect.width, rect.height].every(Number.isInteger)).toBe(true);
    for (let y = Math.max(0, rect.y); y < Math.min(height, rect.y + rect.height); y++) {
      pixels.fill(rect.grey, y * width + rect.x, y * width + Math.min(width, rect.x + rect.width));
    }
  }
  return pixels;
}

describe.each([
  [1920, 1080],
  [1081, 1501],
  [360, 360],
])("the pattern on %i x %i", (width, height) => {
  const pattern = testPattern(width, height);
  const pixels = paint(pattern, width, height);
  const part = (name: string) => {
    const found = pattern.parts.find((each) => each.name === name);
    if (!found) {
      throw new Error(`no part ${name}`);
    }
    return found;
  };
  const middle = (name: string): number => {
    const { x, y, width: w, height: h } = part(name);
    return pixels[(y + (h >> 1)) * width + x + (w >> 1)] as number;
  };

  it("covers every pixel and stays inside", () => {
    expect(pixels.includes(-1)).toBe(false);
    for (const { x, y, width: w, height: h } of pattern.parts) {
      expect(x >= 0 && y >= 0 && x + w <= width && y + h <= height).toBe(true);
      expect(w > 0 && h > 0).toBe(true);
    }
  });

  it("has eighteen greys in equal steps, and 5 % and 95 % in their squares", () => {
    expect(greySteps().map((_, index) => middle(`grey ${index}`))).toEqual([
      0, 15, 30, 45, 60, 75, 90, 105, 120, 135, 150, 165, 180, 195, 210, 225, 240, 255,
    ]);
    expect([middle("5 %"), middle("95 %")]).toEqual([13, 242]);
    expect([part("0 %").grey, part("100 %").grey]).toEqual([0, 255]);
  });

  it("has contrasts of 1 to 10", () => {
    for (let difference = 1; difference <= 10; difference++) {
      expect(middle(`dark ${difference}`)).toBe(difference);
      expect(middle(`middle ${difference}`)).toBe(128 + difference);
      expect(middle(`bright ${difference}`)).toBe(255 - difference);
    }
  });

  it("has lines that change with every pixel, and with every second", () => {
    const upright = part("lines upright 1 at 10,12");
    const row = upright.y * width + upright.x;
    expect([...pixels.slice(row, row + 6)]).toEqual([255, 0, 255, 0, 255, 0]);
    const level = part("lines level 2 at 20,12");
    const column = Array.from({ length: 6 }, (_, y) => pixels[(level.y + y) * width + level.x]);
    expect(column).toEqual([255, 255, 0, 0, 255, 255]);
  });

  it("shows each of the 256 greys equally wide where there is room", () => {
    const { x, y, width: w } = part("ramp");
    const seen = new Map<number, number>();
    for (let at = 0; at < w; at++) {
      const grey = pixels[y * width + x + at] as number;
      seen.set(grey, (seen.get(grey) ?? 0) + 1);
    }
    expect(seen.size).toBe(256);
    expect(new Set(seen.values()).size).toBe(1);
  });
});

it("fills evenly", () => {
  expect(new Set(paint(evenField(50, 40, 80), 50, 40))).toEqual(new Set([204]));
});

describe("displayReport", () => {
  const good: Display = {
    width: 1200,
    height: 900,
    pixelRatio: 1,
    pinch: 1,
    colorDepth: 24,
    isWideGamut: false,
    isHighRange: false,
    hasForcedColors: false,
    screenWidth: 1920,
    screenHeight: 1200,
    isExact: true,
  };

  it("has nothing against a plain display", () => {
    expect(displayReport(good).warnings).toEqual([]);
    expect(displayReport(good).facts).toContainEqual(["Depth", "24 bits a pixel, 8 a colour"]);
  });

  it.each([
    ["zoom", { pixelRatio: 1.1 }, "shown at 110"],
    ["high resolution", { pixelRatio: 2 }, "right for a screen of high resolution"],
    ["pinch", { pinch: 1.5 }, "magnified by fingers"],
    ["few bits", { colorDepth: 18 }, "6 bits a colour"],
    ["forced colours", { hasForcedColors: true }, "high contrast"],
    ["a guessed size", { isExact: false }, "does not tell the size"],
  ] as const)("warns of %s", (_, change, words) => {
    const { warnings } = displayReport({ ...good, ...change });
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain(words);
  });
});
