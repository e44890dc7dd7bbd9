import { type SVGTemplateResult, svg } from "lit";
import { numberText, unitText, valueText } from "../core/format";
import { profileValues } from "../core/measure";
import { toldRescale } from "../core/quantity";
import type { Pane } from "../engine/pane";
import type { DrawnItem } from "./overlay";

const WIDTH = 240;
const HEIGHT = 92;
const EDGE = 8;
const TEXT = 16;

/** The curve of the density profile that is selected or being drawn. */
export function profileChart(pane: Pane, items: readonly DrawnItem[]): SVGTemplateResult[] {
  const item = items.findLast(({ facts, isSelected }) => isSelected && facts.kind === "profile");
  const [a, b] = item?.facts.points ?? [];
  const frame = pane.shownFrame;
  const { pixels, stack } = pane;
  if (!item || !a || !b || !frame || !pixels || !stack) {
    return [];
  }
  const values = profileValues(pixels, a, b, toldRescale(stack, frame)).filter(Number.isFinite);
  const low = Math.min(...values);
  const high = Math.max(...values);
  if (values.length < 2 || high === low) {
    return [];
  }
  const left = Math.max(0, (pane.size.width - WIDTH) / 2);
  const top = Math.max(0, pane.size.height - HEIGHT - 40);
  const x = (index: number): number =>
    left + EDGE + (index / (values.length - 1)) * (WIDTH - 2 * EDGE);
  const y = (value: number): number =>
    top + TEXT + ((high - value) / (high - low)) * (HEIGHT - 2 * TEXT);
  const path = values.map((value, index) => `${x(index)},${y(value)}`).join("L");
  const unit = unitText(item.facts.statistics?.unit ?? null);
  const digits = high - low < 10 ? 2 : 0;
  return [
    svg`<g class="profile-chart" data-count=${values.length}>
      <rect x=${left} y=${top} width=${WIDTH} height=${HEIGHT} rx="4"></rect>
      <path d=${`M${path}`}></path>
      <text x=${left + EDGE} y=${top + 12}>${numberText(high, digits)} ${unit}</text>
      <text x=${left + EDGE} y=${top + HEIGHT - 4}>${numberText(low, digits)} ${unit}</text>
      <text x=${left + WIDTH - EDGE} y=${top + HEIGHT - 4} text-anchor="end"
        >${valueText(item.facts.value, item.facts.unit)}</text>
    </g>`,
  ];
}
