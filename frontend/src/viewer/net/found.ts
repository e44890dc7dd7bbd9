import type { FoundList, FoundObject } from "../core/found";
import { requestJson } from "./api";

/** Fetches what others measured; a study without it loses nothing, so a failure is not announced. */
export async function loadFound(url: string | undefined, found: FoundList): Promise<void> {
  if (!url) {
    return;
  }
  try {
    const answer = await requestJson<{ objects: FoundObject[] }>(url);
    found.load(answer.objects);
  } catch {
    // The pictures and one's own measurements are there; the next opening asks again.
  }
}
