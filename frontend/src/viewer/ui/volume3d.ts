import { html, nothing, type TemplateResult } from "lit";
import { t } from "../../i18n";
import { said } from "../../sentences";
import type { Crop } from "../core/render3d";
import { VIEWS } from "../tools/volume3d";
import type { Workspace } from "../tools/workspace";
import { icon } from "./icons";

const SIDES = [
  [t("Crop right side"), 0, 0],
  [t("Crop left side"), 0, 1],
  [t("Crop front"), 1, 0],
  [t("Crop back"), 1, 1],
  [t("Crop feet end"), 2, 0],
  [t("Crop head end"), 2, 1],
] as const;

/** The bar of the 3D view: colours, where it is looked at from, what is cut away. */
export function volumeBar(
  workspace: Workspace,
  askForSegments: () => void,
): TemplateResult | typeof nothing {
  const { volume3d } = workspace;
  const { rendering } = volume3d;
  if (!rendering) {
    return nothing;
  }
  const total = rendering.plan.frames.length;
  return html`<div class="mode-bar" role="group" aria-label="3D">
    <b>3D</b>
    <label
      >${t("Colours")}
      <select
        aria-label=${t("3D preset")}
        @change=${(event: Event) => {
          const id = (event.target as HTMLSelectElement).value;
          const preset = volume3d.presets.find((candidate) => candidate.id === id);
          if (preset) {
            volume3d.set({ preset });
          }
        }}
      >
        ${volume3d.presets.map(
          ({ id, name }) =>
            html`<option value=${id} ?selected=${rendering.preset.id === id}>${name}</option>`,
        )}
      </select>
    </label>
    <span class="views" role="group" aria-label=${t("Seen from")}>
      ${VIEWS.map(
        ({ name, camera }) => html`<button
          type="button"
          class="button"
          @click=${() => volume3d.set({ camera })}
        >
          ${name}
        </button>`,
      )}
    </span>
    ${segments(workspace, askForSegments)}
    <details>
      <summary>${t("Crop")}</summary>
      <div class="crop">
        ${SIDES.map(
          ([name, axis, end]) => html`<label
            ><span>${name}</span
            ><input
              type="range"
              min="0"
              max="90"
              aria-label=${name}
              .value=${String(Math.round((end === 0 ? rendering.crop[axis][0] : 1 - rendering.crop[axis][1]) * 100))}
              @input=${(event: Event) =>
                crop(workspace, axis, end, Number((event.target as HTMLInputElement).value) / 100)}
          /></label>`,
        )}
      </div>
    </details>
    <span class="dim">${volume3d.loaded < total ? `Volume ${volume3d.loaded}/${total}` : `${total} slices`}</span>
    <button type="button" class="tool" aria-label=${t("Close 3D")} title=${t("Close 3D")} @click=${() => volume3d.close()}>
      ${icon("close")}
    </button>
    ${[...rendering.plan.notes, ...volume3d.notes].map((note) => html`<span class="note">${icon("warning")}${said(note)}</span>`)}
  </div>`;
}

/** The list of segments in the volume; until they are asked for, the button that asks. */
function segments(workspace: Workspace, ask: () => void): TemplateResult | typeof nothing {
  const { volume3d, manifest } = workspace;
  const all = volume3d.segments;
  if (all.length === 0) {
    return manifest.links.derived
      ? html`<button type="button" class="button" @click=${ask}>${t("Segments")}</button>`
      : nothing;
  }
  const shown = all.filter(({ part }) => part.isShown).length;
  return html`<details>
    <summary>${t("Segments {shown}/{all}", { shown, all: all.length })}</summary>
    <div class="solids">
      <label
        ><span>${t("Opacity")}</span
        ><input
          type="range"
          min="0.1"
          max="1"
          step="0.05"
          aria-label=${t("Opacity of segments")}
          .value=${String(volume3d.opacity)}
          aria-valuetext=${`${Math.round(volume3d.opacity * 100)} %`}
          @input=${(event: Event) => volume3d.setOpacity(Number((event.target as HTMLInputElement).value))}
      /></label>
      <ul class="plain-list">
        ${all.map(
          ({ part, of, show }) => html`<li>
            <label
              ><input
                type="checkbox"
                .checked=${part.isShown}
                @change=${(event: Event) => show((event.target as HTMLInputElement).checked)}
              /><svg class="swatch" aria-hidden="true"><rect width="100%" height="100%" fill=${part.colour}></rect></svg
              ><span>${part.facts.name} <span class="dim">${of || t("Drawn here")}</span></span></label
            >
          </li>`,
        )}
      </ul>
    </div>
  </details>`;
}

function crop(workspace: Workspace, axis: 0 | 1 | 2, end: 0 | 1, share: number): void {
  const { rendering } = workspace.volume3d;
  if (rendering) {
    const parts = rendering.crop.map((part, at): readonly [number, number] => {
      if (at !== axis) {
        return part;
      }
      // The two ends of a side must not pass each other.
      return end === 0
        ? [Math.min(share, part[1] - 0.05), part[1]]
        : [part[0], Math.max(1 - share, part[0] + 0.05)];
    });
    workspace.volume3d.set({ crop: parts as unknown as Crop });
  }
}
