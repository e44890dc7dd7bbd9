import { html, nothing, type TemplateResult } from "lit";
import { t } from "../../i18n";
import { localMoment } from "../../moments";
import {
  insert,
  nextMark,
  phrase,
  type Reference,
  type ReportText,
  shortened,
  standing,
  update,
  used,
} from "../core/report";
import { unseen, unseenText } from "../core/shown";
import { isComputed } from "../core/stack";
import type { ReportDraft, RevisionFacts } from "../net/report";
import { imageWords, measurementWords, showReference, wordsNow } from "../tools/wording";
import type { Workspace } from "../tools/workspace";
import { keyMap } from "./commands";
import { ViewerElement } from "./element";
import { icon } from "./icons";
import { keyWords } from "./key-words";

const STATE_TEXTS = {
  loading: t("Asking for the report"),
  saved: t("Saved"),
  saving: t("Saving"),
  waiting: t("Not saved yet"),
  failed: t("Not saved"),
  conflict: t("Two texts"),
} as const;

export type Dock = "right" | "bottom";

/** An image, or none. */
export type FramePlace = { SOPInstanceUID: string; frame_number: number } | null;

/** The pane in which a report is written: kept by itself, with marks that stand for what was seen. */
export class ReportElement extends ViewerElement {
  static override properties = {
    workspace: { attribute: false },
    draft: { attribute: false },
    dock: { attribute: false },
    close: { attribute: false },
    turn: { attribute: false },
    earlier: { state: true },
    opened: { state: true },
    message: { state: true },
  };
  declare workspace: Workspace;
  declare draft: ReportDraft;
  declare dock: Dock;
  declare close: () => void;
  /** Docks it at the other side; null where there is one place only. */
  declare turn: (() => void) | null;
  declare earlier: readonly RevisionFacts[] | null;
  declare opened: { row: RevisionFacts; report: ReportText } | null;
  declare message: string;
  private caret: { start: number; end: number } | null = null;

  constructor() {
    super();
    this.earlier = null;
    this.opened = null;
    this.message = "";
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.until(this.draft.on("change", () => this.requestUpdate()));
    this.until(this.workspace.list.on("change", () => this.requestUpdate()));
    this.until(this.workspace.shown.on("change", () => this.requestUpdate()));
    const refresh = (): void => void this.draft.load();
    window.addEventListener("focus", refresh);
    this.until(() => window.removeEventListener("focus", refresh));
    refresh();
  }

  /** Puts the caret where it was, or at the end. */
  write(): void {
    const area = this.area;
    area?.focus();
    const { start, end } = this.caret ?? { start: area?.value.length ?? 0, end: Infinity };
    area?.setSelectionRange(start, Math.min(end, area.value.length));
  }

  /** Writes a measurement where the caret is, or says why it cannot. */
  insertMeasurement(key: string | null): void {
    const facts = key === null ? null : this.workspace.list.get(key)?.facts;
    if (!facts) {
      this.say(t("Select a measurement first: in the picture, or in the list of measurements."));
      return;
    }
    const words = shortened(measurementWords(this.workspace, facts));
    this.insert({
      mark: nextMark("measurement", this.draft),
      kind: "measurement",
      measurement_id: facts.id,
      version: facts.version ?? 0,
      words,
    });
  }

  /** Writes the image on the screen where the caret is. */
  insertImage(): void {
    const pane = this.workspace.active;
    const frame = pane.shownFrame;
    if (!frame || !this.workspace.isOwn(pane) || isComputed(pane.stack)) {
      this.say(t("There is no image of this study in the viewport to put into the report."));
      return;
    }
    this.insert({
      mark: nextMark("image", this.draft),
      kind: "image",
      SOPInstanceUID: frame.image.SOPInstanceUID,
      frame_number: frame.frame_number,
      words: imageWords(this.workspace, frame.image.SOPInstanceUID, frame.frame_number) ?? "image",
    });
  }

  /** Writes words where the caret is, with a mark of the image that they speak of. */
  insertWords(text: string, place: FramePlace): void {
    const { draft } = this;
    const words = place && imageWords(this.workspace, place.SOPInstanceUID, place.frame_number);
    if (draft.state === "loading") {
      this.say(t("The report is not here yet. Try again in a moment."));
      return;
    }
    if (!place || !words) {
      this.put(text, draft.references);
    } else {
      const { SOPInstanceUID, frame_number } = place;
      const mark = nextMark("image", draft);
      const reference = { mark, kind: "image" as const, SOPInstanceUID, frame_number, words };
      this.put(`${text} ${phrase(reference)}`, [...used(draft), reference]);
    }
    this.say(t("The finding is in the report."));
  }

