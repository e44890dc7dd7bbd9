import { describe, expect, it } from "vitest";
import type { PresetFacts } from "../../src/viewer/core/manifest";
import { presetsFor } from "../../src/viewer/core/presets";
import { frame } from "../factory";

function preset(facts: Partial<PresetFacts>): PresetFacts {
  return {
    id: "p",
    name: "Stroke",
    Modality: "CT",
    window_center: 40,
    window_width: 40,
    key: null,
    is_site: true,
    ...facts,
  };
}

function keyed(modality: string, kept: PresetFacts[]): Record<string, string> {
  const all = presetsFor(modality, frame(), kept);
  return Object.fromEntries(all.filter(({ key }) => key).map(({ key, name }) => [key, name]));
}

describe("window presets", () => {
  it("give CT the digits people know", () => {
    expect(keyed("CT", [])).toMatchObject({
      1: "Abdomen",
      2: "Lung",
      3: "Liver",
      4: "Bone",
      5: "Brain",
    });
  });

  it("let a kept preset take its digit over; the other gets a free one", () => {
    const found = keyed("CT", [preset({ key: "2" })]);
    expect(found[2]).toBe("Stroke");
    expect(Object.values(found)).toContain("Lung");
  });

  it("show a name that the server has once, as the server has it", () => {
    const all = presetsFor("CT", frame(), [
      preset({ name: "Lung", window_center: -500, window_width: 1400, key: "2" }),
    ]);
    const lungs = all.filter(({ name }) => name === "Lung");
    expect(lungs).toHaveLength(1);
    expect(lungs[0]).toMatchObject({ key: "2", window: { center: -500, width: 1400 } });
  });

  it("never give one digit to two", () => {
    const all = presetsFor("CT", frame(), [
      preset({ key: "5" }),
      preset({ id: "q", name: "Other", key: "5" }),
    ]);
    const keys = all.map(({ key }) => key).filter(Boolean);
    expect(new Set(keys).size).toBe(keys.length);
  });

  it("leave out those of other modalities", () => {
    expect(Object.values(keyed("MR", [preset({})]))).not.toContain("Stroke");
    expect(Object.values(keyed("MR", [preset({ Modality: "" })]))).toContain("Stroke");
    expect(Object.values(keyed("MR", []))).toEqual(["File window", "Full range"]);
  });
});
