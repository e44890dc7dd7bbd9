import { beforeEach, describe, expect, it } from "vitest";
import { measurementLines, measurementValue, sourceText } from "../../src/viewer/core/format";
import type { Vec2 } from "../../src/viewer/core/manifest";
import { evaluate } from "../../src/viewer/core/measure";
import { presetsFor } from "../../src/viewer/core/presets";
import {
  quantities,
  quantityOf,
  takenWindow,
  toldUnit,
  toldWindow,
  type UptakeFacts,
} from "../../src/viewer/core/quantity";
import type { StackFrame } from "../../src/viewer/core/stack";
import { stack } from "../factory";

const UPTAKE: UptakeFacts = {
  id: "s",
  types: [
    { type: "BW", unit: "SUVbw", factor: 0.0005 },
    { type: "BSA", unit: "SUVbsa", factor: 0.0001 },
  ],
  refusals: { IBW: "The files do not say the patient's height." },
  source: "dose 370.0 MBq at 09:00:00, scan at 10:00:00 (Series Time)",
  origin: "dose",
};

const pet = stack(
  { Units: "BQML", RescaleSlope: 2, RescaleIntercept: 0, RescaleType: null, Rows: 2, Columns: 2 },
  { Modality: "PT", SeriesInstanceUID: "1.2.77" },
);
const frame = pet.frames[0] as StackFrame;
const pixels = {
  key: frame.key,
  rows: 2,
  columns: 2,
  samples: 1 as const,
  data: Uint16Array.of(1000, 2000, 3000, 6000),
  min: 1000,
  max: 6000,
};
const probe = (at: Vec2) => evaluate("probe", [at], pet, frame, pixels);

describe("values of PET", () => {
  beforeEach(() => quantities.load("1.2.77", UPTAKE));

  it("are told in uptake values by body weight where these are known", () => {
    // 6000 x 2 Bq/ml x 0.0005.
    expect(probe([1, 1])).toMatchObject({ value: 6, unit: "SUVbw", unit_source: "SUV by dose" });
    quantities.choose("1.2.77", "BSA");
    expect(probe([1, 1]).value).toBeCloseTo(1.2, 12);
    expect(toldUnit(pet, frame)).toBe("SUVbsa");
  });

  it("are told as the file says where a person wants that", () => {
    quantities.choose("1.2.77", null);
    expect(quantityOf(pet)).toBeNull();
    expect(probe([1, 1])).toMatchObject({ value: 12000, unit: "BQML", unit_source: "none" });
    quantities.choose("1.2.77", "IBW");
    expect(quantityOf(pet)).toBeNull();
  });

  it("of regions name where they come from beside the millimetres", () => {
    const points: Vec2[] = [
      [-0.5, -0.5],
      [1.5, 1.5],
    ];
    const found = evaluate("rectangle", points, pet, frame, pixels);
    expect(found.statistics).toMatchObject({ mean: 3, max: 6, min: 1, unit: "SUVbw" });
    expect(found.unit_source).toBe("PixelSpacing; SUV by dose");
    expect(sourceText({ kind: "rectangle", unit: "mm2", unit_source: found.unit_source })).toBe(
      "PixelSpacing; SUV by dose, times and body",
    );
    expect(sourceText({ kind: "probe", unit: "SUVbw", unit_source: "SUV by scanner" })).toBe(
      "SUV by scanner",
    );
  });

  it("have their peak among the lines of a region", () => {
    const statistics = {
      mean: 3,
      sd: 1,
      min: 1,
      max: 6,
      peak: 4.25,
      area: 1,
      area_unit: "mm2",
      unit: "SUVbw",
      count: 4,
    };
    const item = {
      id: "m",
      kind: "ellipse" as const,
      SeriesInstanceUID: "1",
      SOPInstanceUID: "2",
      frame_number: 1,
      FrameOfReferenceUID: null,
      points: [],
      points_mm: null,
      label: "",
      value: 1,
      unit: "mm2",
      unit_source: "PixelSpacing",
      statistics,
    };
    expect(measurementLines(item)).toContain("Peak 4.25");
    expect(measurementValue(item)).toContain("max 6.0, peak 4.25");
    const without = { ...item, statistics: { ...statistics, peak: null } };
    expect(measurementLines(without).join()).not.toContain("Peak");
  });

  it("give windows in uptake values and take them back", () => {
    const window = { center: 10000, width: 20000, function: "LINEAR" } as const;
    expect(toldWindow(pet, window)).toMatchObject({ center: 5, width: 10 });
    expect(takenWindow(pet, { center: 5, width: 10, function: "LINEAR" })).toEqual(window);
    const ct = stack();
    expect(toldWindow(ct, window)).toBe(window);
  });

  it("have windows of their own in the menu", () => {
    const found = presetsFor("PT", frame, [], quantityOf(pet));
    expect(found[0]).toEqual({
      name: "SUV 0 to 5",
      window: { center: 5000, width: 10000, function: "LINEAR_EXACT" },
      key: "1",
    });
    quantities.choose("1.2.77", null);
    expect(presetsFor("PT", frame, [], quantityOf(pet))[0]?.name).not.toContain("SUV");
  });
});
