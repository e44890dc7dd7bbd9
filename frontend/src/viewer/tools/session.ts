import { ApiError, request } from "../net/api";
import { LAYOUTS, type Workspace } from "./workspace";

const QUIET_MS = 1500;

/** Keeps where this person stopped reading, so that reopening goes on there. */
export function keepSession(workspace: Workspace): void {
  let timer = 0;
  let sent = "";
  const send = async (): Promise<void> => {
    const pane = workspace.active;
    const frame = pane.wantedFrame;
    if (!frame || !pane.stack) {
      return;
    }
    const body = {
      series_id: pane.stack.series.id,
      image_id: frame.image.id,
      frame_number: frame.frame_number,
      viewport: { layout: workspace.layout },
    };
    const text = JSON.stringify(body);
    if (text === sent) {
      return;
    }
    try {
      await request(workspace.manifest.links.session, { method: "PUT", body });
      sent = text;
    } catch (error) {
      // The place is a convenience: the next step sends it again, pictures tell of a lost network.
      if (!(error instanceof ApiError)) {
        throw error;
      }
    }
  };
  const later = (): void => {
    clearTimeout(timer);
    timer = window.setTimeout(() => void send(), QUIET_MS);
  };
  workspace.on("change", later);
  for (const pane of workspace.panes) {
    pane.on("focus", later);
  }
}

/** Takes up the layout in which this person left the study. */
export function restoreSession(workspace: Workspace): void {
  const wanted = workspace.manifest.session?.viewport?.layout;
  const layout = LAYOUTS.find((candidate) => candidate.layout === wanted)?.layout;
  if (layout && layout !== workspace.layout) {
    workspace.setLayout(layout);
  }
}
