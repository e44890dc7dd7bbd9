import { type CalibrationLine, manualSizes } from "../core/calibration";
import type { MeasurementFacts, MeasurementKind, Statistics, Vec2, Vec3 } from "../core/manifest";
import { evaluate, regionOffsets, toPatient } from "../core/measure";
import type { Item, MeasurementList } from "../core/measurements";
import { REGIONS } from "../core/outline";
import { peakValue, sliceReach, voxelSize } from "../core/peak";
import { nearestFrame, offPlane, onPicture, type Plane, planeOf } from "../core/planes";
import { toldRescale } from "../core/quantity";
import type { Stack, StackFrame } from "../core/stack";
import { randomUuid } from "../core/uuid";
import { dot } from "../core/vectors";
import { planVolume, type VolumePlan } from "../core/volume";
import type { Pane } from "../engine/pane";
import type { Workspace } from "./workspace";

/** Regions whose outline runs parallel to the picture: in another direction they are another region. */
const BOXES: ReadonlySet<MeasurementKind> = new Set(["ellipse", "rectangle"]);
const SAME_DIRECTION = 1e-6;
const ROUNDING_MM = 1e-3;

/** All facts of a measurement with these points on the frame that `pane` shows. */
export function measured(
  pane: Pane,
  kind: MeasurementKind,
  points: readonly Vec2[],
  before: MeasurementFacts | null,
): MeasurementFacts | null {
  const { stack, shownFrame: frame } = pane;
  if (!stack || !frame) {
    return null;
  }
  const found = evaluate(kind, points, stack, frame, pane.pixels);
  const points_mm = toPatient(frame, points);
  const values = {
    value: kind === "calibration" ? (before?.value ?? null) : found.value,
    second_value: found.second_value,
    unit: found.unit,
    unit_source: found.unit_source,
    statistics: found.statistics && withPeak(pane, kind, points, found.statistics),
  };
  const common = { id: randomUuid(), label: "", ...before, kind, points_mm };
  if (stack.reformat) {
    const place = points_mm && sourceOf(stack, points_mm);
    return place && { ...common, ...place, ...values };
  }
  return {
    ...common,
    SeriesInstanceUID: stack.series.SeriesInstanceUID,
    SOPInstanceUID: frame.image.SOPInstanceUID,
    frame_number: frame.frame_number,
    FrameOfReferenceUID: stack.series.FrameOfReferenceUID,
    points,
    plane: null,
    ...values,
  };
}

const plans = new WeakMap<Stack, VolumePlan | null>();

function planOf(stack: Stack): VolumePlan | null {
  const known = plans.get(stack);
  if (known !== undefined) {
    return known;
  }
  const plan = planVolume(stack);
  const found = "refusal" in plan ? null : plan;
  plans.set(stack, found);
  return found;
}

/** Adds the hottest cubic centimetre of a region in PET, where all slices that it needs are here. */
function withPeak(
  pane: Pane,
  kind: MeasurementKind,
  points: readonly Vec2[],
  statistics: Statistics,
): Statistics {
  const { stack, shownFrame: frame, pixels } = pane;
  const isSlice = stack?.series.Modality === "PT" && !stack.reformat;
  const plan = isSlice && REGIONS.has(kind) ? planOf(stack) : null;
  const size = plan && plan.geometry.shrink === 1 ? voxelSize(plan.geometry) : null;
  if (!stack || !frame || !pixels || !plan || !size) {
    return statistics;
  }
  const at = plan.frames.indexOf(frame);
  const reach = sliceReach(size);
  const slices = new Map(
    Array.from({ length: 2 * reach + 1 }, (_, index) => index - reach).flatMap((distance) => {
      const neighbour = plan.frames[at + distance];
      const found = neighbour && pane.pixelsOf(neighbour);
      return found
        ? [[distance, { pixels: found, rescale: toldRescale(stack, neighbour) }] as const]
        : [];
    }),
  );
  const peak = peakValue(regionOffsets(kind, points, frame, pixels), slices, size);
  return peak === null ? statistics : { ...statistics, peak };
}

/** What a drawing in a computed picture is kept with: the nearest slice, and the plane's directions. */
function sourceOf(stack: Stack, points: readonly Vec3[]) {
  const { plan, axes } = stack.reformat as NonNullable<Stack["reformat"]>;
  const [first] = points;
  const nearest = first && nearestFrame(plan.frames, first);
  const source = nearest && plan.frames[nearest.index];
  const plane = source && planeOf(source);
  if (!source || !plane) {
    return null;
  }
  const { series } = plan.stack;
  return {
    SeriesInstanceUID: series.SeriesInstanceUID,
    SOPInstanceUID: source.image.SOPInstanceUID,
    frame_number: source.frame_number,
    FrameOfReferenceUID: series.FrameOfReferenceUID,
    points: points.map((point) => onPicture(plane, point)),
    plane: [...axes.right, ...axes.down],
  };
}

