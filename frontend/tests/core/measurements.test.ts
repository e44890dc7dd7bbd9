import { beforeEach, describe, expect, it } from "vitest";
import type { MeasurementFacts } from "../../src/viewer/core/manifest";
import { MeasurementList } from "../../src/viewer/core/measurements";

function facts(id: string, label = ""): MeasurementFacts {
  return {
    id,
    kind: "length",
    SeriesInstanceUID: "1",
    SOPInstanceUID: "2",
    frame_number: 1,
    FrameOfReferenceUID: null,
    points: [],
    points_mm: null,
    label,
    value: 1,
    unit: "mm",
    unit_source: "PixelSpacing",
    statistics: null,
  };
}

describe("the list of measurements", () => {
  let list: MeasurementList;
  let edits: (string | null)[];

  beforeEach(() => {
    list = new MeasurementList();
    edits = [];
    list.on("edit", ({ after }) => edits.push(after ? after.label : null));
  });

  const labels = (): string[] => list.all().map((item) => item.facts.label);

  it("undoes and redoes creating, changing and removing, and says each to the server", () => {
    const { key } = list.create(facts("a", "one"));
    list.commit(key, facts("a", "one"), facts("a", "two"));
    list.remove(key);
    expect(labels()).toEqual([]);
    list.undo();
    expect(labels()).toEqual(["two"]);
    list.undo();
    expect(labels()).toEqual(["one"]);
    list.undo();
    expect(labels()).toEqual([]);
    list.redo();
    list.redo();
    expect(labels()).toEqual(["two"]);
    expect(edits).toEqual(["one", "two", null, "two", "one", null, "one", "two"]);
  });

  it("a new stroke ends the chance to redo", () => {
    list.create(facts("a"));
    list.undo();
    list.create(facts("b"));
    expect(list.canRedo).toBe(false);
    expect(list.redo()).toBeNull();
  });

  it("what the server sent is not undoable", () => {
    list.load([facts("a")]);
    expect(list.canUndo).toBe(false);
    expect(edits).toEqual([]);
  });

  it("a drag shows each step and is one step of undo", () => {
    list.load([facts("a", "start")]);
    list.preview("a", facts("a", "half"));
    list.commit("a", facts("a", "start"), facts("a", "end"));
    expect(edits).toEqual(["end"]);
    list.undo();
    expect(labels()).toEqual(["start"]);
  });

  it("what somebody else removed leaves no undo behind", () => {
    list.create(facts("a"));
    list.select("a");
    list.drop("a");
    expect([list.canUndo, list.selected, list.all().length]).toEqual([false, null, 0]);
  });

  it("finds what is drawn on one frame", () => {
    list.load([facts("a"), { ...facts("b"), frame_number: 2 }]);
    expect(list.onFrame("2", 2).map(({ key }) => key)).toEqual(["b"]);
  });
});
