import { html, nothing, type TemplateResult } from "lit";
import { t } from "../../i18n";
import { localMoment } from "../../moments";
import { said } from "../../sentences";
import {
  type Decision,
  type FindingFacts,
  findingWords,
  type MachineFindings,
  type RunFacts,
  reportText,
  standingText,
} from "../core/machine";
import { decide, loadFindings } from "../net/machine";
import type { Workspace } from "../tools/workspace";
import { imageOf } from "./drawn-elsewhere";
import { ViewerElement } from "./element";
import { icon } from "./icons";

const STATE_TEXTS = {
  waiting: t("Waiting"),
  running: t("Running"),
  done: t("Done"),
  failed: t("Failed"),
  cancelled: t("Cancelled"),
} as const;

/** The pane of what programs found: each a machine's word until a person accepts or rejects it. */
export class MachineElement extends ViewerElement {
  static override properties = {
    workspace: { attribute: false },
    close: { attribute: false },
    report: { attribute: false },
    message: { state: true },
    writing: { state: true },
  };
  declare workspace: Workspace;
  declare close: () => void;
  /** Puts words, and the image they speak of, into the report; null for who does not report. */
  declare report:
    | ((text: string, place: { SOPInstanceUID: string; frame_number: number } | null) => void)
    | null;
  declare message: string;
  /** The finding that a comment is being written on. */
  declare writing: string | null;

  constructor() {
    super();
    this.message = "";
    this.writing = null;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.until(this.findings.on("change", () => this.requestUpdate()));
    void this.refresh();
  }

  override render(): TemplateResult {
    const { findings } = this;
    return html`
      <header class="pane-head">
        <h2>${t("Machine findings")}</h2>
        <button type="button" class="tool" aria-label=${t("Close machine findings")} @click=${this.close}>
          ${icon("close")}
        </button>
      </header>
      <div class="machine-body">
        <div class="machine-looks">
          <label
            ><input
              type="checkbox"
              .checked=${findings.isDrawn}
              @change=${(event: Event) =>
                findings.set({ isDrawn: (event.target as HTMLInputElement).checked })}
            />${t("Draw on the pictures")}</label
          >
          <label
            ><input
              type="checkbox"
              .checked=${findings.showsRejected}
              @change=${(event: Event) =>
                findings.set({ showsRejected: (event.target as HTMLInputElement).checked })}
            />${t("Rejected ones, too")}</label
          >
        </div>
        <p class="machine-message" role="status">${this.message}</p>
        ${this.list()}
        ${
          findings.pageUrl
            ? html`<p><a href=${findings.pageUrl} target="_blank" rel="noopener">${t("Start an analysis")}</a></p>`
            : nothing
        }
      </div>
    `;
  }

  private get findings(): MachineFindings {
    return this.workspace.machine;
  }

  private refresh(): Promise<void> {
    return loadFindings(this.workspace.manifest.links.findings, this.findings);
  }

  private list(): TemplateResult {
    const { findings } = this;
    if (findings.problem) {
      return html`<p class="problem" role="alert">
        ${icon("warning")}<span>${findings.problem}</span>
        <button type="button" class="button" @click=${() => void this.refresh()}>${t("Try again")}</button>
      </p>`;
    }
    if (!findings.isLoaded) {
      return html`<p class="empty">${t("Looking for them…")}</p>`;
    }
    if (findings.runs.length === 0) {
      return html`<p class="empty">${t("No program has looked at this study.")}</p>`;
    }
    return html`${findings.runs.map((run) => this.run(run))}`;
  }

  private run(run: RunFacts): TemplateResult {
    const made = [
      t("Version {version}", { version: run.version }),
      run.manufacturer,
      localMoment(new Date(run.at)),
    ];
    const open = run.findings.filter(({ decision }) => decision !== "rejected");
    const rejected = run.findings.filter(({ decision }) => decision === "rejected");
    return html`<article class="machine-run" data-state=${run.state}>
      <header>
        <h3>${run.name}</h3>
        <span class="dim">${made.filter(Boolean).join(" · ")}</span>
        ${run.purpose ? html`<span class="dim">${run.purpose}</span>` : nothing}
        ${run.state === "done" ? nothing : html`<span>${STATE_TEXTS[run.state]}</span>`}
      </header>
      ${run.message ? html`<p class="problem">${icon("warning")}<span>${said(run.message)}</span></p>` : nothing}
      ${
        run.state === "done" && run.findings.length === 0
          ? html`<p class="empty">${t("It found nothing to say.")}</p>`
          : nothing
      }
      <ul class="plain-list">
        ${open.map((finding) => this.finding(finding))}
      </ul>
      ${
        rejected.length > 0
          ? html`<details>
              <summary>${t("{length} rejected", { length: rejected.length })}</summary>
              <ul class="plain-list">
                ${rejected.map((finding) => this.finding(finding))}
              </ul>
            </details>`
          : nothing
      }
    </article>`;
  }

