import { Emitter } from "../core/emitter";
import type { Frame } from "../core/frame";
import type { StackFrame } from "../core/stack";
import { type FrameProblem, FrameService, type NetworkState } from "../net/frames";
import { TableService } from "../net/luts";
import type { OverlayVolume } from "./overlay-volume";
import { isReformatted, Reformatter } from "./reformatter";

interface Events {
  loaded: { key: string };
  failed: { key: string; problem: FrameProblem };
  network: NetworkState;
}

/** Tables are asked for as far ahead of the picture on the screen. */
const TABLES_AHEAD = 32;

/** All pictures by their keys: frames of files, and planes that are computed from them. */
export class Pictures extends Emitter<Events> {
  readonly frames: FrameService;
  readonly reformatter: Reformatter;
  /** VOI LUTs of the files. */
  readonly tables = new TableService();
  /** The series that is laid over others, if one is. */
  overlay: OverlayVolume | null = null;

  constructor(batchUrl: string) {
    super();
    this.frames = new FrameService(batchUrl);
    this.reformatter = new Reformatter(this.frames);
    this.frames.on("loaded", (event) => this.emit("loaded", event));
    this.frames.on("failed", (event) => this.emit("failed", event));
    this.reformatter.on("loaded", (event) => this.emit("loaded", event));
    this.reformatter.on("failed", (event) => this.emit("failed", event));
    this.frames.on("network", (state) => this.emit("network", state));
  }

  peek(key: string): Frame | undefined {
    return this.reformatter.peek(key) ?? this.frames.peek(key);
  }

  has(key: string): boolean {
    return (
      this.frames.has(key) || (isReformatted({ key } as StackFrame) && this.reformatter.has(key))
    );
  }

  problem(key: string): FrameProblem | undefined {
    return this.reformatter.problem(key) ?? this.frames.problem(key);
  }

  /** Says what is on the screen now, and what is wanted after it in that order. */
  want(visible: readonly StackFrame[], next: readonly StackFrame[]): void {
    const stored = (frame: StackFrame): boolean => !isReformatted(frame);
    this.frames.want(visible.filter(stored), [
      ...this.reformatter.missing,
      ...(this.overlay?.missing ?? []),
      ...next.filter(stored),
    ]);
    this.reformatter.want(visible.filter(isReformatted));
    this.tables.want([...visible, ...next.slice(0, TABLES_AHEAD)].map(({ image }) => image));
  }

  retry(): void {
    this.tables.retry();
    this.frames.retry();
  }
}
