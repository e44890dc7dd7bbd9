import { t } from "../../i18n";
import { said } from "../../sentences";
import { Emitter } from "../core/emitter";
import { type Frame, isDtype } from "../core/frame";
import { batchSize } from "../core/order";
import type { StackFrame } from "../core/stack";
import { ApiError, request } from "./api";
import { type BatchHead, BatchParser } from "./batch";
import { DecodePool } from "./decode-pool";
import { decodeRaw } from "./decode-raw";
import { ByteCache } from "./lru";

export interface FrameProblem {
  message: string;
  /** False where asking again cannot help. */
  canRetry: boolean;
}

export type NetworkState =
  | { kind: "ok" }
  | { kind: "lost"; message: string; retryInMs: number }
  | { kind: "signed-out"; message: string };

interface Events {
  loaded: { key: string };
  failed: { key: string; problem: FrameProblem };
  network: NetworkState;
}

interface Running {
  keys: Set<string>;
  abort: AbortController;
  isUrgent: boolean;
}

const MEBIBYTE = 1024 * 1024;
const LARGEST_FIRST_RAW = 1.5 * MEBIBYTE;
/** Taking over raw pixels of this size costs a millisecond or two: not worth a worker's round trip. */
const LARGEST_DECODED_HERE = 2 * MEBIBYTE;
const MOST_BATCHES = 2;
const MOST_URGENT = 2;
const MOST_ATTEMPTS = 3;
const LONGEST_WAIT_MS = 5000;
/** The largest share of the memory for frames that one volume may take. */
const VOLUME_SHARE = 0.6;
/** A batch none of whose frames is among this many next ones is given up for nearer ones. */
const NEAR = 96;

/** A frame on the screen that a batch has not brought by then is asked for by itself as well. */
const HURRY_AFTER_MS = 250;

/** Answers that say something of the server or the session, not of the one frame asked for. */
const SERVER_WIDE = new Set([0, 401, 429, 502, 503, 504]);

function defaultCapacity(): number {
  const memory = (navigator as { deviceMemory?: number }).deviceMemory;
  const isSmall = matchMedia("(max-width: 760px)").matches;
  return (isSmall ? 256 : Math.min((memory ?? 4) * 256, 1536)) * MEBIBYTE;
}

export function savesData(): boolean {
  const { connection } = navigator as {
    connection?: { saveData?: boolean; effectiveType?: string };
  };
  return connection?.saveData === true || (connection?.effectiveType ?? "4g") !== "4g";
}

export function decodedBytes(frame: StackFrame): number {
  const { Rows, Columns, SamplesPerPixel, BitsAllocated } = frame.image;
  const bytes = Math.max(1, Math.ceil((BitsAllocated ?? 16) / 8));
  return (Rows ?? 512) * (Columns ?? 512) * (SamplesPerPixel ?? 1) * bytes;
}

/** The address of one frame, which the browser may keep for ever. */
export function frameAddress(frame: StackFrame, format: "jphc" | "raw"): string {
  const base = frame.image.frame_url.replace("{n}", String(frame.frame_number));
  return `${base}.${format}?v=${encodeURIComponent(frame.image.digest)}`;
}

/** Whether the page itself has asked for the frame already; the server knew that it is the first. */
function isOnItsWay(address: string): boolean {
  const link = document.querySelector<HTMLLinkElement>("link[data-first-exact]");
  return link?.getAttribute("href") === address;
}

/** How the very first picture of a study comes where nothing is known of it yet. */
export function firstFormatOf(frame: StackFrame): "jphc" | "raw" {
  const isSmall = decodedBytes(frame) <= LARGEST_FIRST_RAW && !savesData();
  return frame.image.transport === "jphc" && !isSmall ? "jphc" : "raw";
}

/**
 * Brings the exact frames, the most wanted first. `want` says the whole order anew at each step;
 * what is under way and still near is kept, what has become far is given up.
 */
