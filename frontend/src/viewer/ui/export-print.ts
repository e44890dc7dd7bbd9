import { html, type TemplateResult } from "lit";
import { t } from "../../i18n";
import type { StackFrame } from "../core/stack";
import type { Pane } from "../engine/pane";
import { ApiError, request } from "../net/api";
import type { Workspace } from "../tools/workspace";
import { ViewerElement } from "./element";

const MOST_PICTURES = 240;

interface Picture {
  image_id: string;
  frame_number: number;
  window_center: number | null;
  window_width: number | null;
  invert: boolean;
  orientation: readonly number[];
}

/** Pictures on paper: the view, all views, or the series, drawn by the server. */
export class ExportPrintElement extends ViewerElement {
  static override properties = {
    workspace: { attribute: false },
    message: { state: true },
    isBusy: { state: true },
  };
  declare workspace: Workspace;
  declare message: { text: string; isError: boolean } | null;
  declare isBusy: boolean;

  constructor() {
    super();
    this.message = null;
    this.isBusy = false;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.until(this.workspace.on("change", () => this.requestUpdate()));
  }

  override render(): TemplateResult {
    const { active, visible } = this.workspace;
    const count = active.stack?.frames.length ?? 0;
    return html`<section class="export-part" aria-label=${t("Print")}>
      <h3>${t("Print")}</h3>
      <form @submit=${(event: SubmitEvent) => this.print(event)}>
        <label>${t("Pictures")}
          <select name="what">
            <option value="view">${t("the image on the screen")}</option>
            <option value="views" ?disabled=${visible.length < 2}>${t("all viewports")}</option>
            <option value="series" ?disabled=${count < 2}>${t("the series ({MOST_PICTURES} images)", { MOST_PICTURES: Math.min(count, MOST_PICTURES) })}</option>
          </select>
        </label>
        <label>${t("Sheet")}
          <input type="number" name="rows" min="1" max="8" value="1" required aria-label=${t("Rows")} /> ×
          <input type="number" name="columns" min="1" max="8" value="1" required aria-label=${t("Columns")} />
        </label>
        <label>${t("Paper")}
          <select name="paper"><option>A4</option><option>A3</option><option value="letter">${t("Letter")}</option></select>
          <select name="way" aria-label=${t("Way round")}>
            <option value="upright">${t("upright")}</option><option value="landscape">${t("landscape")}</option>
          </select>
        </label>
        <label>${t("File")}
          <select name="form"><option value="pdf">${t("PDF")}</option><option value="png">${t("PNG")}</option><option value="jpg">${t("JPEG")}</option></select>
        </label>
        <label><input type="checkbox" name="drawings" checked /> ${t("With measurements")}</label>
        <label><input type="checkbox" name="true" /> ${t("In true size")}</label>
        <p class="row">
          <button class="button primary" ?disabled=${this.isBusy || !active.shownFrame}>
            ${this.isBusy ? t("Drawing…") : t("Make")}
          </button>
        </p>
      </form>
      ${
        this.message
          ? html`<p role=${this.message.isError ? "alert" : "status"} class=${this.message.isError ? "export-error" : "export-done"}>
              ${this.message.text}
            </p>`
          : ""
      }
    </section>`;
  }

  private pictures(what: string): Picture[] {
    const { active, visible } = this.workspace;
    if (what === "series") {
      return (active.stack?.frames ?? [])
        .slice(0, MOST_PICTURES)
        .map((frame) => pictureOf(active, frame));
    }
    const panes = what === "views" ? visible.map(({ pane }) => pane) : [active];
    return panes.flatMap((pane) => (pane.shownFrame ? [pictureOf(pane, pane.shownFrame)] : []));
  }

  private async print(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const data = new FormData(event.currentTarget as HTMLFormElement);
    const { sheet } = this.workspace.manifest.links;
    const pictures = this.pictures(String(data.get("what")));
    if (!sheet || pictures.length === 0) {
      return;
    }
    this.isBusy = true;
    this.message = null;
    try {
      const answer = await request(sheet, {
        method: "POST",
        body: {
          pictures,
          form: data.get("form"),
          rows: Number(data.get("rows")),
          columns: Number(data.get("columns")),
          paper: data.get("paper"),
          is_landscape: data.get("way") === "landscape",
          is_true_size: data.has("true"),
          with_drawings: data.has("drawings"),
        },
      });
      const url = URL.createObjectURL(await answer.blob());
      const link = document.createElement("a");
      link.href = url;
      link.download = `sheet.${String(data.get("form"))}`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(url), 60_000);
      this.message = { text: t("The sheet is in your downloads."), isError: false };
    } catch (error) {
      const text = error instanceof ApiError ? error.message : t("The sheet could not be made.");
      this.message = { text, isError: true };
    } finally {
      this.isBusy = false;
    }
  }
}

function pictureOf(pane: Pane, frame: StackFrame): Picture {
  const { center, width, lut } = pane.window;
  // Without numbers the server draws by the file's own window or table.
  const isOwn = (frame.image.SamplesPerPixel ?? 1) > 1 || lut !== undefined;
  return {
    image_id: frame.image.id,
    frame_number: frame.frame_number,
    window_center: isOwn ? null : center,
    window_width: isOwn || !(width > 0) ? null : width,
    invert: pane.invert,
    orientation: pane.view.orientation,
  };
}

customElements.define("noctis-export-print", ExportPrintElement);
