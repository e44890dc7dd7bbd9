import { describe, expect, it } from "vitest";
import { differences, mostAlike } from "../../src/viewer/core/alike";
import type { Manifest } from "../../src/viewer/core/manifest";
import { stack } from "../factory";

const patient: Manifest["patient"] = {
  id: "p",
  PatientID: "P1",
  PatientName: "Test^Anna",
  PatientBirthDate: "1970-01-01",
  PatientSex: "F",
  PatientAge: null,
};

describe("what is most alike", () => {
  const lung = stack({}, { id: "now", SeriesDescription: "Lung 1 mm" });
  const series = (id: string, words: string, more: object = {}, image: object = {}) =>
    stack(image, { id, SeriesDescription: words, ...more });

  it("shares words of the description", () => {
    const found = mostAlike(lung, [series("a", "Soft 5 mm"), series("b", "LUNG 1.5 mm")]);
    expect(found?.series.id).toBe("b");
  });

  it("is of the same modality and direction before it shares words", () => {
    const coronal = { ImageOrientationPatient: [1, 0, 0, 0, 0, -1] };
    const found = mostAlike(lung, [
      series("a", "Lung 1 mm", { Modality: "PT" }),
      series("b", "Lung 1 mm", {}, coronal),
      series("c", "other"),
    ]);
    expect(found?.series.id).toBe("c");
  });

  it("is of the same side and view", () => {
    const now = stack({ ImageLaterality: "L", ViewPosition: "CC" }, { Modality: "MG" });
    const found = mostAlike(now, [
      series("a", "x", { Modality: "MG" }, { ImageLaterality: "R", ViewPosition: "CC" }),
      series("b", "x", { Modality: "MG" }, { ImageLaterality: "L", ViewPosition: "CC" }),
    ]);
    expect(found?.series.id).toBe("b");
  });

  it("is no scout and nothing that cannot be drawn", () => {
    const scout = series("a", "Lung 1 mm", {}, { ImageType: ["ORIGINAL", "LOCALIZER"] });
    const report = series("b", "Lung 1 mm", {}, { transport: null });
    expect(mostAlike(lung, [scout, report, series("c", "other")])?.series.id).toBe("c");
    expect(mostAlike(lung, [report])).toBeNull();
    expect(mostAlike(null, [report, scout])?.series.id).toBe("a");
  });
});

describe("two patients", () => {
  it("are one where the whole identity is", () => {
    expect(differences(patient, { ...patient, PatientAge: "045Y" })).toEqual([]);
  });

  it("differ in what the person is told", () => {
    const other = { ...patient, PatientID: "P2", PatientBirthDate: null };
    expect(differences(patient, other)).toEqual(["Patient ID", "birth date"]);
    expect(differences(patient, { ...patient, id: "q" })).toEqual(["patient record"]);
  });
});
