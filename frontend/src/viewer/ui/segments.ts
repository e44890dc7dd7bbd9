import { html, nothing, type SVGTemplateResult, svg, type TemplateResult } from "lit";
import { t } from "../../i18n";
import { said } from "../../sentences";
import { barOf } from "../core/isolines";
import type { Pane } from "../engine/pane";
import {
  type Fill,
  type Layer,
  type LayerPart,
  levelsOf,
  numberText,
  rangeOf,
  volumeText,
} from "../tools/overlays";
import { Segments } from "../tools/segments";
import type { Workspace } from "../tools/workspace";
import { standing } from "./drawn-elsewhere";
import { ViewerElement } from "./element";
import { icon } from "./icons";
import { drawnHere } from "./segments-drawing";

const KIND_NAMES = {
  segmentation: t("Segmentation"),
  structures: t("Structures"),
  dose: t("Dose"),
  parametric: t("Parametric map"),
} as const;
const MOST_IN_LEGEND = 12;
/** From this width on a viewport has room for a whole legend between its corner texts. */
const WIDE = 720;

/** The pane of segments and structures: what a study has of them, and what is drawn here. */
export class SegmentsElement extends ViewerElement {
  static override properties = {
    workspace: { attribute: false },
    close: { attribute: false },
  };
  declare workspace: Workspace;
  declare close: (() => void) | undefined;
  private segments: Segments | null = null;

  override connectedCallback(): void {
    super.connectedCallback();
    const { workspace } = this;
    this.segments = segmentsOf(workspace);
    this.until(this.segments.on("change", () => this.requestUpdate()));
    this.until(workspace.on("change", () => this.requestUpdate()));
    this.segments.follow();
    if (!this.segments.isListed) {
      void this.segments.list();
    }
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    // The hand is on the picture again; what is shown stays shown.
    this.segments?.painter.setTool(null);
  }

  override render(): TemplateResult {
    const segments = this.segments as Segments;
    return html`
      <header class="pane-head">
        <h2>${t("Segments and structures")}</h2>
        <button
          type="button"
          class="tool"
          aria-label=${t("Close segments and structures")}
          @click=${this.close}
        >
          ${icon("close")}
        </button>
      </header>
      <div class="segments-body">
        ${this.looks(segments)} ${drawnHere(segments)}
        <section class="segments-list" aria-label=${t("In the study")}>
          <h3>${t("In the study")}</h3>
          ${this.list(segments)}
        </section>
      </div>
    `;
  }

  private looks({ overlays }: Segments): TemplateResult {
    return html`<div class="segments-looks">
      <label
        >${t("Opacity")}
        <input
          type="range"
          min="0"
          max="1"
          step="0.05"
          .value=${String(overlays.opacity)}
          aria-valuetext=${`${Math.round(overlays.opacity * 100)} %`}
          @input=${(event: Event) => overlays.setOpacity(Number((event.target as HTMLInputElement).value))}
        />
      </label>
      <label
        >${t("Show as")}
        <select
          .value=${overlays.fill}
          @change=${(event: Event) => overlays.setFill((event.target as HTMLSelectElement).value as Fill)}
        >
          <option value="both">${t("Fill and outline")}</option>
          <option value="fill">${t("Fill")}</option>
          <option value="outline">${t("Outline")}</option>
        </select>
      </label>
    </div>`;
  }

  private list(segments: Segments): TemplateResult {
    if (segments.problem) {
      return html`<p class="problem" role="alert">
        ${icon("warning")}<span>${segments.problem}</span>
        <button type="button" class="button" @click=${() => void segments.list()}>${t("Try again")}</button>
      </p>`;
    }
    if (!segments.isListed) {
      return html`<p class="empty">${t("Looking for them…")}</p>`;
    }
    if (segments.listed.length === 0) {
      return html`<p class="empty">
        ${t("This study has no segmentation, structure set, dose or map. What other systems send of it appears here.")}
      </p>`;
    }
    return html`${segments.listed.map((layer) => this.layer(segments, layer))}`;
  }

