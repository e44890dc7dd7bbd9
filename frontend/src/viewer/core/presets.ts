import { t } from "../../i18n";
import type { PresetFacts } from "./manifest";
import type { Quantity } from "./quantity";
import type { StackFrame } from "./stack";
import { fileTables, fileWindows, type Window } from "./voi";

export interface Preset {
  name: string;
  window: Window | "full-range";
  /** Digit 1 to 9 that chooses it, or null. */
  key: string | null;
}

function linear(center: number, width: number): Window {
  return { center, width, function: "LINEAR" };
}

/** The first five have the digits that OHIF gives them, so that users move over. */
const CT: readonly Preset[] = [
  { name: t("Abdomen"), window: linear(40, 400), key: "1" },
  { name: t("Lung"), window: linear(-600, 1500), key: "2" },
  { name: t("Liver"), window: linear(90, 150), key: "3" },
  { name: t("Bone"), window: linear(480, 2500), key: "4" },
  { name: t("Brain"), window: linear(40, 80), key: "5" },
  { name: t("Mediastinum"), window: linear(50, 350), key: "6" },
  { name: t("Angiography"), window: linear(300, 600), key: "7" },
];

/**
 * Presets of the menu and of the digits 1 to 9 for what is shown: the file's own windows, the
 * modality's, then the site's and the user's. A site's or user's digit takes that digit over.
 */
export function presetsFor(
  modality: string | null,
  frame: StackFrame | null,
  kept: readonly PresetFacts[],
  quantity: Quantity | null = null,
): Preset[] {
  const own: Preset[] = kept
    .filter((preset) => preset.Modality === "" || preset.Modality === modality)
    .map((preset) => ({
      name: t(preset.name),
      window: linear(preset.window_center, preset.window_width),
      key: preset.key,
    }));
  // The server's presets have the same names; what stands here serves a site that has none.
  const names = new Set(own.map((preset) => preset.name));
  const offered = modality === "CT" ? CT : quantity ? uptakePresets(quantity) : [];
  const builtIn = offered.filter((preset) => !names.has(preset.name));
  const carried = frame ? [...fileWindows(frame), ...fileTables(frame)] : [];
  const file: Preset[] = carried.map(({ name, window }) => ({ name, window, key: null }));
  const all = [
    ...builtIn,
    ...own,
    ...file,
    { name: t("Full range"), window: "full-range", key: null } as const,
  ];
  return assignKeys(all, own);
}

/** Upper ends of usual windows in uptake values; all begin at 0. */
const UPTAKE_ENDS = [5, 7, 10, 15, 20];

function uptakePresets({ factor }: Quantity): Preset[] {
  return UPTAKE_ENDS.map((end, index) => ({
    name: t("SUV 0 to {end}", { end }),
    window: { center: end / 2 / factor, width: end / factor, function: "LINEAR_EXACT" },
    key: String(index + 1),
  }));
}

function assignKeys(all: readonly Preset[], own: readonly Preset[]): Preset[] {
  const claimed = new Set(own.map((preset) => preset.key).filter((key) => key !== null));
  const taken = new Set<string>();
  const keyed = all.map((preset) => {
    const isOwn = own.includes(preset);
    const keeps =
      preset.key !== null && (isOwn || !claimed.has(preset.key)) && !taken.has(preset.key);
    if (keeps && preset.key !== null) {
      taken.add(preset.key);
    }
    return keeps ? preset : { ...preset, key: null };
  });
  const free = ["1", "2", "3", "4", "5", "6", "7", "8", "9"].filter((key) => !taken.has(key));
  return keyed.map((preset) =>
    preset.key === null ? { ...preset, key: free.shift() ?? null } : preset,
  );
}