  override render(): TemplateResult {
    const { draft } = this;
    return html`
      <header class="pane-head">
        <h2>${t("Report")}</h2>
        <span class="report-state" role="status" data-state=${draft.state}>${STATE_TEXTS[draft.state]}</span>
        ${
          this.turn
            ? html`<button
                type="button"
                class="tool"
                aria-label=${this.dock === "right" ? t("Report below the pictures") : t("Report beside the pictures")}
                title=${this.dock === "right" ? t("Below the pictures") : t("Beside the pictures")}
                @click=${this.turn}
              >
                ${icon(this.dock === "right" ? "dockBottom" : "dockRight")}
              </button>`
            : nothing
        }
        <button type="button" class="tool" aria-label=${t("Close the report")} @click=${this.close}>
          ${icon("close")}
        </button>
      </header>
      <div class="report-body">
        <div class="report-writing">
          ${this.conflict()} ${this.trouble()}
          <textarea
            class="report-text"
            aria-label=${t("Text of the report")}
            spellcheck="true"
            maxlength="60000"
            placeholder=${t("Write here. Everything is kept by itself.")}
            ?disabled=${draft.state === "loading"}
            .value=${draft.text}
            @input=${this.typed}
            @blur=${this.keepCaret}
            @keydown=${this.leave}
          ></textarea>
          <p class="report-actions">
            ${this.actionButton(t("Measurement"), "insertMeasurement", () =>
              this.insertMeasurement(this.workspace.list.selected),
            )}
            ${this.actionButton(t("Key image"), "keyImage", () => this.insertImage())}
            <button type="button" class="button small-button" @click=${() => this.insertShown()}>
              ${t("What was shown")}
            </button>
          </p>
          <p class="report-message" role="status">${this.message}</p>
        </div>
        <div class="report-aside">${this.references()} ${this.history()}</div>
      </div>
    `;
  }

  protected override updated(): void {
    const { area } = this;
    // An update by others must not move the caret of whoever is reading there.
    if (area && area.value !== this.draft.text) {
      area.value = this.draft.text;
    }
  }

  private get area(): HTMLTextAreaElement | null {
    return this.querySelector("textarea.report-text");
  }

  private actionButton(name: string, id: string, run: () => void): TemplateResult {
    const key = keyMap.keysOf(id).find((each) => each.length > 1) ?? keyMap.keysOf(id)[0];
    return html`<button
      type="button"
      class="button small-button"
      aria-label=${t("Insert: {name}", { name })}
      title=${key ? `${t("Insert")} (${keyWords(key)})` : t("Insert")}
      @mousedown=${(event: Event) => event.preventDefault()}
      @click=${run}
    >
      ${name}
    </button>`;
  }

  private typed(event: Event): void {
    const { value } = event.target as HTMLTextAreaElement;
    this.message = "";
    this.draft.write({ text: value, references: this.draft.references });
  }

  private keepCaret(event: Event): void {
    const { selectionStart: start, selectionEnd: end } = event.target as HTMLTextAreaElement;
    this.caret = { start, end };
  }

  /** Esc leads back to the pictures, whose keys then work again. */
  private leave(event: KeyboardEvent): void {
    if (event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      this.area?.blur();
    }
  }

  private insert(reference: Reference): void {
    const { draft } = this;
    if (draft.state === "loading") {
      this.say(t("The report is not here yet. Try again in a moment."));
      return;
    }
    const references = [...used(draft), reference];
    this.put(phrase(reference), references);
    this.say(
      t("{words} is in the report as {mark}.", { words: reference.words, mark: reference.mark }),
    );
  }

  private insertShown(): void {
    const lines = this.workspace.stacks
      .filter(({ frames }) => frames.some(({ image }) => image.transport !== null))
      .map(({ frames, series }) => {
        const count = frames.filter(({ image }) => image.transport !== null).length;
        const missing = unseen(frames, this.workspace.shown).length;
        return unseenText(missing, count, series.SeriesNumber);
      });
    this.put(lines.join(" "), this.draft.references);
    this.say(t("What was shown to you is in the report."));
  }

  private put(added: string, references: readonly Reference[]): void {
    const { area, draft } = this;
    const isWriting = document.activeElement === area;
    const start = isWriting ? area?.selectionStart : this.caret?.start;
    const end = isWriting ? area?.selectionEnd : this.caret?.end;
    const { length } = draft.text;
    const from = Math.min(start ?? length, length);
    const made = insert(draft.text, from, Math.min(end ?? length, length), added);
    draft.write({ text: made.text, references });
    this.caret = { start: made.caret, end: made.caret };
    if (area) {
      area.value = made.text;
      if (isWriting) {
        area.setSelectionRange(made.caret, made.caret);
      }
    }
  }

