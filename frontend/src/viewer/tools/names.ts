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
  { tool: "window", name: "Window/Level", key: "w" },
  { tool: "scroll", name: "Scroll", key: "s" },
  { tool: "pan", name: "Pan", key: "_" },
  { tool: "zoom", name: "Zoom", key: "z" },
  { tool: "crosshair", name: "Crosshairs", key: "x" },
];

export const MEASUREMENT_TOOLS: readonly ToolInfo[] = [
  { tool: "length", name: "Length", key: "m" },
  { tool: "angle", name: "Angle", key: "a" },
  { tool: "ellipse", name: "Ellipse ROI", key: "e" },
  { tool: "rectangle", name: "Rectangle ROI", key: "b" },
  { tool: "probe", name: "Probe", key: "o" },
  { tool: "arrow", name: "Arrow", key: "d" },
];

/** Offered in a menu of their own. */
export const MORE_TOOLS: readonly ToolInfo[] = [
  { tool: "magnify", name: "Magnify", key: "g" },
  { tool: "region", name: "Window of a region", key: ":" },
  { tool: "bidirectional", name: "Bidirectional", key: "j" },
  { tool: "cobb", name: "Cobb angle", key: "," },
  { tool: "height", name: "Height", key: "." },
  { tool: "circle", name: "Circle ROI", key: ";" },
  { tool: "freehand", name: "Freehand ROI", key: "u" },
  { tool: "spline", name: "Spline ROI", key: "'" },
  { tool: "livewire", name: "Livewire ROI", key: "/" },
  { tool: "profile", name: "Density profile", key: "\\" },
  { tool: "text", name: "Text", key: '"' },
  { tool: "calibration", name: "Calibration line", key: "*" },
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
