import { Emitter } from "../core/emitter";
import type { Vec3 } from "../core/manifest";
import { areParallel, middleOf, nearestFrame, planeOf } from "../core/planes";
import { clampIndex } from "../core/stack";
import { fitScale } from "../core/view";
import type { Pane } from "../engine/pane";

/** How other viewports follow the one that is scrolled. */
export type ScrollLink = "off" | "position" | "offset";

export interface LinkState {
  scroll: ScrollLink;
  window: boolean;
  view: boolean;
  referenceLines: boolean;
}

export const INITIAL_LINKS: LinkState = {
  scroll: "off",
  window: false,
  view: false,
  referenceLines: true,
};

export function readLinks(value: unknown): LinkState {
  const kept = (value ?? {}) as Partial<Record<keyof LinkState, unknown>>;
  return {
    scroll: kept.scroll === "position" || kept.scroll === "offset" ? kept.scroll : "off",
    window: kept.window === true,
    view: kept.view === true,
    referenceLines: kept.referenceLines !== false,
  };
}

export function sameSpace(one: Pane, other: Pane): boolean {
  const uid = one.stack?.series.FrameOfReferenceUID;
  return Boolean(uid) && uid === other.stack?.series.FrameOfReferenceUID;
}

/** Lets viewports follow each other: by place in the patient, by offset, in window and in zoom. */
export class Links extends Emitter<{ change: undefined }> {
  state: LinkState = INITIAL_LINKS;
  private isFollowing = false;
  /** Indices of two viewports, by `leader follower`, when linking by offset began. */
  private readonly offsets = new Map<string, number>();

  constructor(private readonly shown: () => readonly Pane[]) {
    super();
  }

  set(change: Partial<LinkState>): void {
    this.state = { ...this.state, ...change };
    this.offsets.clear();
    if (this.state.scroll === "offset") {
      this.rememberOffsets();
    }
    this.emit("change", undefined);
  }

  /** Hears of every step of a viewport. */
  watch(pane: Pane): void {
    pane.on("moved", () => this.follow(pane, (other) => this.scroll(pane, other)));
    pane.on("windowed", () => this.follow(pane, (other) => this.window(pane, other)));
    pane.on("viewed", () => this.follow(pane, (other) => this.view(pane, other)));
    pane.on("hung", () => this.rememberOffsets());
  }

  /** What one viewport does to the others must not come back to it. */
  private follow(pane: Pane, bring: (other: Pane) => void): void {
    if (this.isFollowing) {
      return;
    }
    const all = this.shown();
    if (!all.includes(pane)) {
      return;
    }
    this.isFollowing = true;
    try {
      for (const other of all) {
        if (other !== pane && other.stack) {
          bring(other);
        }
      }
    } finally {
      this.isFollowing = false;
    }
  }

  private scroll(leader: Pane, other: Pane): void {
    if (this.state.scroll === "position") {
      const point = placeOf(leader);
      const found =
        point && isAlong(leader, other) && nearestFrame(other.stack?.frames ?? [], point);
      if (found) {
        other.go(found.index);
      }
    } else if (this.state.scroll === "offset") {
      const offset = this.offsets.get(pairName(leader, other));
      if (offset !== undefined && other.stack) {
        other.go(clampIndex(other.stack, leader.index + offset));
      }
    }
  }

  private window(leader: Pane, other: Pane): void {
    if (this.state.window && leader.stack?.series.Modality === other.stack?.series.Modality) {
      other.setWindow(leader.hasChosenWindow ? leader.window : null);
      if (other.invert !== leader.invert) {
        other.toggleInvert();
      }
    }
  }

  private view(leader: Pane, other: Pane): void {
    const from = leader.pictureSize;
    const to = other.pictureSize;
    if (!this.state.view || !from || !to) {
      return;
    }
    // Zoom is said in relation to the fitting picture: series of other matrices stay comparable.
    const own = fitScale(from, leader.size, leader.view.orientation) * from.columns;
    const share = (fitScale(to, other.size, other.view.orientation) * to.columns) / own;
    const { zoom, pan } = leader.view;
    other.setView({ ...other.view, zoom, pan: [pan[0] * share, pan[1] * share] });
  }

  private rememberOffsets(): void {
    const all = this.shown();
    for (const leader of all) {
      for (const other of all) {
        const name = pairName(leader, other);
        if (leader !== other) {
          this.offsets.set(name, other.index - leader.index);
        }
      }
    }
  }
}

const names = new WeakMap<Pane, number>();
let nextName = 1;

function nameOf(pane: Pane): number {
  const known = names.get(pane) ?? nextName++;
  names.set(pane, known);
  return known;
}

function pairName(leader: Pane, other: Pane): string {
  return `${nameOf(leader)} ${nameOf(other)}`;
}

function placeOf(pane: Pane): Vec3 | null {
  const plane = pane.wantedFrame && planeOf(pane.wantedFrame);
  return plane && middleOf(plane);
}

/** By position only stacks of one space follow each other, and only along the same direction. */
function isAlong(leader: Pane, other: Pane): boolean {
  const one = leader.wantedFrame && planeOf(leader.wantedFrame);
  const two = other.wantedFrame && planeOf(other.wantedFrame);
  return sameSpace(leader, other) && one !== null && two !== null && areParallel(one, two);
}
