import { Emitter } from "./emitter";
import { fromRuns, type Runs, toRuns } from "./masks";

/** Segments that are being drawn on one series: labels a frame, with undo. */

export interface Segment {
  id: string;
  number: number;
  name: string;
  /** A code of the server's list of what segments may be of. */
  property: string;
  colour: string;
  is_semiautomatic: boolean;
  /** The segment of a stored object that it was copied from, and what that is of. */
  source?: { image_id: string; number: number; name: string } | null;
}

/** One frame before and after a stroke. */
interface Change {
  index: number;
  before: Runs | null;
  after: Runs;
}

interface Step {
  changes: readonly Change[];
  /** The segments before, where the list itself changed. */
  segments: readonly Segment[];
  before: readonly Segment[];
}

const MOST_STEPS = 100;

export class Draft extends Emitter<{ change: undefined }> {
  segments: readonly Segment[] = [];
  /** The number of the segment that tools draw in; 0 without any. */
  active = 0;
  /** Raised at each change. */
  revision = 0;
  private readonly labels = new Map<number, Uint8Array>();
  private readonly encoded = new Map<number, Runs>();
  /** How many pixels of each frame have each label. */
  private readonly tallies = new Map<number, Uint32Array>();
  private readonly undone: Step[] = [];
  private readonly done: Step[] = [];

  constructor(
    readonly columns: number,
    readonly rows: number,
  ) {
    super();
  }

  load(segments: readonly Segment[], frames: readonly { index: number; runs: Runs }[]): void {
    this.segments = segments;
    this.active = segments[0]?.number ?? 0;
    this.labels.clear();
    this.encoded.clear();
    this.tallies.clear();
    for (const { index, runs } of frames) {
      this.labels.set(index, fromRuns(runs, this.columns * this.rows));
    }
    this.changed();
  }

  get isEmpty(): boolean {
    return this.segments.length === 0;
  }

  get canUndo(): boolean {
    return this.done.length > 0;
  }

  get canRedo(): boolean {
    return this.undone.length > 0;
  }

  /** The frames that something is drawn on. */
  get drawnFrames(): number[] {
    return [...this.labels.keys()].sort((a, b) => a - b);
  }

  labelsOf(index: number): Uint8Array | null {
    return this.labels.get(index) ?? null;
  }

  runsOf(index: number): Runs | null {
    const labels = this.labels.get(index);
    if (!labels) {
      return null;
    }
    let runs = this.encoded.get(index);
    if (!runs) {
      runs = toRuns(labels);
      this.encoded.set(index, runs);
    }
    return runs;
  }

  segment(number: number): Segment | undefined {
    return this.segments.find((one) => one.number === number);
  }

  /** Pixels of a segment on each frame. */
  counts(number: number): Map<number, number> {
    const found = new Map<number, number>();
    for (const [index, labels] of this.labels) {
      const count = this.tallyOf(index, labels)[number] ?? 0;
      if (count > 0) {
        found.set(index, count);
      }
    }
    return found;
  }

  private tallyOf(index: number, labels: Uint8Array): Uint32Array {
    let tally = this.tallies.get(index);
    if (!tally) {
      tally = new Uint32Array(256);
      for (const label of labels) {
        tally[label] = (tally[label] as number) + 1;
      }
      this.tallies.set(index, tally);
    }
    return tally;
  }

  /** Takes segments with what is drawn in them in the place of all that was, as one step. */
  take(segments: readonly Segment[], frames: readonly { index: number; runs: Runs }[]): void {
    const taken = new Map(frames.map(({ index, runs }) => [index, runs]));
    const empty = toRuns(new Uint8Array(this.columns * this.rows));
    const changes = [...new Set([...this.labels.keys(), ...taken.keys()])].map((index) => ({
      index,
      before: this.runsOf(index),
      after: taken.get(index) ?? empty,
    }));
    this.remember({ changes, segments, before: this.segments });
    for (const { index, after } of changes) {
      this.put(index, after);
    }
    this.segments = segments;
    this.active = segments[0]?.number ?? 0;
    this.changed();
  }

  setSegments(segments: readonly Segment[]): void {
    this.remember({ changes: [], segments, before: this.segments });
    this.segments = segments;
    this.changed();
  }

