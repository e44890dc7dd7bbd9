import { html, nothing, type TemplateResult } from "lit";
import { t } from "../../i18n";
import { calibrate } from "../core/calibration";
import { ageAt, ageText, numberText, personName, sexText } from "../core/format";
import type { Manifest } from "../core/manifest";
import { edgeLetters } from "../core/orientation";
import { intervalText } from "../core/priors";
import { quantities, quantityOf } from "../core/quantity";
import { frameLocation, frameThickness, isColor } from "../core/stack";
import { fileTables } from "../core/voi";
import type { Pane } from "../engine/pane";

const THIN_SPACE = "\u2009";

function join(parts: readonly (string | null | undefined | false)[], separator = " · "): string {
  return parts.filter(Boolean).join(separator);
}

function patientLines(manifest: Manifest): string[] {
  const { patient, study } = manifest;
  const age = patient.PatientAge ?? ageAt(patient.PatientBirthDate, study.StudyDate);
  return [
    personName(patient.PatientName),
    join([patient.PatientID, sexText(patient.PatientSex), ageText(age)]),
  ];
}

const MODE_NAMES = { mip: "MIP", minip: "MinIP", average: t("Average") } as const;

/** Side and view of a projection. */
function viewText(pane: Pane): string {
  const image = pane.shownFrame?.image;
  const side = image?.ImageLaterality ?? (image?.ViewPosition && pane.stack?.series.Laterality);
  return join([side, image?.ViewPosition], " ");
}

function studyLines(manifest: Manifest): string[] {
  const { study } = manifest;
  return [
    join([study.StudyDate, study.StudyTime?.slice(0, 5)], " "),
    join([study.StudyDescription]),
    join([study.facility?.name]),
  ];
}

function seriesLines(pane: Pane): string[] {
  const { stack } = pane;
  const frame = pane.shownFrame ?? pane.wantedFrame;
  if (!stack || !frame) {
    return [];
  }
  const { series } = stack;
  const count = stack.frames.length;
  const shown = pane.shownIndex >= 0 ? pane.shownIndex : pane.index;
  const location = frameLocation(frame);
  const thickness = frameThickness(frame);
  return [
    join([
      series.SeriesNumber !== null && t("Series {number}", { number: series.SeriesNumber }),
      series.Modality,
      series.SeriesDescription,
    ]),
    // A view of a volume is one picture, made of all images.
    stack.rendering ? "" : t("Image {index}/{count}", { index: shown + 1, count }),
    join([
      location !== null && `${t("Loc")} ${numberText(location, 1)}${THIN_SPACE}mm`,
      thickness !== null &&
        thickness > 0 &&
        `${t("Thick")} ${numberText(thickness, 1)}${THIN_SPACE}mm`,
    ]),
  ];
}

export function windowText(pane: Pane): string {
  const { center, width, lut } = pane.toldWindow;
  const frame = pane.shownFrame;
  if (lut !== undefined && frame) {
    return `VOI LUT: ${fileTables(frame)[lut]?.name ?? lut + 1}`;
  }
  const unit = quantityOf(pane.stack)?.unit;
  const digits = (value: number): string =>
    numberText(value, Number.isInteger(value) ? 0 : Math.abs(value) < 1 ? 3 : 1);
  return join([`W ${digits(width)} L ${digits(center)}`, unit], " ");
}

function displayLines(pane: Pane): string[] {
  const frame = pane.shownFrame;
  if (!frame) {
    return [];
  }
  return [
    pane.stack?.rendering ||
    (pane.state === "preview" &&
      pane.window.width === 255 &&
      (isColor(frame) || fileTables(frame).length > 0))
      ? ""
      : windowText(pane),
    t("Zoom {zoomFactor} %", { zoomFactor: numberText(pane.zoomFactor * 100, 0) }),
  ];
}

