// @vitest-environment jsdom
import { afterEach, describe, expect, it } from "vitest";
import { keyMap, pageCommand } from "../../src/viewer/ui/commands";

afterEach(() => keyMap.reset());

describe("the product's keys", () => {
  it("belong to one command each", () => {
    const keys = keyMap.all().flatMap(({ keys }) => keys);
    expect(keys.filter((key, at) => keys.indexOf(key) !== at)).toEqual([]);
  });

  it.each([
    ["n", "nextStudy"],
    ["p", "previousStudy"],
    ["_", "tool-pan"],
    ["!", "secondWindow"],
  ])("%s is for %s", (key, id) => {
    expect(pageCommand(key)?.id).toBe(id);
  });

  it("give way to what a person chose before they had these meanings", () => {
    keyMap.load({ "tool-length": ["n"], "tool-pan": ["p"] });
    expect(pageCommand("n")?.id).toBe("tool-length");
    expect(pageCommand("p")?.id).toBe("tool-pan");
    expect(keyMap.chosen).toEqual({ "tool-length": ["n"], "tool-pan": ["p"] });
  });
});
