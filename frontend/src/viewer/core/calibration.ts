import { t } from "../../i18n";
import type { UltrasoundRegion, Vec2 } from "./manifest";
import { framePixelSpacing, isUsableSpacing, type StackFrame } from "./stack";

/** What one picture pixel measures, and where that is known from. */
export interface Calibration {
  /** Width and height of a pixel; 1, 1 (in px) where no source may be trusted. */
  pixelSize: Vec2;
  unit: "mm" | "px";
  /** `unit_source` of the measurements interface. */
  source: string;
  /** Said to the person where the source needs a warning. */
  note: string | null;
}

/** Projection X-ray objects: Imager Pixel Spacing is measured at the detector (PS3.3 10.7.1). */
const PROJECTION_CLASSES = new Set([
  "1.2.840.10008.5.1.4.1.1.1",
  "1.2.840.10008.5.1.4.1.1.1.1",
  "1.2.840.10008.5.1.4.1.1.1.1.1",
  "1.2.840.10008.5.1.4.1.1.1.2",
  "1.2.840.10008.5.1.4.1.1.1.2.1",
  "1.2.840.10008.5.1.4.1.1.1.3",
  "1.2.840.10008.5.1.4.1.1.1.3.1",
  "1.2.840.10008.5.1.4.1.1.12.1",
  "1.2.840.10008.5.1.4.1.1.12.1.1",
  "1.2.840.10008.5.1.4.1.1.12.2",
  "1.2.840.10008.5.1.4.1.1.12.2.1",
]);

const CENTIMETRES = 3;

const UNCALIBRATED: Calibration = {
  pixelSize: [1, 1],
  unit: "px",
  source: "none",
  note: t("Uncalibrated: the file says no pixel size."),
};

/** Pixel sizes that a person gave by a calibration line, by SOP Instance UID. */
export class ManualSizes {
  private sizes = new Map<string, Vec2>();

  get(uid: string): Vec2 | null {
    return this.sizes.get(uid) ?? null;
  }

  /** Takes over all calibration lines; returns the images whose size is another now. */
  replace(lines: readonly CalibrationLine[]): Set<string> {
    const before = this.sizes;
    this.sizes = new Map(lines.flatMap((line) => this.sizeOf(line)));
    const uids = new Set([...before.keys(), ...this.sizes.keys()]);
    return new Set(
      [...uids].filter((uid) => String(before.get(uid)) !== String(this.sizes.get(uid))),
    );
  }

  private sizeOf({ frame, points, length }: CalibrationLine): [string, Vec2][] {
    const [a, b] = points;
    const aspect = pixelAspect(frame);
    const pixels = a && b ? Math.hypot(b[0] - a[0], (b[1] - a[1]) * aspect) : 0;
    const width = length / pixels;
    return pixels > 0 && length > 0 && Number.isFinite(width)
      ? [[frame.image.SOPInstanceUID, [width, width * aspect]]]
      : [];
  }
}

export interface CalibrationLine {
  frame: StackFrame;
  points: readonly Vec2[];
  /** True length in mm. */
  length: number;
}

/** What people said of the images of this window's study. */
export const manualSizes = new ManualSizes();

/** Height of a pixel divided by its width, for drawing; 1 where unknown. */
export function pixelAspect(frame: StackFrame): number {
  const spacing = framePixelSpacing(frame) ?? frame.image.ImagerPixelSpacing;
  if (isUsableSpacing(spacing)) {
    return spacing[0] / spacing[1];
  }
  const ratio = frame.image.PixelAspectRatio;
  return isUsableSpacing(ratio) ? ratio[0] / ratio[1] : 1;
}

