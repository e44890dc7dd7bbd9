import { html, nothing, type TemplateResult } from "lit";
import { t, tn } from "../../i18n";
import type { PriorFacts } from "../core/manifest";
import { intervalText, nextPrior } from "../core/priors";
import type { Workspace } from "../tools/workspace";
import { iconButton } from "./button";
import { ViewerElement } from "./element";

/** One window for priors, beside this one: opening the next replaces the last. */
const WINDOW = "noctis-prior";

/** Other studies of the same person, the most telling first; Tab opens the next. */
export class PriorsElement extends ViewerElement {
  static override properties = {
    workspace: { attribute: false },
    opened: { state: true },
  };
  declare workspace: Workspace;
  declare opened: string | null;

  constructor() {
    super();
    this.opened = null;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    const onKey = (event: KeyboardEvent): void => this.key(event);
    window.addEventListener("keydown", onKey);
    this.until(() => window.removeEventListener("keydown", onKey));
  }

  override render(): TemplateResult | typeof nothing {
    const priors = this.workspace.manifest.priors ?? [];
    return html`<section class="priors" aria-label=${t("Other studies")}>
      <h3>${t("Other studies")}</h3>
      ${
        priors.length === 0
          ? html`<p class="dim">${t("No other study of this person.")}</p>`
          : html`<ul class="plain">${priors.map((prior) => html`<li>${this.entry(prior)}</li>`)}</ul>`
      }
    </section>`;
  }

  private entry(prior: PriorFacts): TemplateResult {
    const images = prior.NumberOfStudyRelatedInstances ?? 0;
    return html`<div class="prior-entry">${this.link(prior, images)}${iconButton({
      name: t("Compare with {date}", { date: prior.StudyDate ?? t("the study without date") }),
      icon: "two",
      run: () => void this.workspace.hanging.compare(prior.id),
    })}</div>`;
  }

  private link(prior: PriorFacts, images: number): TemplateResult {
    return html`<a
      class="prior"
      href=${prior.viewer_url}
      target=${WINDOW}
      aria-current=${prior.id === this.opened ? "true" : nothing}
      title=${t("{join}. Opens beside this window (Tab: the next)", { join: prior.reasons.join(", ") })}
      @click=${() => {
        this.opened = prior.id;
      }}
    >
      <b>${intervalText(prior.interval_days)}</b>
      <span class="modality">${prior.ModalitiesInStudy.join(", ")}</span>
      <span class="name">${prior.StudyDescription ?? t("No description")}</span>
      <span class="dim">${prior.StudyDate ?? t("no date")} · ${tn("{count} image", "{count} images", images)}</span>
    </a>`;
  }

  /** Tab means the next prior while the hand is on the pictures; on buttons it moves the focus. */
  private key(event: KeyboardEvent): void {
    const isPlain = !(event.shiftKey || event.ctrlKey || event.altKey || event.metaKey);
    const { activeElement } = document;
    const isOnPicture =
      activeElement === null ||
      activeElement === document.body ||
      activeElement.classList.contains("pointer");
    if (event.key !== "Tab" || !isPlain || !isOnPicture || document.querySelector("dialog[open]")) {
      return;
    }
    const prior = nextPrior(this.workspace.manifest.priors ?? [], this.opened);
    if (prior) {
      event.preventDefault();
      this.opened = prior.id;
      window.open(prior.viewer_url, WINDOW);
    }
  }
}

customElements.define("noctis-priors", PriorsElement);
