import { expect, test } from "vitest";
import { type FoundDrawing, FoundList, foundLines, originText } from "../../src/viewer/core/found";

const DRAWING: FoundDrawing = {
  id: "a:1",
  graphic: "polyline",
  SOPInstanceUID: "1.2.3",
  frame_numbers: [],
  points: [
    [1, 2],
    [3, 4],
  ],
  is_closed: false,
  label: "",
  values: [{ name: "Length", number: 4.025316455696, unit: "mm" }],
};
const OBJECT = {
  image_id: "a",
  kind: "sr" as const,
  SeriesNumber: 5,
  SeriesDescription: "",
  Manufacturer: "OHIF",
  author: "Reader^Rita",
  at: "2026-03-04 05:06",
  problem: null,
  drawings: [DRAWING, { ...DRAWING, id: "a:2", frame_numbers: [2] }],
};

test("drawings are found by image and frame; without frames they are on every one", () => {
  const list = new FoundList();
  list.load([OBJECT]);
  expect(list.onFrame("1.2.3", 1).map(({ id }) => id)).toEqual(["a:1"]);
  expect(list.onFrame("1.2.3", 2).map(({ id }) => id)).toEqual(["a:1", "a:2"]);
  expect(list.onFrame("1.2.4", 1)).toEqual([]);
});

test("values are told to four figures, several with their names", () => {
  expect(foundLines(DRAWING)).toEqual(["4.025 mm"]);
  const values = [
    { name: "Area", number: 119.58, unit: "mm2" },
    { name: "Mean", number: 31.5, unit: "HU" },
  ];
  expect(foundLines({ ...DRAWING, label: "Lesion", values })).toEqual([
    "Lesion",
    "Area 119.6 mm²",
    "Mean 31.5 HU",
  ]);
});

test("the origin names author, maker and day", () => {
  expect(originText(OBJECT)).toBe("Reader Rita, OHIF · 2026-03-04 05:06");
  expect(originText({ ...OBJECT, author: "", Manufacturer: "", at: "" })).toBe("Unnamed report");
});
