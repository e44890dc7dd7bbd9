import { nothing, type SVGTemplateResult, svg } from "lit";
import type { Affine } from "../core/affine";
import { measurementLines } from "../core/format";
import type { MeasurementFacts, Vec2 } from "../core/manifest";
import { handles, toScreen } from "../tools/shapes";

const LINE_HEIGHT = 15;
const ARROW_HEAD = 11;
const TEXT_GAP = 10;

export interface DrawnItem {
  facts: MeasurementFacts;
  isSelected: boolean;
}

/** All measurements of the shown frame, the selected one last so that it lies on top. */
export function drawItems(
  items: readonly DrawnItem[],
  matrix: Affine,
  width: number,
): SVGTemplateResult[] {
  const ordered = [...items].sort((a, b) => Number(a.isSelected) - Number(b.isSelected));
  return ordered.map((item) => drawItem(item, matrix, width));
}

function drawItem(
  { facts, isSelected }: DrawnItem,
  matrix: Affine,
  width: number,
): SVGTemplateResult {
  const screen = toScreen(facts.points, matrix);
  const grips = isSelected ? toScreen(handles(facts.kind, facts.points), matrix) : [];
  return svg`<g class=${isSelected ? "mark selected" : "mark"} data-measurement=${facts.id}>
    <g class="halo">${shape(facts, screen)}</g>
    <g class="line">${shape(facts, screen)}</g>
    ${grips.map(([x, y]) => svg`<circle class="grip" cx=${x} cy=${y} r="5"></circle>`)}
    ${text(facts, screen, width)}
  </g>`;
}

function shape(
  facts: MeasurementFacts,
  screen: readonly Vec2[],
): SVGTemplateResult | typeof nothing {
  const [a, b] = screen;
  if (!a) {
    return nothing;
  }
  if (facts.kind === "probe" || !b) {
    return svg`<path d=${`M${a[0] - 8},${a[1]}H${a[0] - 2}M${a[0] + 2},${a[1]}H${a[0] + 8}M${a[0]},${a[1] - 8}V${a[1] - 2}M${a[0]},${a[1] + 2}V${a[1] + 8}`}></path>`;
  }
  if (facts.kind === "rectangle") {
    return svg`<rect x=${Math.min(a[0], b[0])} y=${Math.min(a[1], b[1])}
      width=${Math.abs(b[0] - a[0])} height=${Math.abs(b[1] - a[1])}></rect>`;
  }
  if (facts.kind === "ellipse") {
    return svg`<ellipse cx=${(a[0] + b[0]) / 2} cy=${(a[1] + b[1]) / 2}
      rx=${Math.abs(b[0] - a[0]) / 2} ry=${Math.abs(b[1] - a[1]) / 2}></ellipse>`;
  }
  if (facts.kind === "arrow") {
    return svg`<path d=${arrowPath(a, b)}></path>`;
  }
  return svg`<path d=${`M${screen.map(([x, y]) => `${x},${y}`).join("L")}${ticks(facts, screen)}`}></path>`;
}

/** Short cross lines at the ends of a length, so that its ends are seen exactly. */
function ticks(facts: MeasurementFacts, screen: readonly Vec2[]): string {
  const [a, b] = screen;
  if (facts.kind !== "length" || !a || !b) {
    return "";
  }
  const length = Math.hypot(b[0] - a[0], b[1] - a[1]) || 1;
  const nx = (-(b[1] - a[1]) / length) * 5;
  const ny = ((b[0] - a[0]) / length) * 5;
  return [a, b].map(([x, y]) => `M${x - nx},${y - ny}L${x + nx},${y + ny}`).join("");
}

function arrowPath(tip: Vec2, tail: Vec2): string {
  const angle = Math.atan2(tail[1] - tip[1], tail[0] - tip[0]);
  const side = (turn: number): string =>
    `${tip[0] + ARROW_HEAD * Math.cos(angle + turn)},${tip[1] + ARROW_HEAD * Math.sin(angle + turn)}`;
  return `M${tail[0]},${tail[1]}L${tip[0]},${tip[1]}M${side(0.45)}L${tip[0]},${tip[1]}L${side(-0.45)}`;
}

function text(
  facts: MeasurementFacts,
  screen: readonly Vec2[],
  width: number,
): SVGTemplateResult | typeof nothing {
  const lines = measurementLines(facts);
  const anchor = textAnchor(facts, screen);
  if (lines.length === 0 || !anchor) {
    return nothing;
  }
  const toLeft = anchor[0] > width - 130;
  const x = toLeft ? anchor[0] - TEXT_GAP : anchor[0] + TEXT_GAP;
  return svg`<text x=${x} y=${anchor[1]} text-anchor=${toLeft ? "end" : "start"}>
    ${lines.map((line, index) => svg`<tspan x=${x} dy=${index === 0 ? 4 : LINE_HEIGHT}>${line}</tspan>`)}
  </text>`;
}

/** Beside the right-most point; for arrows beside the tail, away from what is pointed at. */
function textAnchor(facts: MeasurementFacts, screen: readonly Vec2[]): Vec2 | null {
  const [first, second] = screen;
  if (facts.kind === "arrow") {
    return second ?? null;
  }
  if (facts.kind === "angle") {
    return second ?? null;
  }
  if ((facts.kind === "ellipse" || facts.kind === "rectangle") && first && second) {
    return [Math.max(first[0], second[0]), (first[1] + second[1]) / 2];
  }
  return [...screen].sort((a, b) => b[0] - a[0])[0] ?? null;
}