export class FrameService extends Emitter<Events> {
  private readonly cache: ByteCache<Frame>;
  private readonly problems = new Map<string, FrameProblem>();
  private readonly attempts = new Map<string, number>();
  private readonly rawOnly = new Set<string>();
  private readonly running = new Set<Running>();
  private readonly underWay = new Set<string>();
  private decoders: DecodePool | null = null;
  /** Frames that the browser keeps already: each is asked for by its own address. */
  private atHand: ReadonlySet<string> = new Set();
  private wanted: readonly StackFrame[] = [];
  private urgent: readonly StackFrame[] = [];
  private loadedCount = 0;
  private failures = 0;
  private pausedUntil = 0;
  private retryTimer = 0;
  private hurryTimer = 0;
  private isSignedOut = false;

  constructor(
    private readonly batchUrl: string,
    capacity = defaultCapacity(),
  ) {
    super();
    this.cache = new ByteCache(capacity);
  }

  /** Started when a compressed frame is asked for: never before the first picture's own bytes. */
  private get pool(): DecodePool {
    this.decoders ??= new DecodePool();
    return this.decoders;
  }

  /** The decoded frame, if it is here. */
  peek(key: string): Frame | undefined {
    return this.cache.get(key);
  }

  has(key: string): boolean {
    return this.cache.has(key);
  }

  problem(key: string): FrameProblem | undefined {
    return this.problems.get(key);
  }

  /** The most bytes that a volume made of frames may have. */
  get mostVolumeBytes(): number {
    return this.cache.capacity * VOLUME_SHARE;
  }

  /** Bytes of all decoded pixels that are kept, here and in a volume's own copies. */
  get keptBytes(): number {
    return this.cache.bytes;
  }

  /** Keeps what a volume is made of: the frames themselves, or the bytes of smaller copies. */
  hold(frames: readonly StackFrame[], copiedBytes = 0): void {
    this.cache.hold(new Set(frames.map(({ key }) => key)), copiedBytes);
  }

  /** Tells which frames were fetched ahead, before this page was opened. */
  expect(keys: ReadonlySet<string>): void {
    this.atHand = keys;
  }

  /** Says what is on the screen now, and what is wanted after it in that order. */
  want(visible: readonly StackFrame[], next: readonly StackFrame[]): void {
    this.urgent = visible;
    this.wanted = this.withinMemory([...visible, ...next]);
    const near = new Set(this.wanted.slice(0, NEAR).map((frame) => frame.key));
    for (const run of this.running) {
      if (![...run.keys].some((key) => near.has(key))) {
        run.abort.abort();
        this.finish(run);
      }
    }
    this.pump();
  }

  /** Forgets failures and asks again at once: the person pressed "Try again", or signed in. */
  retry(): void {
    this.problems.clear();
    this.attempts.clear();
    this.isSignedOut = false;
    this.pausedUntil = 0;
    clearTimeout(this.retryTimer);
    this.pump();
  }

  private withinMemory(frames: StackFrame[]): StackFrame[] {
    let bytes = 0;
    const end = frames.findIndex((frame) => {
      bytes += decodedBytes(frame);
      return bytes > this.cache.room * 0.9;
    });
    const kept = end < 0 ? frames : frames.slice(0, Math.max(end, 1));
    if (this.cache.bytes > this.cache.capacity / 2) {
      for (let i = kept.length - 1; i >= 0; i--) {
        this.cache.get((kept[i] as StackFrame).key);
      }
    }
    return kept;
  }

  private isMissing(frame: StackFrame): boolean {
    return (
      frame.image.transport !== null &&
      !this.cache.has(frame.key) &&
      !this.underWay.has(frame.key) &&
      !this.problems.has(frame.key)
    );
  }

  private pump(): void {
    if (this.isSignedOut || performance.now() < this.pausedUntil) {
      return;
    }
    for (const frame of this.urgent) {
      const urgentRuns = [...this.running].filter((run) => run.isUrgent).length;
      if (this.isMissing(frame) && urgentRuns < MOST_URGENT) {
        this.start([frame], true);
      }
    }
    if (this.hurryTimer === 0 && this.urgent.some((frame) => this.waitsInBatch(frame))) {
      this.hurryTimer = window.setTimeout(() => this.hurry(), HURRY_AFTER_MS);
    }
    if (this.loadedCount === 0 && [...this.running].some((run) => run.isUrgent)) {
      return; // The first picture has the network and the processors to itself.
    }
    while ([...this.running].filter((run) => !run.isUrgent).length < MOST_BATCHES) {
      const batch = this.nextBatch();
      if (batch.length === 0) {
        return;
      }
      this.start(batch, false);
    }
  }

