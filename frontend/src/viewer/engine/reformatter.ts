import { t } from "../../i18n";
import { Emitter } from "../core/emitter";
import type { Frame } from "../core/frame";
import { pixelRange } from "../core/frame";
import { interleavedOrder } from "../core/order";
import {
  boxOfVolume,
  MOVING_SIDE,
  planeAt,
  REFORMAT_PREFIX,
  RENDERED_SIDE,
} from "../core/reformat";
import { type Cells, cellFrame, cellsOf } from "../core/render3d";
import type { Stack, StackFrame } from "../core/stack";
import type { VolumePlan } from "../core/volume";
import { Volume } from "../core/voxels";
import type { FrameProblem, FrameService } from "../net/frames";
import { ByteCache } from "../net/lru";
import { type View3d, VolumeRenderer } from "./volume-renderer";

const CACHE_BYTES = 48 * 1024 * 1024;
/** While slices arrive, pictures are made anew this often. */
const RENEW_MS = 150;
/** The page is held up no longer than this at a time: what takes more goes on after its events. */
const TURN_MS = 40;

interface Held {
  plan: VolumePlan;
  volume: Volume;
  /** Places of the slices by the keys of their frames. */
  places: Map<string, number>;
  here: Set<number>;
}

interface Kept extends View3d {
  frame: Frame;
}

type Job =
  | { kind: "plane"; view: View3d; stack: Stack; work: Generator<void, Float32Array<ArrayBuffer>> }
  | { kind: "cells"; view: View3d; stack: Stack; work: Generator<void, Cells> }
  | {
      kind: "labels";
      view: View3d;
      stack: Stack;
      key: string;
      work: Generator<void, Uint8Array<ArrayBuffer>>;
    };

interface Events {
  loaded: { key: string };
  failed: { key: string; problem: FrameProblem };
}

export function isReformatted(frame: StackFrame): boolean {
  return frame.key.startsWith(REFORMAT_PREFIX);
}

/**
 * Makes the pictures of reformatted stacks from the frames themselves, in the page's own thread: a
 * plane takes a few milliseconds, less than copying the voxels to where another thread sees them.
 * What has been scrolled past meanwhile is not made at all.
 */
export class Reformatter extends Emitter<Events> {
  private held: Held | null = null;
  private readonly cache = new ByteCache<Kept>(CACHE_BYTES);
  private readonly stacks = new Map<string, Stack>();
  private readonly problems = new Map<string, FrameProblem>();
  private readonly renderer = new VolumeRenderer();
  private wanted: readonly StackFrame[] = [];
  /** Frames that are here and were not taken into the volume yet: making them smaller takes time. */
  private arrived: string[] = [];
  private job: Job | null = null;
  private workTimer = 0;
  private renewTimer = 0;
  private isDue = false;

  constructor(private readonly frames: FrameService) {
    super();
    frames.on("loaded", ({ key }) => this.takeSlice(key));
    this.renderer.on("drawn", ({ view, rgb, side }) => this.keepRendered(view, rgb, side));
    this.renderer.on("failed", ({ view, message }) => this.refuse(view.key, message));
  }

  /** Slices of the volume that are here. */
  get loaded(): number {
    return this.held?.here.size ?? 0;
  }

  /** Whether no volume waits for slices. */
  get isComplete(): boolean {
    return !this.held || this.isWhole(this.held);
  }

  /** Slices that cannot be shown: the volume is estimated from their neighbours there. */
  get failed(): number {
    const lacking = this.held?.plan.frames.filter(({ key }) => this.frames.problem(key));
    return lacking?.length ?? 0;
  }

  /** Holds the voxels of a series; one series at a time. */
  open(plan: VolumePlan): void {
    this.close();
    const places = new Map(plan.frames.map(({ key }, index) => [key, index]));
    this.held = { plan, volume: new Volume(plan.geometry), places, here: new Set() };
    const { shrink, columns, rows } = plan.geometry;
    const bits = plan.frames[0]?.image.BitsAllocated ?? 16;
    const copied = columns * rows * plan.frames.length * Math.ceil(bits / 8);
    this.frames.hold(shrink === 1 ? plan.frames : [], shrink === 1 ? 0 : copied);
    this.arrived = plan.frames.map(({ key }) => key);
    if (shrink === 1) {
      this.takeArrived();
    }
    this.workSoon();
  }