  private layer(segments: Segments, layer: Layer): TemplateResult {
    const { object } = layer;
    const name = object.SeriesDescription || object.label || KIND_NAMES[object.kind];
    const shown = layer.parts.filter((part) => part.isShown).length;
    const who = [object.author.replace(/\^+/g, " ").trim(), object.Manufacturer, object.at];
    return html`<article class="segments-object" data-kind=${object.kind} data-state=${layer.state}>
      <header>
        <h4>${name}</h4>
        <span class="dim">${t("{name}, series {number}", { name: KIND_NAMES[object.kind], number: object.SeriesNumber ?? "?" })}</span>
        <span class="dim">${who.filter(Boolean).join(" · ")}</span>
      </header>
      ${standing(this.workspace, object)}
      ${object.notes.map((note) => html`<p class="note">${note}</p>`)}
      ${
        layer.problem
          ? html`<p class="problem" role="alert">${icon("warning")}<span>${said(layer.problem)}</span></p>`
          : nothing
      }
      ${
        layer.parts.length > 1
          ? html`<label class="all"
              ><input
                type="checkbox"
                .checked=${shown === layer.parts.length}
                .indeterminate=${shown > 0 && shown < layer.parts.length}
                @change=${(event: Event) =>
                  segments.overlays.setShown(
                    layer,
                    null,
                    (event.target as HTMLInputElement).checked,
                  )}
              />${t("Show all {length}", { length: layer.parts.length })}</label
            >`
          : nothing
      }
      ${this.editButton(segments, layer, name)}
      <ul class="plain-list">
        ${layer.parts.map((part) => this.partRow(segments, layer, part))}
      </ul>
      ${object.kind === "dose" || object.kind === "parametric" ? scale(layer) : nothing}
    </article>`;
  }

  private editButton(
    segments: Segments,
    layer: Layer,
    name: string,
  ): TemplateResult | typeof nothing {
    const { object, state } = layer;
    const mayEdit = this.workspace.manifest.user.can_write && object.kind === "segmentation";
    return mayEdit && state === "ready"
      ? html`<div class="row-buttons">
          <button
            type="button"
            class="button"
            aria-label=${t("Edit a copy of {name}", { name })}
            title=${t("Opens what is shown of it as a copy to draw in; what is stored stays")}
            ?disabled=${segments.copying !== null}
            @click=${() => void segments.edit(layer)}
          >
            ${segments.copying === layer.id ? t("Opening…") : t("Edit a copy")}
          </button>
        </div>`
      : nothing;
  }

  private partRow(segments: Segments, layer: Layer, part: LayerPart): TemplateResult {
    const { facts, colour, isShown } = part;
    const volume = layer.drawn?.volumes.get(facts.number);
    const isValues = layer.object.kind === "dose" || layer.object.kind === "parametric";
    const kinds = [facts.type === facts.name ? "" : facts.type, facts.category];
    const algorithm = [algorithmName(facts.algorithm), facts.algorithm_name];
    return html`<li class="segment-row">
      <input
        type="checkbox"
        aria-label=${`Show ${facts.name}`}
        .checked=${isShown}
        @change=${(event: Event) =>
          segments.overlays.setShown(layer, part, (event.target as HTMLInputElement).checked)}
      />
      ${isValues ? nothing : html`<svg class="swatch" aria-hidden="true"><rect width="100%" height="100%" fill=${colour}></rect></svg>`}
      <span class="names">
        <b>${facts.name}</b>
        <span class="dim">${[...kinds, algorithm.filter(Boolean).join(": ")].filter(Boolean).join(" · ")}</span>
      </span>
      ${
        isValues || layer.state !== "ready"
          ? nothing
          : html`<span class="volume" title=${volume?.source ?? ""}>${volumeText(volume?.millilitres ?? null)}</span>`
      }
      <button
        type="button"
        class="tool"
        aria-label=${t("Go to {name}", { name: facts.name })}
        title=${t("Go to the middle of {name}", { name: facts.name })}
        ?disabled=${layer.state !== "ready"}
        @click=${() => segments.jump(layer, part)}
      >
        ${icon("crosshair")}
      </button>
    </li>`;
  }
}

