import { type DerivedObject, type Drawn, packed, readDrawn, unpack } from "../core/derived";
import type { Segment } from "../core/draft";
import { request, requestJson } from "./api";

/** Asks for what is drawn over pictures, and keeps segments while they are drawn. */

export interface Property {
  code: string;
  name: string;
  category: string;
}

export interface DraftFrame {
  SOPInstanceUID: string;
  frame_number: number;
  offset: number;
  count: number;
}

export interface DraftHead {
  version: number;
  segments: Segment[];
  frames: DraftFrame[];
  properties: Property[];
}

export async function fetchDerived(url: string): Promise<DerivedObject[]> {
  return (await requestJson<{ objects: DerivedObject[] }>(url)).objects;
}

export async function fetchDrawn(url: string): Promise<Drawn> {
  return readDrawn(await (await request(url)).arrayBuffer());
}

function segmentsUrl(seriesId: string): string {
  return `/viewer/api/series/${seriesId}/segments/`;
}

export async function fetchDraft(
  seriesId: string,
): Promise<{ head: DraftHead; runs: Uint32Array }> {
  const response = await request(segmentsUrl(seriesId));
  const { head, bytes } = unpack<DraftHead>(await response.arrayBuffer());
  return { head, runs: new Uint32Array(bytes) };
}

/** A stored segmentation as a draft to go on with. */
export interface CopyHead {
  series_id: string;
  segments: (Omit<Segment, "colour"> & { colour: string | null })[];
  frames: DraftFrame[];
  notes: string[];
}

/** `numbers` of the segments that are wanted; none: all of them. */
export async function fetchCopy(
  imageId: string,
  numbers: readonly number[],
): Promise<{ head: CopyHead; runs: Uint32Array }> {
  const query = numbers.length > 0 ? `?numbers=${numbers.join()}` : "";
  const response = await request(`/viewer/api/images/${imageId}/segments/${query}`);
  const { head, bytes } = unpack<CopyHead>(await response.arrayBuffer());
  return { head, runs: new Uint32Array(bytes) };
}

export async function putDraft(
  seriesId: string,
  head: Omit<DraftHead, "properties">,
  runs: Uint32Array,
): Promise<number> {
  const options = { method: "PUT", content: packed(head, runs) } as const;
  return (await requestJson<{ version: number }>(segmentsUrl(seriesId), options)).version;
}

export async function dropDraft(seriesId: string): Promise<void> {
  await request(segmentsUrl(seriesId), { method: "DELETE" });
}

export async function storeDraft(
  seriesId: string,
  version: number,
  description: string,
): Promise<{ image_id: string }> {
  return requestJson(`${segmentsUrl(seriesId)}store/`, {
    method: "POST",
    body: { version, description },
  });
}