  add(segment: Segment): void {
    this.active = segment.number;
    this.setSegments([...this.segments, segment]);
  }

  /** Deletes a segment with all that is drawn in it. */
  remove(number: number): void {
    const segments = this.segments.filter((one) => one.number !== number);
    const stroke = this.stroke();
    for (const index of this.drawnFrames) {
      stroke.edit(index, (labels) => {
        for (let i = 0; i < labels.length; i++) {
          if (labels[i] === number) {
            labels[i] = 0;
          }
        }
      });
    }
    stroke.end(segments);
    if (this.active === number) {
      this.active = segments[0]?.number ?? 0;
    }
    this.changed();
  }

  activate(number: number): void {
    this.active = number;
    this.emit("change", undefined);
  }

  /** Begins a change of labels that is undone as one. */
  stroke(): Stroke {
    return new Stroke(this);
  }

  /** For strokes: the labels of a frame to be changed in place. */
  open(index: number): { labels: Uint8Array; before: Runs | null } {
    const before = this.runsOf(index);
    let labels = this.labels.get(index);
    if (!labels) {
      labels = new Uint8Array(this.columns * this.rows);
      this.labels.set(index, labels);
    }
    return { labels, before };
  }

  touched(index: number): void {
    this.encoded.delete(index);
    this.tallies.delete(index);
    this.changed();
  }

  /** Remembers a change as one step; returns whether there was any. */
  finish(changed: ReadonlyMap<number, Runs | null>, segments: readonly Segment[] | null): boolean {
    const changes = [...changed].flatMap(([index, before]) => {
      const after = this.runsOf(index) as Runs;
      const isSame = before
        ? same(before, after)
        : after.length === 1 && (after[0] ?? 0) % 256 === 0;
      return isSame ? [] : [{ index, before, after }];
    });
    if (changes.length === 0 && !segments) {
      return false;
    }
    this.remember({ changes, segments: segments ?? this.segments, before: this.segments });
    this.segments = segments ?? this.segments;
    this.changed();
    return true;
  }

  undo(): number | null {
    const step = this.done.pop();
    if (!step) {
      return null;
    }
    this.undone.push(step);
    this.segments = step.before;
    for (const { index, before } of step.changes) {
      this.put(index, before);
    }
    return this.settle(step);
  }

  redo(): number | null {
    const step = this.undone.pop();
    if (!step) {
      return null;
    }
    this.done.push(step);
    this.segments = step.segments;
    for (const { index, after } of step.changes) {
      this.put(index, after);
    }
    return this.settle(step);
  }

  /** The frame that a step was about, so that it can be shown; -1 for none. */
  private settle(step: Step): number {
    if (!this.segment(this.active)) {
      this.active = this.segments[0]?.number ?? 0;
    }
    this.changed();
    return step.changes[0]?.index ?? -1;
  }

  private put(index: number, runs: Runs | null): void {
    this.encoded.delete(index);
    this.tallies.delete(index);
    if (runs) {
      this.labels.set(index, fromRuns(runs, this.columns * this.rows));
    } else {
      this.labels.delete(index);
    }
  }

  private remember(step: Step): void {
    this.done.push(step);
    this.undone.length = 0;
    if (this.done.length > MOST_STEPS) {
      this.done.shift();
    }
  }

  private changed(): void {
    this.revision++;
    this.emit("change", undefined);
  }
}

function same(one: Runs, other: Runs): boolean {
  return one.length === other.length && one.every((run, at) => run === other[at]);
}

/** One change by hand, of one frame or of many. */
export class Stroke {
  private readonly before = new Map<number, Runs | null>();

  constructor(private readonly draft: Draft) {}

  edit(index: number, change: (labels: Uint8Array) => void): void {
    const { labels, before } = this.draft.open(index);
    if (!this.before.has(index)) {
      this.before.set(index, before);
    }
    change(labels);
    this.draft.touched(index);
  }

  end(segments: readonly Segment[] | null = null): void {
    this.draft.finish(this.before, segments);
  }

  /** Gives the stroke up. */
  cancel(): void {
    if (this.draft.finish(this.before, null)) {
      this.draft.undo();
    }
  }
}
