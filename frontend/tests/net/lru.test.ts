import { describe, expect, it } from "vitest";
import { ByteCache } from "../../src/viewer/net/lru";

describe("the cache of frames", () => {
  it("lets the longest unused go when the bytes are used up", () => {
    const gone: string[] = [];
    const cache = new ByteCache<string>(10, (key) => gone.push(key));
    cache.set("a", "A", 4);
    cache.set("b", "B", 4);
    expect(cache.get("a")).toBe("A");
    cache.set("c", "C", 4);
    expect(gone).toEqual(["b"]);
    expect([cache.has("a"), cache.has("b"), cache.has("c"), cache.bytes]).toEqual([
      true,
      false,
      true,
      8,
    ]);
  });

  it("counts a replaced value once", () => {
    const cache = new ByteCache<string>(10);
    cache.set("a", "A", 6);
    cache.set("a", "B", 7);
    expect([cache.get("a"), cache.bytes]).toEqual(["B", 7]);
  });

  it("keeps the newest even when it alone is too large", () => {
    const cache = new ByteCache<string>(10);
    cache.set("a", "A", 4);
    cache.set("big", "B", 40);
    expect([cache.has("a"), cache.has("big")]).toEqual([false, true]);
  });

  it("lets what is held stay, and counts what is kept elsewhere", () => {
    const cache = new ByteCache<string>(12);
    cache.set("a", "A", 4);
    cache.set("b", "B", 4);
    cache.hold(new Set(["a"]));
    cache.set("c", "C", 8);
    expect([cache.has("a"), cache.has("b"), cache.has("c"), cache.bytes]).toEqual([
      true,
      false,
      true,
      12,
    ]);
    cache.hold(new Set(), 5);
    expect([cache.has("a"), cache.has("c"), cache.bytes, cache.room]).toEqual([false, false, 5, 7]);
    cache.hold(new Set());
    expect(cache.bytes).toBe(0);
  });
});
