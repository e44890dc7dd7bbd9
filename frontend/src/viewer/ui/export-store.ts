import { html, nothing, type TemplateResult } from "lit";
import { t, tn } from "../../i18n";
import { localMoment } from "../../moments";
import { ApiError, requestJson } from "../net/api";
import type { Workspace } from "../tools/workspace";
import { ViewerElement } from "./element";

interface StoredResult {
  id: string;
  name: string;
  SeriesNumber: number | null;
  author: string;
  created_at: string;
  file_url: string;
}

/** Writes what is drawn into the study as DICOM objects, and lists what was written. */
export class ExportStoreElement extends ViewerElement {
  static override properties = {
    workspace: { attribute: false },
    stored: { state: true },
    message: { state: true },
    isBusy: { state: true },
  };
  declare workspace: Workspace;
  declare stored: readonly StoredResult[];
  declare message: { text: string; isError: boolean } | null;
  declare isBusy: boolean;

  constructor() {
    super();
    this.stored = [];
    this.message = null;
    this.isBusy = false;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.until(this.workspace.on("change", () => this.requestUpdate()));
  }

  /** Asks what is stored already; called when the dialog opens. */
  async refresh(): Promise<void> {
    this.message = null;
    const { results } = this.workspace.manifest.links;
    try {
      this.stored = results ? await requestJson<StoredResult[]>(results) : [];
    } catch (error) {
      this.say(error);
    }
  }

  override render(): TemplateResult {
    const { manifest, list } = this.workspace;
    const isEmpty = list.all().length === 0;
    const shown = this.workspace.active.shownFrame;
    return html`<section class="export-part" aria-label=${t("Store in the study")}>
      <h3>${t("Store in the study")}</h3>
      ${
        manifest.user.can_write
          ? html`<form @submit=${(event: SubmitEvent) => this.store(event)}>
              <label><input type="checkbox" name="sr" ?checked=${!isEmpty} ?disabled=${isEmpty} /> ${t("Measurements as a report (SR)")}</label>
              <label><input type="checkbox" name="gsps" ?checked=${!isEmpty} ?disabled=${isEmpty} /> ${t("Drawings as presentation states (GSPS)")}</label>
              <label>${t("Key images (KO)")}
                <select name="ko">
                  <option value="">${t("none")}</option>
                  <option value="measured" ?disabled=${isEmpty}>${t("every measured image")}</option>
                  <option value="shown" ?disabled=${!shown}>${t("the image on the screen")}</option>
                </select>
              </label>
              ${isEmpty ? html`<p class="dim">${t("Nothing is measured yet: only key images can be stored.")}</p>` : nothing}
              <p class="row">
                <button class="button primary" ?disabled=${this.isBusy}>
                  ${this.isBusy ? t("Storing…") : t("Store")}
                </button>
              </p>
            </form>`
          : html`<p class="dim">${t("Your role looks at studies and does not store results in them.")}</p>`
      }
      ${
        this.message
          ? html`<p role=${this.message.isError ? "alert" : "status"} class=${this.message.isError ? "export-error" : "export-done"}>
              ${this.message.text}
            </p>`
          : nothing
      }
      ${this.history()}
    </section>`;
  }

  private history(): TemplateResult | typeof nothing {
    return this.stored.length === 0
      ? nothing
      : html`<ul class="plain export-history" aria-label=${t("Stored before")}>
          ${this.stored.map(
            (row) => html`<li>
              <span>${t("{name}, series {number}", { name: row.name, number: row.SeriesNumber ?? "?" })}</span>
              <span class="dim">${row.author}, ${localMoment(new Date(row.created_at))}</span>
              <a href=${row.file_url} download>${t("File")}</a>
            </li>`,
          )}
        </ul>`;
  }

  private async store(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const data = new FormData(event.currentTarget as HTMLFormElement);
    const kinds = ["sr", "gsps"].filter((kind) => data.has(kind));
    const frame = this.workspace.active.shownFrame;
    let keys: unknown[] = [];
    if (data.get("ko")) {
      kinds.push("ko");
    }
    if (data.get("ko") === "shown" && frame) {
      keys = [{ SOPInstanceUID: frame.image.SOPInstanceUID, frame_number: frame.frame_number }];
    }
    const { results } = this.workspace.manifest.links;
    if (kinds.length === 0 || !results) {
      this.message = { text: t("Choose what to store."), isError: true };
      return;
    }
    this.isBusy = true;
    this.message = null;
    try {
      const stored = await requestJson<StoredResult[]>(results, {
        method: "POST",
        body: { kinds, key_images: keys },
      });
      this.stored = [...this.stored, ...stored];
      const text = tn(
        "One object is stored in the study. Reload the page to see the new series.",
        "{count} objects are stored in the study. Reload the page to see the new series.",
        stored.length,
      );
      this.message = { text, isError: false };
    } catch (error) {
      this.say(error);
    } finally {
      this.isBusy = false;
    }
  }

  private say(error: unknown): void {
    const text = error instanceof ApiError ? error.message : t("The server could not be asked.");
    this.message = { text, isError: true };
  }
}

customElements.define("noctis-export-store", ExportStoreElement);
