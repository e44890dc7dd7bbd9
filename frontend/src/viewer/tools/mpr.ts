import type { Layout } from "../core/layout";
import type { MeasurementFacts, Vec3 } from "../core/manifest";
import {
  indexAt,
  middleOfVolume,
  type PlaneAxes,
  type PlaneKind,
  planeAt,
  reformatStack,
  STRAIGHT,
  turnAxes,
} from "../core/reformat";
import type { Stack } from "../core/stack";
import { add, cross, dot, scale } from "../core/vectors";
import { type Slab, THIN, type VolumePlan } from "../core/volume";
import type { Hanging } from "../engine/beside-pane";
import type { Pane } from "../engine/pane";
import { VolumeView } from "./volume-view";

const KINDS: readonly PlaneKind[] = ["axial", "coronal", "sagittal"];
const WIDE: Layout = "2x2";
const NARROW: Layout = "3x1";
const LEAST_WIDTH = 760;

interface Before {
  layout: Layout;
  active: number;
  panes: { stack: Stack | null; index: number; hanging: Hanging | null }[];
}

/** Three planes through one volume: where they cross, how they are turned, how thick they are. */
export class Mpr extends VolumeView {
  plan: VolumePlan | null = null;
  center: Vec3 = [0, 0, 0];
  slab: Slab = THIN;
  private axes: Record<PlaneKind, PlaneAxes> = { ...STRAIGHT };
  private before: Before | null = null;
  /** Hanging a stack moves viewports: that is not a person's scrolling. */
  private isHanging = false;

  get isOpen(): boolean {
    return this.plan !== null;
  }

  get isOblique(): boolean {
    return KINDS.some((kind) => this.axes[kind] !== STRAIGHT[kind]);
  }

  open(): void {
    const { workspace } = this;
    workspace.volume3d.close();
    const active = this.planActive();
    if (!active) {
      return;
    }
    const { stack, index, plan } = active;
    this.before = {
      layout: workspace.layout,
      active: workspace.activeIndex,
      panes: workspace.panes.map(({ stack: shown, index, hanging }) => ({
        stack: shown,
        index,
        hanging,
      })),
    };
    this.plan = plan;
    this.slab = THIN;
    this.axes = { ...STRAIGHT };
    this.center = middleOfVolume(plan);
    const { window, hasChosenWindow } = workspace.active;
    workspace.pictures.reformatter.open(plan);
    const isWide = innerWidth >= LEAST_WIDTH;
    workspace.arrange(isWide ? WIDE : NARROW);
    for (const kind of KINDS) {
      this.hang(kind);
    }
    if (isWide) {
      workspace.hang(workspace.panes[3] as Pane, stack, index);
    }
    if (hasChosenWindow) {
      for (const { pane } of this.panes()) {
        pane.setWindow(window);
      }
    }
    workspace.activate(0);
    workspace.setTool("crosshair");
    this.changed();
  }

  /** Opens the plane in which a measurement was drawn. */
  show(stack: Stack, facts: MeasurementFacts): void {
    const { workspace } = this;
    const [first] = facts.points_mm ?? [];
    if (this.plan?.stack !== stack) {
      this.close();
      workspace.openSeries(stack.series);
      this.open();
    }
    const own = facts.plane;
    if (!this.plan || !first || own?.length !== 6) {
      return;
    }
    const [a, b, c, d, e, f] = own as [number, number, number, number, number, number];
    const axes: PlaneAxes = { right: [a, b, c], down: [d, e, f] };
    const normal = cross(axes.right, axes.down);
    const likeness = (kind: PlaneKind): number => {
      const { right, down } = this.axes[kind];
      return Math.abs(dot(cross(right, down), normal));
    };
    const kind = [...KINDS].sort((one, other) => likeness(other) - likeness(one))[0] as PlaneKind;
    if (likeness(kind) < 1 - 1e-9) {
      this.axes[kind] = axes;
      this.renew([kind]);
    }
    this.goTo(first);
    workspace.activate(KINDS.indexOf(kind));
  }

