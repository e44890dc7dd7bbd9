import { t } from "../../i18n";
/** How many viewports a window shows: rows x columns, as "2x3". */
export type Layout = `${number}x${number}`;

export const MOST_ROWS = 4;
export const MOST_COLUMNS = 4;

/** The layouts that have a name of their own; the grid offers all of them. */
export const LAYOUTS: readonly { layout: Layout; name: string }[] = [
  { layout: "1x1", name: t("One viewport") },
  { layout: "1x2", name: t("Two viewports") },
  { layout: "2x2", name: t("Four viewports") },
];

export function layoutOf(rows: number, columns: number): Layout {
  return `${rows}x${columns}`;
}

/** Rows and columns of a layout; null where the text names none from 1x1 to 4x4. */
export function parseLayout(text: unknown): { rows: number; columns: number } | null {
  const match = typeof text === "string" ? /^([1-4])x([1-4])$/.exec(text) : null;
  return match ? { rows: Number(match[1]), columns: Number(match[2]) } : null;
}

export function cellCount(layout: Layout): number {
  const { rows, columns } = parseLayout(layout) ?? { rows: 1, columns: 1 };
  return rows * columns;
}