/** Calibration for a measurement through `points` (column, row) of one frame. */
export function calibrate(frame: StackFrame, points: readonly Vec2[]): Calibration {
  const manual = manualSizes.get(frame.image.SOPInstanceUID);
  if (manual) {
    return {
      pixelSize: manual,
      unit: "mm",
      source: "calibration line",
      note: t("Size by a calibration line that somebody drew on this image."),
    };
  }
  const regions = frame.image.SequenceOfUltrasoundRegions;
  if (regions && regions.length > 0) {
    return fromRegions(regions, points);
  }
  const spacing = framePixelSpacing(frame);
  const imager = frame.image.ImagerPixelSpacing;
  const isProjection =
    frame.image.SOPClassUID !== null && PROJECTION_CLASSES.has(frame.image.SOPClassUID);
  if (isUsableSpacing(imager) && (spacing === null || (isProjection && same(spacing, imager)))) {
    return fromImager(imager, frame.image.EstimatedRadiographicMagnificationFactor);
  }
  if (spacing) {
    return { pixelSize: [spacing[1], spacing[0]], unit: "mm", source: "PixelSpacing", note: null };
  }
  return UNCALIBRATED;
}

function same(one: Vec2, other: Vec2): boolean {
  return Math.abs(one[0] - other[0]) < 1e-6 && Math.abs(one[1] - other[1]) < 1e-6;
}

/** Divides by the estimated magnification, which the source then names (PS3.3 C.8.7.5). */
function fromImager(imager: Vec2, magnification: number | null): Calibration {
  if (magnification !== null && Number.isFinite(magnification) && magnification > 0) {
    return {
      pixelSize: [imager[1] / magnification, imager[0] / magnification],
      unit: "mm",
      source: `ImagerPixelSpacing / magnification ${magnification}`,
      note: t("Size at the patient, by the file's estimated magnification of {magnification}.", {
        magnification,
      }),
    };
  }
  return {
    pixelSize: [imager[1], imager[0]],
    unit: "mm",
    source: "ImagerPixelSpacing",
    note: t("Size at the detector: the patient's is smaller by the unknown magnification."),
  };
}

/**
 * Millimetres only where every point lies in regions that agree on centimetres per pixel in both
 * directions (PS3.3 C.8.5.5.1): a line from the picture into a Doppler curve has no length.
 */
function fromRegions(regions: readonly UltrasoundRegion[], points: readonly Vec2[]): Calibration {
  const measuring = [...regions.entries()].filter(([, region]) => hasUnits(region));
  const holding = measuring.filter(([, region]) =>
    points.every((point) => contains(region, point)),
  );
  const first = holding[0];
  if (!first) {
    const note = points.some((point) => measuring.some(([, region]) => contains(region, point)))
      ? t("Uncalibrated: the points lie in different ultrasound regions.")
      : t("Uncalibrated: outside the calibrated ultrasound regions.");
    return { ...UNCALIBRATED, note };
  }
  const sizes = holding.map(([, region]) => regionPixelSize(region));
  const size = sizes[0];
  if (!size || sizes.some((other) => !other || !same(other, size))) {
    const note = size
      ? t("Uncalibrated: overlapping ultrasound regions disagree here.")
      : t("Uncalibrated: this ultrasound region does not measure lengths in both directions.");
    return { ...UNCALIBRATED, note };
  }
  return { pixelSize: size, unit: "mm", source: `ultrasound region ${first[0] + 1}`, note: null };
}

/** Vendors lay a region without units over the whole picture: it says nothing, so it refuses nothing. */
function hasUnits(region: UltrasoundRegion): boolean {
  return (region.PhysicalUnitsXDirection ?? 0) !== 0 || (region.PhysicalUnitsYDirection ?? 0) !== 0;
}

function contains(region: UltrasoundRegion, [column, row]: Vec2): boolean {
  return (
    column >= region.RegionLocationMinX0 &&
    column <= region.RegionLocationMaxX1 &&
    row >= region.RegionLocationMinY0 &&
    row <= region.RegionLocationMaxY1
  );
}

function regionPixelSize(region: UltrasoundRegion): Vec2 | null {
  const x = Math.abs(region.PhysicalDeltaX ?? 0);
  const y = Math.abs(region.PhysicalDeltaY ?? 0);
  const measuresLength =
    region.PhysicalUnitsXDirection === CENTIMETRES &&
    region.PhysicalUnitsYDirection === CENTIMETRES;
  return measuresLength && x > 0 && y > 0 ? [x * 10, y * 10] : null;
}
