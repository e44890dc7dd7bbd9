import { html, nothing, type TemplateResult } from "lit";
import { t } from "../../i18n";
import type { Workspace } from "../tools/workspace";
import { ViewerElement } from "./element";
import "./export-download";
import "./export-print";
import "./export-store";
import type { ExportStoreElement } from "./export-store";
import { icon } from "./icons";

/** The dialog by which things leave the viewer. */
export class ExportElement extends ViewerElement {
  static override properties = { workspace: { attribute: false } };
  declare workspace: Workspace;

  open(): void {
    this.querySelector<HTMLDialogElement>("#export")?.showModal();
    void this.querySelector<ExportStoreElement>("noctis-export-store")?.refresh();
  }

  override render(): TemplateResult {
    return html`<dialog class="sheet export" id="export" aria-label=${t("Export")} @click=${closeOutside}>
      <header>
        <h2>${t("Export")}</h2>
        <form method="dialog">
          <button class="tool" aria-label=${t("Close")} title=${t("Close (Esc)")}>${icon("close")}</button>
        </form>
      </header>
      <div class="export-parts">
        <noctis-export-print .workspace=${this.workspace}></noctis-export-print>
        <noctis-export-download .workspace=${this.workspace}></noctis-export-download>
        <noctis-export-store .workspace=${this.workspace}></noctis-export-store>
        ${sharing(this.workspace)}
      </div>
    </dialog>`;
  }
}

function sharing(workspace: Workspace): TemplateResult | typeof nothing {
  const { share } = workspace.manifest.links;
  return share
    ? html`<section class="export-part" aria-label=${t("Share by a link")}>
        <h3>${t("Share by a link")}</h3>
        <p>${t("For somebody without an account here: this study alone, for a time.")}</p>
        <p class="row"><a class="button primary" href=${share} target="_blank" rel="noopener">${t("Share")}</a></p>
      </section>`
    : nothing;
}

function closeOutside(event: MouseEvent): void {
  const dialog = event.currentTarget as HTMLDialogElement;
  if (event.target === dialog) {
    dialog.close();
  }
}

customElements.define("noctis-export", ExportElement);
