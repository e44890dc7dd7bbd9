import { html, nothing, svg, type TemplateResult } from "lit";
import { t } from "../../i18n";
import type { Affine } from "../core/affine";
import type { Box } from "../core/labels";
import type { ImageFacts, MeasurementFacts, Vec2 } from "../core/manifest";
import { videosOf } from "../core/video";
import type { Pane } from "../engine/pane";
import { pictureAt, renamed } from "../tools/drawing";
import { pointerKey } from "../tools/key-pointer";
import { PointerController } from "../tools/pointer";
import type { Workspace } from "../tools/workspace";
import { drawnBars, paintBars } from "./colorbar";
import { colorBars } from "./colors";
import "./document";
import { drawFound } from "./drawn-elsewhere";
import { ViewerElement } from "./element";
import { drawLens } from "./lens";
import { spatialLines } from "./lines";
import { type DrawnItem, drawItems } from "./overlay";
import { cineBar, emptyPanel, problemPanel, waitingPanel } from "./panels";
import "./scrollbar";
import { drawBand } from "./band";
import { profileChart } from "./profile";
import { cornerTexts } from "./texts";
import "./video";

/** One viewport on the page: the surface, what is drawn over it, and the hand on it. */
export class ViewportElement extends ViewerElement {
  static override properties = {
    workspace: { attribute: false },
    pane: { attribute: false },
    number: { attribute: false },
    isActive: { attribute: false },
    showsCine: { attribute: false },
    askedText: { state: true },
    isDropTarget: { state: true },
    keyPoint: { state: true },
  };
  declare workspace: Workspace;
  declare pane: Pane;
  declare number: number;
  declare isActive: boolean;
  declare showsCine: boolean;
  /** The arrow whose text is being typed. */
  declare askedText: MeasurementFacts | null;
  declare isDropTarget: boolean;
  /** Where keys point, in CSS pixels; null: they do not. */
  declare keyPoint: Vec2 | null;
  private controller: PointerController | null = null;

  constructor() {
    super();
    this.askedText = null;
    this.isDropTarget = false;
    this.showsCine = false;
    this.keyPoint = null;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.until(this.workspace.found.on("change", () => this.requestUpdate()));
    this.until(this.workspace.machine.on("change", () => this.requestUpdate()));
    this.until(this.pane.on("change", () => this.requestUpdate()));
    this.until(this.workspace.list.on("change", () => this.requestUpdate()));
    this.until(this.workspace.on("change", () => this.requestUpdate()));
    this.until(this.workspace.on("lines", () => this.requestUpdate()));
    this.addEventListener("dragover", (event) => this.dragOver(event));
    this.addEventListener("dragleave", () => {
      this.isDropTarget = false;
    });
    this.addEventListener("drop", (event) => this.drop(event));
  }

  /** Esc; returns whether a drawing or drag was given up. */
  cancel(): boolean {
    return this.controller?.cancel() ?? false;
  }

  /** Begins to point by keys, in the middle of the picture; returns what is said of it. */
  startPointing(): string {
    const { width, height } = this.pane.size;
    this.keyPoint = [Math.round(width / 2), Math.round(height / 2)];
    return t("Pointing by keys. {pointText}", { pointText: this.pointText() });
  }

  /** A key while keys point; returns what is said of it, or null when it is no such key. */
  pointBy(name: string): string | null {
    const at = this.keyPoint;
    const key = at && pointerKey(name, at, this.pane.size);
    if (!at || !key) {
      return null;
    }
    if (key.kind === "end") {
      this.keyPoint = null;
      this.controller?.cancel();
      return t("Keys move through the images again.");
    }
    if (key.kind === "move") {
      this.keyPoint = key.at;
      this.controller?.hover(key.at);
      return this.pointText();
    }
    const before = this.workspace.list.all().length;
    this.controller?.click(at);
    const isDone = this.workspace.list.all().length > before;
    return isDone ? "" : `Set. ${this.pointText()}`;
  }

  private pointText(): string {
    const [column, row] = pictureAt(this.pane, this.keyPoint ?? [0, 0]);
    return t("Column {column}, row {row}", {
      column: Math.round(column) + 1,
      row: Math.round(row) + 1,
    });
  }

  /** Enter: ends an outline. */
  closeDrawing(): void {
    this.controller?.closeDrawing();
  }

  protected override firstUpdated(): void {
    const host = this.querySelector<HTMLElement>(".stage") as HTMLElement;
    host.prepend(this.pane.surface.element);
    const pointer = this.querySelector<HTMLElement>(".pointer") as HTMLElement;
    this.controller = new PointerController(this.workspace, this.pane, this.number, pointer, {
      drawn: () => this.requestUpdate(),
      askText: (facts) => {
        this.askedText = facts;
      },
      doubleClick: () => this.workspace.toggleMaximised(this.number),
    });
    const observer = new ResizeObserver(() => this.measure());
    observer.observe(host);
    this.until(() => observer.disconnect());
    this.measure();
  }