  /** Gives the memory back. */
  close(): void {
    clearTimeout(this.renewTimer);
    clearTimeout(this.workTimer);
    this.renewTimer = 0;
    this.workTimer = 0;
    this.renderer.close();
    if (this.held) {
      this.frames.hold([]);
    }
    this.held = null;
    this.arrived = [];
    this.job = null;
    this.wanted = [];
    this.stacks.clear();
    this.problems.clear();
    this.cache.clear();
  }

  /** Makes the pictures of a stack known. */
  add(stack: Stack): void {
    this.stacks.set(stack.series.id, stack);
  }

  forget(stack: Stack): void {
    this.stacks.delete(stack.series.id);
  }

  peek(key: string): Frame | undefined {
    return this.cache.get(key)?.frame;
  }

  has(key: string): boolean {
    return this.cache.has(key) || (this.held !== null && this.isWhole(this.held));
  }

  problem(key: string): FrameProblem | undefined {
    return this.problems.get(key);
  }

  /** The frames of the series that the volume still lacks, every 8th first. */
  get missing(): StackFrame[] {
    const { held } = this;
    return held
      ? interleavedOrder(held.plan.frames.length)
          .filter((index) => !held.here.has(index))
          .map((index) => held.plan.frames[index] as StackFrame)
      : [];
  }

  /** Says which pictures are on the screen. */
  want(visible: readonly StackFrame[]): void {
    this.wanted = visible;
    this.workSoon();
  }

  private isWhole(held: Held): boolean {
    return held.here.size === held.plan.frames.length;
  }

  /** Takes what is here into the volume, at most until a moment; returns whether all is in it. */
  private takeArrived(until = Number.POSITIVE_INFINITY): boolean {
    while (this.arrived.length > 0 && performance.now() < until) {
      this.takeSlice(this.arrived.shift() as string);
    }
    return this.arrived.length === 0;
  }

  private takeSlice(key: string): void {
    const { held } = this;
    const index = held?.places.get(key);
    const frame = index === undefined ? undefined : this.frames.peek(key);
    if (!held || index === undefined || !frame || held.here.has(index)) {
      return;
    }
    held.here.add(index);
    held.volume.put(index, frame.data, frame.columns);
    if (this.isWhole(held)) {
      clearTimeout(this.renewTimer);
      this.renewTimer = 0;
      this.workSoon();
    } else if (this.renewTimer === 0) {
      this.renewTimer = window.setTimeout(() => {
        this.renewTimer = 0;
        this.workSoon();
      }, RENEW_MS);
    }
  }

  /** A view of the whole volume costs more than a plane: it is made anew when twice as much is here. */
  private isOutdated(slices: number, held: Held, isView: boolean): boolean {
    const enough = isView && !this.isWhole(held) ? slices * 2 : slices + 1;
    return held.here.size >= enough;
  }

  /** After the event that is being handled, so that its steps cost one picture each viewport. */
  private workSoon(): void {
    if (!this.isDue) {
      this.isDue = true;
      queueMicrotask(() => {
        this.isDue = false;
        this.work();
      });
    }
  }

  private work(): void {
    clearTimeout(this.workTimer);
    this.workTimer = 0;
    const until = performance.now() + TURN_MS;
    for (;;) {
      const isWanted = this.wanted.some(({ key }) => key === this.job?.view.key);
      this.job = isWanted ? this.job : this.nextJob();
      if (!this.job && this.arrived.length === 0) {
        return;
      }
      if (performance.now() >= until) {
        this.workTimer = window.setTimeout(() => this.work(), 0);
        return;
      }
      if (this.job) {
        this.advance(this.job);
      } else {
        this.takeArrived(until);
      }
    }
  }

