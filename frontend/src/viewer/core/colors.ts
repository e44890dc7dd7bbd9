import { t } from "../../i18n";
import { PALETTES } from "./palettes";

/** Colours for grey pictures: 256 opaque RGBA words of a little-endian canvas, dark to light. */
export type Colors = Uint32Array;

export const COLOR_MAPS = [
  { id: "grey", name: t("Grey") },
  { id: "inverse", name: t("Grey, inverted") },
  { id: "hotIron", name: t("Hot iron") },
  { id: "pet", name: "PET" },
  { id: "hotMetalBlue", name: t("Hot metal blue") },
  { id: "pet20Step", name: t("PET 20 step") },
  { id: "rainbow", name: t("Rainbow") },
  { id: "spring", name: t("Spring") },
  { id: "summer", name: t("Summer") },
  { id: "fall", name: t("Fall") },
  { id: "winter", name: t("Winter") },
] as const;

export type ColorMapId = (typeof COLOR_MAPS)[number]["id"];

const LEVELS = 256;
const made = new Map<ColorMapId, Colors>();

export function isColorMap(name: unknown): name is ColorMapId {
  return COLOR_MAPS.some(({ id }) => id === name);
}

export function colorMapName(id: ColorMapId): string {
  return COLOR_MAPS.find((map) => map.id === id)?.name ?? "";
}

/** The colours of a map, made once. */
export function colorsOf(id: ColorMapId): Colors {
  const known = made.get(id);
  if (known) {
    return known;
  }
  const colors = make(id);
  made.set(id, colors);
  return colors;
}

function word(red: number, green: number, blue: number): number {
  return (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0;
}

function make(id: ColorMapId): Colors {
  if (id === "grey" || id === "inverse") {
    return Uint32Array.from({ length: LEVELS }, (_, level) => {
      const grey = id === "grey" ? level : 255 - level;
      return word(grey, grey, grey);
    });
  }
  if (id === "rainbow") {
    return Uint32Array.from({ length: LEVELS }, (_, level) => hue(240 - (240 * level) / 255));
  }
  const bytes = atob(PALETTES[id]);
  return Uint32Array.from({ length: LEVELS }, (_, level) =>
    word(
      bytes.charCodeAt(3 * level),
      bytes.charCodeAt(3 * level + 1),
      bytes.charCodeAt(3 * level + 2),
    ),
  );
}

/** A full colour of the circle, from blue (240 degrees) over green to red (0). */
function hue(degrees: number): number {
  const part = (from: number): number => {
    const k = (from + degrees / 60) % 6;
    return Math.round(255 * (1 - Math.max(0, Math.min(k, 4 - k, 1))));
  };
  return word(part(5), part(3), part(1));
}
