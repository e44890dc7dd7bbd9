import { describe, expect, it } from "vitest";
import { likenessOf, nameOf, placeOf, stageOf } from "../../src/viewer/core/keep-layout";
import type { Manifest, SeriesFacts } from "../../src/viewer/core/manifest";
import { frame, image, series } from "../factory";

function manifest(all: readonly SeriesFacts[], description = "Thorax"): Manifest {
  return { series: all, study: { StudyDescription: description } } as unknown as Manifest;
}

describe("studies like one", () => {
  it("share modality and body part; the description tells only without them", () => {
    const chest = series([image()], { BodyPartExamined: "CHEST" });
    const report = series([image()], { Modality: "SR", BodyPartExamined: "HEAD" });
    expect(likenessOf(manifest([chest, report]))).toEqual({
      Modality: "CT",
      BodyPartExamined: "CHEST",
      StudyDescription: "",
      Laterality: "",
      ViewPosition: "",
    });
    expect(likenessOf(manifest([series([image()])])).StudyDescription).toBe("Thorax");
  });

  it("share a side and a view where all pictures do", () => {
    const one = { ImageLaterality: "L", ViewPosition: "CC" };
    const left = series([image(one)], { Modality: "MG" });
    expect(likenessOf(manifest([left]))).toMatchObject({ Laterality: "L", ViewPosition: "CC" });
    const both = series([image(one), image({ ...one, ImageLaterality: "R" })], { Modality: "MG" });
    expect(likenessOf(manifest([both]))).toMatchObject({ Laterality: "", ViewPosition: "CC" });
  });
});

describe("a viewport", () => {
  it("is told by side and view of a projection, by the description of others", () => {
    const mammogram = frame({ ImageLaterality: "R", ViewPosition: "MLO" });
    const breast = series([mammogram.image], { Modality: "MG", SeriesDescription: "Screening" });
    const shown = { series: breast, frame: mammogram, prior: 1, window: null };
    expect(placeOf(shown, true)).toMatchObject({
      prior: 1,
      Laterality: "R",
      ViewPosition: "MLO",
      SeriesDescription: "",
    });
    const lung = series([image()], { SeriesDescription: "- Lung, 1 mm" });
    const window = { center: -600, width: 1500, function: "LINEAR" } as const;
    const place = { series: lung, frame: frame(), prior: 0, window };
    expect(placeOf(place, true)).toEqual({
      prior: 0,
      Modality: "CT",
      SeriesDescription: "Lung 1 mm",
      Laterality: "",
      ViewPosition: "",
      window_center: -600,
      window_width: 1500,
      show: "",
    });
    expect(placeOf({ ...place, show: "mip" }, false).show).toBe("mip");
    expect(placeOf(place, false).window_width).toBeNull();
    expect(placeOf(null, true)).toMatchObject({ Modality: "", SeriesDescription: "" });
  });

  it("belongs to a stage of rows and columns", () => {
    const about = { name: "", fit: "" as const, links: null };
    const places = Array.from({ length: 4 }, () => placeOf(null, true));
    expect(stageOf("1x3", places, about)).toMatchObject({ rows: 1, columns: 3 });
    expect(stageOf("1x3", places, about).places).toHaveLength(3);
  });

  it("has a name to begin with", () => {
    const likeness = likenessOf(manifest([series([image()], { BodyPartExamined: "CHEST" })]));
    expect(nameOf(likeness, "2x2")).toBe("CT chest, 2 x 2");
    expect(nameOf({ ...likeness, Modality: "", BodyPartExamined: "" }, "1x1")).toBe(
      "Layout, 1 x 1",
    );
  });
});
