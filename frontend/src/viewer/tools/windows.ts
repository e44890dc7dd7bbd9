import { t } from "../../i18n";
import type { Vec3 } from "../core/manifest";
import { middleOf, nearestFrame, planeOf } from "../core/planes";
import { dot } from "../core/vectors";
import type { Window } from "../core/voi";
import type { Pane } from "../engine/pane";
import { type LinkState, readLinks } from "./links";
import type { Workspace } from "./workspace";

/** What windows with one study tell each other; none of it leaves the browser. */
type Message =
  | { kind: "hello" }
  | { kind: "links"; links: LinkState }
  | { kind: "moved"; space: string; point: Vec3; normal: Vec3 }
  | { kind: "windowed"; modality: string | null; window: Window | null; invert: boolean };

/** As `areParallel` of planes. */
const PARALLEL = 0.995;

/** Keeps windows with the same study in step, where their viewports are linked. */
export class Windows {
  private readonly channel: BroadcastChannel | null;
  /** What another window has asked for is not told back to it. */
  private isFollowing = false;

  constructor(private readonly workspace: Workspace) {
    const { study } = workspace.manifest;
    this.channel =
      typeof BroadcastChannel === "undefined" ? null : new BroadcastChannel(`noctis-${study.id}`);
    this.channel?.addEventListener("message", ({ data }) => this.follow(data as Message));
    workspace.eachPane((pane) => {
      pane.on("moved", () => this.tellPlace(pane));
      pane.on("windowed", () => this.tellWindow(pane));
    });
    workspace.links.on("change", () => this.tell({ kind: "links", links: workspace.links.state }));
    if (this.isSecond) {
      this.tell({ kind: "hello" });
    }
  }

  /** Whether this is a further window: it keeps no session of its own. */
  get isSecond(): boolean {
    return new URLSearchParams(location.search).has("window");
  }

  /** Opens the study once more, to be moved onto another screen. */
  openSecond(): void {
    const { workspace } = this;
    const address = new URL(location.pathname, location.href);
    const number = (Number(new URLSearchParams(location.search).get("window")) || 1) + 1;
    address.searchParams.set("window", String(number));
    const name = `noctis-${workspace.manifest.study.id}-${number}`;
    const features = `popup,width=${screen.availWidth},height=${screen.availHeight}`;
    if (!window.open(address, name, features)) {
      const text = t("The browser has blocked the second window. Allow pop-ups for this site.");
      workspace.notify({ id: "second-window", kind: "warning", text });
    }
  }

  private tell(message: Message): void {
    if (!this.isFollowing) {
      this.channel?.postMessage(message);
    }
  }

  private tellPlace(pane: Pane): void {
    const plane = pane.wantedFrame && planeOf(pane.wantedFrame);
    const space = pane.stack?.series.FrameOfReferenceUID;
    const isShown = this.workspace.visible.some((cell) => cell.pane === pane);
    if (isShown && plane && space && this.workspace.links.state.scroll === "position") {
      this.tell({ kind: "moved", space, point: middleOf(plane), normal: plane.normal });
    }
  }

  private tellWindow(pane: Pane): void {
    const isShown = this.workspace.visible.some((cell) => cell.pane === pane);
    if (isShown && pane.stack && this.workspace.links.state.window) {
      const { window: chosen, invert } = pane.appearance;
      const modality = pane.stack.series.Modality;
      this.tell({ kind: "windowed", modality, window: chosen, invert });
    }
  }

  private follow(message: Message): void {
    this.isFollowing = true;
    try {
      if (message.kind === "hello") {
        this.channel?.postMessage({ kind: "links", links: this.workspace.links.state });
      } else if (message.kind === "links") {
        this.workspace.links.set(readLinks(message.links));
      } else if (message.kind === "moved") {
        this.goTo(message);
      } else if (message.kind === "windowed") {
        this.applyWindow(message);
      }
    } finally {
      this.isFollowing = false;
    }
  }

  /** Brings the first such viewport to the point; those linked with it follow by themselves. */
  private goTo({ space, point, normal }: Message & { kind: "moved" }): void {
    const { links, visible } = this.workspace;
    const pane = visible.find(({ pane: { stack, wantedFrame } }) => {
      const plane = wantedFrame && planeOf(wantedFrame);
      const isParallel = plane && Math.abs(dot(plane.normal, normal)) > PARALLEL;
      return isParallel && stack?.series.FrameOfReferenceUID === space;
    })?.pane;
    const found = pane && nearestFrame(pane.stack?.frames ?? [], point);
    if (pane && found && links.state.scroll === "position") {
      pane.go(found.index);
    }
  }

  private applyWindow({ modality, window, invert }: Message & { kind: "windowed" }): void {
    const { links, visible } = this.workspace;
    const pane = visible.find(({ pane: { stack } }) => stack?.series.Modality === modality)?.pane;
    if (pane && links.state.window) {
      pane.setWindow(window);
      if (pane.invert !== invert) {
        pane.toggleInvert();
      }
    }
  }
}
