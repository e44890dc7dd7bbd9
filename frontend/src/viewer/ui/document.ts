import { html, nothing, type TemplateResult } from "lit";
import { t } from "../../i18n";
import type { ImageFacts, SeriesFacts } from "../core/manifest";
import type { Workspace } from "../tools/workspace";
import { ViewerElement } from "./element";
import { icon } from "./icons";
import { documentPanel, kindName } from "./panels";

const PDF_CLASS = "1.2.840.10008.5.1.4.1.1.104.1";

/** A report, a PDF or a waveform in its viewport; what it refers to opens beside it. */
export class DocumentElement extends ViewerElement {
  static override properties = {
    workspace: { attribute: false },
    series: { attribute: false },
    number: { attribute: false },
    chosen: { state: true },
  };
  declare workspace: Workspace;
  declare series: SeriesFacts;
  /** Of the viewport. */
  declare number: number;
  /** The id of the instance that is shown, where the series has several. */
  declare chosen: string | null;

  constructor() {
    super();
    this.chosen = null;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    const observer = new MutationObserver(() => this.dress());
    observer.observe(window.document.documentElement, { attributeFilter: ["data-theme"] });
    this.until(() => observer.disconnect());
  }

  override render(): TemplateResult {
    const all = this.series.images.filter(({ document_url }) => document_url);
    const shown = all.find(({ id }) => id === this.chosen) ?? all[0];
    if (!shown?.document_url) {
      return documentPanel(this.series);
    }
    const isPdf = shown.SOPClassUID === PDF_CLASS;
    return html`<section class="document" aria-label=${kindName(this.series)}>
      <header class="document-bar">
        <h2>${kindName(this.series)}</h2>
        ${all.length > 1 ? this.choice(all, shown) : nothing}
        <span class="document-links">
          <a class="button" href=${shown.document_url} target="_blank" rel="noopener"
            >${icon("open")} ${t("Open in a tab")}</a
          >
          ${
            isPdf
              ? html`<a class="button" href=${`${shown.document_url}?download`}
                  >${icon("download")} ${t("PDF")}</a
                >`
              : nothing
          }
          <a class="button" href=${shown.file_url} download=${`${shown.SOPInstanceUID}.dcm`}
            >${icon("download")} ${t("DICOM file")}</a
          >
        </span>
      </header>
      ${isPdf ? this.pdf(shown) : this.page(shown)}
    </section>`;
  }

  private choice(all: readonly ImageFacts[], shown: ImageFacts): TemplateResult {
    return html`<select
      aria-label=${t("Which of the series")}
      @change=${(event: Event) => {
        this.chosen = (event.target as HTMLSelectElement).value;
      }}
    >
      ${all.map(
        (image, index) =>
          html`<option value=${image.id} ?selected=${image === shown}>
            ${t("{index} of {length}", { index: index + 1, length: all.length })}
          </option>`,
      )}
    </select>`;
  }

  private pdf(image: ImageFacts): TemplateResult {
    // The browser's PDF viewer has a process of its own and refuses to start in a sandbox.
    return navigator.pdfViewerEnabled
      ? html`<iframe class="document-frame" src=${image.document_url} title=${t("PDF document")}></iframe>`
      : html`<div class="document-none">
          <p>${t("This browser shows no PDF inside a page. Open it in a tab, or download it.")}</p>
        </div>`;
  }

  private page(image: ImageFacts): TemplateResult {
    return html`<iframe
      class="document-frame"
      src=${`${image.document_url}?framed`}
      title=${kindName(this.series)}
      sandbox="allow-same-origin"
      @load=${(event: Event) => this.listen(event.target as HTMLIFrameElement)}
    ></iframe>`;
  }

  /** The page in the frame runs no script: its links and its theme are served from here. */
  private listen(frame: HTMLIFrameElement): void {
    this.dress();
    frame.contentDocument?.addEventListener("click", (event) => {
      const link = (event.target as Element | null)?.closest<HTMLAnchorElement>("a[data-image]");
      if (link) {
        event.preventDefault();
        const frameNumber = Number(new URL(link.href).searchParams.get("frame")) || 1;
        const image = link.dataset.image ?? "";
        if (!this.workspace.showImage(image, frameNumber, this.number)) {
          location.assign(link.href);
        }
      }
    });
  }

  private dress(): void {
    const theme = window.document.documentElement.dataset.theme;
    const inside = this.querySelector("iframe[sandbox]") as HTMLIFrameElement | null;
    const root = inside?.contentDocument?.documentElement;
    if (root && theme) {
      root.dataset.theme = theme;
    }
  }
}

customElements.define("noctis-document", DocumentElement);
