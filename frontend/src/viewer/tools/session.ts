import { type Layout, parseLayout } from "../core/layout";
import { isComputed } from "../core/stack";
import { ApiError, request } from "../net/api";
import { readLinks } from "./links";
import type { Workspace } from "./workspace";

const QUIET_MS = 1500;

function placeOf(workspace: Workspace): object | null {
  const cells = [workspace.active, ...workspace.visible.map(({ pane }) => pane)];
  const own = cells.find((pane) => pane.stack && !pane.stack.owner);
  const { stack, wantedFrame: frame } = own ?? workspace.active;
  return stack && frame && !stack.owner && !isComputed(stack) && !workspace.mpr.isOpen
    ? {
        series_id: stack.series.id,
        image_id: frame.image.id,
        frame_number: frame.frame_number,
        viewport: {
          layout: workspace.layout,
          stage: workspace.hanging.place,
          links: workspace.links.state,
          series: workspace.kept.latest,
        },
      }
    : null;
}

/** Keeps where this person stopped reading and how they had set each series, so that reopening goes on there. */
export function keepSession(workspace: Workspace): void {
  const address = workspace.manifest.links.session;
  if (!address) {
    return;
  }
  let timer = 0;
  let sent = JSON.stringify(placeOf(workspace));
  let waiting = sent;
  const send = async (keepalive: boolean): Promise<void> => {
    clearTimeout(timer);
    const text = waiting;
    if (text === sent) {
      return;
    }
    try {
      const body: unknown = JSON.parse(text);
      await request(address, { method: "PUT", body, keepalive });
      sent = text;
    } catch (error) {
      // The place is a convenience: the next step sends it again, pictures tell of a lost network.
      if (!(error instanceof ApiError)) {
        throw error;
      }
    }
  };
  // Drawing and saving also change the workspace: only another place starts the wait anew.
  const later = (): void => {
    const place = placeOf(workspace);
    const text = JSON.stringify(place);
    if (place && text !== waiting) {
      waiting = text;
      clearTimeout(timer);
      timer = window.setTimeout(() => void send(false), QUIET_MS);
    }
  };
  workspace.on("change", later);
  workspace.eachPane((pane) => {
    pane.on("focus", later);
    pane.on("change", later);
  });
  window.addEventListener("pagehide", () => void send(true));
}

/** Takes up the layout in which this person left the study. */
export function restoreSession(workspace: Workspace): void {
  const kept = workspace.manifest.session?.viewport;
  if (
    kept &&
    !workspace.hanging.isOpened &&
    parseLayout(kept.layout) &&
    kept.layout !== workspace.layout
  ) {
    workspace.setLayout(kept.layout as Layout);
  }
  if (kept) {
    workspace.links.set(readLinks(kept.links));
  }
}
