import { parseManifest } from "../core/manifest";
import { prefetchOrder } from "../core/order";
import { buildStack, type StackFrame, startingPlace } from "../core/stack";
import { request } from "./api";
import { firstFormatOf, frameAddress, savesData } from "./frames";

/** How many frames of the next study are fetched while this one is read. */
const FRAMES_AHEAD = 10;
/** Where a tab remembers which study it has prepared. */
const PREPARED = "noctis.ahead";

/** The frames that the viewer will want first of a study, the very first before its neighbours. */
export function framesAhead(text: string): StackFrame[] {
  const manifest = parseManifest(text);
  const stacks = manifest.series.map((series) => buildStack(series));
  const place = startingPlace(manifest, stacks);
  const stack = place && stacks[place.seriesIndex];
  return stack
    ? prefetchOrder(stack.frames.length, place.index, 1)
        .map((index) => stack.frames[index] as StackFrame)
        .filter(({ image }) => image.transport !== null)
        .slice(0, FRAMES_AHEAD)
    : [];
}

/** Lets the browser keep the first frames of a study, one after the other, at the lowest cost. */
export async function fetchAhead(studyId: string, url: string): Promise<void> {
  if (savesData()) {
    return;
  }
  const text = await (await request(url)).text();
  const frames = framesAhead(text);
  const keys: string[] = [];
  for (const [place, frame] of frames.entries()) {
    const format = place === 0 ? firstFormatOf(frame) : frame.image.transport;
    if (format) {
      await (await request(frameAddress(frame, format), { priority: "low" })).arrayBuffer();
      keys.push(frame.key);
    }
  }
  sessionStorage.setItem(PREPARED, JSON.stringify({ study: studyId, keys }));
}

/** The frames of a study that this tab has fetched ahead. */
export function keptAhead(studyId: string): ReadonlySet<string> {
  try {
    const kept: unknown = JSON.parse(sessionStorage.getItem(PREPARED) ?? "null");
    const { study, keys } = (kept ?? {}) as { study?: unknown; keys?: unknown };
    return new Set(study === studyId && Array.isArray(keys) ? keys.map(String) : []);
  } catch {
    return new Set();
  }
}
