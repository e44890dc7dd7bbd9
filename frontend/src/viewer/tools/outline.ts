import { apply } from "../core/affine";
import { LiveWire } from "../core/livewire";
import type { MeasurementFacts, MeasurementKind, Vec2 } from "../core/manifest";
import { simplified } from "../core/outline";
import type { Pane } from "../engine/pane";
import { type Draft, pictureAt, type Sketch } from "./drawing";
import type { Workspace } from "./workspace";

/** A click this near to the first point, or to the last one, closes the outline. */
const CLOSING_REACH = 10;
/** Free lines keep a point every so many CSS pixels. */
const FREEHAND_STEP = 2;
const MOST_POINTS = 2000;
/** Points nearer than this to the line between their neighbours are left out; picture pixels. */
const ROUGHNESS = 0.25;

/** Draws an outline: freely while pressed, or from click to click as a curve or along edges. */
export class OutlineDrawing implements Sketch {
  /** What was set for good. */
  private set: Vec2[];
  /** Of a livewire: how many of the set points stand before each click. */
  private tip: Vec2;
  private wire: LiveWire | null = null;
  private clicks = 1;
  private lastAt: Vec2;

  constructor(
    private readonly workspace: Workspace,
    readonly pane: Pane,
    readonly kind: MeasurementKind,
    at: Vec2,
  ) {
    const first = pictureAt(pane, at);
    this.set = [first];
    this.tip = first;
    this.lastAt = at;
    this.startWire();
  }

  get draft(): Draft {
    return { kind: this.kind, points: this.points };
  }

  get facts(): MeasurementFacts | null {
    const { points } = this;
    return this.workspace.measured(this.pane, this.kind, points, null);
  }

  press(_at: Vec2): void {}

  move(at: Vec2): void {
    if (this.kind === "freehand") {
      const isFar = Math.hypot(at[0] - this.lastAt[0], at[1] - this.lastAt[1]) >= FREEHAND_STEP;
      if (isFar && this.set.length < MOST_POINTS * 4) {
        this.set.push(pictureAt(this.pane, at));
        this.lastAt = at;
      }
      return;
    }
    this.tip = pictureAt(this.pane, at);
  }

  release(at: Vec2): boolean {
    if (this.kind === "freehand") {
      return this.set.length >= 3;
    }
    this.tip = pictureAt(this.pane, at);
    const isAgain =
      this.clicks > 1 && Math.hypot(at[0] - this.lastAt[0], at[1] - this.lastAt[1]) < 4;
    if (this.clicks >= 3 && (isAgain || this.isAtStart(at))) {
      this.tip = this.set[0] as Vec2;
      return true;
    }
    const isFirst =
      this.clicks === 1 && Math.hypot(at[0] - this.lastAt[0], at[1] - this.lastAt[1]) < 4;
    if (!isFirst && !isAgain) {
      this.fix();
      this.lastAt = at;
    }
    return false;
  }

  /** Enter: closes the outline as it is. */
  close(): boolean {
    if (this.kind === "freehand" || this.clicks < 3) {
      return false;
    }
    this.tip = this.set[0] as Vec2;
    return true;
  }

  commit(): MeasurementFacts | null {
    const points =
      this.kind === "spline" ? this.set : simplified(this.points, ROUGHNESS).slice(0, MOST_POINTS);
    const facts =
      points.length >= 3 ? this.workspace.measured(this.pane, this.kind, points, null) : null;
    if (facts) {
      this.workspace.list.create(facts);
    }
    return facts;
  }

  private get points(): Vec2[] {
    if (this.kind === "freehand") {
      return this.set;
    }
    return this.wire
      ? [...this.set, ...this.wire.path(this.tip).slice(1)]
      : [...this.set, this.tip];
  }

  private fix(): void {
    this.set = this.points;
    this.tip = this.set.at(-1) as Vec2;
    this.clicks += 1;
    this.startWire();
  }

  private startWire(): void {
    const { pixels } = this.pane;
    this.wire =
      this.kind === "livewire" && pixels ? new LiveWire(pixels, this.set.at(-1) as Vec2) : null;
  }

  private isAtStart(at: Vec2): boolean {
    const { matrix } = this.pane;
    const start = matrix && apply(matrix, this.set[0] as Vec2);
    return start !== null && Math.hypot(at[0] - start[0], at[1] - start[1]) <= CLOSING_REACH;
  }
}
