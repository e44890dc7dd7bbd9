import { describe, expect, it } from "vitest";
import { hiddenTexts } from "../../src/viewer/core/hidden";
import { lookupTables } from "../../src/viewer/core/lut";
import { frame } from "../factory";

describe("what a picture does not show", () => {
  it("is nothing where the manifest names nothing", () => {
    expect(hiddenTexts(frame())).toEqual([]);
  });

  it("is said in words", () => {
    const [only] = hiddenTexts(frame({ hidden: ["OverlayData"] }));
    expect(only?.text).toMatch(/overlay graphics that are not drawn/);
  });

  it("is a VOI LUT that could not be fetched, with the window that is shown instead", () => {
    lookupTables.fail("without", "The network does not answer.");
    const [only] = hiddenTexts(frame({ id: "without", WindowCenter: null }));
    expect(only?.text).toMatch(/could not be fetched.*whole range.*network/);
    expect(hiddenTexts(frame({ id: "without" }))[0]?.text).toMatch(/file's window/);
    lookupTables.forgetFailures();
    expect(hiddenTexts(frame({ id: "without" }))).toEqual([]);
  });
});
