import { nothing, type SVGTemplateResult, svg } from "lit";
import type { Affine } from "../core/affine";
import { measurementLines } from "../core/format";
import { type Box, type Label, type PlacedLabel, placeLabels } from "../core/labels";
import type { MeasurementFacts, MeasurementKind, Vec2 } from "../core/manifest";
import { OUTLINES, outlineOf } from "../core/outline";
import type { Size } from "../core/view";
import { handles, toScreen } from "../tools/shapes";

/** Lines whose ends are marked, and whose text stands at an end. */
const TICKED: ReadonlySet<MeasurementKind> = new Set(["length", "profile", "calibration"]);
const LINE_HEIGHT = 15;
const ARROW_HEAD = 11;
const PADDING = 4;
/** From the top of a line to its base. */
const ASCENT = 12;

export interface DrawnItem {
  facts: MeasurementFacts;
  isSelected: boolean;
  /** Of what belongs to another study: which, told above its values. */
  origin?: string;
}

/** All measurements of the shown frame, the selected one last so that it lies on top. */
export function drawItems(
  items: readonly DrawnItem[],
  matrix: Affine,
  size: Size,
  kept: readonly Box[],
): SVGTemplateResult[] {
  const drawn = items.map((item) => ({ ...item, screen: toScreen(item.facts.points, matrix) }));
  const texts = drawn.map(({ facts, screen, origin }) => {
    const about = aboutBox(facts, screen);
    const lines = about ? [...(origin ? [origin] : []), ...measurementLines(facts)] : [];
    return { lines, about };
  });
  // Placed in the order of drawing, so that no text moves when another measurement is selected.
  const labels = texts.flatMap(({ lines, about }, index) =>
    about && lines.length > 0 ? [{ index, label: labelOf(lines, about, size) }] : [],
  );
  const places = placeLabels(
    labels.map(({ label }) => label),
    size,
    kept,
  );
  const placed = new Map(labels.map(({ index }, at) => [index, places[at] as PlacedLabel]));
  return drawn
    .map((item, index) => ({ ...item, lines: texts[index]?.lines ?? [], place: placed.get(index) }))
    .sort((a, b) => Number(a.isSelected) - Number(b.isSelected))
    .map(({ facts, isSelected, origin, screen, lines, place }) => {
      const grips = isSelected ? toScreen(handles(facts.kind, facts.points), matrix) : [];
      const kind = isSelected ? "mark selected" : origin ? "mark earlier" : "mark";
      return svg`<g class=${kind} data-measurement=${facts.id}>
        <g class="halo">${shape(facts, screen)}</g>
        <g class="line">${shape(facts, screen)}</g>
        ${grips.map(([x, y]) => svg`<circle class="grip" cx=${x} cy=${y} r="5"></circle>`)}
        ${place ? text(lines, place) : nothing}
      </g>`;
    });
}

