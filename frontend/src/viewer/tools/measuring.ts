import { type CalibrationLine, calibrate, manualSizes } from "../core/calibration";
import type { MeasurementFacts, MeasurementKind, Statistics, Vec2, Vec3 } from "../core/manifest";
import { evaluate, regionOffsets, toPatient } from "../core/measure";
import type { Item, MeasurementList } from "../core/measurements";
import { REGIONS } from "../core/outline";
import { peakValue, sliceReach, voxelSize } from "../core/peak";
import { nearestFrame, offPlane, onPicture, type Plane, planeOf } from "../core/planes";
import { toldRescale } from "../core/quantity";
import type { Stack, StackFrame } from "../core/stack";
import { randomUuid } from "../core/uuid";
import { cross, dot } from "../core/vectors";
import { planVolume, type VolumePlan } from "../core/volume";
import type { Pane } from "../engine/pane";
import type { Workspace } from "./workspace";

/** Drawn parallel to the picture's sides: in other directions they are something else. */
const BOXES: ReadonlySet<MeasurementKind> = new Set(["ellipse", "rectangle", "height"]);
/** These say nothing in millimetres. */
const SIZELESS: ReadonlySet<MeasurementKind> = new Set(["probe", "arrow", "text", "calibration"]);
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
    const place = points_mm && (sliceOf(stack, points_mm) ?? sourceOf(stack, points_mm));
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

/**
 * What is drawn in a thin plane that runs through a slice, pixel for pixel, is drawn on that slice.
 * Null where the plane is any other.
 */
function sliceOf(stack: Stack, points: readonly Vec3[]) {
  const { plan, axes, slab } = stack.reformat as NonNullable<Stack["reformat"]>;
  const { row, column, shrink } = plan.geometry;
  const isAlong = areAlong([...axes.right, ...axes.down], [...row, ...column]);
  const place = slab.mode === "thin" && shrink === 1 && isAlong ? sourceOf(stack, points) : null;
  const source = place && plan.frames.find((frame) => belongs(place, frame));
  const plane = source && planeOf(source);
  // A line that calibrates the slice does not count in planes.
  return plane && !manualSizes.get(place?.SOPInstanceUID ?? "") && areOn(plane, points, ROUNDING_MM)
    ? { ...place, plane: null }
    : null;
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
  const { reformat } = stack;
  const wantsPlane = reformat || all.some(({ facts }) => facts.plane);
  const plane = wantsPlane ? planeOf(frame) : null;
  const reach = reformat ? reformat.grid.step / 2 + ROUNDING_MM : ROUNDING_MM;
  return all.flatMap((item) => {
    if (!reformat && !item.facts.plane) {
      return belongs(item.facts, frame) ? [item] : [];
    }
    return plane ? onPlane(item, stack, plane, reach) : [];
  });
}

/** A drawing lies in a picture where all of its points do, nearer than `reach` mm. */
function onPlane(item: Item, stack: Stack, plane: Plane, reach: number): Item[] {
  const { facts } = item;
  const isSameSpace =
    facts.FrameOfReferenceUID === stack.series.FrameOfReferenceUID &&
    (facts.FrameOfReferenceUID !== null ||
      facts.SeriesInstanceUID === stack.series.SeriesInstanceUID);
  if (
    !facts.points_mm ||
    !isSameSpace ||
    !areOn(plane, facts.points_mm, reach) ||
    !isSameShape(facts, stack, plane)
  ) {
    return [];
  }
  const points = facts.points_mm.map((point) => onPicture(plane, point));
  return [{ key: item.key, facts: { ...facts, points } }];
}

function areOn(plane: Plane, points: readonly Vec3[], reach: number): boolean {
  return points.every((point) => Math.abs(offPlane(plane, point)) <= reach);
}

/** Boxes keep their shape in their own directions alone, circles in their own plane. */
function isSameShape({ kind, plane: drawn }: MeasurementFacts, stack: Stack, plane: Plane) {
  const geometry = stack.reformat?.plan.geometry;
  const own = drawn ?? (geometry && [...geometry.row, ...geometry.column]);
  if (BOXES.has(kind)) {
    return own !== undefined && areAlong(own, [...plane.row, ...plane.column]);
  }
  if (kind === "circle" && own?.length === 6) {
    const normal = cross(own.slice(0, 3) as unknown as Vec3, own.slice(3) as unknown as Vec3);
    return Math.abs(Math.abs(dot(normal, plane.normal)) - 1) < SAME_DIRECTION;
  }
  return true;
}

/** Whether rows run along rows and columns along columns, either way. */
function areAlong(one: readonly number[], other: readonly number[]): boolean {
  const share = (from: number): number =>
    Math.abs([0, 1, 2].reduce((sum, k) => sum + (one[from + k] ?? 0) * (other[from + k] ?? 0), 0));
  return [0, 3].every((from) => Math.abs(share(from) - 1) < SAME_DIRECTION);
}

export function belongs(
  facts: Pick<MeasurementFacts, "SOPInstanceUID" | "frame_number">,
  frame: StackFrame,
): boolean {
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

/** What people must know of the size of pixels under a measurement; null where nothing. */
export function scaleNote(stacks: readonly Stack[], facts: MeasurementFacts): string | null {
  const place = facts.plane || SIZELESS.has(facts.kind) ? null : frameOf(stacks, facts);
  return place && calibrate(place.frame, facts.points).note;
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
