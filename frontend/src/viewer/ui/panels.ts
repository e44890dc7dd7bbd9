import { html, nothing, type TemplateResult } from "lit";
import { t } from "../../i18n";
import { said } from "../../sentences";
import type { PriorFacts, SeriesFacts } from "../core/manifest";
import { videosOf } from "../core/video";
import type { Pane } from "../engine/pane";
import type { Workspace } from "../tools/workspace";
import { icon } from "./icons";

const CLASS_NAMES: Record<string, string> = {
  "1.2.840.10008.5.1.4.1.1.104.1": t("PDF document"),
  "1.2.840.10008.5.1.4.1.1.104.2": t("CDA document"),
  "1.2.840.10008.5.1.4.1.1.104.3": t("STL model"),
  "1.2.840.10008.5.1.4.1.1.66.4": t("Segmentation"),
  "1.2.840.10008.5.1.4.1.1.481.3": t("Radiotherapy structure set"),
  "1.2.840.10008.5.1.4.1.1.481.5": t("Radiotherapy plan"),
  "1.2.840.10008.5.1.4.1.1.11.1": t("Presentation state"),
};

const MODALITY_NAMES: Record<string, string> = {
  SR: t("Structured report"),
  PR: t("Presentation state"),
  KO: t("Key objects"),
  DOC: t("Document"),
  ECG: t("Electrocardiogram"),
  RTSTRUCT: t("Radiotherapy structure set"),
  RTPLAN: t("Radiotherapy plan"),
  SEG: t("Segmentation"),
};

const KIND_NAMES = {
  document: t("Document"),
  waveform: t("Waveform"),
  image: t("Picture that cannot be shown"),
  other: t("No picture"),
};

export function kindName(series: SeriesFacts): string {
  const uid = series.images[0]?.SOPClassUID ?? "";
  if (videosOf(series).length > 0) {
    return t("Video");
  }
  return (
    CLASS_NAMES[uid] ??
    MODALITY_NAMES[series.Modality ?? ""] ??
    KIND_NAMES[series.kind] ??
    KIND_NAMES.other
  );
}

function downloadLink(url: string, name: string): TemplateResult {
  return html`<a class="button" href=${url} download=${name}>${icon("download")} ${t("Download")}</a>`;
}

/** A series that holds no picture says what it is, why nothing is drawn, and offers its files. */
export function documentPanel(series: SeriesFacts): TemplateResult {
  const reason = series.images.find((image) => image.problem)?.problem;
  const many = series.images.length > 1;
  return html`<div class="panel" role="group" aria-label=${kindName(series)}>
    ${icon("document")}
    <h2>${kindName(series)}</h2>
    <p>${series.SeriesDescription ?? ""}</p>
    <p>${reason ? said(reason) : t("This series holds no picture to draw. Download the file to open it elsewhere.")}</p>
    <ul class="plain">
      ${series.images.map(
        (image, index) => html`<li>
          ${many ? html`<span>${t("File {number}", { number: image.InstanceNumber ?? index + 1 })}</span>` : nothing}
          ${downloadLink(image.file_url, `${image.SOPInstanceUID}.dcm`)}
        </li>`,
      )}
    </ul>
  </div>`;
}

/** A frame that cannot be shown says why and offers a way on; it is never a blank. */
export function problemPanel(workspace: Workspace, pane: Pane): TemplateResult {
  const frame = pane.wantedFrame;
  const problem = pane.problem;
  return html`<div class="panel" role="alert">
    ${icon("warning")}
    <h2>${t("Image {index} cannot be shown", { index: pane.index + 1 })}</h2>
    <p>${said(problem?.message ?? "")}</p>
    <p class="row">
      ${
        problem?.canRetry
          ? html`<button type="button" class="button" @click=${() => workspace.retry()}>
              ${icon("reset")} ${t("Try again")}
            </button>`
          : nothing
      }
      ${frame ? downloadLink(frame.image.file_url, `${frame.image.SOPInstanceUID}.dcm`) : nothing}
    </p>
  </div>`;
}

/** Stands where a prior will hang as soon as it is here. */
export function waitingPanel(prior: PriorFacts | null): TemplateResult {
  return html`<div class="panel" role="status">
    <h2>${t("Opening the prior")}</h2>
    <p>${[prior?.StudyDate, prior?.StudyDescription].filter(Boolean).join(" · ") || t("One moment.")}</p>
  </div>`;
}

export function emptyPanel(manifestHasSeries: boolean): TemplateResult {
  return html`<div class="panel">
    <h2>${manifestHasSeries ? t("No series here yet") : t("This study has no series")}</h2>
    <p>
      ${
        manifestHasSeries
          ? t("Click a series on the left, or drag it here.")
          : t("Nothing has arrived for it so far. Reload the page when the sender has finished.")
      }
    </p>
  </div>`;
}

export function cineBar(pane: Pane): TemplateResult | typeof nothing {
  if (!pane.stack || pane.stack.frames.length < 2) {
    return nothing;
  }
  const { isPlaying, fps, loops, bounces } = pane.cine;
  return html`<div class="cine" role="group" aria-label=${t("Cine")}>
    <button
      type="button"
      class="tool"
      aria-label=${isPlaying ? t("Pause") : t("Play")}
      title=${isPlaying ? t("Pause (C)") : t("Play (C)")}
      @click=${() => (isPlaying ? pane.stop() : pane.play())}
    >
      ${icon(isPlaying ? "pause" : "play")}
    </button>
    <label>
      <input
        type="number"
        min="0.5"
        max="60"
        step="0.5"
        aria-label=${t("Frames per second")}
        .value=${String(fps)}
        @change=${(event: Event) => setFps(pane, event.target as HTMLInputElement)}
      />
      ${t("fps")}
    </label>
    <button
      type="button"
      class="tool"
      aria-label=${t("Loop")}
      aria-pressed=${String(loops)}
      title=${t("Loop")}
      @click=${() => pane.setCine({ loops: !loops })}
    >
      ${icon("repeat")}
    </button>
    <button
      type="button"
      class="tool"
      aria-label=${t("To and fro")}
      aria-pressed=${String(bounces)}
      title=${t("To and fro")}
      @click=${() => pane.setCine({ bounces: !bounces })}
    >
      ${icon("bounce")}
    </button>
  </div>`;
}

function setFps(pane: Pane, input: HTMLInputElement): void {
  const fps = Number(input.value);
  if (Number.isFinite(fps) && fps > 0) {
    pane.setCine({ fps: Math.min(Math.max(fps, 0.5), 60) });
  }
  input.value = String(pane.cine.fps);
}
