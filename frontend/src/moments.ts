/** Dates and times as ISO 8601 writes them, in every language (docs/adr/0119). */

export function localDate(at: Date): string {
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
}

export function localMoment(at: Date): string {
  return `${localDate(at)} ${two(at.getHours())}:${two(at.getMinutes())}`;
}

export function two(value: number): string {
  return String(value).padStart(2, "0");
}
