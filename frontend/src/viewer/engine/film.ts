import { nextOfFilm } from "../core/film";

export interface Cine {
  isPlaying: boolean;
  fps: number;
  loops: boolean;
  /** To and fro, instead of from the start again. */
  bounces: boolean;
}

/** What a film plays: the frames of a viewport, and how to step in them. */
interface Reel {
  frames(): readonly { key: string }[];
  index(): number;
  /** The frame is here, or it is known that it cannot be shown. */
  isKnown(key: string): boolean;
  go(index: number, direction: 1 | -1): void;
  changed(): void;
}

/** Plays the frames of a viewport in time. */
export class Film {
  cine: Cine = { isPlaying: false, fps: 10, loops: true, bounces: false };
  private timer = 0;
  private due = 0;
  private direction: 1 | -1 = 1;

  constructor(private readonly reel: Reel) {}

  /** Another stack: it plays at its own pace. */
  rewind(fps: number): void {
    this.cine = { isPlaying: false, fps, loops: true, bounces: false };
  }

  play(): void {
    if (this.reel.frames().length < 2 || this.cine.isPlaying) {
      return;
    }
    this.direction = 1;
    this.due = performance.now();
    this.set({ isPlaying: true });
    this.schedule();
  }

  stop(): void {
    clearTimeout(this.timer);
    if (this.cine.isPlaying) {
      this.set({ isPlaying: false });
    }
  }

  set(cine: Partial<Cine>): void {
    this.cine = { ...this.cine, ...cine };
    this.reel.changed();
  }

  private schedule(): void {
    const period = 1000 / this.cine.fps;
    this.due = Math.max(this.due + period, performance.now());
    this.timer = window.setTimeout(() => this.step(), Math.max(0, this.due - performance.now()));
  }

  private step(): void {
    const frames = this.reel.frames();
    if (frames.length === 0 || !this.cine.isPlaying) {
      return;
    }
    const next = nextOfFilm(this.reel.index(), frames.length, this.direction, this.cine);
    if (!next) {
      this.stop();
      return;
    }
    // A frame that is still on its way holds the film; one that cannot be shown is passed over.
    if (this.reel.isKnown(frames[next.index]?.key ?? "")) {
      this.direction = next.direction;
      this.reel.go(next.index, next.direction);
    }
    this.schedule();
  }
}
