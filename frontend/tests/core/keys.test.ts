import { describe, expect, it } from "vitest";
import { KeyMap, keyName, keyProblem, readKeys, writeKeys } from "../../src/viewer/core/keys";
import { keyMap } from "../../src/viewer/ui/commands";

function event(key: string, ...held: ("ctrlKey" | "metaKey" | "shiftKey" | "altKey")[]) {
  const none = { ctrlKey: false, metaKey: false, shiftKey: false, altKey: false };
  return { key, ...none, ...Object.fromEntries(held.map((name) => [name, true])) };
}

function map(): KeyMap {
  return new KeyMap([
    { id: "cine", name: "Cine", group: "Picture", keys: ["c"] },
    { id: "length", name: "Length", group: "Tools", keys: ["m"] },
    { id: "redo", name: "Redo", group: "Measurements", keys: ["Control+y", "Control+Shift+z"] },
  ]);
}

describe("keyName", () => {
  it("is the same for the same key", () => {
    expect(keyName(event("M", "shiftKey"))).toBe("m");
    expect(keyName(event("?", "shiftKey"))).toBe("?");
    expect(keyName(event("Z", "ctrlKey", "shiftKey"))).toBe("Control+Shift+z");
    expect(keyName(event("z", "metaKey"))).toBe("Control+z");
    expect(keyName(event(" ", "shiftKey"))).toBe("Shift+Space");
    expect(keyName(event("ArrowUp", "shiftKey", "altKey"))).toBe("Shift+Alt+ArrowUp");
  });
});

describe("keyProblem", () => {
  it.each(["Tab", "Shift+Tab", "Enter", "Escape"])("keeps %s for the page", (key) => {
    expect(keyProblem(key)).toContain("stays that");
  });
  it.each(["Shift+Shift", "Control+Control", "Dead"])("waits for more than %s", (key) => {
    expect(keyProblem(key)).toBe("Press a key together with it.");
  });
  it.each(["m", "+", "Control++", "F2", "Shift+Space"])("takes %s", (key) => {
    expect(keyProblem(key)).toBeNull();
  });
});

describe("KeyMap", () => {
  it("gives a command a free key and takes its own away", () => {
    const keys = map();
    keys.assign("length", "n");
    expect(keys.commandOf("n")?.id).toBe("length");
    expect(keys.commandOf("m")).toBeNull();
    expect(keys.current("m")).toBe("n");
    expect(keys.chosen).toEqual({ length: ["n"] });
  });

  it("names the clash, and takes the key from there when asked to", () => {
    const keys = map();
    expect(keys.clash("length", "c")?.name).toBe("Cine");
    expect(keys.clash("cine", "c")).toBeNull();
    keys.assign("length", "c");
    expect(keys.commandOf("c")?.id).toBe("length");
    expect(keys.keysOf("cine")).toEqual([]);
    expect(keys.current("c")).toBeNull();
    expect(keys.chosen).toEqual({ length: ["c"], cine: [] });
  });

  it("takes one key of several and leaves the others", () => {
    const keys = map();
    keys.assign("cine", "Control+y");
    expect(keys.keysOf("redo")).toEqual(["Control+Shift+z"]);
  });

  it("goes back, one by one or all", () => {
    const keys = map();
    keys.assign("length", "c");
    keys.reset("cine");
    expect(keys.commandOf("c")?.id).toBe("cine");
    expect(keys.keysOf("length")).toEqual([]);
    keys.reset();
    expect(keys.chosen).toEqual({});
    expect(keys.commandOf("m")?.id).toBe("length");
  });

  it("gives a person's choice the key when the product gets a new command with it", () => {
    const keys = map();
    keys.load({ length: ["c"], gone: ["x"], redo: ["Tab", "r"] });
    expect(keys.commandOf("c")?.id).toBe("length");
    expect(keys.keysOf("redo")).toEqual(["r"]);
    expect(keys.chosen).not.toHaveProperty("gone");
  });

  it("travels as a file", () => {
    const keys = map();
    keys.assign("length", "n");
    const other = map();
    other.load(readKeys(writeKeys(keys.chosen)));
    expect(other.chosen).toEqual(keys.chosen);
    expect(() => readKeys("{")).toThrow("not JSON");
    expect(() => readKeys('{"shortcuts": {}}')).toThrow("holds no keys");
    expect(() => readKeys('{"kind": "noctispro-keys", "shortcuts": {"a": 1}}')).toThrow("of “a”");
  });
});

describe("the viewer's commands", () => {
  it("have names and ids of their own, and no key twice", () => {
    const all = keyMap.all();
    expect(new Set(all.map(({ id }) => id)).size).toBe(all.length);
    const keys = all.flatMap((command) => command.keys);
    expect(keys.filter((key, at) => keys.indexOf(key) !== at)).toEqual([]);
    expect(keys.filter((key) => keyProblem(key) !== null)).toEqual([]);
  });

  it.each([
    ["z", "Zoom"],
    ["+", "Zoom in"],
    ["-", "Zoom out"],
    ["=", "Fit"],
    ["r", "Rotate right"],
    ["l", "Rotate left"],
    ["h", "Flip horizontal"],
    ["v", "Flip vertical"],
    ["c", "Cine"],
    ["i", "Invert"],
    ["ArrowDown", "Next image"],
    ["ArrowRight", "Next viewport"],
    ["PageDown", "Next series"],
    ["Home", "First image"],
    ["End", "Last image"],
    ["Space", "Reset"],
    ["9", "Window preset 9"],
    ["Backspace", "Delete the selected measurement"],
    ["Control+z", "Undo"],
    ["Control+y", "Redo"],
    ["m", "Length"],
    ["a", "Angle"],
    ["e", "Ellipse ROI"],
    ["x", "Crosshairs"],
    ["f", "Full screen"],
    ["t", "Texts"],
    ["k", "Key image: put the image into the report"],
    ["?", "Help"],
  ])("%s is %s", (key, name) => {
    expect(keyMap.commandOf(key)?.name).toBe(name);
  });
});
