import { describe, expect, it } from "vitest";
import { Tally } from "../../../src/site/upload/outcome";
import { countText, Pace, sizeText, timeText } from "../../../src/site/upload/pace";

describe("speed", () => {
  it("is that of the last seconds, not of the whole", () => {
    const pace = new Pace();
    pace.note(0, 0);
    pace.note(1_000_000, 1_000);
    expect(pace.bytesPerSecond).toBe(1_000_000);
    for (let second = 2; second <= 30; second += 1) {
      pace.note(1_000_000 + (second - 1) * 100, second * 1_000);
    }
    expect(pace.bytesPerSecond).toBe(100);
  });

  it("says nothing before half a second, nor after a pause", () => {
    const pace = new Pace();
    pace.note(0, 0);
    pace.note(500, 100);
    expect(pace.bytesPerSecond).toBe(0);
    pace.note(1_000, 1_000);
    pace.restart();
    expect(pace.bytesPerSecond).toBe(0);
  });

  it("is never negative, whatever is taken back", () => {
    const pace = new Pace();
    pace.note(1_000, 0);
    pace.note(0, 1_000);
    expect(pace.bytesPerSecond).toBe(0);
  });
});

it("writes sizes, counts and times", () => {
  expect(sizeText(999)).toBe("999\u2009B");
  expect(sizeText(532_424)).toBe("532\u2009kB");
  expect(sizeText(1_234_000_000)).toBe("1.2\u2009GB");
  expect(countText(1_234_567)).toBe("1\u2009234\u2009567");
  expect(countText(12)).toBe("12");
  expect(timeText(37.2)).toBe("0:38");
  expect(timeText(3_730)).toBe("1:02:10");
});

it("says reasons shortly", () => {
  const tally = new Tally();
  expect(tally.line()).toBe("Nothing sent yet");
  for (const reason of ["a", "a", "b", "c", "d"]) {
    tally.add({ part: 0, name: "x", outcome: "refused", reason });
  }
  expect(tally.line()).toBe("5 refused");
  expect(tally.sorted()[0]).toEqual(["a", 2]);
});
