import { html, nothing, type TemplateResult } from "lit";
import { t } from "../../i18n";
import type { SeriesFacts } from "../core/manifest";
import { isDocument } from "../core/stack";
import { videosOf } from "../core/video";
import type { Workspace } from "../tools/workspace";
import { ViewerElement } from "./element";
import { icon } from "./icons";
import { kindName } from "./panels";

const REPAINT_MS = 120;

/** The study's series: thumbnail, number, description, count, load state. */
export class StripElement extends ViewerElement {
  static override properties = {
    workspace: { attribute: false },
    chosen: { attribute: false },
    broken: { state: true },
  };
  declare workspace: Workspace;
  /** Called after a series was opened; the narrow layout closes its drawer then. */
  declare chosen: (() => void) | undefined;
  declare broken: ReadonlySet<string>;
  private timer = 0;

  constructor() {
    super();
    this.broken = new Set();
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.until(this.workspace.on("change", () => this.requestUpdate()));
    this.until(
      this.workspace.on("loaded", () => {
        if (this.timer === 0) {
          this.timer = window.setTimeout(() => {
            this.timer = 0;
            this.requestUpdate();
          }, REPAINT_MS);
        }
      }),
    );
  }

  override render(): TemplateResult {
    return html`<ol class="series-list" aria-label=${t("Series")}>
      ${this.workspace.manifest.series.map((series) => html`<li>${this.entry(series)}</li>`)}
    </ol>`;
  }

  private entry(series: SeriesFacts): TemplateResult {
    const { workspace } = this;
    const isShown = workspace.visible.some(({ pane }) => pane.stack?.series === series);
    const isActive = workspace.active.stack?.series === series;
    const number = series.SeriesNumber === null ? "" : `${series.SeriesNumber}`;
    const document = isDocument(series);
    const name = series.SeriesDescription || (document ? kindName(series) : t("No description"));
    const loaded = workspace.loadedOf(series);
    const total = workspace.stacks.find((stack) => stack.series === series)?.frames.length ?? 0;
    return html`<button
      type="button"
      class="series"
      draggable="true"
      aria-current=${isActive ? "true" : nothing}
      data-shown=${String(isShown)}
      title=${`${name}${document ? "" : t(", {loaded} of {total} images loaded", { loaded, total })}`}
      @click=${() => this.open(series)}
      @dragstart=${(event: DragEvent) =>
        event.dataTransfer?.setData("application/x-noctis-series", series.id)}
    >
      <span class="thumb">${this.thumbnail(series, document)}</span>
      <span class="about">
        <span class="line"
          ><b>${number}</b> <span class="modality">${series.Modality ?? ""}</span
          ><span class="count">${document ? "" : countText(loaded, total)}</span></span
        >
        <span class="name">${name}</span>
      </span>
      ${
        document
          ? nothing
          : html`<progress
              aria-label=${t("Loaded of series {number}", { number })}
              max=${total}
              value=${loaded}
              data-complete=${String(loaded >= total)}
            ></progress>`
      }
    </button>`;
  }

  private thumbnail(series: SeriesFacts, document: boolean): TemplateResult {
    const isBare = document && videosOf(series).length === 0;
    if (isBare || !series.thumbnail_url || this.broken.has(series.id)) {
      return html`<span class="glyph">${icon(document ? "document" : "series")}</span>`;
    }
    return html`<img
      src=${series.thumbnail_url}
      alt=""
      draggable="false"
      loading="lazy"
      decoding="async"
      @error=${() => {
        this.broken = new Set([...this.broken, series.id]);
      }}
    />`;
  }

  private open(series: SeriesFacts): void {
    this.workspace.openSeries(series);
    this.chosen?.();
  }
}

function countText(loaded: number, total: number): string {
  return loaded < total && loaded > 0 ? `${loaded}/${total}` : String(total);
}

customElements.define("noctis-series-strip", StripElement);
