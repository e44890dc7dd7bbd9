import type { MeasurementKind } from "../core/manifest";

export type NavigationTool = "window" | "scroll" | "pan" | "zoom";
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
  { tool: "pan", name: "Pan", key: "p" },
  { tool: "zoom", name: "Zoom", key: "z" },
];

export const MEASUREMENT_TOOLS: readonly ToolInfo[] = [
  { tool: "length", name: "Length", key: "m" },
  { tool: "angle", name: "Angle", key: "a" },
  { tool: "ellipse", name: "Ellipse ROI", key: "e" },
  { tool: "rectangle", name: "Rectangle ROI", key: "b" },
  { tool: "probe", name: "Probe", key: "o" },
  { tool: "arrow", name: "Arrow", key: "d" },
];

const KINDS = new Set<Tool>(MEASUREMENT_TOOLS.map(({ tool }) => tool));

export function isMeasurementTool(tool: Tool): tool is MeasurementKind {
  return KINDS.has(tool);
}

export function toolName(tool: Tool): string {
  return [...NAVIGATION_TOOLS, ...MEASUREMENT_TOOLS].find((info) => info.tool === tool)?.name ?? "";
}
