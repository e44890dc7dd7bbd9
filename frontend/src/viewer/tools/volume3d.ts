import { t } from "../../i18n";
import type { Vec2, Vec3 } from "../core/manifest";
import { type Rendering3d, renderedStack, rotate, type Solids3d } from "../core/reformat";
import {
  type Camera,
  FRONT,
  presetsOf,
  type RenderPreset,
  SEGMENTS_ALONE,
  WHOLE,
} from "../core/render3d";
import type { Stack } from "../core/stack";
import type { Pane } from "../engine/pane";
import type { Drag } from "./navigation";
import { VolumeView } from "./volume-view";

/** A viewport's width of dragging turns the volume by this much. */
const RADIANS_PER_PIXEL = Math.PI / 400;

/** Where people look from, in LPS. */
export const VIEWS: readonly { name: string; camera: Camera }[] = [
  { name: t("Front"), camera: FRONT },
  { name: t("Back"), camera: { right: [-1, 0, 0], down: [0, 0, -1] } },
  { name: t("Left"), camera: { right: [0, 1, 0], down: [0, 0, -1] } },
  { name: t("Right"), camera: { right: [0, -1, 0], down: [0, 0, -1] } },
  { name: t("Head"), camera: { right: [-1, 0, 0], down: [0, 1, 0] } },
  { name: t("Feet"), camera: { right: [1, 0, 0], down: [0, 1, 0] } },
];

/** One segment in the list beside the volume. */
export interface SegmentIn3d {
  part: { facts: { name: string }; colour: string; isShown: boolean };
  /** The object that it belongs to; empty of what is drawn here. */
  of: string;
  show: (isShown: boolean) => void;
}

/** Where the segments of a volume come from; loaded when somebody asks for segments. */
export interface SegmentsIn3d {
  partsOf(stack: Stack): readonly SegmentIn3d[];
  /** The visible ones as they are drawn; null without any. */
  shownOf(stack: Stack, opacity: number): Solids3d | null;
}

const FIRST_OPACITY = 0.8;

interface Before {
  stack: Stack;
  index: number;
}

/** The active series as a whole: turned, cropped, drawn in colours by its values. */
export class Volume3d extends VolumeView {
  rendering: Rendering3d | null = null;
  /** Of the segments' surfaces. */
  opacity = FIRST_OPACITY;
  private source: SegmentsIn3d | null = null;
  private before: Before | null = null;

  get isOpen(): boolean {
    return this.rendering !== null;
  }

  get presets(): readonly RenderPreset[] {
    const all = presetsOf(this.rendering?.plan.stack.series.Modality ?? null);
    return this.segments.length > 0 ? [...all, SEGMENTS_ALONE] : all;
  }

  /** The segments that lie in the volume, shown or not. */
  get segments(): readonly SegmentIn3d[] {
    const stack = this.rendering?.plan.stack;
    return (stack && this.source?.partsOf(stack)) ?? [];
  }

  /** Segments are here. */
  offer(source: SegmentsIn3d): void {
    this.source = source;
    this.renewSegments();
  }

  /** Draws the segments as they are now. */
  renewSegments(): void {
    const { rendering, source } = this;
    if (!rendering || !source) {
      return;
    }
    const solids = source.shownOf(rendering.plan.stack, this.opacity);
    const told = (one: Solids3d | null | undefined): string =>
      one ? JSON.stringify([one.key, one.tints]) : "";
    if (told(solids) !== told(rendering.solids)) {
      this.set({ solids });
    }
  }

  setOpacity(opacity: number): void {
    this.opacity = opacity;
    this.renewSegments();
    this.emit("change", undefined);
  }

  open(): void {
    const { workspace } = this;
    workspace.mpr.close();
    const active = this.planActive();
    if (!active) {
      return;
    }
    const { stack, index, plan } = active;
    this.before = { stack, index };
    const [preset] = presetsOf(stack.series.Modality) as [RenderPreset];
    const solids = this.source?.shownOf(stack, this.opacity) ?? null;
    this.rendering = { plan, camera: FRONT, preset, crop: WHOLE, isMoving: false, solids };
    workspace.pictures.reformatter.open(plan);
    const rendered = renderedStack(this.rendering);
    workspace.pictures.reformatter.add(rendered);
    workspace.hang(workspace.active, rendered);
    this.emit("change", undefined);
  }

  close(): void {
    const { workspace, before } = this;
    if (!before || !this.rendering) {
      return;
    }
    const pane = this.pane;
    this.rendering = null;
    this.before = null;
    if (pane) {
      workspace.hang(pane, before.stack, before.index);
    }
    workspace.pictures.reformatter.close();
    workspace.hanging.views.renew();
    this.emit("change", undefined);
  }

  set(change: Partial<Rendering3d>): void {
    const { pane, rendering, workspace } = this;
    if (!rendering || !pane?.stack) {
      return;
    }
    this.rendering = { ...rendering, ...change };
    const stack = renderedStack(this.rendering);
    workspace.pictures.reformatter.forget(pane.stack);
    workspace.pictures.reformatter.add(stack);
    pane.exchangeStack(stack, 0);
    this.emit("change", undefined);
  }

  /** Turns what is seen to the right and downwards. */
  turn(right: number, down: number, isMoving = false): void {
    const { rendering } = this;
    if (rendering) {
      const { camera } = rendering;
      // The camera goes the other way than what it sees.
      const about = (axis: Vec3, radians: number, { right: r, down: d }: Camera): Camera => ({
        right: rotate(r, axis, radians),
        down: rotate(d, axis, radians),
      });
      const turned = about(camera.down, right, camera);
      this.set({ camera: about(turned.right, -down, turned), isMoving });
    }
  }

  drag(start: Vec2): Drag {
    const before = this.rendering?.camera ?? FRONT;
    let last = start;
    return {
      move: (at) => {
        this.turn(
          (at[0] - last[0]) * RADIANS_PER_PIXEL,
          (at[1] - last[1]) * RADIANS_PER_PIXEL,
          true,
        );
        last = at;
      },
      end: () => this.set({ isMoving: false }),
      cancel: () => this.set({ camera: before, isMoving: false }),
    };
  }

  private get pane(): Pane | null {
    return this.workspace.panes.find(({ stack }) => stack?.rendering) ?? null;
  }
}
