import { t } from "../../i18n";
import { KIND_NAMES, measurementValue } from "../core/format";
import type { MeasurementFacts } from "../core/manifest";
import type { Reference } from "../core/report";
import { findFrame } from "../core/stack";
import { belongs } from "./measuring";
import type { Workspace } from "./workspace";

function placeWords(workspace: Workspace, place: { seriesIndex: number; index: number }): string {
  const number = workspace.stacks[place.seriesIndex]?.series.SeriesNumber ?? null;
  const where = number === null ? t("a series without number") : t("series {number}", { number });
  return t("image {index} of {where}", { index: place.index + 1, where });
}

/** "image 12 of series 3"; null when the study has it no more. */
export function imageWords(
  workspace: Workspace,
  sopInstanceUid: string,
  frameNumber: number,
): string | null {
  const place = findFrame(
    workspace.stacks,
    (frame) => frame.image.SOPInstanceUID === sopInstanceUid && frame.frame_number === frameNumber,
  );
  return place && placeWords(workspace, place);
}

/** "Length 12.3 mm, image 12 of series 3", as a report says it. */
export function measurementWords(workspace: Workspace, facts: MeasurementFacts): string {
  const place = findFrame(workspace.stacks, (frame) => belongs(facts, frame));
  const value = measurementValue(facts);
  const name = facts.label ? `${facts.label}: ${KIND_NAMES[facts.kind]}` : KIND_NAMES[facts.kind];
  const near = facts.plane ? "reformatted near " : "";
  const where = place ? `${near}${placeWords(workspace, place)}` : "";
  return [[name, value].filter(Boolean).join(" "), where].filter(Boolean).join(", ");
}

/** What a reference would say now; null when what it names is gone. */
export function wordsNow(workspace: Workspace, reference: Reference): string | null {
  if (reference.kind === "image") {
    return imageWords(workspace, reference.SOPInstanceUID, reference.frame_number);
  }
  const item = workspace.list.all().find(({ facts }) => facts.id === reference.measurement_id);
  return item ? measurementWords(workspace, item.facts) : null;
}

/** Brings what a mark stands for onto the screen. */
export function showReference(workspace: Workspace, reference: Reference): void {
  if (reference.kind === "measurement") {
    const item = workspace.list.all().find(({ facts }) => facts.id === reference.measurement_id);
    if (item) {
      workspace.showMeasurement(item.key);
    }
    return;
  }
  const place = findFrame(
    workspace.stacks,
    (frame) =>
      frame.image.SOPInstanceUID === reference.SOPInstanceUID &&
      frame.frame_number === reference.frame_number,
  );
  const frame = place && workspace.stacks[place.seriesIndex]?.frames[place.index];
  if (frame) {
    workspace.showImage(frame.image.id, frame.frame_number);
  }
}