  override render(): TemplateResult {
    const { pane, workspace } = this;
    const showsPicture = pane.state === "ready" || pane.state === "preview";
    return html`
      <div
        class="stage"
        data-active=${String(this.isActive)}
        data-drop=${String(this.isDropTarget)}
        data-tool=${workspace.tool}
        data-viewport=${this.number + 1}
        data-study=${workspace.manifestOf(pane).study.id}
        data-stranger=${String(workspace.strangeness(pane).length > 0)}
      >
        ${workspace.over ? html`<canvas class="over-pictures" aria-hidden="true"></canvas>` : nothing}
        ${showsPicture ? this.overlay() : nothing} ${this.strangerMark()}
        ${
          workspace.showsTexts && (showsPicture || pane.state === "loading")
            ? html`<div class="texts">${cornerTexts(workspace.manifestOf(pane), pane, workspace.manifest)}</div>`
            : nothing
        }
        ${showsPicture ? workspace.over?.legend(pane) : nothing}
        ${showsPicture && workspace.showsTexts ? drawnBars(colorBars(workspace, this.number)) : nothing}
        <div class="pointer" tabindex="-1"></div>
        ${pane.lens ? html`<canvas class="lens" width="180" height="180" aria-hidden="true"></canvas>` : nothing}
        ${this.panel()} ${this.textInput()}
        ${!pane.player && (this.showsCine || pane.cine.isPlaying) ? cineBar(pane) : nothing}
      </div>
      <noctis-scrollbar
        .workspace=${workspace}
        .pane=${pane}
        .shown=${`${pane.stack?.series.id}:${pane.index}`}
      ></noctis-scrollbar>
    `;
  }

  private overlay(): TemplateResult | typeof nothing {
    const { pane, workspace } = this;
    const matrix = pane.matrix;
    if (!matrix) {
      return nothing;
    }
    const { selected } = workspace.list;
    const items: DrawnItem[] = workspace.showsTexts
      ? workspace.itemsOn(pane).map(({ key, facts }) => ({ facts, isSelected: key === selected }))
      : [];
    const earlier = workspace.showsTexts ? this.earlierItems() : [];
    const draft = this.controller?.drawing?.facts;
    if (draft) {
      items.push({ facts: draft, isSelected: true });
    }
    return html`<svg class="overlay" width=${pane.size.width} height=${pane.size.height}>
      ${spatialLines(workspace, pane)} ${drawBand(pane.band)}
      ${profileChart(pane, items)}
      ${drawItems([...earlier, ...items], matrix, pane.size, items.length + earlier.length > 0 ? this.corners() : [])}
      ${this.foundMarks(matrix)} ${this.keyMark()}
    </svg>`;
  }

  /** What was measured in the other study that hangs here, with the day of that study. */
  private earlierItems(): DrawnItem[] {
    const { pane, workspace } = this;
    const { study } = workspace.manifestOf(pane);
    const origin = t("Study of {date}", { date: study.StudyDate ?? t("date unknown") });
    return workspace.earlierOn(pane).map(({ facts }) => ({ facts, isSelected: false, origin }));
  }

  private keyMark(): ReturnType<typeof svg> | typeof nothing {
    if (!this.keyPoint) {
      return nothing;
    }
    const [x, y] = this.keyPoint;
    const arms = `M${x - 14},${y}h9M${x + 5},${y}h9M${x},${y - 14}v9M${x},${y + 5}v9`;
    return svg`<path class="key-point" d=${arms}></path>`;
  }

  /** What other systems drew on the frame, and programs found on it. */
  private foundMarks(matrix: Affine): ReturnType<typeof drawFound> {
    const { found, machine, showsTexts } = this.workspace;
    const frame = showsTexts ? this.pane.shownFrame : null;
    if (!frame) {
      return [];
    }
    const { image, frame_number } = frame;
    const others = found.onFrame(image.SOPInstanceUID, frame_number);
    const machines = machine.onFrame(image.SOPInstanceUID, frame_number);
    return [
      ...drawFound(others, found.selected, matrix),
      ...drawFound(machines, machine.selected, matrix, "machine"),
    ];
  }

  /** Where the texts of the corners and the colour bars stand, which labels leave free. */
  private corners(): Box[] {
    return [...this.querySelectorAll<HTMLElement>(".corner, .color-bars")].map((corner) => ({
      x: corner.offsetLeft,
      y: corner.offsetTop,
      width: corner.offsetWidth,
      height: corner.offsetHeight,
    }));
  }

