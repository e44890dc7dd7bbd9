import { describe, expect, it } from "vitest";
import type { Manifest } from "../../src/viewer/core/manifest";
import { parseManifest } from "../../src/viewer/core/manifest";
import {
  buildStack,
  frameLocation,
  frameRescale,
  frameUnit,
  isDocument,
  type StackFrame,
  stackFps,
  startingPlace,
} from "../../src/viewer/core/stack";
import { frame, frameFacts, image, series, stack } from "../factory";

describe("a stack", () => {
  it("lays the frames of its objects one after the other", () => {
    const found = buildStack(
      series([image({ id: "a", NumberOfFrames: 2 }), image({ id: "b", NumberOfFrames: null })]),
    );
    expect(found.frames.map(({ key }) => key)).toEqual(["a:1", "a:2", "b:1"]);
  });

  it("keeps one place for an object that cannot be drawn", () => {
    const found = buildStack(series([image({ NumberOfFrames: 30, transport: null })]));
    expect(found.frames).toHaveLength(1);
    expect(isDocument(found.series)).toBe(true);
  });

  it("lets a frame's own facts win", () => {
    const facts = frameFacts({
      RescaleSlope: 2,
      RescaleIntercept: -5,
      ImagePositionPatient: [0, 0, 7],
    });
    const found = buildStack(series([image({ SliceLocation: 99, frames: [facts] })]));
    const first = found.frames[0] as StackFrame;
    expect(frameRescale(first)).toEqual({ slope: 2, intercept: -5 });
    expect(frameLocation(first)).toBe(7);
  });

  it("takes a slope of 0 for none", () => {
    expect(frameRescale(frame({ RescaleSlope: 0, RescaleIntercept: 3 }))).toEqual({
      slope: 1,
      intercept: 3,
    });
  });
});

describe("the unit of values", () => {
  it.each([
    ["the file's", { RescaleType: "HU" }, "CT", "HU"],
    ["HU for CT that says none", { RescaleType: null }, "CT", "HU"],
    ["none for unspecified", { RescaleType: "US" }, "CT", null],
    ["none for MR", { RescaleType: null }, "MR", null],
    ["none for CT without a rescale", { RescaleType: null, RescaleSlope: null }, "CT", null],
  ] as const)("is %s", (_name, facts, modality, unit) => {
    const found = stack(facts, { Modality: modality });
    expect(frameUnit(found, found.frames[0] as StackFrame)).toBe(unit);
  });
});

describe("the unit of PET", () => {
  it.each([
    [{ RescaleType: null, Units: "BQML" }, "PT", "BQML"],
    [{ RescaleType: "US", Units: "GML" }, "PT", "GML"],
    [{ RescaleType: "HU", Units: "BQML" }, "CT", "HU"],
    [{ RescaleType: null, Units: null }, "PT", null],
  ])("%o in %s", (facts, Modality, unit) => {
    const found = stack(facts, { Modality });
    expect(frameUnit(found, found.frames[0] as StackFrame)).toBe(unit);
  });
});

describe("cine speed", () => {
  it.each([
    [{ FrameTime: 40 }, 25],
    [{ FrameTime: 40, RecommendedDisplayFrameRate: 12 }, 12],
    [{ FrameTime: 0.001 }, 10],
    [{}, 10],
  ])("%o", (facts, fps) => {
    expect(stackFps(stack(facts))).toBe(fps);
  });
});

describe("where reading starts", () => {
  const stacks = [
    buildStack(series([image({ id: "report", transport: null })], { id: "s0" })),
    buildStack(series([image({ id: "a", NumberOfFrames: 5 })], { id: "s1" })),
  ];
  const base = { session: null, first_image: null } as unknown as Manifest;

  it("is the kept place, else the first picture, else the first series with pictures", () => {
    const session = { series_id: "s1", image_id: "a", frame_number: 4 };
    const first_image = {
      series_id: "s1",
      image_id: "a",
      frame_number: 2,
      preview: "",
      window_center: null,
      window_width: null,
    };
    expect(startingPlace({ ...base, session, first_image }, stacks)).toEqual({
      seriesIndex: 1,
      index: 3,
    });
    expect(startingPlace({ ...base, first_image }, stacks)).toEqual({ seriesIndex: 1, index: 1 });
    expect(startingPlace(base, stacks)).toEqual({ seriesIndex: 1, index: 0 });
  });

  it("passes over a kept place that is gone", () => {
    const session = { series_id: "s1", image_id: "gone", frame_number: 1 };
    expect(startingPlace({ ...base, session }, stacks)).toEqual({ seriesIndex: 1, index: 0 });
  });

  it("is not a presentation state that was looked at last, where there is a picture", () => {
    const session = { series_id: "s0", image_id: "report", frame_number: 1 };
    expect(startingPlace({ ...base, session }, stacks)).toEqual({ seriesIndex: 1, index: 0 });
    expect(startingPlace({ ...base, session }, stacks.slice(0, 1))).toEqual({
      seriesIndex: 0,
      index: 0,
    });
  });

  it("is an image that cannot be drawn rather than what describes it", () => {
    const state = buildStack(series([image({ transport: null })], { id: "p", Modality: "PR" }));
    const broken = buildStack(series([image({ transport: null })], { id: "c", Modality: "CR" }));
    expect(startingPlace(base, [state, broken])).toEqual({ seriesIndex: 1, index: 0 });
  });

  it("is nowhere in a study without series", () => {
    expect(startingPlace(base, [])).toBeNull();
  });
});

describe("the manifest in the page", () => {
  it("that is damaged says so in words", () => {
    expect(() => parseManifest("{")).toThrow(/Reload the page/);
    expect(() => parseManifest('{"study": {}}')).toThrow(/incomplete/);
  });
});
