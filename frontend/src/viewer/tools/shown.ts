import { t } from "../../i18n";
import { type ShownTimes, unseen, unseenText } from "../core/shown";
import { isComputed } from "../core/stack";
import { randomUuid } from "../core/uuid";
import type { Pane } from "../engine/pane";
import { ApiError, request, requestJson } from "../net/api";
import type { Workspace } from "./workspace";

const SEND_EVERY_MS = 5000;
const MOST_AT_ONCE = 1000;

/** The frame that stands exactly in a viewport; null while it is a preview, computed or covered. */
function exactKey(workspace: Workspace, pane: Pane): string | null {
  const isVisible = workspace.visible.some((cell) => cell.pane === pane);
  const isExact = pane.state === "ready" && !pane.isStale && pane.pixels !== null;
  // What stands of another study is entered where that study is read.
  const isOwn = !isComputed(pane.stack) && !pane.stack?.owner;
  return isVisible && isExact && isOwn ? (pane.shownFrame?.key ?? null) : null;
}

/** Keeps the ledger of what is shown while the tab is visible, and sends it in batches. */
export function keepShown(workspace: Workspace): void {
  const { shown } = workspace;
  const url = workspace.manifest.links.shown;
  const viewingId = randomUuid();
  const note = (): void => {
    for (const pane of workspace.panes) {
      shown.show(pane, exactKey(workspace, pane), performance.now());
    }
  };
  let isSending = false;
  const send = async (keepalive: boolean): Promise<void> => {
    shown.settle(performance.now());
    if (!url || (isSending && !keepalive)) {
      return;
    }
    isSending = true;
    for (let entries = shown.take(MOST_AT_ONCE); entries.length > 0; ) {
      try {
        const body = { viewing_id: viewingId, shown: entries };
        await request(url, { method: "POST", body, keepalive });
      } catch (error) {
        // Said by the pictures, which do not come either; the next batch has these too.
        shown.giveBack(entries);
        if (!(error instanceof ApiError)) {
          throw error;
        }
        break;
      }
      entries = shown.take(MOST_AT_ONCE);
    }
    isSending = false;
  };
  workspace.on("change", note);
  workspace.eachPane((pane) => {
    pane.on("drawn", note);
    pane.on("change", note);
  });
  document.addEventListener("visibilitychange", () => {
    const isHidden = document.visibilityState !== "visible";
    shown.pause(isHidden, performance.now());
    if (isHidden) {
      void send(true);
    }
  });
  shown.pause(document.visibilityState !== "visible", performance.now());
  window.addEventListener("pagehide", () => void send(true));
  window.setInterval(() => void send(false), SEND_EVERY_MS);
  note();
}

/** Asks what this person was shown in other windows. */
export async function loadShown(workspace: Workspace): Promise<void> {
  const url = workspace.manifest.links.shown;
  if (!url) {
    return;
  }
  try {
    const { shown } = await requestJson<{ shown: ShownTimes }>(url);
    workspace.shown.load(shown);
  } catch {
    // Then only what this window shows counts: less than is true, never more.
  }
}

/** Says how much of the active series was not shown in full yet, and leads to the next of it. */
export function sayUnseen(workspace: Workspace): void {
  const { stack, index } = workspace.active;
  if (!stack || isComputed(stack) || stack.owner) {
    return;
  }
  const missing = unseen(stack.frames, workspace.shown);
  const next = missing.find((at) => at > index) ?? missing[0];
  const count = stack.frames.filter(({ image }) => image.transport !== null).length;
  workspace.notify({
    id: "unseen",
    kind: "info",
    text: unseenText(missing.length, count, stack.series.SeriesNumber),
    ...(next === undefined
      ? {}
      : { action: { label: t("Go to the next"), run: () => goToUnseen(workspace) } }),
  });
}

/** Shows the next image of the active series that was not shown in full yet. */
export function goToUnseen(workspace: Workspace): void {
  const pane = workspace.active;
  const missing =
    pane.stack && !isComputed(pane.stack) && !pane.stack.owner
      ? unseen(pane.stack.frames, workspace.shown)
      : [];
  const next = missing.find((at) => at > pane.index) ?? missing[0];
  if (next === undefined) {
    sayUnseen(workspace);
  } else {
    pane.go(next);
    workspace.dismiss("unseen");
  }
}
