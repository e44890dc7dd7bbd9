import { t, tn } from "../../i18n";
import type { PriorFacts } from "./manifest";

const DAYS_A_YEAR = 365.25;
const DAYS_A_MONTH = DAYS_A_YEAR / 12;

/** How long before the study on the screen, as people say it: "3 y before", "2 weeks after". */
export function intervalText(days: number | null): string {
  if (days === null) {
    return t("date unknown");
  }
  if (days === 0) {
    return t("same day");
  }
  const size = Math.abs(days);
  const isBefore = days > 0;
  if (size < 14) {
    return isBefore
      ? tn("{count} day before", "{count} days before", size)
      : tn("{count} day after", "{count} days after", size);
  }
  if (size < 2 * DAYS_A_MONTH) {
    const weeks = Math.floor(size / 7);
    return isBefore
      ? tn("{count} week before", "{count} weeks before", weeks)
      : tn("{count} week after", "{count} weeks after", weeks);
  }
  if (size < 2 * DAYS_A_YEAR) {
    const months = Math.floor(size / DAYS_A_MONTH);
    return isBefore
      ? tn("{count} month before", "{count} months before", months)
      : tn("{count} month after", "{count} months after", months);
  }
  const years = Math.floor(size / DAYS_A_YEAR);
  return isBefore
    ? tn("{count} year before", "{count} years before", years)
    : tn("{count} year after", "{count} years after", years);
}

/** The prior that follows the one opened last; round and round. */
export function nextPrior(
  priors: readonly PriorFacts[],
  lastOpened: string | null,
): PriorFacts | null {
  const at = priors.findIndex(({ id }) => id === lastOpened);
  return priors[(at + 1) % Math.max(priors.length, 1)] ?? null;
}
