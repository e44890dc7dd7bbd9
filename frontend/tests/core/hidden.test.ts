import { describe, expect, it } from "vitest";
import { hiddenTexts } from "../../src/viewer/core/hidden";
import { frame } from "../factory";

describe("what a picture does not show", () => {
  it("is nothing where the manifest names nothing", () => {
    expect(hiddenTexts(frame())).toEqual([]);
  });

  it("is said in words, with the window that is shown instead", () => {
    const hidden = ["OverlayData", "VOILUTSequence"];
    const texts = hiddenTexts(frame({ hidden, WindowCenter: null })).map(({ text }) => text);
    expect(texts[0]).toMatch(/overlay graphics that are not drawn/);
    expect(texts[1]).toMatch(/VOI LUT that is not applied.*whole range/);
    expect(hiddenTexts(frame({ hidden }))[1]?.text).toMatch(/file's window/);
  });
});
