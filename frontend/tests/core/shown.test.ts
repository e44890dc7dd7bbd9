import { describe, expect, it } from "vitest";
import { ShownLedger, unseen, unseenText } from "../../src/viewer/core/shown";

const left = {};
const right = {};

describe("ShownLedger", () => {
  it("counts what stands on the screen, and only while the tab is visible", () => {
    const ledger = new ShownLedger();
    ledger.pause(false, 1000);
    ledger.show(left, "a:1", 1000);
    ledger.show(left, "b:1", 1400);
    ledger.pause(true, 1500);
    ledger.pause(false, 9000);
    ledger.settle(9030);
    expect(ledger.shownMs("a:1")).toBe(400);
    expect(ledger.shownMs("b:1")).toBe(130);
    ledger.show(left, null, 9100);
    ledger.settle(20_000);
    expect(ledger.shownMs("b:1")).toBe(200);
  });

  it("claims nothing that was never painted", () => {
    const ledger = new ShownLedger();
    ledger.pause(false, 0);
    ledger.show(left, "a:1", 0);
    ledger.show(left, "b:1", 4);
    ledger.show(left, null, 100);
    expect(ledger.has("a:1")).toBe(false);
    expect(ledger.has("b:1")).toBe(true);
    expect(ledger.take(10)).toEqual([["b", 1, 96]]);
  });

  it("counts a frame in two viewports once", () => {
    const ledger = new ShownLedger();
    ledger.pause(false, 0);
    ledger.show(left, "a:1", 0);
    ledger.show(right, "a:1", 100);
    ledger.settle(300);
    expect(ledger.shownMs("a:1")).toBe(300);
  });

  it("sends totals in batches, each once, and again what did not arrive", () => {
    const ledger = new ShownLedger();
    ledger.pause(false, 0);
    ledger.show(left, "a:1", 0);
    ledger.show(left, "a:2", 50);
    ledger.show(left, null, 90);
    const first = ledger.take(1);
    expect(first).toEqual([["a", 1, 50]]);
    expect(ledger.take(9)).toEqual([["a", 2, 40]]);
    expect(ledger.take(9)).toEqual([]);
    ledger.giveBack(first);
    ledger.show(left, "a:1", 1000);
    ledger.settle(1020);
    expect(ledger.take(9)).toEqual([["a", 1, 70]]);
  });

  it("adds earlier windows, and tells when something is new", () => {
    const ledger = new ShownLedger();
    let changes = 0;
    ledger.on("change", () => changes++);
    ledger.load({ a: { "1": 500 } });
    expect(changes).toBe(1);
    expect(ledger.has("a:1")).toBe(true);
    ledger.pause(false, 0);
    ledger.show(left, "a:1", 0);
    ledger.settle(100);
    expect(changes).toBe(1);
    expect(ledger.shownMs("a:1")).toBe(600);
    ledger.show(left, "a:2", 100);
    ledger.settle(200);
    expect(changes).toBe(2);
  });
});

describe("unseen", () => {
  it("names what was not shown and leaves out what cannot be", () => {
    const frames = ["jphc", "jphc", null, "jphc"].map((transport, index) => ({
      key: `i${index}:1`,
      image: { transport },
    }));
    expect(unseen(frames, { has: (key) => key === "i1:1" })).toEqual([0, 3]);
  });

  it("says it in words", () => {
    expect(unseenText(12, 300, 3)).toBe("12 of 300 images of series 3 not shown in full yet.");
    expect(unseenText(0, 1, null)).toBe("The only image of this series was shown in full.");
  });
});
