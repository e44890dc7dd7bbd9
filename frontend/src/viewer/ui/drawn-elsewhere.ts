import { html, nothing, type SVGTemplateResult, svg, type TemplateResult } from "lit";
import { t } from "../../i18n";
import { said } from "../../sentences";
import { type Affine, apply } from "../core/affine";
import { type FoundDrawing, foundLines, originText } from "../core/found";
import type { MachineMark } from "../core/machine";
import type { Vec2 } from "../core/manifest";
import type { Workspace } from "../tools/workspace";
import { icon } from "./icons";

const OUTLINE_STEPS = 64;

/** What others drew on the shown frame: dashed, so that colour alone does not tell it from ours. */
export function drawFound(
  drawings: readonly FoundDrawing[],
  selected: string | null,
  matrix: Affine,
  kind: "" | "machine" = "",
): SVGTemplateResult[] {
  return drawings.map((drawing) => {
    const points = outline(drawing).map((point) => apply(matrix, point));
    const [first] = points;
    const path = drawing.graphic === "text" ? "" : pathOf(drawing, points);
    const lines = foundLines(drawing);
    const x = Math.max(...points.map(([column]) => column)) + 6;
    const y = points.find(([column]) => column + 6 === x)?.[1] ?? 0;
    return svg`<g
      class=${["mark found", kind, drawing.id === selected ? "selected" : ""].filter(Boolean).join(" ")}
      data-found=${drawing.id}
    >
      <path class="halo" d=${path}></path>
      <path class="line" d=${path}></path>
      ${
        first && lines.length > 0
          ? svg`<text x=${x} y=${y}>${lines.map(
              (line, index) => svg`<tspan x=${x} dy=${index === 0 ? 4 : 15}>${line}</tspan>`,
            )}</text>`
          : nothing
      }
    </g>`;
  });
}

/** The points of a drawing's line, in picture pixels. */
export function outline({ graphic, points }: FoundDrawing): Vec2[] {
  const [a, b, c, d] = points;
  if (graphic === "circle" && a && b) {
    const radius = Math.hypot(b[0] - a[0], b[1] - a[1]);
    return around(a, [radius, 0], [0, radius]);
  }
  if (graphic === "ellipse" && a && b && c && d) {
    const center: Vec2 = [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
    return around(
      center,
      [(b[0] - a[0]) / 2, (b[1] - a[1]) / 2],
      [(d[0] - c[0]) / 2, (d[1] - c[1]) / 2],
    );
  }
  return [...points];
}

function around(center: Vec2, one: Vec2, other: Vec2): Vec2[] {
  return Array.from({ length: OUTLINE_STEPS + 1 }, (_, step) => {
    const turn = (step / OUTLINE_STEPS) * 2 * Math.PI;
    const [along, across] = [Math.cos(turn), Math.sin(turn)];
    return [
      center[0] + along * one[0] + across * other[0],
      center[1] + along * one[1] + across * other[1],
    ];
  });
}

function pathOf({ graphic, is_closed }: FoundDrawing, points: readonly Vec2[]): string {
  if (graphic === "point") {
    return points.map(([x, y]) => `M${x - 6},${y}H${x + 6}M${x},${y - 6}V${y + 6}`).join("");
  }
  const line = points.map(([x, y]) => `${x},${y}`).join("L");
  return line ? `M${line}${is_closed ? "Z" : ""}` : "";
}

/** The part of the measurements' pane that lists them, by their origin. */
export function foundSection(workspace: Workspace): TemplateResult | typeof nothing {
  const { found } = workspace;
  if (found.objects.length === 0) {
    return nothing;
  }
  return html`<section class="found-list" aria-label=${t("From other systems")}>
    <h3>${t("From other systems")}</h3>
    ${found.objects.map(
      (object) => html`<h4>
          ${originText(object)}
          <span class="dim">${object.SeriesDescription}</span>
        </h4>
        ${standing(workspace, object)}
        ${object.problem ? html`<p class="empty">${said(object.problem)}</p>` : nothing}
        <ul class="plain">
          ${object.drawings
            .filter(({ graphic, values }) => graphic !== "text" || values.length > 0)
            .map((drawing) => row(workspace, drawing))}
        </ul>`,
    )}
  </section>`;
}

/** Whose word it is, where a machine made the object. */
export function standing(
  { machine }: Workspace,
  object: { image_id: string; machine?: MachineMark | null },
): TemplateResult | typeof nothing {
  const words = machine.standingOf(object.image_id, object.machine);
  return words
    ? html`<p class="machine-standing">${icon("machine")}<span>${words}</span></p>`
    : nothing;
}

function row(workspace: Workspace, drawing: FoundDrawing): TemplateResult {
  const image = imageOf(workspace, drawing.SOPInstanceUID);
  const text = foundLines(drawing).join(", ") || t("Drawing");
  return html`<li>
    <button
      type="button"
      class="link"
      aria-pressed=${String(workspace.found.selected === drawing.id)}
      ?disabled=${!image}
      title=${image ? t("Show the picture") : t("The picture is not in this study")}
      @click=${() => {
        workspace.found.select(drawing.id);
        if (image) {
          workspace.showImage(image, drawing.frame_numbers[0] ?? 1);
        }
      }}
    >
      ${text}
    </button>
    ${image ? nothing : html`<span class="dim">${t("picture not in this study")}</span>`}
  </li>`;
}

/** The id of an image of the study; null where the study has none of this name. */
export function imageOf(workspace: Workspace, sopInstanceUid: string): string | null {
  for (const series of workspace.manifest.series) {
    const image = series.images.find(({ SOPInstanceUID }) => SOPInstanceUID === sopInstanceUid);
    if (image) {
      return image.id;
    }
  }
  return null;
}
