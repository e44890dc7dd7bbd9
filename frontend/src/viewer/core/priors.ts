import type { PriorFacts } from "./manifest";

const DAYS_A_YEAR = 365.25;
const DAYS_A_MONTH = DAYS_A_YEAR / 12;

/** How long before the study on the screen, as people say it: "3 y before", "2 weeks after". */
export function intervalText(days: number | null): string {
  if (days === null) {
    return "date unknown";
  }
  if (days === 0) {
    return "same day";
  }
  const [size, way] = [Math.abs(days), days > 0 ? "before" : "after"];
  const [count, unit] =
    size < 14
      ? [size, "day"]
      : size < 2 * DAYS_A_MONTH
        ? [size / 7, "week"]
        : size < 2 * DAYS_A_YEAR
          ? [size / DAYS_A_MONTH, "month"]
          : [size / DAYS_A_YEAR, "year"];
  const whole = Math.floor(count);
  return `${whole} ${unit}${whole === 1 ? "" : "s"} ${way}`;
}

/** The prior that follows the one opened last; round and round. */
export function nextPrior(
  priors: readonly PriorFacts[],
  lastOpened: string | null,
): PriorFacts | null {
  const at = priors.findIndex(({ id }) => id === lastOpened);
  return priors[(at + 1) % Math.max(priors.length, 1)] ?? null;
}