  private finding(finding: FindingFacts): TemplateResult {
    const words = findingWords(finding);
    const place = this.placeOf(finding);
    const isChosen = this.findings.selected === finding.id;
    return html`<li
      class="machine-finding"
      data-finding=${finding.id}
      data-decision=${finding.decision}
    >
      ${
        place
          ? html`<button
              type="button"
              class="link"
              aria-pressed=${String(isChosen)}
              title=${t("Show the picture")}
              @click=${() => this.show(finding)}
            >
              ${words}
            </button>`
          : html`<b>${words}</b>`
      }
      <span class="dim">${objectText(finding)}</span>
      ${finding.text ? html`<span>${finding.text}</span>` : nothing}
      <span class="machine-standing">${icon(finding.decision === "accepted" ? "accepted" : "machine")}<span>${standingText(finding)}</span></span>
      ${finding.comment ? html`<q>${finding.comment}</q>` : nothing}
      ${this.findings.canDecide ? this.actions(finding, words) : nothing}
    </li>`;
  }

  private actions(finding: FindingFacts, words: string): TemplateResult {
    const isOpen = finding.decision === "open";
    return html`<span class="machine-actions">
        ${
          isOpen
            ? html`${this.button(t("Accept"), words, () => this.decide(finding, "accepted"))}
              ${this.button(t("Reject"), words, () => this.decide(finding, "rejected"))}`
            : this.button(t("Take back"), words, () => this.decide(finding, "open"))
        }
        ${this.button(t("Comment"), words, () => {
          this.writing = this.writing === finding.id ? null : finding.id;
        })}
        ${
          this.report && finding.decision === "accepted"
            ? this.button(t("Into the report"), words, () =>
                this.report?.(reportText(finding), this.placeOf(finding)),
              )
            : nothing
        }
      </span>
      ${
        this.writing === finding.id
          ? html`<form class="machine-comment" @submit=${(event: Event) => this.keep(event, finding)}>
              <textarea
                name="comment"
                rows="2"
                maxlength="1024"
                aria-label=${t("Comment on {words}", { words })}
                .value=${finding.comment}
              ></textarea>
              <button type="submit" class="button small-button">${t("Keep the comment")}</button>
            </form>`
          : nothing
      }`;
  }

  private button(name: string, words: string, run: () => void): TemplateResult {
    return html`<button
      type="button"
      class="button small-button"
      aria-label=${`${name}: ${words}`}
      @click=${run}
    >
      ${name}
    </button>`;
  }

  /** The image that a finding lies on, if the study has it. */
  private placeOf({ drawing }: FindingFacts): {
    image: string;
    SOPInstanceUID: string;
    frame_number: number;
  } | null {
    const image = drawing && imageOf(this.workspace, drawing.SOPInstanceUID);
    return drawing && image ? { image, ...drawing } : null;
  }

  private show(finding: FindingFacts): void {
    const place = this.placeOf(finding);
    this.findings.set({ selected: finding.id, isDrawn: true });
    if (place) {
      this.workspace.showImage(place.image, place.frame_number);
    }
  }

  private keep(event: Event, finding: FindingFacts): void {
    event.preventDefault();
    const form = new FormData(event.target as HTMLFormElement);
    this.decide(finding, finding.decision, String(form.get("comment") ?? ""));
  }

  private decide(finding: FindingFacts, decision: Decision, comment?: string): void {
    const words = findingWords(finding);
    const said = { open: t("not reviewed"), accepted: t("accepted"), rejected: t("rejected") }[
      decision
    ];
    decide(this.findings, finding, decision, comment).then(
      () => {
        this.writing = null;
        this.message = comment === undefined ? `${words}: ${said}.` : t("The comment is kept.");
      },
      (error: unknown) => {
        this.message = error instanceof Error ? error.message : String(error);
      },
    );
  }
}

function objectText({ object }: FindingFacts): string {
  return object === null
    ? ""
    : `Series ${object.SeriesNumber ?? "?"}, ${object.SeriesDescription || t("without description")}`;
}

customElements.define("noctis-machine", MachineElement);