function algorithmName(algorithm: string): string {
  return algorithm.charAt(0) + algorithm.slice(1).toLowerCase();
}

/** The colour bar with its ends and unit; of a dose the levels of its lines, too. */
function scale(layer: Layer, hasLevels = true): TemplateResult | typeof nothing {
  if (!layer.drawn) {
    return nothing;
  }
  const kind = layer.object.kind === "dose" ? "dose" : "parametric";
  const { low, high } = rangeOf(layer);
  const { unit, quantity } = layer.drawn;
  return html`<div class="scale" role="img" aria-label=${t("{quantity}: {low} to {high} {unit}", { quantity, low: numberText(low), high: numberText(high), unit })}>
    <svg class="bar" preserveAspectRatio="none" viewBox="0 0 100 1" aria-hidden="true">
      ${stripes(kind)}
    </svg>
    <span>${numberText(low)}</span><span class="dim">${[quantity, unit].filter(Boolean).join(", ")}</span>
    <span>${numberText(high)} ${unit}</span>
    ${
      kind === "dose" && hasLevels
        ? html`<ul class="levels">
            ${levelsOf(layer).map(
              ({ share, level, colour }) => html`<li>
                <svg class="swatch" aria-hidden="true"><rect width="100%" height="100%" fill=${colour}></rect></svg
                >${Math.round(share * 100)} % · ${numberText(level)} ${unit}
              </li>`,
            )}
          </ul>`
        : nothing
    }
  </div>`;
}

const STRIPES = 50;

/** Attributes instead of a style: the page allows no inline styles. */
function stripes(kind: "dose" | "parametric"): SVGTemplateResult[] {
  return barOf(kind, STRIPES).map(
    (colour, at) =>
      svg`<rect x=${(at * 100) / STRIPES} width=${100 / STRIPES + 0.2} height="1" fill=${colour}></rect>`,
  );
}

/** Beside a picture: the names of what is drawn on it, what is under the pointer, and scales. */
function legend(segments: Segments, pane: Pane): TemplateResult | typeof nothing {
  const layers = segments.overlays.shownOn(pane);
  if (layers.length === 0) {
    return nothing;
  }
  const named = segments.overlays.partsOn(pane);
  const scaled = layers.filter(
    ({ object }) => object.kind === "dose" || object.kind === "parametric",
  );
  const under = segments.textsUnder(pane);
  if (named.length + scaled.length + under.length === 0) {
    return nothing;
  }
  const isSmall = pane.size.width < WIDE;
  return html`<div class="segments-legend" data-small=${String(isSmall)}>
    ${
      named.length > 0
        ? html`<ul class="plain-list" aria-label=${t("Segments on this picture")}>
            ${named.slice(0, MOST_IN_LEGEND).map(
              ({ facts, colour }) => html`<li>
                <svg class="swatch" aria-hidden="true"><rect width="100%" height="100%" fill=${colour}></rect></svg
                >${facts.name}
              </li>`,
            )}
            ${named.length > MOST_IN_LEGEND ? html`<li>${t("and {MOST_IN_LEGEND} more", { MOST_IN_LEGEND: named.length - MOST_IN_LEGEND })}</li>` : nothing}
          </ul>`
        : nothing
    }
    ${scaled.map((layer) => scale(layer, !isSmall))}
    ${under.length > 0 ? html`<p class="under">${under.join(", ")}</p>` : nothing}
  </div>`;
}

const known = new WeakMap<Workspace, Segments>();

/** The one store of a workspace's segments; made when somebody first asks for them. */
function segmentsOf(workspace: Workspace): Segments {
  let segments = known.get(workspace);
  if (!segments) {
    segments = new Segments(workspace);
    const store = segments;
    segments.renderLegend = (pane) => legend(store, pane);
    known.set(workspace, segments);
    workspace.over = segments;
  }
  return segments;
}

customElements.define("noctis-segments", SegmentsElement);
