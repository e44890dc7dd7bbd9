import { t } from "../../i18n";
import type { Pane } from "../engine/pane";
import { isMeasurementTool, type Tool } from "./names";

/** Why a tool makes no sense in a viewport, in words; null where it does. */
export function toolRefusal(tool: Tool, { stack }: Pane): string | null {
  if (!stack || !isMeasurementTool(tool)) {
    return null;
  }
  if (stack.rendering) {
    return t("A 3D view has no depth to measure in. Measure in the slices or in MPR.");
  }
  return tool === "calibration" && stack.reformat
    ? t(
        "Planes are computed in the patient's millimetres already. Draw a calibration line on a picture of a file.",
      )
    : null;
}
