import { Emitter } from "../core/emitter";
import { interleavedOrder } from "../core/order";
import type { Rescale, StackFrame } from "../core/stack";
import type { SampleGrid, Slab, VolumePlan } from "../core/volume";
import { Volume } from "../core/voxels";
import type { FrameService } from "../net/frames";
import { ByteCache } from "../net/lru";

const CACHE_BYTES = 48 * 1024 * 1024;
/** While slices arrive, what lies over pictures is made anew this often. */
const RENEW_MS = 150;
/** The page is held up no longer than this at a time: what takes more goes on after its events. */
const TURN_MS = 40;
/** Slabs that wait: one for each viewport that is likely to show one. */
const MOST_WAITING = 4;

/** A plane on which the volume is wanted; the key tells planes apart. */
export interface PlaneRequest {
  key: string;
  grid: SampleGrid;
  slab: Slab;
}

interface Kept {
  data: Float32Array<ArrayBuffer>;
  slices: number;
}

interface Job {
  request: PlaneRequest;
  slices: number;
  work: Generator<void, Float32Array<ArrayBuffer>>;
}

interface Events {
  /** Values of a slab have come. */
  sampled: { key: string };
  /** More slices are here: all values can be made anew. */
  arrived: undefined;
}

/** The voxels of one series, sampled where other pictures lie. */
export class OverlayVolume extends Emitter<Events> {
  private readonly volume: Volume;
  private readonly places: Map<string, number>;
  private readonly here = new Set<number>();
  private readonly cache = new ByteCache<Kept>(CACHE_BYTES);
  private waiting: PlaneRequest[] = [];
  private job: Job | null = null;
  private workTimer = 0;
  private renewTimer = 0;
  private readonly stop: () => void;
  /** Smallest and largest modality value of the slices that are here. */
  low = Number.POSITIVE_INFINITY;
  high = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly frames: FrameService,
    readonly plan: VolumePlan,
  ) {
    super();
    this.volume = new Volume(plan.geometry);
    this.places = new Map(plan.frames.map(({ key }, index) => [key, index]));
    this.stop = frames.on("loaded", ({ key }) => this.take(key));
    for (const { key } of plan.frames) {
      this.take(key);
    }
  }

  get loaded(): number {
    return this.here.size;
  }

  /** The frames that are not here yet, every 8th first. */
  get missing(): StackFrame[] {
    return interleavedOrder(this.plan.frames.length)
      .filter((index) => !this.here.has(index))
      .map((index) => this.plan.frames[index] as StackFrame);
  }

  /**
   * Values on a plane. A thin one takes a few milliseconds and is sampled at once, so that it comes
   * with its picture; a slab takes longer, and is told of when it is there.
   */
  values(request: PlaneRequest): Float32Array | null {
    const { key, grid, slab } = request;
    const kept = this.cache.get(key);
    if (this.here.size === 0 || kept?.slices === this.here.size) {
      return kept?.data ?? null;
    }
    if (slab.mode === "thin") {
      return this.keep(key, this.here.size, this.volume.sample(grid, slab));
    }
    this.waiting = [request, ...this.waiting.filter((other) => other.key !== key)].slice(
      0,
      MOST_WAITING,
    );
    this.workSoon();
    return kept?.data ?? null;
  }

  close(): void {
    this.stop();
    clearTimeout(this.renewTimer);
    clearTimeout(this.workTimer);
    this.cache.clear();
  }

  private take(key: string): void {
    const index = this.places.get(key);
    const frame = index === undefined ? undefined : this.frames.peek(key);
    if (index === undefined || !frame || this.here.has(index)) {
      return;
    }
    this.here.add(index);
    this.volume.put(index, frame.data, frame.columns);
    const { slope, intercept } = this.plan.geometry.rescales[index] as Rescale;
    const ends = [frame.min * slope + intercept, frame.max * slope + intercept];
    this.low = Math.min(this.low, ...ends);
    this.high = Math.max(this.high, ...ends);
    if (this.here.size === this.plan.frames.length) {
      clearTimeout(this.renewTimer);
      this.renewTimer = 0;
      this.emit("arrived", undefined);
    } else if (this.renewTimer === 0) {
      this.renewTimer = window.setTimeout(() => {
        this.renewTimer = 0;
        this.emit("arrived", undefined);
      }, RENEW_MS);
    }
  }

  private keep(
    key: string,
    slices: number,
    data: Float32Array<ArrayBuffer>,
  ): Float32Array<ArrayBuffer> {
    this.cache.set(key, { data, slices }, data.byteLength);
    return data;
  }

  private workSoon(): void {
    if (this.workTimer === 0) {
      this.workTimer = window.setTimeout(() => {
        this.workTimer = 0;
        this.work(performance.now() + TURN_MS);
      }, 0);
    }
  }

  private work(until: number): void {
    while (performance.now() < until) {
      this.job ??= this.nextJob();
      if (!this.job) {
        return;
      }
      const { request, slices, work } = this.job;
      const { done, value } = work.next();
      if (done) {
        this.job = null;
        this.keep(request.key, slices, value);
        this.emit("sampled", { key: request.key });
      }
    }
    this.workSoon();
  }

  private nextJob(): Job | null {
    const request = this.waiting.shift();
    return request
      ? {
          request,
          slices: this.here.size,
          work: this.volume.sampling(request.grid, request.slab),
        }
      : null;
  }
}
