import { language } from "../../i18n";

const WINDOW_MS = 8_000;
const THIN_SPACE = "\u2009";
const UNITS = ["B", "kB", "MB", "GB", "TB"];

/** Speed over the last seconds, from how much was sent when. */
export class Pace {
  private samples: { at: number; bytes: number }[] = [];

  note(bytes: number, at: number): void {
    this.samples.push({ at, bytes });
    while ((this.samples[1]?.at ?? at) < at - WINDOW_MS) {
      this.samples.shift();
    }
  }

  /** Forget the past: after a pause it says nothing about what comes. */
  restart(): void {
    this.samples = [];
  }

  get bytesPerSecond(): number {
    const first = this.samples[0];
    const last = this.samples.at(-1);
    if (!first || !last || last.at - first.at < 500) {
      return 0;
    }
    return Math.max(0, ((last.bytes - first.bytes) * 1000) / (last.at - first.at));
  }
}

export function sizeText(bytes: number): string {
  let size = bytes;
  let unit = 0;
  while (size >= 1000 && unit < UNITS.length - 1) {
    size /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || size >= 100 ? 0 : 1;
  const number = size.toLocaleString(language, {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
    useGrouping: false,
  });
  return `${number}${THIN_SPACE}${UNITS[unit]}`;
}

export function countText(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, THIN_SPACE);
}

/** Time that is left, in the words of a clock: `0:38`, `1:02:10`. */
export function timeText(seconds: number): string {
  const whole = Math.ceil(seconds);
  const two = (value: number) => String(value).padStart(2, "0");
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) {
    return `${minutes}:${two(whole % 60)}`;
  }
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(whole % 60)}`;
}
