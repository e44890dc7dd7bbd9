import { t } from "../../i18n";
import type { MeasurementFacts, MeasurementKind } from "./manifest";

import { REGIONS } from "./outline";

const THIN_SPACE = "\u2009";

export const KIND_NAMES: Record<MeasurementKind, string> = {
  length: t("Length"),
  angle: t("Angle"),
  ellipse: t("Ellipse ROI"),
  rectangle: t("Rectangle ROI"),
  probe: t("Probe"),
  arrow: t("Arrow"),
  circle: t("Circle ROI"),
  freehand: t("Freehand ROI"),
  spline: t("Spline ROI"),
  livewire: t("Livewire ROI"),
  bidirectional: t("Bidirectional"),
  cobb: t("Cobb angle"),
  height: t("Height"),
  profile: t("Density profile"),
  calibration: t("Calibration line"),
  text: t("Text"),
};

/** A person name for people: family first, every writing system the file has (PS3.5 6.2.1). */
export function personName(value: string | null): string {
  if (!value) {
    return t("No name");
  }
  const groups = value.split("=").map((group) => {
    const [family = "", given = "", middle = "", prefix = "", suffix = ""] = group.split("^");
    const first = [given, middle].filter(Boolean).join(" ");
    const main = [family, first].filter(Boolean).join(", ");
    return [prefix, main, suffix]
      .map((part) => part.trim())
      .filter(Boolean)
      .join(" ");
  });
  return groups.filter(Boolean).join(" · ") || t("No name");
}

/** "045Y" to "45 y"; other texts stay as they are. */
export function ageText(age: string | null): string {
  const match = /^(\d{1,3})([DWMY])$/.exec(age ?? "");
  return match ? `${Number(match[1])}${THIN_SPACE}${(match[2] ?? "").toLowerCase()}` : (age ?? "");
}

/** The age at the study's day where the file gives only the birth date. */
export function ageAt(birth: string | null, day: string | null): string | null {
  const from = parseDay(birth);
  const to = parseDay(day);
  if (!from || !to) {
    return null;
  }
  const months = (to.year - from.year) * 12 + (to.month - from.month) - (to.day < from.day ? 1 : 0);
  if (months < 0) {
    return null;
  }
  return months < 24
    ? `${String(months).padStart(3, "0")}M`
    : `${String(Math.floor(months / 12)).padStart(3, "0")}Y`;
}

function parseDay(text: string | null): { year: number; month: number; day: number } | null {
  const match = /^(\d{4})-(\d{2})-(\d{2})$/.exec(text ?? "");
  return match ? { year: Number(match[1]), month: Number(match[2]), day: Number(match[3]) } : null;
}

export function sexText(sex: string | null): string {
  return sex === null || sex === "" ? "" : sex;
}

const UNITS: Record<string, string> = {
  mm2: "mm²",
  px2: "px²",
  deg: "°",
  // Units (0054,1001) of PET, PS3.3 C.8.9.1.1.3, as people write them.
  CNTS: "counts",
  CPS: "counts/s",
  BQML: "Bq/ml",
  MGMINML: "mg/min/ml",
  UMOLMINML: "µmol/min/ml",
  MLMING: "ml/min/g",
  MLG: "ml/g",
  "1CM": "1/cm",
  UMOLML: "µmol/ml",
  PROPCNTS: t("proportional to counts"),
  PROPCPS: t("proportional to counts/s"),
  MLMINML: "ml/min/ml",
  MLML: "ml/ml",
  GML: "g/ml",
  STDDEV: t("standard deviations"),
  NONE: "",
};

export function unitText(unit: string | null): string {
  return unit === null ? "" : (UNITS[unit] ?? unit);
}

/** Digits that the value deserves: hundredths of a pixel say nothing. */
export function numberText(value: number, digits: number): string {
  return (Object.is(value, -0) ? 0 : value).toFixed(digits);
}

export function valueText(value: number | null, unit: string | null): string {
  if (value === null) {
    return "";
  }
  if (unit === "deg") {
    return `${numberText(value, 1)}°`;
  }
  const isSize = unit === "mm" || unit === "mm2" || unit === "px" || unit === "px2";
  const small = Math.abs(value) < 10 && !Number.isInteger(value);
  const digits = isSize ? 1 : small ? 3 : Number.isInteger(value) ? 0 : 1;
  return [numberText(value, digits), unitText(unit)].filter(Boolean).join(THIN_SPACE);
}

