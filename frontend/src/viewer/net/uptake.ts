import type { SeriesFacts } from "../core/manifest";
import { type Quantities, SUV_NAMES, type SuvType, type UptakeFacts } from "../core/quantity";
import { requestJson } from "./api";

/** Asks what makes uptake values of each PET series; calls when one is known. */
export async function loadUptake(
  all: readonly SeriesFacts[],
  quantities: Quantities,
  known: () => void,
): Promise<void> {
  for (const { id, SeriesInstanceUID, Modality } of all) {
    if (Modality === "PT") {
      quantities.load(SeriesInstanceUID, await uptakeOf(id));
      known();
    }
  }
}

async function uptakeOf(id: string): Promise<UptakeFacts> {
  try {
    return await requestJson<UptakeFacts>(`/viewer/api/series/${id}/uptake/`);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const types = Object.keys(SUV_NAMES) as SuvType[];
    const refusals = Object.fromEntries(types.map((type) => [type, reason]));
    return { id, types: [], refusals, source: "", origin: "" };
  }
}
