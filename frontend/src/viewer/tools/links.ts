import { Emitter } from "../core/emitter";
import type { Vec3 } from "../core/manifest";
import { areParallel, middleOf, nearestFrame, planeOf } from "../core/planes";
import { clampIndex, ownerOf } from "../core/stack";
import { add, dot, scale } from "../core/vectors";
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
  /**
   * How much further along its slices a series of another study lies than the one it is compared
   * with, in mm, by the ids of both: people lie elsewhere on the table each time.
   */
  private readonly shifts = new Map<string, number>();

  constructor(private readonly shown: () => readonly Pane[]) {
    super();
  }

  set(change: Partial<LinkState>): void {
    const before = this.state.scroll;
    this.state = { ...this.state, ...change };
    this.offsets.clear();
    if (this.state.scroll === "position" && before !== "position") {
      this.rememberShifts();
    }
    if (this.state.scroll === "offset") {
      this.rememberOffsets();
    }
    this.emit("change", undefined);
  }

  /** Brings newly hung series of other studies to the place that their counterpart shows. */
  alignStudies(): void {
    for (const leader of this.shown()) {
      for (const other of this.shown()) {
        const isNew = areCompared(leader, other) && !ownerOf(leader.stack);
        if (isNew && !this.shifts.has(seriesPair(leader, other))) {
          this.keepShift(leader, other, likelyShift(leader, other));
        }
        if (isNew && this.state.scroll === "position") {
          this.follow(leader, (one) => one === other && this.scroll(leader, one));
        }
      }
    }
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
      const point = this.placeIn(other, leader);
      const found = point && nearestFrame(other.stack?.frames ?? [], point);
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

  /** The point of another viewport's series that corresponds to where the leader stands. */
  private placeIn(other: Pane, leader: Pane): Vec3 | null {
    const plane = leader.wantedFrame && planeOf(leader.wantedFrame);
    const point = placeOf(leader);
    if (!plane || !point) {
      return null;
    }
    if (isAlong(leader, other)) {
      return point;
    }
    const shift = this.shifts.get(seriesPair(leader, other));
    return shift === undefined || !areCompared(leader, other)
      ? null
      : add(point, scale(plane.normal, shift));
  }

  /** Linking begins: series of different studies stay as far apart as the person has brought them. */
  private rememberShifts(): void {
    const all = this.shown();
    for (const leader of all) {
      for (const other of all) {
        const shift = areCompared(leader, other) ? presentShift(leader, other) : null;
        if (shift !== null) {
          const before = this.shifts.get(seriesPair(leader, other));
          // Within a slice's width nobody has moved it: rounding to slices must not add up.
          if (before === undefined || Math.abs(before - shift) > sliceStep(other)) {
            this.keepShift(leader, other, shift);
          }
        }
      }
    }
  }

  private keepShift(leader: Pane, other: Pane, shift: number | null): void {
    const [one, two] = [leader, other].map((pane) => pane.wantedFrame && planeOf(pane.wantedFrame));
    if (shift !== null && one && two) {
      this.shifts.set(seriesPair(leader, other), shift);
      // Both are told along the normal of the one that leads.
      this.shifts.set(seriesPair(other, leader), -shift * Math.sign(dot(one.normal, two.normal)));
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

function seriesPair(leader: Pane, other: Pane): string {
  return `${leader.stack?.series.id} ${other.stack?.series.id}`;
}

/** Whether two viewports show parallel slices of different studies. */
function areCompared(one: Pane, other: Pane): boolean {
  if (!one.stack || !other.stack || ownerOf(one.stack) === ownerOf(other.stack)) {
    return false;
  }
  const [a, b] = [one, other].map((pane) => pane.wantedFrame && planeOf(pane.wantedFrame));
  return Boolean(a && b && areParallel(a, b));
}

/** How much further along the leader's normal another viewport stands, in mm. */
function presentShift(leader: Pane, other: Pane): number | null {
  const plane = leader.wantedFrame && planeOf(leader.wantedFrame);
  const [here, there] = [placeOf(leader), placeOf(other)];
  return plane && here && there ? dot(there, plane.normal) - dot(here, plane.normal) : null;
}

/** Where a stack begins and ends along a direction, in mm. */
function extent(pane: Pane, normal: Vec3): [number, number] | null {
  const places = (pane.stack?.frames ?? []).flatMap((frame) => {
    const plane = planeOf(frame);
    return plane ? [dot(middleOf(plane), normal)] : [];
  });
  return places.length > 0 ? [Math.min(...places), Math.max(...places)] : null;
}

/**
 * The shift between two studies before anybody has set it: none where most of the shorter one lies
 * within the other, as between scans of one table position; else their middles correspond.
 */
function likelyShift(leader: Pane, other: Pane): number | null {
  const plane = leader.wantedFrame && planeOf(leader.wantedFrame);
  const [one, two] = plane ? [extent(leader, plane.normal), extent(other, plane.normal)] : [];
  if (!one || !two) {
    return null;
  }
  const common = Math.min(one[1], two[1]) - Math.max(one[0], two[0]);
  const shorter = Math.min(one[1] - one[0], two[1] - two[0]);
  return common >= shorter / 2 ? 0 : (two[0] + two[1] - one[0] - one[1]) / 2;
}

/** How far apart two neighbouring slices lie, in mm. */
function sliceStep(pane: Pane): number {
  const plane = pane.wantedFrame && planeOf(pane.wantedFrame);
  const range = plane && extent(pane, plane.normal);
  const count = (pane.stack?.frames.length ?? 1) - 1;
  return range && count > 0 ? (range[1] - range[0]) / count : 0;
}
