import { t } from "../i18n";
import { localDate, localMoment, two } from "../moments";

export { localDate, localMoment };

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const ZONE_COOKIE = "noctis_zone";

/** How long ago in the largest whole unit; the date itself after a week. */
export function ageText(at: Date, now: Date): string {
  const past = now.getTime() - at.getTime();
  if (past < MINUTE_MS) {
    return t("just now");
  }
  if (past < HOUR_MS) {
    return t("{count} min ago", { count: Math.floor(past / MINUTE_MS) });
  }
  if (past < DAY_MS) {
    return t("{count} h ago", { count: Math.floor(past / HOUR_MS) });
  }
  if (past < 7 * DAY_MS) {
    return t("{count} d ago", { count: Math.floor(past / DAY_MS) });
  }
  return localDate(at);
}

/** To the second and with the zone it is in: what stands in the title. */
export function zonedMoment(at: Date): string {
  const parts = new Intl.DateTimeFormat("en", { timeZoneName: "short" }).formatToParts(at);
  const zone = parts.find((part) => part.type === "timeZoneName")?.value ?? "";
  return `${localSecond(at)} ${zone}`.trim();
}

function localSecond(at: Date): string {
  return `${localMoment(at)}:${two(at.getSeconds())}`;
}

function textOf(form: string | undefined, at: Date, now: Date): string {
  switch (form) {
    case "age":
      return ageText(at, now);
    case "second":
      return localSecond(at);
    default:
      return localMoment(at);
  }
}

/** Write every `<time data-form>` below `root` in this browser's zone. */
export function writeTimes(root: ParentNode, now = new Date()): void {
  for (const mark of root.querySelectorAll<HTMLTimeElement>("time[data-form]")) {
    const at = new Date(mark.dateTime);
    const text = textOf(mark.dataset.form, at, now);
    if (mark.textContent !== text) {
      mark.textContent = text;
    }
    if (mark.title) {
      mark.title = zonedMoment(at);
    }
  }
}

/** The server writes times and reads "today" in the zone that this cookie names. */
export function tellZone(): void {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  // biome-ignore lint/suspicious/noDocumentCookie: the Cookie Store API is missing in Firefox.
  document.cookie = `${ZONE_COOKIE}=${encodeURIComponent(zone)};path=/;max-age=31536000;samesite=lax`;
}

/** Ages stay right while the page is open. */
export function keepTimes(): void {
  tellZone();
  writeTimes(document);
  setInterval(() => {
    if (!document.hidden) {
      writeTimes(document);
    }
  }, MINUTE_MS / 2);
}
