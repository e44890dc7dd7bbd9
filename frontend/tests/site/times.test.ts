// @vitest-environment jsdom

import { describe, expect, test } from "vitest";
import { ageText, localMoment, writeTimes } from "../../src/site/times";

const THIN = "\u2009";
const NOW = new Date(2026, 2, 15, 12, 0, 0);
const before = (seconds: number) => new Date(NOW.getTime() - seconds * 1000);

describe("ages", () => {
  test.each([
    [-30, "just now"],
    [59, "just now"],
    [60, `1${THIN}min ago`],
    [3599, `59${THIN}min ago`],
    [3600, `1${THIN}h ago`],
    [86399, `23${THIN}h ago`],
    [86400, `1${THIN}d ago`],
    [7 * 86400 - 1, `6${THIN}d ago`],
    [7 * 86400, "2026-03-08"],
  ])("of %d seconds", (seconds, text) => {
    expect(ageText(before(seconds), NOW)).toBe(text);
  });
});

test("a moment is written in the browser's zone", () => {
  expect(localMoment(new Date(2026, 0, 2, 3, 4, 59))).toBe("2026-01-02 03:04");
});

test.each([
  ["full", "2026-01-02 03:04"],
  ["second", "2026-01-02 03:04:09"],
  ["age", "2026-01-02"],
])("a mark of the form %s is written as it says", (form, text) => {
  const at = new Date(2026, 0, 2, 3, 4, 9);
  document.body.innerHTML = `<time datetime="${at.toISOString()}" data-form="${form}"></time>`;
  writeTimes(document, NOW);
  expect(document.querySelector("time")?.textContent).toBe(text);
});
