import { html, type TemplateResult } from "lit";
import { t } from "../../i18n";
import { pixelAspect } from "../core/calibration";
import { edgeLetters } from "../core/orientation";
import { isColor, isComputed, type StackFrame } from "../core/stack";
import { seenRegion } from "../core/view";
import type { VoiFunction } from "../core/voi";
import type { Pane } from "../engine/pane";
import { ApiError, request } from "../net/api";
import type { Workspace } from "../tools/workspace";
import { ViewerElement } from "./element";

const MOST_PICTURES = 240;

/** Longest side of all pictures together that only the browser draws. */
const MOST_SIDE = 1600;

interface Picture {
  image_id: string;
  frame_number: number;
  window_center?: number;
  window_width?: number;
  window_function?: VoiFunction;
  /** One of the file's own VOI LUTs in the place of a window. */
  voi_lut?: number;
  invert?: boolean;
  orientation?: readonly number[];
  /** What of the picture is seen; absent: all of it. */
  region?: readonly number[];
  /** The picture itself, where no file holds it. */
  drawn?: string;
  caption?: string;
  edges?: readonly string[];
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
    const isDrawn = isDrawnHere(active);
    return html`<section class="export-part" aria-label=${t("Print")}>
      <h3>${t("Print")}</h3>
      <form @submit=${(event: SubmitEvent) => this.print(event)}>
        <label>${t("Pictures")}
          <select name="what">
            <option value="view">${t("the image on the screen")}</option>
            <option value="views" ?disabled=${visible.length < 2}>${t("all viewports")}</option>
            <option value="series" ?disabled=${count < 2 || isDrawn}>${t("the series ({MOST_PICTURES} images)", { MOST_PICTURES: Math.min(count, MOST_PICTURES) })}</option>
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
        ${isDrawn ? html`<p class="dim">${t("Planes, 3D and colours are printed as they stand on the screen, without measurements and without a scale.")}</p>` : ""}
        <label><input type="checkbox" name="true" ?disabled=${isDrawn} /> ${t("In true size")}</label>
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
    const side = MOST_SIDE / Math.sqrt(panes.length);
    return panes.flatMap((pane) => {
      const frame = pane.shownFrame;
      if (!frame) {
        return [];
      }
      return [isDrawnHere(pane) ? drawnPicture(pane, frame, side) : pictureOf(pane, frame)];
    });
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

/** True for what the server cannot draw: planes, 3D, colours, what is laid over pictures. */
function isDrawnHere(pane: Pane): boolean {
  const { stack, shownFrame, surface } = pane;
  const isWindowedColor = shownFrame !== null && isColor(shownFrame) && pane.hasChosenWindow;
  return (
    isComputed(stack) ||
    pane.colorMap !== "grey" ||
    pane.overlays?.has(pane) === true ||
    (isWindowedColor && surface.element instanceof HTMLCanvasElement)
  );
}

function drawnPicture(pane: Pane, frame: StackFrame, side: number): Picture {
  const { stack, surface } = pane;
  const source = (stack?.reformat ?? stack?.rendering)?.plan.frames[0] ?? frame;
  const canvas = surface.element;
  const sides = edgeLetters(frame, pane.view.orientation);
  const caption = [stack?.series.SeriesDescription, pane.overlays?.describe(pane)?.text];
  return {
    image_id: source.image.id,
    frame_number: source.frame_number,
    drawn: canvas instanceof HTMLCanvasElement ? pngOf(canvas, side) : "",
    caption: caption.filter(Boolean).join(" · ").slice(0, 128),
    ...(sides ? { edges: [sides.left, sides.top, sides.right, sides.bottom] } : {}),
  };
}

/** A canvas as PNG in base64, no longer than `side`. */
function pngOf(canvas: HTMLCanvasElement, side: number): string {
  const scale = Math.min(1, side / Math.max(canvas.width, canvas.height));
  const copy = document.createElement("canvas");
  copy.width = Math.max(1, Math.round(canvas.width * scale));
  copy.height = Math.max(1, Math.round(canvas.height * scale));
  copy.getContext("2d")?.drawImage(canvas, 0, 0, copy.width, copy.height);
  return copy.toDataURL("image/png").split(",")[1] ?? "";
}

function pictureOf(pane: Pane, frame: StackFrame): Picture {
  const { center, width, lut, function: voi } = pane.window;
  const { Columns, Rows } = frame.image;
  const size = { columns: Columns ?? 1, rows: Rows ?? 1, pixelAspect: pixelAspect(frame) };
  const region = seenRegion(pane.view, size, pane.size);
  const picture: Picture = {
    image_id: frame.image.id,
    frame_number: frame.frame_number,
    invert: pane.invert,
    orientation: pane.view.orientation,
    ...(region ? { region } : {}),
  };
  // Without numbers the server draws by the file's own window or table.
  if (isColor(frame)) {
    return picture;
  }
  if (lut !== undefined) {
    return { ...picture, voi_lut: lut };
  }
  return width > 0
    ? { ...picture, window_center: center, window_width: width, window_function: voi }
    : picture;
}

customElements.define("noctis-export-print", ExportPrintElement);
