import { t } from "../../i18n";
/** A hanging protocol as `/viewer/api/hanging/` gives and takes it. */
export interface PlaceFacts {
  prior: number;
  Modality: string;
  SeriesDescription: string;
  Laterality: string;
  ViewPosition: string;
  window_center: number | null;
  window_width: number | null;
  show?: "" | "fused" | "mip";
}

export interface StageFacts {
  name: string;
  rows: number;
  columns: number;
  fit: string;
  links: { scroll: string; window: boolean; view: boolean } | null;
  least: number;
  places: PlaceFacts[];
}

export interface Protocol {
  id: string | null;
  name: string;
  priority: number;
  is_site: boolean;
  is_built_in?: boolean;
  is_active: boolean;
  Modality: string;
  BodyPartExamined: string;
  StudyDescription: string;
  Laterality: string;
  ViewPosition: string;
  priors: number;
  stages: StageFacts[];
}

export function emptyPlace(): PlaceFacts {
  return {
    prior: 0,
    Modality: "",
    SeriesDescription: "",
    Laterality: "",
    ViewPosition: "",
    window_center: null,
    window_width: null,
    show: "",
  };
}

export function emptyStage(): StageFacts {
  return { name: "", rows: 1, columns: 2, fit: "", links: null, least: 1, places: [] };
}

export function emptyProtocol(): Protocol {
  return {
    id: null,
    name: "",
    priority: 100,
    is_site: false,
    is_active: true,
    Modality: "",
    BodyPartExamined: "",
    StudyDescription: "",
    Laterality: "",
    ViewPosition: "",
    priors: 0,
    stages: [emptyStage()],
  };
}

/** A protocol to begin a new one with: the person's own, whoever's the first one was. */
export function copyOf(protocol: Protocol): Protocol {
  const name = `${protocol.name} (copy)`.slice(0, 64);
  return { ...structuredClone(protocol), id: null, name, is_site: false, is_active: true };
}

/** As many places as a stage has viewports. */
export function withPlaces(stage: StageFacts): StageFacts {
  const count = stage.rows * stage.columns;
  const places = Array.from({ length: count }, (_, at) => stage.places[at] ?? emptyPlace());
  return { ...stage, places, least: Math.min(stage.least, count) };
}

/** What an exported file holds; an error in words where it is something else. */
export function readExport(text: string): Protocol[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error(t("This file is not JSON. Choose a file that “Export” made."));
  }
  const found = (value as { protocols?: unknown } | null)?.protocols;
  if (!Array.isArray(found)) {
    throw new Error(t("This file holds no layouts. Choose a file that “Export” made."));
  }
  if (found.length === 0) {
    throw new Error(t("This file holds no layouts: nobody had kept any when it was exported."));
  }
  return found as Protocol[];
}
