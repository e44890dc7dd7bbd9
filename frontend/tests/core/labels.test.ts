import { describe, expect, it } from "vitest";
import { type Box, type Label, placeLabels } from "../../src/viewer/core/labels";

const SIZE = { width: 600, height: 400 };

function label(x: number, y: number, facts: Partial<Label> = {}): Label {
  return {
    about: { x, y, width: 0, height: 0 },
    prefers: "right",
    width: 120,
    height: 60,
    ...facts,
  };
}

function touches(a: Box, b: Box): boolean {
  return a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
}

function expectApart(labels: readonly Label[], size = SIZE): void {
  const boxes = placeLabels(labels, size).map(({ box }) => box);
  for (const [index, box] of boxes.entries()) {
    expect(box.x).toBeGreaterThanOrEqual(0);
    expect(box.y).toBeGreaterThanOrEqual(0);
    expect(box.x + box.width).toBeLessThanOrEqual(size.width);
    expect(box.y + box.height).toBeLessThanOrEqual(size.height);
    expect(boxes.slice(index + 1).filter((other) => touches(box, other))).toEqual([]);
  }
}

describe("labels of measurements", () => {
  it("stand at the right of what they speak of, without a line", () => {
    const [placed] = placeLabels([label(100, 200)], SIZE);
    expect(placed).toEqual({ box: { x: 110, y: 170, width: 120, height: 60 }, leader: null });
  });

  it("go to the other side at the edge", () => {
    const [placed] = placeLabels([label(580, 200)], SIZE);
    expect(placed?.box.x).toBe(450);
  });

  it("never overlap and never leave the viewport", () => {
    expectApart([label(595, 5), label(595, 395), label(2, 2), label(2, 398)]);
    expectApart(Array.from({ length: 12 }, () => label(300, 200)));
    expectApart(
      Array.from({ length: 6 }, (_, index) => label(170 + index, 300)),
      { width: 340, height: 560 },
    );
  });

  it("leave other texts free", () => {
    const kept = { x: 480, y: 360, width: 120, height: 40 };
    const [placed] = placeLabels([label(590, 390)], SIZE, [kept]);
    expect(touches(placed?.box as Box, kept)).toBe(false);
  });

  it("are joined by a line to what they stand far from", () => {
    const placed = placeLabels(
      Array.from({ length: 9 }, () => label(300, 200)),
      SIZE,
    );
    expect(placed[0]?.leader).toBeNull();
    const last = placed.at(-1);
    expect(last?.leader?.[1]).toEqual([300, 200]);
  });

  it("stay within a viewport that is too small for all of them", () => {
    const placed = placeLabels(
      Array.from({ length: 9 }, () => label(60, 60)),
      { width: 200, height: 130 },
    );
    for (const { box } of placed) {
      expect(box.x).toBeGreaterThanOrEqual(0);
      expect(box.x + box.width).toBeLessThanOrEqual(200);
      expect(box.y + box.height).toBeLessThanOrEqual(130);
    }
  });
});