  private say(message: string): void {
    this.message = message;
  }

  private conflict(): TemplateResult | typeof nothing {
    const { draft } = this;
    if (!draft.theirs) {
      return nothing;
    }
    return html`<div class="report-conflict" role="alert">
      <p>${draft.message}</p>
      <details>
        <summary>${t("The text of {person}", { person: draft.theirs.updated_by?.name ?? t("the other") })}</summary>
        <pre class="report-other">${draft.theirs.text}</pre>
      </details>
      <p class="row">
        <button type="button" class="button primary" @click=${() => draft.putBelowTheirs()}>
          ${t("Put mine below theirs")}
        </button>
        <button type="button" class="button" @click=${() => void draft.takeTheirs()}>${t("Take theirs")}</button>
      </p>
    </div>`;
  }

  private trouble(): TemplateResult | typeof nothing {
    const { draft } = this;
    return draft.state === "waiting" || draft.state === "failed"
      ? html`<div class="report-conflict" role="alert">
          <p>${t("{message} The text stays here until it is saved.", { message: draft.message })}</p>
          <p class="row">
            <button type="button" class="button" @click=${() => draft.retry()}>${t("Try now")}</button>
          </p>
        </div>`
      : nothing;
  }

  private references(): TemplateResult | typeof nothing {
    const all = used(this.draft);
    return all.length === 0
      ? nothing
      : html`<section aria-label=${t("Marks in the text")}>
          <h3>${t("Marks in the text")}</h3>
          <ul class="report-marks">
            ${all.map((reference) => this.reference(reference))}
          </ul>
        </section>`;
  }

  private reference(reference: Reference): TemplateResult {
    const { mark } = reference;
    const found = standing(reference, wordsNow(this.workspace, reference));
    return html`<li data-mark=${mark} data-state=${found.state}>
      <button
        type="button"
        class="link"
        aria-label=${`Show ${mark}`}
        @click=${() => showReference(this.workspace, reference)}
      >
        ${mark}
      </button>
      <span>${reference.words}</span>
      ${
        found.state === "changed"
          ? html`<span class="report-changed">${t("Changed: {words}", { words: found.words })}</span>
              <button
                type="button"
                class="button small-button"
                aria-label=${`Update ${mark}`}
                @click=${() => this.draft.write(update(this.draft, mark, found.words))}
              >
                ${t("Update")}
              </button>`
          : found.state === "gone"
            ? html`<span class="report-changed">${t("Not in the study any more")}</span>`
            : nothing
      }
    </li>`;
  }

  private history(): TemplateResult {
    return html`<details class="report-history" @toggle=${this.listEarlier}>
      <summary>${t("Earlier texts")}</summary>
      ${
        this.earlier === null
          ? nothing
          : this.earlier.length === 0
            ? html`<p class="dim">${t("Nothing has been saved yet.")}</p>`
            : html`<ul class="report-revisions">
                ${this.earlier.map(
                  (row) => html`<li>
                    <button type="button" class="link-button" @click=${() => this.openEarlier(row)}>
                      ${row.is_aside ? t("Put aside") : `Version ${row.version}`},
                      ${row.user.name}, ${localMoment(new Date(row.at))}
                    </button>
                  </li>`,
                )}
              </ul>`
      }
      ${
        this.opened
          ? html`<section aria-label=${t("Earlier text")}>
              <pre class="report-other" tabindex="0">${this.opened.report.text || "(empty)"}</pre>
              <button type="button" class="button small-button" @click=${() => this.takeUp()}>
                ${t("Put it below the text")}
              </button>
            </section>`
          : nothing
      }
    </details>`;
  }

  private async listEarlier(event: Event): Promise<void> {
    this.opened = null;
    if ((event.target as HTMLDetailsElement).open) {
      try {
        this.earlier = await this.draft.revisions();
      } catch (error) {
        this.say((error as Error).message);
      }
    }
  }

  private async openEarlier(row: RevisionFacts): Promise<void> {
    try {
      this.opened = { row, report: await this.draft.revision(row.id) };
    } catch (error) {
      this.say((error as Error).message);
    }
  }

  private takeUp(): void {
    if (this.opened) {
      this.draft.putBelow(this.opened.report);
      this.opened = null;
      this.say(t("The earlier text stands below."));
    }
  }
}

customElements.define("noctis-report", ReportElement);
