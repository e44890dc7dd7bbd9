import { describe, expect, it } from "vitest";
import { clock, frameAt, timeOf, type VideoFacts } from "../../src/viewer/core/video";

const steady: VideoFacts = {
  frame_count: 40,
  frame_rate: 25,
  Rows: 64,
  Columns: 128,
  start_s: 0,
  duration_s: 1.6,
  times_s: null,
  stored_codec: "h264",
  is_converted: false,
};
const uneven: VideoFacts = {
  ...steady,
  frame_count: 4,
  duration_s: 1,
  times_s: [0, 0.1, 0.15, 0.6],
};

describe("frames of a video", () => {
  it("are told by the time at which they begin", () => {
    expect([0, 0.04, 0.08, 1.56].map((time) => frameAt(time, steady))).toEqual([0, 1, 2, 39]);
  });

  it("are told from within, and never beyond the ends", () => {
    expect([-1, 0.039, 0.0599, 5].map((time) => frameAt(time, steady))).toEqual([0, 0, 1, 39]);
  });

  it("are found where they do not last equally long", () => {
    expect([0, 0.09, 0.1, 0.59, 0.6, 9].map((time) => frameAt(time, uneven))).toEqual([
      0, 0, 1, 2, 3, 3,
    ]);
  });

  it.each([
    ["steady", steady],
    ["uneven", uneven],
    ["begun late", { ...steady, start_s: 0.08 }],
    ["uneven, begun late", { ...uneven, start_s: 1.48 }],
  ])("come back from the time that is sought for them: %s", (_, facts) => {
    const all = Array.from({ length: facts.frame_count }, (_, index) => index);
    expect(all.map((index) => frameAt(timeOf(index, facts), facts))).toEqual(all);
  });

  it("are sought in their middle", () => {
    expect(timeOf(1, steady)).toBeCloseTo(0.06);
    expect(timeOf(3, uneven)).toBeCloseTo(0.8);
  });
});

describe("clock", () => {
  it.each([
    [0, "0:00.0"],
    [59.96, "1:00.0"],
    [62.34, "1:02.3"],
    [3600, "60:00.0"],
  ])("%d s", (seconds, expected) => {
    expect(clock(seconds)).toBe(expected);
  });
});
