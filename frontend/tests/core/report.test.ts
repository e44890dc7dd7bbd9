import { describe, expect, it } from "vitest";
import {
  insert,
  type MeasurementReference,
  nextMark,
  putBelow,
  standing,
  update,
  used,
} from "../../src/viewer/core/report";

function measured(mark: string, words: string, id = mark): MeasurementReference {
  return { mark, kind: "measurement", measurement_id: id, version: 1, words };
}

describe("insert", () => {
  it.each([
    ["", 0, 0, "X"],
    ["Nodule", 6, 6, "Nodule X"],
    ["Nodule .", 7, 7, "Nodule X."],
    ["ab", 1, 1, "a X b"],
    ["see THIS here", 4, 8, "see X here"],
  ])("into %j at %i to %i", (text, start, end, expected) => {
    const made = insert(text, start, end, "X");
    expect(made.text).toBe(expected);
    expect(made.text.slice(0, made.caret).endsWith("X")).toBe(true);
  });
});

describe("marks", () => {
  it("are numbered by kind and never used twice", () => {
    const report = { text: "Old [M2].", references: [measured("M1", "a")] };
    expect(nextMark("measurement", report)).toBe("M3");
    expect(nextMark("image", report)).toBe("K1");
    expect(used(report)).toEqual([]);
  });

  it("tell whether what they say is still so", () => {
    const reference = measured("M1", "Length 12.3 mm");
    expect(standing(reference, "Length 12.3 mm")).toEqual({ state: "same" });
    expect(standing(reference, "Length 14 mm")).toEqual({
      state: "changed",
      words: "Length 14 mm",
    });
    expect(standing(reference, null)).toEqual({ state: "gone" });
    const long = "x".repeat(400);
    expect(standing(measured("M1", long.slice(0, 300)), long)).toEqual({ state: "same" });
  });

  it("are brought up to date where the words stand as they were written", () => {
    const report = {
      text: "A Length 12.3 mm [M1]. B Length 12.3 mm [M1].",
      references: [measured("M1", "Length 12.3 mm"), measured("M2", "x")],
    };
    const made = update(report, "M1", "Length 14 mm");
    expect(made.text).toBe("A Length 14 mm [M1]. B Length 14 mm [M1].");
    expect(made.references[0]?.words).toBe("Length 14 mm");
    expect(made.references[1]).toBe(report.references[1]);
    expect(update(report, "M9", "x")).toBe(report);
  });

  it("take nothing away from what a person worded", () => {
    const report = { text: "Long axis 12 [M1].", references: [measured("M1", "Length 12.3 mm")] };
    expect(update(report, "M1", "Length 14 mm").text).toBe("Long axis 12 (now Length 14 mm) [M1].");
  });
});

describe("two texts", () => {
  it("stand one below the other, with marks of their own", () => {
    const theirs = { text: "Theirs a [M1].\n", references: [measured("M1", "a", "id-a")] };
    const mine = {
      text: "Mine b [M1], c [M2].",
      references: [measured("M1", "b", "id-b"), measured("M2", "c", "id-c")],
    };
    const made = putBelow(theirs, mine);
    expect(made.text).toBe("Theirs a [M1].\n\nMine b [M3], c [M2].");
    expect(made.references.map(({ mark, words }) => [mark, words])).toEqual([
      ["M1", "a"],
      ["M3", "b"],
      ["M2", "c"],
    ]);
  });

  it("share a mark that means the same, and an empty text adds nothing", () => {
    const both = { text: "a [M1].", references: [measured("M1", "a")] };
    expect(putBelow(both, both).references).toHaveLength(1);
    expect(putBelow({ text: "", references: [] }, both)).toEqual(both);
  });
});