/** Measurements drawn on the frame that a pane shows, in the coordinates of its picture. */
export function itemsOn(pane: Pane, all: readonly Item[]): Item[] {
  const { stack, shownFrame: frame } = pane;
  if (!stack || !frame) {
    return [];
  }
  const plane = stack.reformat && planeOf(frame);
  return plane && stack.reformat
    ? all.flatMap((item) => onPlane(item, stack, plane))
    : all.filter(({ facts }) => !facts.plane && belongs(facts, frame));
}

/** A drawing lies in a computed picture where all of its points do, nearer than half a step. */
function onPlane(item: Item, stack: Stack, plane: Plane): Item[] {
  const { facts } = item;
  const { reformat } = stack;
  const isSameSpace =
    facts.FrameOfReferenceUID === stack.series.FrameOfReferenceUID &&
    (facts.FrameOfReferenceUID !== null ||
      facts.SeriesInstanceUID === stack.series.SeriesInstanceUID);
  const reach = (reformat?.grid.step ?? 1) / 2 + ROUNDING_MM;
  if (
    !reformat ||
    !facts.points_mm ||
    !isSameSpace ||
    !facts.points_mm.every((point) => Math.abs(offPlane(plane, point)) <= reach) ||
    (BOXES.has(facts.kind) && !isParallelTo(facts, stack, plane))
  ) {
    return [];
  }
  const points = facts.points_mm.map((point) => onPicture(plane, point));
  return [{ key: item.key, facts: { ...facts, points } }];
}

function isParallelTo(facts: MeasurementFacts, stack: Stack, plane: Plane): boolean {
  const geometry = stack.reformat?.plan.geometry;
  const own = facts.plane ?? (geometry && [...geometry.row, ...geometry.column]);
  if (own?.length !== 6) {
    return false;
  }
  const [a, b, c, d, e, f] = own as [number, number, number, number, number, number];
  return (
    Math.abs(Math.abs(dot(plane.row, [a, b, c])) - 1) < SAME_DIRECTION &&
    Math.abs(Math.abs(dot(plane.column, [d, e, f])) - 1) < SAME_DIRECTION
  );
}

export function belongs(facts: MeasurementFacts, frame: StackFrame): boolean {
  return (
    facts.SOPInstanceUID === frame.image.SOPInstanceUID && facts.frame_number === frame.frame_number
  );
}

/** Measures anew what stands on images whose calibration lines have changed. */
export function recalibrate({ list, stacks, frames }: Workspace): void {
  const lines = list.all().flatMap(({ facts }): CalibrationLine[] => {
    const frame =
      facts.kind === "calibration" && facts.value !== null && !facts.plane
        ? frameOf(stacks, facts)
        : null;
    return frame && facts.value !== null
      ? [{ frame: frame.frame, points: facts.points, length: facts.value }]
      : [];
  });
  const changed = manualSizes.replace(lines);
  for (const { key, facts } of changed.size > 0 ? list.all() : []) {
    const place = changed.has(facts.SOPInstanceUID) && !facts.plane ? frameOf(stacks, facts) : null;
    if (!place || facts.kind === "calibration") {
      continue;
    }
    const pixels = frames.peek(place.frame.key) ?? null;
    const found = evaluate(facts.kind, facts.points, place.stack, place.frame, pixels);
    const { value, second_value, unit, unit_source } = found;
    if (value !== facts.value || unit_source !== facts.unit_source) {
      const statistics = found.statistics ?? facts.statistics;
      list.complete(key, { ...facts, value, second_value, unit, unit_source, statistics });
    }
  }
}

function frameOf(
  stacks: readonly Stack[],
  facts: MeasurementFacts,
): { stack: Stack; frame: StackFrame } | null {
  for (const stack of stacks) {
    const frame = stack.frames.find((candidate) => belongs(facts, candidate));
    if (frame) {
      return { stack, frame };
    }
  }
  return null;
}

/** Regions and probes drawn over a preview get their values when the exact pixels are here. */
export function completeItems(pane: Pane, list: MeasurementList): void {
  for (const { key, facts } of itemsOn(pane, list.all())) {
    const isRegion = REGIONS.has(facts.kind) || facts.kind === "profile";
    const wantsPeak =
      REGIONS.has(facts.kind) &&
      pane.stack?.series.Modality === "PT" &&
      typeof facts.statistics?.peak !== "number";
    const isOpen = isRegion
      ? facts.statistics === null || wantsPeak
      : facts.kind === "probe" && facts.value === null;
    const found = isOpen ? measured(pane, facts.kind, facts.points, facts) : null;
    const hasMore =
      facts.statistics === null || typeof found?.statistics?.peak === "number" || !isRegion;
    if (found && hasMore && (found.statistics !== null || (!isRegion && found.value !== null))) {
      list.complete(key, { ...found, id: facts.id });
    }
  }
}
