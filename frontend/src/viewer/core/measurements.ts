import { Emitter } from "./emitter";
import type { MeasurementFacts } from "./manifest";

export type SaveState = "saved" | "saving" | "waiting" | "failed" | "local";

/** A measurement in this window: `key` stays, while undoing a deletion gives it a new server id. */
export interface Item {
  key: string;
  facts: MeasurementFacts;
}

interface Change {
  key: string;
  before: MeasurementFacts | null;
  after: MeasurementFacts | null;
}

interface Events {
  /** Anything changed; for drawing. */
  change: undefined;
  /** A person's change that the server should hear of. */
  edit: Change;
}

const LONGEST_HISTORY = 200;

/** All measurements of the study, with undo and redo of what this person did in this window. */
export class MeasurementList extends Emitter<Events> {
  private readonly items = new Map<string, Item>();
  private readonly done: Change[] = [];
  private readonly undone: Change[] = [];
  selected: string | null = null;

  /** Takes over what the server knows; not undoable. */
  load(all: readonly MeasurementFacts[]): void {
    this.items.clear();
    for (const facts of all) {
      this.items.set(facts.id, { key: facts.id, facts });
    }
    this.emit("change", undefined);
  }

  all(): Item[] {
    return [...this.items.values()];
  }

  get(key: string): Item | null {
    return this.items.get(key) ?? null;
  }

  onFrame(sopInstanceUid: string, frameNumber: number): Item[] {
    return this.all().filter(
      ({ facts }) => facts.SOPInstanceUID === sopInstanceUid && facts.frame_number === frameNumber,
    );
  }

  create(facts: MeasurementFacts): Item {
    this.apply({ key: facts.id, before: null, after: facts }, true);
    this.select(facts.id);
    return { key: facts.id, facts };
  }

  /** Shows a change while the hand is still moving; `commit` makes it one undoable step. */
  preview(key: string, facts: MeasurementFacts): void {
    const item = this.items.get(key);
    if (item) {
      item.facts = facts;
      this.emit("change", undefined);
    }
  }

  commit(key: string, before: MeasurementFacts, after: MeasurementFacts): void {
    this.apply({ key, before, after }, true);
  }

  /** Adds values that could not be computed when it was drawn; saved, but no step of undo. */
  complete(key: string, facts: MeasurementFacts): void {
    const item = this.items.get(key);
    if (item) {
      this.emit("edit", { key, before: item.facts, after: facts });
      item.facts = facts;
      this.emit("change", undefined);
    }
  }

  remove(key: string): void {
    const item = this.items.get(key);
    if (item) {
      this.apply({ key, before: item.facts, after: null }, true);
    }
  }

  select(key: string | null): void {
    if (this.selected !== key) {
      this.selected = key;
      this.emit("change", undefined);
    }
  }

  get canUndo(): boolean {
    return this.done.length > 0;
  }

  get canRedo(): boolean {
    return this.undone.length > 0;
  }

  undo(): Change | null {
    const change = this.done.pop() ?? null;
    if (change) {
      this.undone.push(change);
      this.apply({ key: change.key, before: change.after, after: change.before }, false);
    }
    return change;
  }

  redo(): Change | null {
    const change = this.undone.pop() ?? null;
    if (change) {
      this.done.push(change);
      this.apply(change, false);
    }
    return change;
  }

  /** The server's own facts (version, author, new id), without touching the person's history. */
  adopt(key: string, facts: MeasurementFacts): void {
    const item = this.items.get(key);
    if (item) {
      item.facts = facts;
      this.emit("change", undefined);
    }
  }

  /** Shows the server's own state, even where it was not or no longer here; it is not undoable. */
  restore(key: string, facts: MeasurementFacts): void {
    this.items.set(key, { key, facts });
    this.forget(key);
    this.emit("change", undefined);
  }

  /** The server no longer has it: somebody else removed it. */
  drop(key: string): void {
    this.items.delete(key);
    this.forget(key);
    if (this.selected === key) {
      this.selected = null;
    }
    this.emit("change", undefined);
  }

  private forget(key: string): void {
    for (const list of [this.done, this.undone]) {
      for (let i = list.length - 1; i >= 0; i--) {
        if (list[i]?.key === key) {
          list.splice(i, 1);
        }
      }
    }
  }

  private apply(change: Change, isNew: boolean): void {
    if (change.after) {
      this.items.set(change.key, { key: change.key, facts: change.after });
    } else {
      this.items.delete(change.key);
      if (this.selected === change.key) {
        this.selected = null;
      }
    }
    if (isNew) {
      this.done.push(change);
      this.done.splice(0, Math.max(0, this.done.length - LONGEST_HISTORY));
      this.undone.length = 0;
    }
    this.emit("edit", change);
    this.emit("change", undefined);
  }
}