  private advance(job: Job): void {
    try {
      if (job.kind === "plane") {
        const { done, value } = job.work.next();
        if (done) {
          this.job = null;
          this.keepPlane(job, value);
        }
      } else if (job.kind === "labels") {
        const { done, value } = job.work.next();
        if (done) {
          this.job = null;
          this.renderer.setLabels(value, job.key);
        }
      } else {
        const { done, value } = job.work.next();
        if (done) {
          this.job = null;
          this.renderer.setCells(value, job.view.slices);
        }
      }
    } catch (error) {
      this.job = null;
      const reason = error instanceof Error ? error.message : String(error);
      this.refuse(job.view.key, reason);
    }
  }

  private nextJob(): Job | null {
    const { held } = this;
    if (!held || held.here.size === 0) {
      return null;
    }
    for (const frame of this.wanted) {
      const stack = this.stacks.get(frame.image.id);
      const job = stack && !this.problems.has(frame.key) ? this.jobFor(frame, stack, held) : null;
      if (job) {
        return job;
      }
    }
    return null;
  }

  private jobFor({ key, frame_number }: StackFrame, stack: Stack, held: Held): Job | null {
    const { reformat, rendering } = stack;
    const kept = this.cache.get(key);
    const slices = held.here.size;
    const isOld = !kept || this.isOutdated(kept.slices, held, rendering !== undefined);
    if (reformat && isOld) {
      const grid = planeAt(reformat.grid, frame_number - 1);
      const work = held.volume.sampling(grid, reformat.slab);
      return { kind: "plane", view: { key, slices, isFine: true }, stack, work };
    }
    if (!rendering || this.renderer.isBusy || (kept?.isFine && !isOld)) {
      return null;
    }
    // A coarse picture at once, the fine one when nothing more urgent is wanted.
    const view = { key, slices, isFine: !isOld };
    if (view.isFine && (rendering.isMoving || !this.isWhole(held))) {
      return null;
    }
    const { renderer } = this;
    if (renderer.slices === 0 || this.isOutdated(renderer.slices, held, true)) {
      const { low, high } = boxOfVolume(held.plan.geometry);
      return { kind: "cells", view, stack, work: cellsOf(held.volume, low, high) };
    }
    const solids = rendering.solids ?? null;
    if (solids && solids.key !== renderer.labelled) {
      const { low, high } = boxOfVolume(held.plan.geometry);
      const work = solids.cells(cellFrame(low, high));
      return { kind: "labels", view, stack, key: solids.key, work };
    }
    if (!solids && renderer.labelled !== null) {
      renderer.setLabels(null, null);
    }
    const [side, stride] = view.isFine ? [RENDERED_SIDE, 1] : [MOVING_SIDE, 2];
    renderer.draw({ ...view, slices: renderer.slices }, rendering, side, stride);
    return null;
  }

  private keepPlane({ view, stack }: Job, data: Float32Array<ArrayBuffer>): void {
    const grid = stack.reformat?.grid;
    if (grid) {
      const { rows, columns } = grid;
      const key = `${view.key}@${view.slices}`;
      this.keep(view, { key, rows, columns, samples: 1, data, ...pixelRange(data) });
    }
  }

  private keepRendered(view: View3d, data: Uint8Array<ArrayBuffer>, side: number): void {
    const key = `${view.key}@${view.slices}${view.isFine ? "" : "-coarse"}`;
    this.keep(view, { key, rows: side, columns: side, samples: 3, data, min: 0, max: 255 });
    this.workSoon();
  }

  private keep(view: View3d, frame: Frame): void {
    this.cache.set(view.key, { ...view, frame }, frame.data.byteLength);
    this.emit("loaded", { key: view.key });
  }

  private refuse(key: string, reason: string): void {
    const problem = {
      message: t("This picture cannot be computed. {reason}", { reason }),
      canRetry: false,
    };
    this.problems.set(key, problem);
    this.emit("failed", { key, problem });
  }
}