  close(): void {
    const { workspace, before, plan } = this;
    if (!before || !plan) {
      return;
    }
    this.plan = null;
    this.before = null;
    workspace.setCrosshair(null);
    workspace.arrange(before.layout);
    for (const [number, pane] of workspace.panes.entries()) {
      const kept = before.panes[number];
      if (kept?.stack) {
        workspace.hang(pane, kept.stack, kept.index, kept.hanging);
      } else if (pane.stack) {
        workspace.hang(pane, null);
      }
    }
    workspace.pictures.reformatter.close();
    workspace.hanging.views.renew();
    workspace.activate(before.active);
    workspace.setTool("window");
    this.changed();
  }

  setSlab(change: Partial<Slab>): void {
    this.slab = { ...this.slab, ...change };
    this.renew(KINDS);
  }

  /** Turns the two other planes about the direction in which one is looked at. */
  turn(pane: Pane, radians: number): void {
    const reformat = pane.stack?.reformat;
    if (!reformat) {
      return;
    }
    const about = reformat.grid.normal;
    const others = KINDS.filter((kind) => kind !== reformat.kind);
    for (const kind of others) {
      this.axes[kind] = turnAxes(this.axes[kind], about, radians);
    }
    this.renew(others);
  }

  /** Back to axial, coronal and sagittal. */
  straighten(): void {
    this.axes = { ...STRAIGHT };
    this.renew(KINDS);
  }

  /** Lets the planes cross at a point, which the viewports then show. */
  goTo(point: Vec3): void {
    this.center = point;
    this.isHanging = true;
    for (const { pane } of this.panes()) {
      const grid = pane.stack?.reformat?.grid;
      if (grid) {
        pane.go(indexAt(grid, point));
      }
    }
    this.isHanging = false;
    this.mark();
  }

  /** Hears a viewport being scrolled: the crossing moves along with its plane. */
  watch(pane: Pane): void {
    pane.on("moved", () => {
      const grid = pane.stack?.reformat?.grid;
      if (!grid || !this.plan || this.isHanging) {
        return;
      }
      const place = planeAt(grid, pane.index).origin;
      const off = dot(place, grid.normal) - dot(this.center, grid.normal);
      this.center = add(this.center, scale(grid.normal, off));
      this.mark();
    });
  }

  /** The viewports that show the planes. */
  panes(): { pane: Pane; kind: PlaneKind }[] {
    return this.workspace.panes.flatMap((pane) => {
      const kind = pane.stack?.reformat?.kind;
      return kind ? [{ pane, kind }] : [];
    });
  }

  /** Puts the planes of a direction into its viewport. */
  private hang(kind: PlaneKind): void {
    const { plan, workspace } = this;
    const pane = workspace.panes[KINDS.indexOf(kind)];
    if (plan && pane) {
      const stack = reformatStack(plan, kind, this.axes[kind], this.slab);
      workspace.pictures.reformatter.add(stack);
      workspace.hang(pane, stack, stack.reformat ? indexAt(stack.reformat.grid, this.center) : 0);
    }
  }

  /** Makes planes anew that were turned or thickened; window, zoom and place stay. */
  private renew(kinds: readonly PlaneKind[]): void {
    const { plan, workspace } = this;
    if (!plan) {
      return;
    }
    this.isHanging = true;
    for (const { pane, kind } of this.panes()) {
      if (kinds.includes(kind) && pane.stack) {
        workspace.pictures.reformatter.forget(pane.stack);
        const stack = reformatStack(plan, kind, this.axes[kind], this.slab);
        workspace.pictures.reformatter.add(stack);
        pane.exchangeStack(stack, stack.reformat ? indexAt(stack.reformat.grid, this.center) : 0);
      }
    }
    this.isHanging = false;
    this.changed();
  }

  /** Says where the planes cross; bars and lists stay as they are. */
  private mark(): void {
    const { plan, workspace } = this;
    const uid = plan?.stack.series.FrameOfReferenceUID;
    if (plan) {
      workspace.setCrosshair({ point: this.center, FrameOfReferenceUID: uid ?? null });
    }
  }

  private changed(): void {
    this.mark();
    this.emit("change", undefined);
  }
}

/** How far the direction from `center` to `to` is turned from that to `from`, seen along `normal`. */
export function turnBetween(center: Vec3, from: Vec3, to: Vec3, normal: Vec3): number {
  const minus = (a: Vec3, b: Vec3): Vec3 => [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
  const one = minus(from, center);
  const other = minus(to, center);
  return Math.atan2(dot(cross(one, other), normal), dot(one, other));
}