function statisticText(value: number): string {
  return numberText(value, Math.abs(value) < 10 && !Number.isInteger(value) ? 2 : 1);
}

/** The lines drawn beside a measurement, the most wanted first. */
export function measurementLines(item: MeasurementFacts): string[] {
  const lines: string[] = [];
  if (item.label) {
    lines.push(item.label);
  }
  if (REGIONS.has(item.kind)) {
    const found = item.statistics;
    if (found) {
      const unit = unitText(found.unit);
      lines.push(
        `Mean ${statisticText(found.mean)}${unit && THIN_SPACE}${unit}`,
        `SD ${statisticText(found.sd)}`,
        `Min ${statisticText(found.min)}  Max ${statisticText(found.max)}`,
        ...(typeof found.peak === "number" ? [`Peak ${statisticText(found.peak)}`] : []),
      );
    }
    lines.push(`Area ${valueText(item.value, item.unit)}`);
  } else if (item.kind === "calibration") {
    lines.push(item.value === null ? t("Length?") : `${valueText(item.value, item.unit)} (given)`);
  } else if (item.kind === "bidirectional") {
    lines.push(...bothAxes(item));
  } else if (item.kind !== "arrow" && item.kind !== "text" && item.value !== null) {
    lines.push(valueText(item.value, item.unit));
  }
  const slab = slabIn(item.unit_source);
  if (slab) {
    lines.push(slab);
  }
  if (isUncalibrated(item)) {
    lines.push("uncalibrated");
  }
  return lines;
}

function bothAxes(item: MeasurementFacts): string[] {
  const second = item.second_value ?? null;
  return [
    `Long ${valueText(item.value, item.unit)}`,
    ...(second === null ? [] : [`Short ${valueText(second, item.unit)}`]),
  ];
}

/** One line for the table: the value, and for regions the mean too. */
export function measurementValue(item: MeasurementFacts): string {
  if (item.kind === "bidirectional") {
    return bothAxes(item).join(", ");
  }
  const found = item.statistics;
  if (found) {
    const unit = unitText(found.unit);
    const mean = `mean ${statisticText(found.mean)}${unit && THIN_SPACE}${unit}`;
    const spread = t("SD {sd}, min {min}, max {max}", {
      sd: statisticText(found.sd),
      min: statisticText(found.min),
      max: statisticText(found.max),
    });
    const peak =
      typeof found.peak === "number" ? t(", peak {peak}", { peak: statisticText(found.peak) }) : "";
    return `${valueText(item.value, item.unit)}, ${mean}, ${spread}${peak}`;
  }
  return valueText(item.value, item.unit);
}

export function isUncalibrated(item: Pick<MeasurementFacts, "unit">): boolean {
  return item.unit === "px" || item.unit === "px2";
}

/** Of values that were read in a slab: its mode and thickness, as `slabText` wrote them. */
function slabIn(source: string): string | null {
  return /\b(?:MIP|MinIP|average) [\d.]+ mm/.exec(source)?.[0] ?? null;
}

/** Where the unit comes from, in words. */
export function sourceText(item: Pick<MeasurementFacts, "kind" | "unit" | "unit_source">): string {
  if (item.kind === "arrow" || item.kind === "text") {
    return "";
  }
  if (item.kind === "probe") {
    const isUptake = item.unit?.startsWith("SUV") && item.unit_source !== "none";
    const values = item.unit === null ? "stored values" : "modality rescale";
    const slab = slabIn(item.unit_source);
    return isUptake ? inFull(item.unit_source) : slab ? `${values}; ${slab}` : values;
  }
  if ((item.kind === "angle" || item.kind === "cobb") && item.unit_source === "none") {
    return "pixels";
  }
  return item.unit_source === "none" ? "uncalibrated" : inFull(item.unit_source);
}

/** What uptake values were made of; the server keeps it in a word. */
function inFull(source: string): string {
  return source.replace("SUV by dose", "SUV by dose, times and body");
}

export function countText(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+(?!\d))/g, THIN_SPACE);
}
