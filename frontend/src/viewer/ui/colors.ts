import { html, nothing, type TemplateResult } from "lit";
import { t } from "../../i18n";
import { said } from "../../sentences";
import { COLOR_MAPS, type ColorMapId, colorMapName } from "../core/colors";
import { numberText, unitText } from "../core/format";
import {
  quantities,
  quantityOf,
  SUV_NAMES,
  type SuvType,
  takenWindow,
  toldUnit,
  toldWindow,
} from "../core/quantity";
import { isColor, type Stack } from "../core/stack";
import { nameOf } from "../tools/fusion";
import type { Workspace } from "../tools/workspace";
import { icon } from "./icons";

/** The bar of colours, of the unit of PET values, and of what is laid over the pictures. */
export function colorsAndFusionBar(workspace: Workspace): TemplateResult | typeof nothing {
  const { fusion, active } = workspace;
  if (!fusion.isBarOpen) {
    return nothing;
  }
  const base = fusion.baseOf(active);
  const frame = active.shownFrame ?? active.wantedFrame;
  const isGrey = base !== null && frame !== null && !isColor(frame);
  return html`<div class="mode-bar" role="group" aria-label=${t("Colours and fusion")}>
    <b>${t("Colours")}</b>
    ${mapSelect(t("Picture"), t("Colours of the picture"), active.colorMap, !isGrey, (map) =>
      active.setColorMap(map),
    )}
    ${base ? valuesSelect(workspace, base) : nothing}
    <b>${t("Fusion")}</b>
    ${overlaySelect(workspace, base)}
    ${overlayControls(workspace, base)}
    <button
      type="button"
      class="tool"
      aria-label=${t("Close colours and fusion")}
      title=${t("Close; what is laid over stays")}
      @click=${() => fusion.setBar(false)}
    >
      ${icon("close")}
    </button>
    ${
      fusion.state?.isForced && fusion.state.base === base
        ? html`<span class="note" data-note="unregistered"
            >${icon("warning")}${t("Not registered: the two series have different Frames of Reference. What lies over each other need not be the same place.")}</span
          >`
        : nothing
    }
    ${fusion.notes.map((note) => html`<span class="note">${icon("warning")}${said(note)}</span>`)}
  </div>`;
}

function mapSelect(
  label: string,
  name: string,
  chosen: ColorMapId,
  disabled: boolean,
  choose: (map: ColorMapId) => void,
): TemplateResult {
  return html`<label
    >${label}
    <select
      aria-label=${name}
      ?disabled=${disabled}
      @change=${(event: Event) => choose((event.target as HTMLSelectElement).value as ColorMapId)}
    >
      ${COLOR_MAPS.map(
        (map) => html`<option value=${map.id} .selected=${map.id === chosen}>${map.name}</option>`,
      )}
    </select>
  </label>`;
}

/** In what the values of a PET series are told. */
function valuesSelect(workspace: Workspace, base: Stack): TemplateResult | typeof nothing {
  const uid = base.series.SeriesInstanceUID;
  const facts = quantities.factsOf(uid);
  if (!facts) {
    return nothing;
  }
  const chosen = quantityOf(base)?.type ?? "";
  const first = base.frames[0];
  const reason = facts.refusals.BW;
  return html`<label
      >${t("Values")}
      <select
        aria-label=${t("Unit of the values")}
        title=${facts.source}
        @change=${(event: Event) => {
          const { value } = event.target as HTMLSelectElement;
          quantities.choose(uid, value === "" ? null : (value as SuvType));
          workspace.valuesChanged();
        }}
      >
        ${Object.entries(SUV_NAMES).map(([type, name]) => {
          const isKnown = facts.types.some((entry) => entry.type === type);
          const why = facts.refusals[type as SuvType];
          return html`<option
            value=${type}
            title=${why ?? nothing}
            ?disabled=${!isKnown}
            .selected=${type === chosen}
          >
            ${name}
          </option>`;
        })}
        <option value="" .selected=${chosen === ""}>
          ${t("As the file says")}${first ? ` (${unitText(first.image.Units ?? null) || t("no unit")})` : ""}
        </option>
      </select>
    </label>
    ${
      facts.types.length === 0
        ? html`<span class="note">${icon("warning")}${t("No uptake values: {reason}", { reason: reason ?? t("unknown") })}</span>`
        : nothing
    }`;
}

function overlaySelect(workspace: Workspace, base: Stack | null): TemplateResult {
  const { fusion, active, stacks } = workspace;
  const choices = fusion.choices(active);
  const isOver = fusion.state !== null && fusion.state.base === base;
  return html`<label
    >${t("Lay over")}
    <select
      aria-label=${t("Series laid over the picture")}
      ?disabled=${choices.length === 0}
      @change=${(event: Event) => {
        const select = event.target as HTMLSelectElement;
        const overlay = stacks.find(({ series }) => series.id === select.value);
        if (overlay) {
          fusion.open(overlay);
          // What was refused does not stand there as if it had been done.
          select.value = fusion.state?.overlay.series.id ?? "";
        } else {
          fusion.close();
        }
      }}
    >
      <option value="" .selected=${!isOver}>${t("Nothing")}</option>
      ${choices.map((stack) => {
        const isSame = base !== null && fusion.isSameSpace(base, stack);
        const { series } = stack;
        return html`<option
          value=${series.id}
          .selected=${isOver && fusion.state?.overlay === stack}
        >
          ${nameOf(stack)} ${series.SeriesDescription ?? ""}${isSame ? "" : " (other position)"}
        </option>`;
      })}
    </select>
  </label>`;
}

