import { Emitter } from "../core/emitter";
import type { Frame } from "../core/frame";
import { interleavedOrder } from "../core/order";
import { MOVING_SIDE, planeAt, REFORMAT_PREFIX, RENDERED_SIDE } from "../core/reformat";
import type { Stack, StackFrame } from "../core/stack";
import type { VolumePlan } from "../core/volume";
import type { FrameProblem, FrameService } from "../net/frames";
import { ByteCache } from "../net/lru";
import type { VolumeAnswer, VolumeRequest } from "./volume-messages";

const CACHE_BYTES = 96 * 1024 * 1024;
/** While slices arrive, pictures are made anew this often. */
const RENEW_MS = 150;

interface Held {
  id: number;
  plan: VolumePlan;
  /** Places of the slices by the keys of their frames. */
  places: Map<string, number>;
  here: Set<number>;
}

interface Kept {
  frame: Frame;
  /** How many slices it was made of. */
  slices: number;
  /** False of a coarse picture of the whole volume. */
  isFine: boolean;
}

interface Events {
  loaded: { key: string };
  failed: { key: string; problem: FrameProblem };
}

export function isReformatted(frame: StackFrame): boolean {
  return frame.key.startsWith(REFORMAT_PREFIX);
}

/** Makes the pictures of reformatted stacks in a worker; asked last is made first. */
export class Reformatter extends Emitter<Events> {
  private worker: Worker | null = null;
  private held: Held | null = null;
  private readonly cache = new ByteCache<Kept>(CACHE_BYTES);
  private readonly stacks = new Map<string, Stack>();
  private readonly problems = new Map<string, FrameProblem>();
  private wanted: readonly StackFrame[] = [];
  private running: { job: number; key: string; slices: number; isFine: boolean } | null = null;
  private nextId = 1;
  private renewTimer = 0;

  constructor(private readonly frames: FrameService) {
    super();
    frames.on("loaded", ({ key }) => this.takeSlice(key));
  }

  /** Slices of the volume that are here. */
  get loaded(): number {
    return this.held?.here.size ?? 0;
  }

  /** Holds the voxels of a series; one series at a time. */
  open(plan: VolumePlan): void {
    this.close();
    this.worker = new Worker(new URL("./volume.worker.ts", import.meta.url), { type: "module" });
    this.worker.addEventListener("message", (event: MessageEvent<VolumeAnswer>) =>
      this.receive(event.data),
    );
    this.worker.addEventListener("error", () => this.fail());
    const places = new Map(plan.frames.map(({ key }, index) => [key, index]));
    this.held = { id: this.nextId++, plan, places, here: new Set() };
    this.post({ kind: "volume", volume: this.held.id, geometry: plan.geometry });
    for (const { key } of plan.frames) {
      this.takeSlice(key);
    }
  }

  /** Gives the memory back. */
  close(): void {
    clearTimeout(this.renewTimer);
    this.renewTimer = 0;
    this.worker?.terminate();
    this.worker = null;
    this.held = null;
    this.running = null;
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
    this.pump();
  }

  private isWhole(held: Held): boolean {
    return held.here.size === held.plan.frames.length;
  }

  private takeSlice(key: string): void {
    const { held } = this;
    const index = held?.places.get(key);
    const frame = index === undefined ? undefined : this.frames.peek(key);
    if (!held || index === undefined || !frame || held.here.has(index)) {
      return;
    }
    held.here.add(index);
    // The page keeps its own pixels for the stack: the worker gets a copy.
    const data = frame.data.slice();
    this.worker?.postMessage(
      {
        kind: "slice",
        volume: held.id,
        index,
        data,
        columns: frame.columns,
      } satisfies VolumeRequest,
      [data.buffer],
    );
    if (this.isWhole(held)) {
      clearTimeout(this.renewTimer);
      this.renewTimer = 0;
      this.pump();
    } else if (this.renewTimer === 0) {
      this.renewTimer = window.setTimeout(() => {
        this.renewTimer = 0;
        this.pump();
      }, RENEW_MS);
    }
  }

  /** A view of the whole volume costs more than a plane: it is made anew when twice as much is here. */
  private isOutdated(kept: Kept, held: Held, key: string): boolean {
    const isView = this.stacks.get(key.split(":")[0] ?? "")?.rendering !== undefined;
    const enough = isView && !this.isWhole(held) ? kept.slices * 2 : kept.slices + 1;
    return held.here.size >= enough;
  }

  /** One picture at a time: what has been scrolled past meanwhile is not made at all. */
  private pump(): void {
    const { held } = this;
    if (!held || this.running || held.here.size === 0) {
      return;
    }
    const frame = this.wanted.find(({ key }) => {
      const kept = this.cache.get(key);
      const isOld = !kept || this.isOutdated(kept, held, key) || !kept.isFine;
      return !this.problems.has(key) && isOld;
    });
    const stack = frame && this.stacks.get(frame.image.id);
    if (!frame || !stack) {
      return;
    }
    const { reformat, rendering } = stack;
    const job = this.nextId++;
    const slices = held.here.size;
    if (rendering) {
      // A coarse picture at once, the fine one when nothing more urgent is wanted.
      const before = this.cache.get(frame.key);
      const isFine = before !== undefined && !this.isOutdated(before, held, frame.key);
      if (isFine && (rendering.isMoving || !this.isWhole(held))) {
        return;
      }
      this.running = { job, key: frame.key, slices, isFine };
      const { camera, preset, crop } = rendering;
      const side = isFine ? RENDERED_SIDE : MOVING_SIDE;
      const stride = isFine ? 1 : 2;
      const volume = held.id;
      this.post({ kind: "render", volume, job, camera, preset, crop, side, stride });
      return;
    }
    if (!reformat) {
      return;
    }
    this.running = { job, key: frame.key, slices, isFine: true };
    this.post({
      kind: "plane",
      volume: held.id,
      job,
      grid: planeAt(reformat.grid, frame.frame_number - 1),
      slab: reformat.slab,
    });
  }

  private receive(answer: VolumeAnswer): void {
    const { running } = this;
    if (running?.job !== answer.job) {
      return;
    }
    this.running = null;
    const { key, slices, isFine } = running;
    if ("error" in answer) {
      this.refuse(key, `This picture cannot be reformatted. ${answer.error}`);
    } else if ("rgb" in answer) {
      const { rgb: data, side } = answer;
      const frame: Frame = {
        key: `${key}@${slices}${isFine ? "" : "-coarse"}`,
        rows: side,
        columns: side,
        samples: 3,
        data,
        min: 0,
        max: 255,
      };
      this.cache.set(key, { frame, slices, isFine }, data.byteLength);
      this.emit("loaded", { key });
    } else {
      const stack = this.stacks.get(key.split(":")[0] ?? "");
      const grid = stack?.reformat?.grid;
      if (grid) {
        const { rows, columns } = grid;
        const { data, min, max } = answer;
        const frame: Frame = { key: `${key}@${slices}`, rows, columns, samples: 1, data, min, max };
        this.cache.set(key, { frame, slices, isFine }, data.byteLength);
        this.emit("loaded", { key });
      }
    }
    this.pump();
  }

  private refuse(key: string, message: string): void {
    const problem = { message, canRetry: false };
    this.problems.set(key, problem);
    this.emit("failed", { key, problem });
  }

  private fail(): void {
    this.running = null;
    for (const { key } of this.wanted) {
      this.refuse(key, "Reformatting stopped: this browser has no memory left for the volume.");
    }
  }

  private post(request: VolumeRequest): void {
    this.worker?.postMessage(request);
  }
}
