import { expect, test } from "vitest";
import { pauseBefore } from "../../src/site/live";

test("pauses double, stay below the cap and are spread", () => {
  const longest = [0, 1, 2, 3, 4, 5, 9].map((attempt) => pauseBefore(attempt, () => 1));
  expect(longest).toEqual([500, 1000, 2000, 4000, 8000, 15000, 15000]);
  expect(pauseBefore(2, () => 0)).toBe(1000);
  expect(pauseBefore(99, () => 0)).toBe(7500);
});