  /** Whether a frame comes with others alone: on a slow line they may take seconds. */
  private waitsInBatch({ key }: StackFrame): boolean {
    const runs = [...this.running].filter((run) => run.keys.has(key));
    return !this.cache.has(key) && runs.length > 0 && !runs.some((run) => run.isUrgent);
  }

  private hurry(): void {
    this.hurryTimer = 0;
    if (this.isSignedOut || performance.now() < this.pausedUntil) {
      return;
    }
    const late = this.urgent.filter((frame) => this.waitsInBatch(frame));
    for (const frame of late.slice(0, MOST_URGENT)) {
      this.start([frame], true);
    }
  }

  private nextBatch(): StackFrame[] {
    const batch: StackFrame[] = [];
    let limit = 1;
    for (const frame of this.wanted) {
      if (!this.isMissing(frame)) {
        continue;
      }
      const first = batch[0];
      if (this.atHand.has(frame.key)) {
        if (!first) {
          return [frame];
        }
        continue;
      }
      if (!first) {
        // Small batches at first: the neighbours of the first picture should not wait for 32.
        const ramp = Math.max(4, this.loadedCount);
        limit = Math.min(batchSize(decodedBytes(frame), false), ramp);
      } else if (this.format(first) !== this.format(frame)) {
        continue;
      }
      batch.push(frame);
      if (batch.length >= limit) {
        break;
      }
    }
    return batch;
  }

  private format(frame: StackFrame): "jphc" | "raw" {
    return frame.image.transport === "jphc" && !this.rawOnly.has(frame.key) ? "jphc" : "raw";
  }

  /**
   * The very first picture comes as it is where it is small: it then waits neither for the workers
   * nor for the decoder's code (measured: 130 ms instead of 450 ms after the page's own script).
   */
  private firstFormat(frame: StackFrame): "jphc" | "raw" {
    const isFirst = this.loadedCount === 0 && this.attempts.size === 0;
    if (!isFirst) {
      return this.format(frame);
    }
    return isOnItsWay(frameAddress(frame, "raw")) ? "raw" : firstFormatOf(frame);
  }

  /** Lets the decoders start while the bytes are on their way. */
  private prepare(format: "jphc" | "raw"): void {
    if (format === "jphc") {
      void this.pool;
    }
  }

  private start(frames: readonly StackFrame[], isUrgent: boolean): void {
    const run: Running = {
      keys: new Set(frames.map((frame) => frame.key)),
      abort: new AbortController(),
      isUrgent,
    };
    this.running.add(run);
    for (const key of run.keys) {
      this.underWay.add(key);
    }
    const [only] = frames;
    const work =
      frames.length === 1 && only ? this.fetchOne(only, run) : this.fetchBatch(frames, run);
    work
      .then(() => this.noteSuccess())
      .catch((error: unknown) => this.noteFailure(error, run))
      .finally(() => {
        this.finish(run);
        this.pump();
      });
  }

  private finish(run: Running): void {
    this.running.delete(run);
    for (const key of run.keys) {
      this.underWay.delete(key);
    }
  }

  /** One frame by its own address, which the browser's cache may keep for ever. */
  private async fetchOne(frame: StackFrame, run: Running): Promise<void> {
    const format = run.isUrgent ? this.firstFormat(frame) : this.format(frame);
    this.prepare(format);
    let response: Response;
    try {
      response = await request(frameAddress(frame, format), { signal: run.abort.signal });
    } catch (error) {
      if (error instanceof ApiError && !SERVER_WIDE.has(error.status)) {
        this.refuse(frame, error.status, error.message);
        return;
      }
      throw error;
    }
    const number = (name: string): number => Number(response.headers.get(`X-Frame-${name}`));
    const head: BatchHead = {
      image: frame.image.id,
      frame: frame.frame_number,
      status: 200,
      content_type: response.headers.get("Content-Type") ?? "",
      rows: number("Rows"),
      columns: number("Columns"),
      samples: number("Samples"),
      dtype: response.headers.get("X-Frame-Dtype") ?? "",
      min: null,
      max: null,
    };
    await this.receive(frame, head, new Uint8Array(await response.arrayBuffer()), format);
  }

