import type { HungStage } from "../core/manifest";
import { gridOf, indexAt, middleOfVolume, reformatStack, STRAIGHT } from "../core/reformat";
import type { Stack, StackFrame } from "../core/stack";
import { planVolume, type VolumePlan } from "../core/volume";
import type { Pane } from "../engine/pane";
import type { Workspace } from "./workspace";

interface Projection {
  pane: Pane;
  plan: VolumePlan;
  stack: Stack;
}

/** What a layout shows beside the pictures of files: a fused viewport, a projection of a volume. */
export class HungViews {
  private projection: Projection | null = null;
  private isLaidOver = false;

  constructor(private readonly workspace: Workspace) {}

  /** Shows what a stage asks for, now that its series hang. */
  open(stage: HungStage): void {
    this.close();
    const { workspace } = this;
    const asked = (show: string): Pane[] =>
      stage.viewports.flatMap((place, number) => {
        const pane = workspace.panes[number];
        return pane?.stack && !pane.stack.owner && place?.show === show ? [pane] : [];
      });
    const fused = asked("fused");
    if (fused.length > 0) {
      this.layOver(fused);
    }
    // Voxels are held of one series at a time: of several projections the first is made.
    const [projected] = asked("mip");
    if (projected?.stack) {
      this.project(projected, projected.stack);
    }
  }

  /** Whether a viewport shows the projection that its layout asks for. */
  isProjection(pane: Pane): boolean {
    const { projection } = this;
    return projection !== null && projection.pane === pane && pane.stack === projection.stack;
  }

  /** Takes away what the layout had laid over and projected. */
  close(): void {
    const { workspace, projection } = this;
    this.projection = null;
    // Where another view of a volume stands in its place, the voxels are that one's.
    if (projection && projection.pane.stack === projection.stack) {
      workspace.hang(projection.pane, null);
      workspace.pictures.reformatter.close();
    }
    if (this.isLaidOver) {
      this.isLaidOver = false;
      workspace.fusion.close();
    }
  }

  /** Another view of a volume has given the voxels back: the projection wants its own again. */
  renew(): void {
    const { workspace, projection } = this;
    if (projection && projection.pane.stack === projection.stack) {
      workspace.pictures.reformatter.open(projection.plan);
      workspace.pictures.reformatter.add(projection.stack);
      projection.pane.requestDraw();
      workspace.refocus();
    }
  }

  private layOver(panes: readonly Pane[]): void {
    const { fusion } = this.workspace;
    const overlay = fusion.best(panes[0] as Pane);
    if (overlay) {
      fusion.openIn(panes, overlay);
      this.isLaidOver = fusion.state !== null;
    }
  }

  /** The highest values from front to back, as one picture; slices that make no volume stay. */
  private project(pane: Pane, source: Stack): void {
    const { workspace } = this;
    const plan = planVolume(source, workspace.frames.mostVolumeBytes);
    if ("refusal" in plan) {
      return;
    }
    // One slab holds the whole volume; an even number of steps lays its layers upon the planes.
    const { count, step } = gridOf(plan, STRAIGHT.coronal);
    const thickness = (count + (count % 2)) * step;
    const slab = { mode: "mip", thickness, isWhole: true } as const;
    const planes = reformatStack(plan, "coronal", STRAIGHT.coronal, slab);
    const grid = planes.reformat?.grid;
    const middle = grid ? planes.frames[indexAt(grid, middleOfVolume(plan))] : undefined;
    const stack = { ...planes, frames: [middle ?? (planes.frames[0] as StackFrame)] };
    workspace.pictures.reformatter.open(plan);
    workspace.pictures.reformatter.add(stack);
    workspace.hang(pane, stack);
    this.projection = { pane, plan, stack };
  }
}
