import { describe, expect, it } from "vitest";
import {
  ageAt,
  ageText,
  countText,
  measurementLines,
  measurementValue,
  personName,
  sourceText,
  valueText,
} from "../../src/viewer/core/format";
import type { MeasurementFacts } from "../../src/viewer/core/manifest";

const THIN = "\u2009";

function facts(more: Partial<MeasurementFacts>): MeasurementFacts {
  return {
    id: "m",
    kind: "length",
    SeriesInstanceUID: "1",
    SOPInstanceUID: "2",
    frame_number: 1,
    FrameOfReferenceUID: null,
    points: [],
    points_mm: null,
    label: "",
    value: null,
    unit: null,
    unit_source: "none",
    statistics: null,
    ...more,
  };
}

describe("texts for people", () => {
  it.each([
    ["Müller^Anna^Maria^Dr.", "Dr. Müller, Anna Maria"],
    ["Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada, Tarou · 山田, 太郎 · やまだ, たろう"],
    ["HEAD", "HEAD"],
    ["", "No name"],
    [null, "No name"],
  ])("name %s", (name, text) => {
    expect(personName(name)).toBe(text);
  });

  it.each([
    ["045Y", `45${THIN}y`],
    ["003W", `3${THIN}w`],
    ["old", "old"],
    [null, ""],
  ])("age %s", (age, text) => {
    expect(ageText(age)).toBe(text);
  });

  it.each([
    ["1950-06-15", "2020-06-14", "069Y"],
    ["1950-06-15", "2020-06-15", "070Y"],
    ["2019-12-01", "2020-06-01", "006M"],
    ["2021-01-01", "2020-01-01", null],
    [null, "2020-01-01", null],
  ])("age from %s at %s", (birth, day, age) => {
    expect(ageAt(birth, day)).toBe(age);
  });

  it.each([
    [54.04, "mm", `54.0${THIN}mm`],
    [12.34, "px2", `12.3${THIN}px²`],
    [90, "deg", "90.0°"],
    [-997, "HU", `-997${THIN}HU`],
    [0.0123, null, "0.012"],
    [null, "mm", ""],
  ])("value %s %s", (value, unit, text) => {
    expect(valueText(value, unit)).toBe(text);
  });

  it("counts have thin-space groups", () => {
    expect(countText(1234567)).toBe(`1${THIN}234${THIN}567`);
  });
});

describe("texts of a measurement", () => {
  it("mark what is uncalibrated, beside the picture and in the table", () => {
    const item = facts({ value: 20, unit: "px" });
    expect(measurementLines(item)).toEqual([`20.0${THIN}px`, "uncalibrated"]);
    expect(sourceText(item)).toBe("uncalibrated");
  });

  it("name the source of millimetres", () => {
    expect(sourceText(facts({ unit: "mm", unit_source: "ultrasound region 2" }))).toBe(
      "ultrasound region 2",
    );
  });

  it("give a region's statistics with their unit", () => {
    const item = facts({
      kind: "ellipse",
      value: 12,
      unit: "mm2",
      unit_source: "PixelSpacing",
      statistics: {
        mean: 40.26,
        sd: 3,
        min: 30,
        max: 50,
        area: 12,
        area_unit: "mm2",
        unit: "HU",
        count: 9,
      },
    });
    expect(measurementValue(item)).toBe(
      `12.0${THIN}mm², mean 40.3${THIN}HU, SD 3.0, min 30.0, max 50.0`,
    );
  });
});