  /** The videos that stand in the place of pictures here. */
  private videos(): ImageFacts[] {
    const { pane } = this;
    if (pane.state === "document" && pane.stack) {
      return videosOf(pane.stack.series);
    }
    const image = pane.state === "error" ? pane.wantedFrame?.image : null;
    return image?.video ? [image] : [];
  }

  /** Loud and never hidden: the picture is of another patient record than the window's. */
  private strangerMark(): TemplateResult | typeof nothing {
    const { pane, workspace } = this;
    const found = workspace.strangeness(pane);
    return found.length === 0
      ? nothing
      : html`<div class="stranger" role="note">
          ${t("Another patient record: other {join}", { join: found.join(", ") })}
        </div>`;
  }

  private panel(): TemplateResult | typeof nothing {
    const { pane, workspace } = this;
    const awaited = workspace.hanging.waiting.get(pane);
    if (awaited && pane.state === "empty") {
      return waitingPanel(workspace.others.facts(awaited));
    }
    if (pane.state === "empty") {
      return emptyPanel(workspace.stacks.length > 0);
    }
    const videos = this.videos();
    if (videos.length > 0) {
      return html`<noctis-video .pane=${pane} .images=${videos}></noctis-video>`;
    }
    if (pane.state === "document" && pane.stack) {
      return html`<noctis-document
        .workspace=${workspace}
        .series=${pane.stack.series}
        .number=${this.number}
      ></noctis-document>`;
    }
    return pane.state === "error" ? problemPanel(workspace, pane) : nothing;
  }

  private textInput(): TemplateResult | typeof nothing {
    const facts = this.askedText;
    if (!facts) {
      return nothing;
    }
    const isLength = facts.kind === "calibration";
    const name = isLength ? t("True length in mm") : t("Text of the {kind}", { kind: facts.kind });
    return html`<form class="text-input" novalidate @submit=${this.keepText}>
      <input
        name="label"
        type=${isLength ? "number" : "text"}
        step="any"
        min="0"
        maxlength="200"
        autocomplete="off"
        aria-label=${facts.kind === "text" ? t("Text") : name}
        placeholder=${isLength ? t("True length in mm, then Enter") : t("Text, then Enter")}
        @keydown=${(event: KeyboardEvent) => {
          if (event.key === "Escape") {
            (event.target as HTMLInputElement).value = "";
            this.keepText(event);
          }
        }}
        @blur=${this.keepText}
      />
    </form>`;
  }

  protected override updated(): void {
    const over = this.querySelector<HTMLCanvasElement>("canvas.over-pictures");
    if (over) {
      this.workspace.over?.draw(this.pane, over);
    }
    paintBars(this);
    drawLens(this.pane, this.querySelector<HTMLCanvasElement>("canvas.lens"));
    const input = this.querySelector<HTMLInputElement>(".text-input input");
    if (input && document.activeElement !== input) {
      input.focus();
    }
  }

  private keepText(event: Event): void {
    event.preventDefault();
    const input = this.querySelector<HTMLInputElement>(".text-input input");
    const key = this.askedText?.id;
    this.askedText = null;
    const { list } = this.workspace;
    const item = key ? list.get(key) : null;
    const text = input?.value.trim();
    if (!key || !item) {
      return;
    }
    const { kind } = item.facts;
    const length = Number(text);
    if (kind === "calibration" && text && length > 0 && length < 1e4) {
      list.commit(key, item.facts, { ...item.facts, value: length });
    } else if (kind !== "calibration" && text) {
      list.commit(key, item.facts, renamed(item.facts, text));
    } else if (kind !== "arrow") {
      // A text without words and a line without a length say nothing.
      list.remove(key);
    }
  }

  private measure(): void {
    const host = this.querySelector<HTMLElement>(".stage");
    if (host && host.clientWidth > 0 && host.clientHeight > 0) {
      const size = { width: host.clientWidth, height: host.clientHeight };
      this.pane.resize(size, window.devicePixelRatio || 1);
    }
  }

  private dragOver(event: DragEvent): void {
    if (event.dataTransfer?.types.includes("application/x-noctis-series")) {
      event.preventDefault();
      this.isDropTarget = true;
    }
  }

  private drop(event: DragEvent): void {
    this.isDropTarget = false;
    const id = event.dataTransfer?.getData("application/x-noctis-series");
    const series = this.workspace.manifest.series.find((candidate) => candidate.id === id);
    if (series) {
      event.preventDefault();
      this.workspace.openSeries(series, this.number);
    }
  }
}

customElements.define("noctis-viewport", ViewportElement);
