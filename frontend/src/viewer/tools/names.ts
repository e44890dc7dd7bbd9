import { t } from "../../i18n";
import type { MeasurementKind } from "../core/manifest";

export type NavigationTool =
  | "window"
  | "scroll"
  | "pan"
  | "zoom"
  | "crosshair"
  | "magnify"
  | "region";
export type Tool = NavigationTool | MeasurementKind;

export interface ToolInfo {
  tool: Tool;
  /** The accessible name, known to people and to programs that drive the page. */
  name: string;
  key: string | null;
}

export const NAVIGATION_TOOLS: readonly ToolInfo[] = [
  { tool: "window", name: t("Window/Level"), key: "w" },
  { tool: "scroll", name: t("Scroll"), key: "s" },
  { tool: "pan", name: t("Pan"), key: "_" },
  { tool: "zoom", name: t("Zoom"), key: "z" },
  { tool: "crosshair", name: t("Crosshairs"), key: "x" },
];

export const MEASUREMENT_TOOLS: readonly ToolInfo[] = [
  { tool: "length", name: t("Length"), key: "m" },
  { tool: "angle", name: t("Angle"), key: "a" },
  { tool: "ellipse", name: t("Ellipse ROI"), key: "e" },
  { tool: "rectangle", name: t("Rectangle ROI"), key: "b" },
  { tool: "probe", name: t("Probe"), key: "o" },
  { tool: "arrow", name: t("Arrow"), key: "d" },
];

/** Offered in a menu of their own. */
export const MORE_TOOLS: readonly ToolInfo[] = [
  { tool: "magnify", name: t("Magnify"), key: "g" },
  { tool: "region", name: t("Window of a region"), key: ":" },
  { tool: "bidirectional", name: t("Bidirectional"), key: "j" },
  { tool: "cobb", name: t("Cobb angle"), key: "," },
  { tool: "height", name: t("Height"), key: "." },
  { tool: "circle", name: t("Circle ROI"), key: ";" },
  { tool: "freehand", name: t("Freehand ROI"), key: "u" },
  { tool: "spline", name: t("Spline ROI"), key: "'" },
  { tool: "livewire", name: t("Livewire ROI"), key: "/" },
  { tool: "profile", name: t("Density profile"), key: "\\" },
  { tool: "text", name: t("Text"), key: '"' },
  { tool: "calibration", name: t("Calibration line"), key: "*" },
];

export const TOOLS: readonly ToolInfo[] = [
  ...NAVIGATION_TOOLS,
  ...MEASUREMENT_TOOLS,
  ...MORE_TOOLS,
];

const KINDS = new Set<Tool>(
  [...MEASUREMENT_TOOLS, ...MORE_TOOLS]
    .map(({ tool }) => tool)
    .filter((tool) => tool !== "magnify" && tool !== "region"),
);

export function isMeasurementTool(tool: Tool): tool is MeasurementKind {
  return KINDS.has(tool);
}

export function toolName(tool: Tool): string {
  return TOOLS.find((info) => info.tool === tool)?.name ?? "";
}
