import { html, nothing, type TemplateResult } from "lit";
import { t } from "../../i18n";
import { said } from "../../sentences";
import type { SlabMode } from "../core/volume";
import type { Workspace } from "../tools/workspace";
import { icon } from "./icons";

const MODES: readonly { mode: SlabMode; name: string }[] = [
  { mode: "thin", name: t("Thin plane") },
  { mode: "mip", name: "MIP" },
  { mode: "minip", name: t("MinIP") },
  { mode: "average", name: t("Average") },
];

/** The bar of the reformatted planes: slab, turning back, how much of the volume is here. */
export function mprBar(workspace: Workspace): TemplateResult | typeof nothing {
  const { mpr } = workspace;
  const { plan, slab } = mpr;
  if (!plan) {
    return nothing;
  }
  const total = plan.frames.length;
  return html`<div class="mode-bar" role="group" aria-label=${t("MPR")}>
    <b>${t("MPR")}</b>
    <label
      >${t("Slab")}
      <select
        aria-label=${t("Slab")}
        @change=${(event: Event) =>
          mpr.setSlab({ mode: (event.target as HTMLSelectElement).value as SlabMode })}
      >
        ${MODES.map(
          ({ mode, name }) =>
            html`<option value=${mode} ?selected=${slab.mode === mode}>${name}</option>`,
        )}
      </select>
    </label>
    <label
      >${t("Thickness")}
      <input
        type="number"
        min="1"
        max="100"
        step="1"
        aria-label=${t("Slab thickness in mm")}
        .value=${String(slab.thickness)}
        ?disabled=${slab.mode === "thin"}
        @change=${(event: Event) => setThickness(workspace, event.target as HTMLInputElement)}
      />
      ${t("mm")}</label
    >
    <button
      type="button"
      class="button"
      ?disabled=${!mpr.isOblique}
      @click=${() => mpr.straighten()}
    >
      ${t("Straighten")}
    </button>
    <span class="dim" data-volume-loaded=${mpr.loaded} data-volume-total=${total}
      >${mpr.loaded < total ? `Volume ${mpr.loaded}/${total}` : `${total} slices`}</span
    >
    <button type="button" class="tool" aria-label=${t("Close MPR")} title=${t("Close MPR")} @click=${() => mpr.close()}>
      ${icon("close")}
    </button>
    ${[...plan.notes, ...mpr.notes].map((note) => html`<span class="note">${icon("warning")}${said(note)}</span>`)}
  </div>`;
}

function setThickness(workspace: Workspace, input: HTMLInputElement): void {
  const thickness = Number(input.value);
  if (thickness >= 1 && thickness <= 100) {
    workspace.mpr.setSlab({ thickness });
  }
  input.value = String(workspace.mpr.slab.thickness);
}
