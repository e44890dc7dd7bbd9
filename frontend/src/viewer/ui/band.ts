import { nothing, type SVGTemplateResult, svg } from "lit";
import type { Vec2 } from "../core/manifest";

/** The box that is being drawn on a picture. */
export function drawBand(band: readonly [Vec2, Vec2] | null): SVGTemplateResult | typeof nothing {
  if (!band) {
    return nothing;
  }
  const [[ax, ay], [bx, by]] = band;
  return svg`<rect
    class="band"
    x=${Math.min(ax, bx)}
    y=${Math.min(ay, by)}
    width=${Math.abs(bx - ax)}
    height=${Math.abs(by - ay)}
  ></rect>`;
}
