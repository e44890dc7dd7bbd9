import { describe, expect, it } from "vitest";
import { calibrate, pixelAspect } from "../../src/viewer/core/calibration";
import type { UltrasoundRegion } from "../../src/viewer/core/manifest";
import { frame } from "../factory";

const CR = "1.2.840.10008.5.1.4.1.1.1";

function region(facts: Partial<UltrasoundRegion>): UltrasoundRegion {
  return {
    RegionLocationMinX0: 0,
    RegionLocationMinY0: 0,
    RegionLocationMaxX1: 99,
    RegionLocationMaxY1: 99,
    PhysicalUnitsXDirection: 3,
    PhysicalUnitsYDirection: 3,
    PhysicalDeltaX: 0.05,
    PhysicalDeltaY: 0.02,
    ReferencePixelX0: null,
    ReferencePixelY0: null,
    RegionSpatialFormat: 1,
    RegionDataType: 1,
    ...facts,
  };
}

describe("where millimetres come from", () => {
  it("Pixel Spacing is row spacing first", () => {
    const found = calibrate(frame({ PixelSpacing: [0.8, 0.4] }), []);
    expect(found).toMatchObject({ pixelSize: [0.4, 0.8], unit: "mm", source: "PixelSpacing" });
  });

  it("Imager Pixel Spacing says that it is the detector's", () => {
    const found = calibrate(
      frame({ SOPClassUID: CR, PixelSpacing: null, ImagerPixelSpacing: [0.2, 0.2] }),
      [],
    );
    expect(found).toMatchObject({ pixelSize: [0.2, 0.2], source: "ImagerPixelSpacing" });
    expect(found.note).toMatch(/detector/);
  });

  it("the estimated magnification divides it, and is named", () => {
    const found = calibrate(
      frame({
        SOPClassUID: CR,
        PixelSpacing: null,
        ImagerPixelSpacing: [0.2, 0.2],
        EstimatedRadiographicMagnificationFactor: 1.25,
      }),
      [],
    );
    expect(found.pixelSize[0]).toBeCloseTo(0.16);
    expect(found.source).toBe("ImagerPixelSpacing / magnification 1.25");
  });

  it("a projection's Pixel Spacing that repeats the detector's is no calibration", () => {
    const same = {
      SOPClassUID: CR,
      PixelSpacing: [0.2, 0.2],
      ImagerPixelSpacing: [0.2, 0.2],
    } as const;
    expect(calibrate(frame(same), []).source).toBe("ImagerPixelSpacing");
    expect(calibrate(frame({ ...same, PixelSpacing: [0.15, 0.15] }), []).source).toBe(
      "PixelSpacing",
    );
  });

  it("none gives pixels", () => {
    const found = calibrate(frame({ PixelSpacing: null }), []);
    expect(found).toMatchObject({ pixelSize: [1, 1], unit: "px", source: "none" });
    expect(calibrate(frame({ PixelSpacing: [0, 0.5] }), []).unit).toBe("px");
  });
});

describe("ultrasound regions", () => {
  const doppler = region({
    RegionLocationMinY0: 100,
    RegionLocationMaxY1: 199,
    PhysicalUnitsXDirection: 4,
    PhysicalUnitsYDirection: 7,
  });
  const both = frame({ SequenceOfUltrasoundRegions: [region({}), doppler] });

  it("measure in the region that holds all points, centimetres a pixel", () => {
    const found = calibrate(both, [
      [0, 0],
      [99, 99],
    ]);
    expect(found).toMatchObject({ unit: "mm", source: "ultrasound region 1" });
    expect(found.pixelSize[0]).toBeCloseTo(0.5);
    expect(found.pixelSize[1]).toBeCloseTo(0.2);
  });

  it.each([
    [
      "across two regions",
      [
        [50, 50],
        [50, 150],
      ],
      /different/,
    ],
    ["outside all", [[300, 300]], /outside/],
    ["in a Doppler region", [[50, 150]], /does not measure lengths/],
  ] as const)("refuse millimetres %s", (_name, points, note) => {
    const found = calibrate(both, points);
    expect(found).toMatchObject({ unit: "px", source: "none" });
    expect(found.note).toMatch(note);
  });

  it("refuse millimetres where overlapping regions disagree", () => {
    const overlapping = frame({
      SequenceOfUltrasoundRegions: [region({}), region({ PhysicalDeltaX: 0.04 })],
    });
    expect(calibrate(overlapping, [[5, 5]]).unit).toBe("px");
  });

  it("without units over the whole picture refuse nothing", () => {
    const frameWide = region({
      RegionLocationMaxX1: 639,
      RegionLocationMaxY1: 479,
      PhysicalUnitsXDirection: 0,
      PhysicalUnitsYDirection: 0,
      PhysicalDeltaX: 1,
      PhysicalDeltaY: 1,
    });
    const found = frame({
      SequenceOfUltrasoundRegions: [frameWide, region({ PhysicalDeltaX: -0.05 })],
    });
    expect(calibrate(found, [[5, 5]])).toMatchObject({ unit: "mm", source: "ultrasound region 2" });
    expect(calibrate(found, [[300, 300]]).unit).toBe("px");
  });

  it("come before a Pixel Spacing of the same file", () => {
    const found = calibrate(
      frame({ PixelSpacing: [9, 9], SequenceOfUltrasoundRegions: [region({})] }),
      [[300, 300]],
    );
    expect(found.unit).toBe("px");
  });
});

describe("the shape of pixels for drawing", () => {
  it.each([
    [{ PixelSpacing: [0.8, 0.4] }, 2],
    [{ PixelSpacing: null, PixelAspectRatio: [4, 3] }, 4 / 3],
    [{ PixelSpacing: null, ImagerPixelSpacing: [0.3, 0.1] }, 3],
    [{ PixelSpacing: null }, 1],
  ] as const)("%o", (facts, aspect) => {
    expect(pixelAspect(frame(facts))).toBeCloseTo(aspect);
  });
});
