import { html, type TemplateResult } from "lit";
import { t } from "../../i18n";
import { type ColorMapId, colorsOf } from "../core/colors";
import type { ColorBarFacts } from "./colors";

const LEVELS = 256;

/** Bars that say which colour means which value. */
export function drawnBars(bars: readonly ColorBarFacts[]): TemplateResult {
  return html`<div class="color-bars">
    ${bars.map(
      ({ map, name, low, high, unit }) => html`<div
        class="color-bar"
        role="img"
        aria-label=${t("Colours: {name}, from {low} to {high} {unit}", { name, low, high, unit })}
      >
        <span>${high}</span>
        <canvas width="1" height=${LEVELS} data-map=${map}></canvas>
        <span>${low}</span>
        <span class="unit">${unit}</span>
      </div>`,
    )}
  </div>`;
}

/** Paints the bars of an element; once each, unless their map has changed. */
export function paintBars(host: Element): void {
  for (const canvas of host.querySelectorAll<HTMLCanvasElement>(".color-bar canvas")) {
    const { map, painted } = canvas.dataset;
    const context = map === painted ? null : canvas.getContext("2d");
    if (map && context) {
      const picture = context.createImageData(1, LEVELS);
      const colors = colorsOf(map as ColorMapId);
      const words = new Uint32Array(picture.data.buffer);
      words.set(colors);
      words.reverse();
      context.putImageData(picture, 0, 0);
      canvas.dataset.painted = map;
    }
  }
}
