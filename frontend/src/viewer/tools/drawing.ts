import { apply, invert } from "../core/affine";
import { pixelAspect } from "../core/calibration";
import type { MeasurementFacts, MeasurementKind, Vec2 } from "../core/manifest";
import { POINT_COUNT, shortAxis } from "../core/measure";
import type { Pane } from "../engine/pane";
import type { Drag } from "./navigation";
import { type Hit, moveAll, moveHandle } from "./shapes";
import type { Workspace } from "./workspace";

/** A press that moved less than this many CSS pixels is a click: the next point follows the pointer. */
const CLICK_REACH = 4;

export interface Draft {
  kind: MeasurementKind;
  points: readonly Vec2[];
}

/** A drawing under way. */
export interface Sketch {
  readonly draft: Draft;
  readonly facts: MeasurementFacts | null;
  press(at: Vec2): void;
  move(at: Vec2): void;
  /** Returns true when the measurement is complete. */
  release(at: Vec2): boolean;
  /** Enter: ends a drawing of any number of points; returns whether it is complete. */
  close(): boolean;
  commit(): MeasurementFacts | null;
}

/**
 * Draws a new measurement. Points are set by dragging from one to the next or by clicking each;
 * both ways may be mixed, with the mouse or a finger.
 */
export class Drawing implements Sketch {
  private points: Vec2[];
  private pressedAt: Vec2;
  private isPressed = true;

  constructor(
    private readonly workspace: Workspace,
    readonly pane: Pane,
    readonly kind: MeasurementKind,
    at: Vec2,
  ) {
    const first = this.toPicture(at);
    this.points = POINT_COUNT[kind] === 1 ? [first] : [first, first];
    this.pressedAt = at;
  }

  get draft(): Draft {
    return { kind: this.kind, points: this.points };
  }

  /** What it measures now, for drawing it live. */
  get facts(): MeasurementFacts | null {
    return this.workspace.measured(this.pane, this.kind, this.allPoints, null);
  }

  /** A long axis is given a short one, which its ends then change. */
  private get allPoints(): readonly Vec2[] {
    const [a, b] = this.points;
    const frame = this.pane.shownFrame;
    return this.kind === "bidirectional" && a && b && frame
      ? [a, b, ...shortAxis(a, b, [1, pixelAspect(frame)])]
      : this.points;
  }

  press(at: Vec2): void {
    this.isPressed = true;
    this.pressedAt = at;
    this.move(at);
    // The second line of a pair begins where it is pressed and is dragged to its end.
    if (this.kind === "cobb" && this.points.length === 3) {
      this.points = [...this.points, this.toPicture(at)];
    }
  }

  close(): boolean {
    return false;
  }

  move(at: Vec2): void {
    this.points = [...this.points.slice(0, -1), this.toPicture(at)];
  }

  /** Ends a press; returns true when the measurement is complete. */
  release(at: Vec2): boolean {
    if (!this.isPressed) {
      return false;
    }
    this.isPressed = false;
    this.move(at);
    const wanted = this.kind === "bidirectional" ? 2 : POINT_COUNT[this.kind];
    if (wanted === 1) {
      return true;
    }
    const dragged = Math.hypot(at[0] - this.pressedAt[0], at[1] - this.pressedAt[1]) >= CLICK_REACH;
    const isFirstClick = this.points.length === 2 && !dragged && this.isDegenerate();
    if (isFirstClick) {
      return false;
    }
    if (this.points.length < wanted) {
      this.points = [...this.points, this.toPicture(at)];
      return false;
    }
    return !this.isDegenerate();
  }

  /** Puts the finished measurement into the study's list. */
  commit(): MeasurementFacts | null {
    const facts = this.facts;
    if (facts) {
      this.workspace.list.create(facts);
    }
    return facts;
  }

  private isDegenerate(): boolean {
    const last = this.points.at(-1);
    const previous = this.points.at(-2);
    return last !== undefined && last[0] === previous?.[0] && last[1] === previous[1];
  }

  private toPicture(at: Vec2): Vec2 {
    return pictureAt(this.pane, at);
  }
}

/** The picture point under a place of the viewport, kept on the picture. */
export function pictureAt(pane: Pane, at: Vec2): Vec2 {
  const { matrix, pictureSize } = pane;
  if (!matrix || !pictureSize) {
    return [0, 0];
  }
  const [x, y] = apply(invert(matrix), at);
  return [
    Math.min(Math.max(x, -0.5), pictureSize.columns - 0.5),
    Math.min(Math.max(y, -0.5), pictureSize.rows - 0.5),
  ];
}

/** Moves one handle or the whole of a measurement; one step of undo for the whole drag. */
export function startEdit(workspace: Workspace, pane: Pane, hit: Hit, start: Vec2): Drag | null {
  const before = workspace.list.get(hit.key)?.facts;
  // Where this viewport draws it: a reformatted plane has coordinates of its own.
  const drawn = workspace.itemsOn(pane).find(({ key }) => key === hit.key)?.facts;
  if (!before || !drawn) {
    return null;
  }
  const origin = pictureAt(pane, start);
  let after: MeasurementFacts | null = null;
  return {
    move(at) {
      const to = pictureAt(pane, at);
      const points =
        hit.handle === null
          ? moveAll(drawn.points, to[0] - origin[0], to[1] - origin[1])
          : moveHandle(before.kind, drawn.points, hit.handle, to);
      after = workspace.measured(pane, before.kind, points, before);
      if (after) {
        workspace.list.preview(hit.key, after);
      }
    },
    end() {
      if (after) {
        const { id, author, version, created_at, updated_at } =
          workspace.list.get(hit.key)?.facts ?? before;
        workspace.list.commit(hit.key, before, {
          ...after,
          id,
          ...(author === undefined ? {} : { author }),
          ...(version === undefined ? {} : { version }),
          ...(created_at === undefined ? {} : { created_at }),
          ...(updated_at === undefined ? {} : { updated_at }),
        });
      }
    },
    cancel() {
      workspace.list.preview(hit.key, before);
    },
  };
}

/** Longest label that the server keeps. */
const LONGEST_LABEL = 200;

export function renamed(facts: MeasurementFacts, label: string): MeasurementFacts {
  return { ...facts, label: label.trim().slice(0, LONGEST_LABEL) };
}
