import { expect, test } from "vitest";
import type { PriorFacts } from "../../src/viewer/core/manifest";
import { intervalText, nextPrior } from "../../src/viewer/core/priors";

test.each([
  [0, "same day"],
  [1, "1 day before"],
  [-3, "3 days after"],
  [20, "2 weeks before"],
  [365, "11 months before"],
  [1200, "3 years before"],
  [null, "date unknown"],
])("%s days are %s", (days, words) => {
  expect(intervalText(days)).toBe(words);
});

test("Tab goes round the priors", () => {
  const priors = ["a", "b"].map((id) => ({ id }) as PriorFacts);
  expect(nextPrior(priors, null)?.id).toBe("a");
  expect(nextPrior(priors, "a")?.id).toBe("b");
  expect(nextPrior(priors, "b")?.id).toBe("a");
  expect(nextPrior([], null)).toBeNull();
});
