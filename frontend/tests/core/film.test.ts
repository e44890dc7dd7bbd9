import { describe, expect, it } from "vitest";
import { nextOfFilm } from "../../src/viewer/core/film";

function film(count: number, steps: number, manner: { loops: boolean; bounces: boolean }) {
  const seen = [0];
  let at: ReturnType<typeof nextOfFilm> = { index: 0, direction: 1 };
  for (let step = 0; step < steps && at; step++) {
    at = nextOfFilm(at.index, count, at.direction, manner);
    seen.push(at ? at.index : -1);
  }
  return seen;
}

describe("a film", () => {
  it("begins again", () => {
    expect(film(3, 5, { loops: true, bounces: false })).toEqual([0, 1, 2, 0, 1, 2]);
  });

  it("goes to and fro", () => {
    expect(film(3, 6, { loops: true, bounces: true })).toEqual([0, 1, 2, 1, 0, 1, 2]);
    expect(film(2, 3, { loops: true, bounces: true })).toEqual([0, 1, 0, 1]);
  });

  it("ends after its last frame, or back at its first", () => {
    expect(film(3, 4, { loops: false, bounces: false })).toEqual([0, 1, 2, -1]);
    expect(film(3, 6, { loops: false, bounces: true })).toEqual([0, 1, 2, 1, 0, -1]);
  });
});
