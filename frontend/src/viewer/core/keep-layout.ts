import { type Layout, parseLayout } from "./layout";
import type { HungStage, Manifest, SeriesFacts } from "./manifest";
import { COMPANIONS, type StackFrame } from "./stack";
import type { Window } from "./voi";

/** How the layout on the screen is said as a hanging protocol, for studies like this one. */

/** What a protocol is for: the fields of docs/api/viewer.md. */
export interface Likeness {
  Modality: string;
  BodyPartExamined: string;
  StudyDescription: string;
  Laterality: string;
  ViewPosition: string;
}

export interface KeptPlace {
  prior: number;
  Modality: string;
  SeriesDescription: string;
  Laterality: string;
  ViewPosition: string;
  window_center: number | null;
  window_width: number | null;
  /** Its pictures themselves, with another series over them, or one projection of all of them. */
  show: "" | "fused" | "mip";
}

export interface KeptStage {
  name: string;
  rows: number;
  columns: number;
  fit: HungStage["fit"];
  links: HungStage["links"];
  places: KeptPlace[];
}

/** What stands in a viewport, as far as a protocol can say it. */
export interface Shown {
  series: SeriesFacts;
  frame: StackFrame | null;
  /** 0: the study itself, 1: the most telling prior ... */
  prior: number;
  /** The person's own window, or the layout's. */
  window: Window | null;
  show?: KeptPlace["show"];
}

/** Told apart picture by picture, by side and view. */
const PROJECTIONS = new Set("MG CR DX RG RF PX IO".split(" "));
/** As the server takes codes. */
const NO_CODE = /[^A-Z0-9_ ]/g;

function only(values: readonly (string | null)[]): string {
  const found = new Set(values.filter(Boolean));
  return found.size === 1 ? ([...found][0] as string) : "";
}

/** The modality of most pictures; what describes pictures does not count. */
function mainModality(series: readonly SeriesFacts[]): string {
  const counts = new Map<string, number>();
  for (const { Modality, images } of series) {
    if (Modality && !COMPANIONS.has(Modality)) {
      counts.set(Modality, (counts.get(Modality) ?? 0) + images.length);
    }
  }
  return [...counts].sort((one, other) => other[1] - one[1])[0]?.[0] ?? "";
}

/** What studies like this one have in common with it. */
export function likenessOf({ series, study }: Manifest): Likeness {
  const modality = mainModality(series);
  const its = series.filter(({ Modality }) => Modality === modality);
  const part = only(its.map(({ BodyPartExamined }) => BodyPartExamined));
  const images = its.flatMap(({ images }) => images);
  const sides = its.flatMap(({ Laterality, images: all }) =>
    all.map((image) => image.ImageLaterality ?? Laterality),
  );
  const side = only(sides);
  return {
    Modality: modality.replace(NO_CODE, ""),
    BodyPartExamined: part,
    // Descriptions differ from scanner to scanner; they tell where nothing else does.
    StudyDescription: part ? "" : (study.StudyDescription ?? ""),
    Laterality: side === "L" || side === "R" ? side : "",
    ViewPosition: PROJECTIONS.has(modality)
      ? only(images.map(({ ViewPosition }) => ViewPosition)).replace(NO_CODE, "")
      : "",
  };
}

/** A viewport's content: by side and view where pictures have them, else by the series' description. */
export function placeOf(shown: Shown | null, keepsWindow: boolean): KeptPlace {
  const { series, frame, prior, window } = shown ?? {};
  const side = frame?.image.ImageLaterality ?? series?.Laterality ?? "";
  const isProjection = PROJECTIONS.has(series?.Modality ?? "");
  const view = isProjection ? (frame?.image.ViewPosition ?? "") : "";
  const isTold = isProjection && (view !== "" || side !== "");
  return {
    prior: prior ?? 0,
    Modality: series?.Modality?.replace(NO_CODE, "") ?? "",
    SeriesDescription: isTold ? "" : words(series?.SeriesDescription ?? ""),
    Laterality: isProjection && (side === "L" || side === "R") ? side : "",
    ViewPosition: view.replace(NO_CODE, ""),
    window_center: keepsWindow && window ? window.center : null,
    window_width: keepsWindow && window ? window.width : null,
    show: shown?.show ?? "",
  };
}

/** A description as the words of a protocol: a comma would part it, a minus before it deny it. */
function words(description: string): string {
  return description
    .replaceAll(",", " ")
    .replace(/^[\s-]+/, "")
    .replace(/\s+/g, " ")
    .trim();
}

export function stageOf(
  layout: Layout,
  places: readonly KeptPlace[],
  about: Pick<KeptStage, "name" | "fit" | "links">,
): KeptStage {
  const { rows, columns } = parseLayout(layout) ?? { rows: 1, columns: 1 };
  return { ...about, rows, columns, places: places.slice(0, rows * columns) };
}

/** A name to begin with: "CT chest, 1 x 2". */
export function nameOf({ Modality, BodyPartExamined }: Likeness, layout: Layout): string {
  const what = [Modality, BodyPartExamined.toLowerCase()].filter(Boolean).join(" ");
  return [what || "Layout", layout.replace("x", " x ")].join(", ").slice(0, 64);
}