function shape(
  facts: MeasurementFacts,
  screen: readonly Vec2[],
): SVGTemplateResult | typeof nothing {
  const [a, b] = screen;
  if (!a) {
    return nothing;
  }
  if (facts.kind === "text") {
    return svg`<path d=${`M${a[0] - 3},${a[1]}H${a[0] + 3}M${a[0]},${a[1] - 3}V${a[1] + 3}`}></path>`;
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
  if (facts.kind === "circle") {
    return svg`<circle cx=${a[0]} cy=${a[1]} r=${Math.hypot(b[0] - a[0], b[1] - a[1])}></circle>`;
  }
  if (OUTLINES.has(facts.kind)) {
    const corners = outlineOf(facts.kind, screen);
    return svg`<path d=${`M${corners.map(([x, y]) => `${x},${y}`).join("L")}Z`}></path>`;
  }
  if (facts.kind === "cobb" || facts.kind === "bidirectional") {
    return svg`<path d=${twoLines(screen)} ></path>`;
  }
  if (facts.kind === "height") {
    // The level parts show what the upright one measures.
    return svg`<path d=${`M${a[0]},${a[1]}H${b[0]}V${b[1]}`}></path>`;
  }
  return svg`<path d=${`M${screen.map(([x, y]) => `${x},${y}`).join("L")}${ticks(facts, screen)}`}></path>`;
}

/** Two lines of a pair; of a Cobb angle a thin link says which belong together. */
function twoLines(screen: readonly Vec2[]): string {
  const line = (from: Vec2 | undefined, to: Vec2 | undefined): string =>
    from && to ? `M${from[0]},${from[1]}L${to[0]},${to[1]}` : "";
  const [a, b, c, d] = screen;
  return line(a, b) + line(c, d);
}

/** Short cross lines at the ends of a length, so that its ends are seen exactly. */
function ticks(facts: MeasurementFacts, screen: readonly Vec2[]): string {
  const [a, b] = screen;
  if (!TICKED.has(facts.kind) || !a || !b) {
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

function text(lines: readonly string[], { box, leader }: PlacedLabel): SVGTemplateResult {
  const x = box.x + PADDING;
  const [from, to] = leader ?? [];
  return svg`${
    from && to
      ? svg`<path class="leader" d=${`M${from[0]},${from[1]}L${to[0]},${to[1]}`}></path>`
      : nothing
  }<rect class="label" x=${box.x} y=${box.y} width=${box.width} height=${box.height} rx="3"></rect>
  <text x=${x} y=${box.y + PADDING + ASCENT}>
    ${lines.map((line, index) => svg`<tspan x=${x} dy=${index === 0 ? 0 : LINE_HEIGHT}>${line}</tspan>`)}
  </text>`;
}

function labelOf(lines: readonly string[], about: Box, size: Size): Label {
  const width = Math.max(...lines.map(textWidth)) + 2 * PADDING;
  return {
    about,
    prefers: about.x + about.width / 2 > size.width / 2 + width ? "left" : "right",
    width: Math.min(width, size.width - 8),
    height: lines.length * LINE_HEIGHT + 2 * PADDING,
  };
}

let ruler: CanvasRenderingContext2D | null = null;
const widths = new Map<string, number>();
// Until its font has come a line is measured in another one.
document.fonts?.addEventListener("loadingdone", () => widths.clear());

/** Width of a line in the font of the labels; measured once, they are drawn at every step. */
function textWidth(line: string): number {
  const known = widths.get(line);
  if (known !== undefined) {
    return known;
  }
  ruler ??= document.createElement("canvas").getContext("2d");
  if (!ruler) {
    return line.length * 8;
  }
  const root = getComputedStyle(document.documentElement);
  const family = root.getPropertyValue("--font-family") || root.fontFamily;
  ruler.font = `500 ${0.8125 * Number.parseFloat(root.fontSize)}px ${family}`;
  // Drawing as vectors spaces letters a little wider than the ruler does.
  const width = Math.ceil(ruler.measureText(line).width * 1.04) + 2;
  if (widths.size > 2000) {
    widths.clear();
  }
  widths.set(line, width);
  return width;
}

/** Texts stand beside this: the whole shape; the tail of an arrow, the vertex of an angle. */
function aboutBox(facts: MeasurementFacts, screen: readonly Vec2[]): Box | null {
  const [first, second] = screen;
  const point = facts.kind === "arrow" || facts.kind === "angle" ? second : undefined;
  const points = point ? [point] : screen;
  if (!first || (facts.kind !== "probe" && facts.kind !== "text" && !second)) {
    return null;
  }
  const columns = points.map(([x]) => x);
  const rows = points.map(([, y]) => y);
  const x = Math.min(...columns);
  const y = Math.min(...rows);
  const box = { x, y, width: Math.max(...columns) - x, height: Math.max(...rows) - y };
  if (facts.kind === "circle" && second) {
    const radius = Math.hypot(second[0] - first[0], second[1] - first[1]);
    const [left, top] = [first[0] - radius, first[1] - radius];
    return { x: left, y: top, width: 2 * radius, height: 2 * radius };
  }
  if (!TICKED.has(facts.kind)) {
    return box;
  }
  // The text of a length stands at its right end, not half way along a long line.
  const end = [...screen].sort((a, b) => b[0] - a[0])[0] ?? first;
  return { x: end[0], y: end[1], width: 0, height: 0 };
}