function overlayControls(
  workspace: Workspace,
  base: Stack | null,
): TemplateResult | typeof nothing {
  const { fusion, active } = workspace;
  const { state } = fusion;
  if (!state) {
    return nothing;
  }
  if (state.base !== base) {
    return html`<span class="dim">${t("{overlay} lies over {base}", { overlay: nameOf(state.overlay), base: nameOf(state.base) })}</span>`;
  }
  const percent = Math.round(state.opacity * 100);
  return html`<label
      >${t("Opacity")}
      <input
        type="range"
        min="0"
        max="100"
        step="5"
        aria-label=${t("Opacity of what is laid over")}
        aria-valuetext=${t("{percent} percent", { percent })}
        .value=${String(percent)}
        @input=${(event: Event) =>
          fusion.set({ opacity: Number((event.target as HTMLInputElement).value) / 100 })}
      />
      <span class="dim percent">${percent} %</span></label
    >
    ${mapSelect(
      t("Colours"),
      t("Colours of what is laid over"),
      state.colorMap,
      false,
      (colorMap) => fusion.set({ colorMap }),
    )}
    ${limits(workspace, state.overlay)}
    <button
      type="button"
      class="button"
      aria-pressed=${String(fusion.isShownIn(active))}
      title=${t("Show what is laid over in the active viewport, or the picture alone")}
      @click=${() => fusion.toggleIn(active)}
    >
      ${t("In this viewport")}
    </button>
    <span class="dim" data-overlay-loaded=${fusion.loaded} data-overlay-total=${fusion.total}
      >${fusion.loaded < fusion.total ? `Volume ${fusion.loaded}/${fusion.total}` : `${fusion.total} slices`}</span
    >`;
}

/** The window of what is laid over, as the values where its colours begin and end. */
function limits(workspace: Workspace, overlay: Stack): TemplateResult {
  const { fusion } = workspace;
  const { center, width } = toldWindow(overlay, fusion.window);
  const [low, high] = [center - width / 2, center + width / 2];
  const frame = overlay.frames[0];
  const unit = frame ? unitText(toldUnit(overlay, frame)) : "";
  const take = (event: Event, isLow: boolean): void => {
    const input = event.target as HTMLInputElement;
    const value = Number(input.value);
    const [from, to] = isLow ? [value, high] : [low, value];
    if (input.value !== "" && Number.isFinite(value) && to > from) {
      const given = {
        center: (from + to) / 2,
        width: to - from,
        function: "LINEAR_EXACT" as const,
      };
      fusion.set({ window: takenWindow(overlay, given) });
    }
    input.value = rounded(isLow ? low : high);
  };
  return html`<label
      >${t("From")}
      <input
        type="number"
        step="any"
        aria-label=${t("Lowest value of the colours")}
        .value=${rounded(low)}
        @change=${(event: Event) => take(event, true)}
    /></label>
    <label
      >${t("to")}
      <input
        type="number"
        step="any"
        aria-label=${t("Highest value of the colours")}
        .value=${rounded(high)}
        @change=${(event: Event) => take(event, false)}
      />
      <span class="dim">${unit}</span></label
    >`;
}

function rounded(value: number): string {
  return String(Number(value.toPrecision(4)));
}

/** What a bar of colours says: its map, its ends, its unit. */
export interface ColorBarFacts {
  map: ColorMapId;
  name: string;
  low: string;
  high: string;
  unit: string;
}

/** The bars of a viewport: of its own colours, and of what is laid over. */
export function colorBars(workspace: Workspace, number: number): ColorBarFacts[] {
  const pane = workspace.panes[number];
  const { fusion } = workspace;
  const frame = pane?.shownFrame;
  if (!pane?.stack || !frame || pane.stack.rendering) {
    return [];
  }
  const bar = (
    map: ColorMapId,
    stack: Stack,
    { center, width }: { center: number; width: number },
    unit: string | null,
  ): ColorBarFacts => {
    const end = (value: number): string => {
      const digits = Math.abs(width) < 20 ? 1 : 0;
      return numberText(value, digits);
    };
    return {
      map,
      name: `${colorMapName(map)}, ${nameOf(stack)}`,
      low: end(center - width / 2),
      high: end(center + width / 2),
      unit: unitText(unit),
    };
  };
  const found: ColorBarFacts[] = [];
  if (pane.colorMap !== "grey" && !isColor(frame)) {
    found.push(bar(pane.colorMap, pane.stack, pane.toldWindow, toldUnit(pane.stack, frame)));
  }
  if (fusion.state && fusion.has(pane)) {
    const { overlay, colorMap } = fusion.state;
    const first = overlay.frames[0];
    const unit = first ? toldUnit(overlay, first) : null;
    found.push(bar(colorMap, overlay, toldWindow(overlay, fusion.window), unit));
  }
  return found;
}