  private async fetchBatch(frames: readonly StackFrame[], run: Running): Promise<void> {
    const format = this.format(frames[0] as StackFrame);
    this.prepare(format);
    const query = frames.map((frame) => `f=${encodeURIComponent(frame.key)}`).join("&");
    const response = await request(`${this.batchUrl}?${query}&format=${format}`, {
      signal: run.abort.signal,
    });
    const byKey = new Map(frames.map((frame) => [frame.key, frame]));
    const parser = new BatchParser();
    const work: Promise<void>[] = [];
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) {
        break;
      }
      for (const { head, body } of parser.push(value)) {
        const frame = byKey.get(`${head.image}:${head.frame}`);
        if (!frame) {
          continue;
        }
        byKey.delete(frame.key);
        if (head.status === 200) {
          work.push(this.receive(frame, head, body, format));
        } else {
          this.refuse(
            frame,
            head.status,
            head.detail ? said(head.detail) : t("The server cannot show this frame."),
          );
        }
      }
    }
    parser.end();
    for (const frame of byKey.values()) {
      this.refuse(frame, 502, t("The server left this frame out of its answer."));
    }
    await Promise.all(work);
  }

  private async receive(
    frame: StackFrame,
    head: BatchHead,
    body: Uint8Array,
    format: "jphc" | "raw",
  ): Promise<void> {
    const { rows, columns, samples, dtype } = head;
    if (!isDtype(dtype) || rows < 1 || columns < 1 || (samples !== 1 && samples !== 3)) {
      this.fail(frame, t("The server's description of this frame is damaged."), true);
      return;
    }
    try {
      const isJph = format === "jphc";
      const { data, min, max } =
        isJph || body.byteLength > LARGEST_DECODED_HERE
          ? await this.pool.decode({ isJph, body, rows, columns, samples, dtype })
          : decodeRaw({ body, rows, columns, samples, dtype });
      const decoded: Frame = { key: frame.key, rows, columns, samples, data, min, max };
      this.cache.set(frame.key, decoded, data.byteLength);
      this.attempts.delete(frame.key);
      this.loadedCount += 1;
      this.emit("loaded", { key: frame.key });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (format === "jphc") {
        this.rawOnly.add(frame.key);
        this.underWay.delete(frame.key);
        this.pump();
      } else {
        this.fail(frame, t("This picture cannot be decoded. {reason}", { reason }), true);
      }
    }
  }

  /** The server said no to one frame. Faults of the moment are tried again a few times. */
  private refuse(frame: StackFrame, status: number, message: string): void {
    const attempts = (this.attempts.get(frame.key) ?? 0) + 1;
    this.attempts.set(frame.key, attempts);
    if (status < 500 || attempts >= MOST_ATTEMPTS) {
      this.fail(frame, message, status !== 404 && status !== 403);
    }
  }

  private fail(frame: StackFrame, message: string, canRetry: boolean): void {
    const problem = { message, canRetry };
    this.problems.set(frame.key, problem);
    this.emit("failed", { key: frame.key, problem });
  }

  private noteSuccess(): void {
    if (this.failures > 0) {
      this.failures = 0;
      this.emit("network", { kind: "ok" });
    }
  }

  private noteFailure(error: unknown, run: Running): void {
    if (run.abort.signal.aborted) {
      return;
    }
    if (error instanceof ApiError && error.status === 401) {
      this.isSignedOut = true;
      this.emit("network", { kind: "signed-out", message: error.message });
      return;
    }
    if (error instanceof ApiError && !error.isTransient) {
      for (const frame of this.wanted.filter(({ key }) => run.keys.has(key))) {
        this.refuse(frame, error.status, error.message);
      }
      return;
    }
    this.failures += 1;
    const retryInMs = Math.min(1000 * 2 ** (this.failures - 1), LONGEST_WAIT_MS);
    this.pausedUntil = performance.now() + retryInMs;
    clearTimeout(this.retryTimer);
    this.retryTimer = window.setTimeout(() => {
      this.pausedUntil = 0;
      this.pump();
    }, retryInMs);
    const message =
      error instanceof ApiError
        ? error.message
        : t("The connection broke while pictures were loading.");
    this.emit("network", { kind: "lost", message, retryInMs });
  }
}