/** Marks that must be seen: what the picture is not. A word each; colour alone says nothing. */
function marks(pane: Pane): TemplateResult[] {
  const frame = pane.shownFrame;
  const all: [string, string, string][] = [];
  if (pane.state === "preview") {
    all.push(["preview", t("Preview"), t("The exact picture is on its way.")]);
  }
  if (frame && pane.shownIndex !== pane.index) {
    all.push([
      "loading",
      t("Loading image {index}", { index: pane.index + 1 }),
      t("The picture before is still shown."),
    ]);
  }
  if (frame?.image.LossyImageCompression) {
    all.push(["lossy", t("Lossy"), t("The file was compressed with loss before it came here.")]);
  }
  if (frame && !pane.stack?.rendering && !frame.image.SequenceOfUltrasoundRegions?.length) {
    const { unit, note } = calibrate(frame, []);
    if (unit === "px") {
      all.push(["uncalibrated", t("Uncalibrated"), note ?? ""]);
    }
  }
  const reformat = pane.stack?.reformat;
  if (reformat) {
    const { mode, thickness } = reformat.slab;
    const thick = mode === "thin" ? "" : ` ${MODE_NAMES[mode]} ${thickness}${THIN_SPACE}mm`;
    all.push(["reformatted", `Reformatted${thick}`, t("Computed from the slices of the series.")]);
  }
  if (pane.stack?.rendering) {
    all.push(["rendered", t("3D view"), t("Computed and coarse: measure in the slices.")]);
  }
  const fused = pane.overlays?.describe(pane);
  if (fused) {
    all.push(["fused", fused.text, fused.title]);
    if (fused.isForced) {
      const title = t(
        "The two series have different Frames of Reference: positions need not agree.",
      );
      all.push(["unregistered", t("Not registered"), title]);
    }
  }
  const uptake = pane.stack && quantities.factsOf(pane.stack.series.SeriesInstanceUID);
  if (uptake?.types.length === 0) {
    all.push(["no-suv", t("No SUV"), uptake.refusals.BW ?? ""]);
  }
  if (pane.invert) {
    all.push(["inverted", t("Inverted"), t("Light and dark are exchanged.")]);
  }
  return all.map(
    ([kind, text, title]) =>
      html`<span class="chip" data-mark=${kind} title=${title}>${text}</span>`,
  );
}

function lines(all: readonly string[]): TemplateResult[] {
  return all.filter(Boolean).map((line) => html`<div>${line}</div>`);
}

/** What a picture of another study is, so that nobody takes it for the one that is read. */
function priorText(own: Manifest, manifest: Manifest): string {
  const prior = own.priors?.find(({ id }) => id === manifest.study.id);
  return manifest === own
    ? ""
    : t("Prior · {interval_days}", { interval_days: intervalText(prior?.interval_days ?? null) });
}

/** The texts in the four corners and the letters at the edges; `own` is the window's study. */
export function cornerTexts(manifest: Manifest, pane: Pane, own = manifest): TemplateResult {
  const prior = priorText(own, manifest);
  const view = viewText(pane);
  const frame = pane.shownFrame;
  const letters = frame && edgeLetters(frame, pane.view.orientation);
  return html`
    <div class="corner top-left">${lines(patientLines(manifest))}</div>
    <div class="corner top-right">
      ${prior ? html`<div class="prior-mark">${prior}</div>` : nothing}${
        view ? html`<div class="view-mark">${view}</div>` : nothing
      }${lines(studyLines(manifest))}
    </div>
    <div class="corner bottom-left">${lines(seriesLines(pane))}</div>
    <div class="corner bottom-right">
      <div class="marks">${marks(pane)}</div>
      ${lines(displayLines(pane))}
    </div>
    ${
      letters
        ? html`<div class="letters" aria-label=${t("Orientation")}>
            <span class="edge left">${letters.left}</span>
            <span class="edge right">${letters.right}</span>
            <span class="edge top">${letters.top}</span>
            <span class="edge bottom">${letters.bottom}</span>
          </div>`
        : nothing
    }
    ${scaleBar(pane)}
  `;
}

const NICE_MM = [1, 2, 5, 10, 20, 50, 100, 200, 500];

/** A ruler of a round number of millimetres, at most a third of the viewport's height. */
function scaleBar(pane: Pane): TemplateResult | typeof nothing {
  const frame = pane.shownFrame;
  const size = pane.pictureSize;
  const matrix = pane.matrix;
  if (!frame || !size || !matrix) {
    return nothing;
  }
  const center = [(size.columns - 1) / 2, (size.rows - 1) / 2] as const;
  const { pixelSize, unit, source } = calibrate(frame, [center]);
  if (unit !== "mm") {
    return nothing;
  }
  const isTurned = pane.view.orientation[0] === 0;
  const screenPerPixel = isTurned
    ? Math.hypot(matrix[0], matrix[1])
    : Math.hypot(matrix[2], matrix[3]);
  const perMm = screenPerPixel / (isTurned ? pixelSize[0] : pixelSize[1]);
  const length = [...NICE_MM].reverse().find((mm) => mm * perMm <= pane.size.height / 3);
  if (!length) {
    return nothing;
  }
  const pixels = Math.round(length * perMm);
  const label = length >= 10 ? `${length / 10}${THIN_SPACE}cm` : `${length}${THIN_SPACE}mm`;
  return html`<div class="scale-bar" title=${t("Scale from {source}", { source })}>
    <svg width="9" height=${pixels} aria-hidden="true">
      <path d=${`M0,0.5H9M4.5,0V${pixels}M0,${pixels - 0.5}H9M2,${pixels / 2}H7`}></path>
    </svg>
    <span>${label}</span>
  </div>`;
}
