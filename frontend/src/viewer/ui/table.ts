import { html, nothing, type TemplateResult } from "lit";
import { t } from "../../i18n";
import { isUncalibrated, KIND_NAMES, measurementValue, sourceText } from "../core/format";
import type { MeasurementFacts } from "../core/manifest";
import type { Item } from "../core/measurements";
import { renamed } from "../tools/drawing";
import { belongs, scaleNote } from "../tools/measuring";
import type { Workspace } from "../tools/workspace";
import { foundSection } from "./drawn-elsewhere";
import { ViewerElement } from "./element";
import { icon } from "./icons";

const STATE_TEXTS = {
  saved: "",
  saving: t("Saving"),
  waiting: t("Not saved"),
  failed: t("Not saved"),
  local: t("Not kept"),
} as const;

/** The pane of measurements: one row each, with its value, the unit's source and its saving state. */
export class MeasurementTableElement extends ViewerElement {
  static override properties = {
    workspace: { attribute: false },
    close: { attribute: false },
    editing: { state: true },
  };
  declare workspace: Workspace;
  declare close: (() => void) | undefined;
  declare editing: string | null;

  constructor() {
    super();
    this.editing = null;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.until(this.workspace.on("change", () => this.requestUpdate()));
    this.until(this.workspace.found.on("change", () => this.requestUpdate()));
  }

  override render(): TemplateResult {
    const items = this.workspace.list.all();
    return html`
      <header class="pane-head">
        <h2>${t("Measurements")}</h2>
        <button type="button" class="tool" aria-label=${t("Close measurements")} @click=${this.close}>
          ${icon("close")}
        </button>
      </header>
      ${
        items.length === 0
          ? html`<p class="empty">
              ${t("No measurements yet. Choose Length (M), Angle (A) or Ellipse ROI (E) and draw on the picture. Everything is saved by itself.")}
            </p>`
          : this.table(items)
      }
      ${foundSection(this.workspace)}
    `;
  }

  private table(items: readonly Item[]): TemplateResult {
    return html`<div class="table-scroll">
      <table class="measurements" aria-label=${t("Measurements")}>
        <thead>
          <tr>
            <th scope="col">${t("Tool")}</th>
            <th scope="col">${t("Value")}</th>
            <th scope="col">${t("Unit from")}</th>
            <th scope="col"><span class="visually-hidden">${t("Actions")}</span></th>
          </tr>
        </thead>
        <tbody>
          ${items.map((item, index) => this.row(item, index + 1))}
        </tbody>
      </table>
    </div>`;
  }

  private row(item: Item, number: number): TemplateResult {
    const { key, facts } = item;
    const { list, saver } = this.workspace;
    const state = saver.state(key);
    const name = KIND_NAMES[facts.kind];
    const place = this.placeText(item);
    return html`<tr
      data-kind=${facts.kind}
      aria-selected=${String(list.selected === key)}
      @click=${() => this.workspace.showMeasurement(key)}
    >
      <td>
        <button type="button" class="link" aria-label=${t("Show measurement {number}", { number })}>${number}</button>
        <b>${name}</b>
        <span class="place">${place}</span>
      </td>
      <td>
        ${this.editing === key ? this.labelInput(item) : this.label(item)}
        <span class="value">${measurementValue(facts)}</span>
        ${
          state === "saved"
            ? nothing
            : html`<span class="save" data-state=${state} title=${saver.message(key) ?? ""}
                >${STATE_TEXTS[state]}</span
              >`
        }
      </td>
      ${this.source(facts)}
      <td class="row-actions">
        <button
          type="button"
          class="tool"
          aria-label=${t("Rename measurement {number}", { number })}
          title=${t("Rename")}
          @click=${(event: Event) => {
            event.stopPropagation();
            this.editing = key;
          }}
        >
          ${icon("rename")}
        </button>
        <button
          type="button"
          class="tool"
          aria-label=${t("Delete measurement {number}", { number })}
          title=${t("Delete")}
          @click=${(event: Event) => {
            event.stopPropagation();
            list.remove(key);
          }}
        >
          ${icon("remove")}
        </button>
      </td>
    </tr>`;
  }

  private label(item: Item): TemplateResult | typeof nothing {
    return item.facts.label ? html`<span class="label">${item.facts.label}</span>` : nothing;
  }

  private labelInput(item: Item): TemplateResult {
    const keep = (input: HTMLInputElement): void => {
      if (this.editing !== item.key) {
        return;
      }
      this.editing = null;
      const after = renamed(item.facts, input.value);
      if (after.label !== item.facts.label) {
        this.workspace.list.commit(item.key, item.facts, after);
      }
    };
    return html`<input
      class="rename"
      type="text"
      maxlength="200"
      aria-label=${t("Name of the measurement")}
      .value=${item.facts.label}
      @click=${(event: Event) => event.stopPropagation()}
      @blur=${(event: Event) => keep(event.target as HTMLInputElement)}
      @keydown=${(event: KeyboardEvent) => {
        if (event.key === "Enter") {
          keep(event.target as HTMLInputElement);
        } else if (event.key === "Escape") {
          this.editing = null;
        }
      }}
    />`;
  }

  protected override updated(): void {
    const input = this.querySelector<HTMLInputElement>("input.rename");
    if (input && document.activeElement !== input) {
      input.focus();
      input.select();
    }
  }

  /** Where the unit comes from; without a unit, why there is none. */
  private source(facts: MeasurementFacts): TemplateResult {
    const note = scaleNote(this.workspace.stacks, facts);
    const isWanting = note !== null && isUncalibrated(facts);
    return html`<td class="source" title=${note && !isWanting ? note : nothing}>
      ${sourceText(facts)}${isWanting ? html`<span class="why">${note}</span>` : nothing}
    </td>`;
  }

  private placeText({ facts }: Item): string {
    for (const stack of this.workspace.stacks) {
      const index = stack.frames.findIndex((frame) => belongs(facts, frame));
      if (index >= 0) {
        const number = stack.series.SeriesNumber;
        const where = facts.plane ? t("reformatted near image") : "image";
        return `${number === null ? "" : `series ${number}, `}${where} ${index + 1}`;
      }
    }
    return "";
  }
}

customElements.define("noctis-measurements", MeasurementTableElement);
