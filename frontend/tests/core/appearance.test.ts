import { describe, expect, it } from "vitest";
import { INITIAL_APPEARANCE, isInitial, readAppearance } from "../../src/viewer/core/appearance";
import { INITIAL_VIEW, type Turn, turn } from "../../src/viewer/core/view";

describe("how a series was left", () => {
  it("comes back as it was", () => {
    const kept = {
      window: { center: 40, width: 80, function: "LINEAR" },
      invert: true,
      view: { orientation: [0, -1, 1, 0], zoom: 2.5, pan: [10, -4] },
    };
    expect(readAppearance(JSON.parse(JSON.stringify(kept)))).toEqual(kept);
  });

  it("comes back from every turn and mirroring", () => {
    const turns: Turn[] = ["rotateRight", "rotateRight", "rotateRight", "flipHorizontal"];
    let view = INITIAL_VIEW;
    for (const by of [...turns, ...turns, "flipVertical" as const, ...turns]) {
      view = turn(view, by);
      const found = readAppearance({ ...INITIAL_APPEARANCE, view });
      expect(found.view.orientation).toEqual(view.orientation);
    }
  });

  it.each([
    null,
    7,
    "text",
    { window: { center: "4", width: 2, function: "LINEAR" } },
    { window: { center: 4, width: -2, function: "LINEAR" } },
    { window: { center: 4, width: 2, function: "other" } },
    { view: { orientation: [2, 0, 0, 1], zoom: 1e9, pan: [null, 3] }, invert: "yes" },
  ])("is untouched where %o was kept", (kept) => {
    const found = readAppearance(kept);
    expect(found).toEqual(INITIAL_APPEARANCE);
    expect(isInitial(found)).toBe(true);
  });

  it("is told from untouched", () => {
    expect(isInitial({ ...INITIAL_APPEARANCE, invert: true })).toBe(false);
    const view = { ...INITIAL_VIEW, pan: [0, 1] as const };
    expect(isInitial({ ...INITIAL_APPEARANCE, view })).toBe(false);
  });
});
