import { describe, expect, it } from "vitest";
import { batchSize, prefetchOrder } from "../../src/viewer/core/order";

describe("the order of fetching", () => {
  it("goes three ahead, one behind, then outwards", () => {
    expect(prefetchOrder(100, 50, 1).slice(0, 8)).toEqual([50, 51, 52, 53, 49, 54, 55, 48]);
    expect(prefetchOrder(100, 50, -1).slice(0, 6)).toEqual([50, 49, 48, 47, 51, 46]);
  });

  it.each([
    [1, 0, 1],
    [88, 0, 1],
    [88, 87, 1],
    [88, 0, -1],
    [300, 12, -1],
    [7, 3, 1],
  ] as const)("of %d frames from %d names each once", (count, center, direction) => {
    const order = prefetchOrder(count, center, direction);
    expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, i) => i));
    expect(order[0]).toBe(center);
  });
});

describe("batches", () => {
  it("hold at most 32 frames and about 8 MiB", () => {
    expect(batchSize(512 * 512 * 2, false)).toBe(16);
    expect(batchSize(128 * 128 * 2, false)).toBe(32);
    expect(batchSize(40 * 1024 * 1024, false)).toBe(1);
    expect(batchSize(1, true)).toBe(1);
  });
});
