import { html, type TemplateResult } from "lit";
import { t } from "../../i18n";
import type { Workspace } from "../tools/workspace";
import { ViewerElement } from "./element";

const OPTIONS = [
  ["patient", t("Keep age, sex, size and weight")],
  ["descriptors", t("Keep descriptions, without names")],
  ["device", t("Keep the device's identity")],
  ["uids", t("Keep UIDs")],
  ["private", t("Keep safe private attributes")],
  ["pixels", t("Blank ultrasound outside its regions")],
] as const;

/** The study as one file: as it is for a disc, or without whose it is. */
export class ExportDownloadElement extends ViewerElement {
  static override properties = {
    workspace: { attribute: false },
    isAnonymised: { state: true },
    message: { state: true },
  };
  declare workspace: Workspace;
  declare isAnonymised: boolean;
  declare message: string;

  constructor() {
    super();
    this.isAnonymised = false;
    this.message = "";
  }

  override render(): TemplateResult {
    return html`<section class="export-part" aria-label=${t("Download the study")}>
      <h3>${t("Download the study")}</h3>
      <form @submit=${(event: SubmitEvent) => this.download(event)}>
        <label>
          <input type="radio" name="kind" value="disc" ?checked=${!this.isAnonymised}
            @change=${() => this.choose(false)} /> ${t("As it is, for a disc (DICOMDIR)")}
        </label>
        <label>
          <input type="radio" name="kind" value="anonymised" ?checked=${this.isAnonymised}
            @change=${() => this.choose(true)} /> ${t("Anonymised (PS3.15 Annex E)")}
        </label>
        ${this.isAnonymised ? anonymising() : disc()}
        <p class="row"><button class="button primary">${t("Download")}</button></p>
      </form>
      ${this.message ? html`<p role="status" class="export-done">${this.message}</p>` : ""}
    </section>`;
  }

  private choose(isAnonymised: boolean): void {
    this.isAnonymised = isAnonymised;
    this.message = "";
  }

  private download(event: SubmitEvent): void {
    event.preventDefault();
    const { disc: discUrl, anonymised } = this.workspace.manifest.links;
    const url = this.isAnonymised ? anonymised : discUrl;
    if (!url) {
      return;
    }
    const data = new FormData(event.currentTarget as HTMLFormElement);
    data.delete("kind");
    const query = new URLSearchParams();
    for (const [name, value] of data) {
      if (typeof value === "string" && value) {
        query.set(name, value);
      }
    }
    // The browser itself fetches it: it shows how far it is and keeps no copy in memory.
    const link = document.createElement("a");
    link.href = query.size > 0 ? `${url}?${query}` : url;
    link.download = "";
    link.click();
    this.message = t("The download has begun. Your browser shows how far it is.");
  }
}

function disc(): TemplateResult {
  return html`<fieldset>
    <label><input type="checkbox" name="viewer" value="1" checked /> ${t("With a page to look at the pictures")}</label>
    <p class="dim">${t("The page opens from the disc in any browser, without a network.")}</p>
  </fieldset>`;
}

function anonymising(): TemplateResult {
  return html`<fieldset>
    <label>${t("New name")} <input type="text" name="subject" maxlength="64" pattern="[A-Za-z0-9 ._\\-]*"
      title=${t("Letters, digits, spaces, dots, hyphens and underscores")} placeholder=${t("made by itself")} /></label>
    <label>${t("Dates")}
      <select name="dates">
        <option value="removed">${t("removed")}</option>
        <option value="shifted">${t("shifted, intervals kept")}</option>
        <option value="kept">${t("kept")}</option>
      </select>
    </label>
    ${OPTIONS.map(
      ([name, words]) =>
        html`<label><input type="checkbox" name=${name} value="1" /> ${words}</label>`,
    )}
    <p class="dim">
      ${t("Reports, and pictures that may show a name, are left out; README.TXT says how many and why.")}
    </p>
  </fieldset>`;
}

customElements.define("noctis-export-download", ExportDownloadElement);
