import { t } from "../../i18n";
import { fetchAhead } from "../net/ahead";
import { requestJson } from "../net/api";
import type { Workspace } from "./workspace";

interface Neighbour {
  id: string;
  viewer_url: string;
  ahead_url: string;
}

interface Neighbours {
  previous: Neighbour | null;
  next: Neighbour | null;
}

/** Where a tab remembers the list that its reader came from. */
const LIST = "noctis.reading-list";
const WITHOUT_LIST = "?status=unread";

/** The list to read through: the worklist that led here, as it was filtered and sorted. */
export function listAddress(referrer: string, worklist: string, storage: Storage): string {
  let query = storage.getItem(LIST) ?? WITHOUT_LIST;
  if (referrer) {
    const from = new URL(referrer);
    if (from.origin === location.origin && from.pathname === worklist) {
      query = from.search;
      storage.setItem(LIST, query);
    }
  }
  return query;
}

/** The studies before and after this one in the list that the reader came from. */
export class ReadingList {
  private asked: Promise<Neighbours> | null = null;

  constructor(private readonly workspace: Workspace) {}

  /** Opens the next or previous study of the list in this window. */
  async go(way: "next" | "previous"): Promise<void> {
    let text =
      way === "next"
        ? t("This is the last study of the list.")
        : t("This is the first study of the list.");
    try {
      const found = (await this.neighbours())[way];
      if (found) {
        location.assign(found.viewer_url);
        return;
      }
    } catch (error) {
      text = error instanceof Error ? error.message : String(error);
    }
    this.workspace.notify({ id: "reading-list", kind: "info", text });
  }

  /** Fetches the beginning of the next study, while this one is read. */
  async prepare(): Promise<void> {
    try {
      const { next } = await this.neighbours();
      if (next) {
        await fetchAhead(next.id, next.ahead_url);
      }
    } catch {
      // The next study then opens as any other; what is wrong with it shows there.
    }
  }

  private neighbours(): Promise<Neighbours> {
    this.asked ??= this.ask().catch((error: unknown) => {
      this.asked = null;
      throw error;
    });
    return this.asked;
  }

  private ask(): Promise<Neighbours> {
    const { beside, worklist } = this.workspace.manifest.links;
    if (!beside || !worklist) {
      return Promise.resolve({ previous: null, next: null });
    }
    const query = listAddress(document.referrer, worklist, sessionStorage);
    return requestJson<Neighbours>(`${beside}${query}`);
  }
}
