import { t } from "../../i18n";
import { said } from "../../sentences";
import { type Answer, type Outcome, type PartResult, Tally } from "./outcome";

export type State =
  | "waiting"
  | "sending"
  | "storing"
  | "failed"
  | "cancelled"
  /** An archive: its members stand below it. */
  | "opened"
  | Outcome;

/** What is sent; the browser's `File` fits. */
export interface Content {
  readonly size: number;
}

export interface Item<F extends Content = File> {
  readonly id: number;
  /** Null for a member of an archive: it has a result, but cannot be sent alone. */
  readonly file: F | null;
  readonly name: string;
  readonly facility: string;
  readonly size: number;
  sent: number;
  attempts: number;
  state: State;
  reason: string;
}

export const MOST_FILES_A_REQUEST = 24;
export const MOST_BYTES_A_REQUEST = 8 * 1024 * 1024;

const OPEN = new Set<State>(["waiting", "sending", "storing"]);
const PROBLEMS = new Set<State>(["refused", "conflict", "failed"]);
const SYSTEM_NAMES = new Set([
  "__macosx",
  "thumbs.db",
  "desktop.ini",
  "@eadir",
  "$recycle.bin",
  "system volume information",
]);

export function isOpen(item: { state: State }): boolean {
  return OPEN.has(item.state);
}

export function isProblem(item: { state: State }): boolean {
  return PROBLEMS.has(item.state);
}

/** Whether an operating system left it there; the server ignores such files as well. */
export function isSystemFile(path: string): boolean {
  return path
    .split("/")
    .some((part) => SYSTEM_NAMES.has(part.toLowerCase()) || /^\.+[^.]/.test(part));
}

/** Every file of an upload and what became of it. */
export class Queue<F extends Content = File> {
  readonly items: Item<F>[] = [];
  readonly tally = new Tally();
  readonly counts = new Map<State, number>();
  totalBytes = 0;
  sentBytes = 0;
  private waiting: Item<F>[] = [];
  private lastId = 0;

  add(files: readonly { file: F; name: string }[], facility: string): number {
    let added = 0;
    for (const { file, name } of files) {
      if (!isSystemFile(name)) {
        const item = this.make(file, name, facility, "waiting", "");
        this.totalBytes += item.size;
        this.waiting.push(item);
        added += 1;
      }
    }
    return added;
  }

  /**
   * What the next request carries: small files together, of one facility. A file that failed before
   * goes alone, so that it holds back nothing but itself.
   */
  takeBatch(): Item<F>[] {
    this.waiting = this.waiting.filter((item) => item.state === "waiting");
    const first = this.waiting[0];
    if (!first) {
      return [];
    }
    const batch = [first];
    let bytes = first.size;
    for (const item of this.waiting.slice(1, first.attempts > 0 ? 1 : MOST_FILES_A_REQUEST)) {
      bytes += item.size;
      const fits = bytes <= MOST_BYTES_A_REQUEST && item.attempts === 0;
      if (!fits || item.facility !== first.facility) {
        break;
      }
      batch.push(item);
    }
    this.waiting.splice(0, batch.length);
    for (const item of batch) {
      this.setState(item, "sending");
    }
    return batch;
  }

  get hasWaiting(): boolean {
    return (this.counts.get("waiting") ?? 0) > 0;
  }

  get openCount(): number {
    return [...OPEN].reduce((sum, state) => sum + (this.counts.get(state) ?? 0), 0);
  }

  get problemCount(): number {
    return [...PROBLEMS].reduce((sum, state) => sum + (this.counts.get(state) ?? 0), 0);
  }

  /** Share `sent` bytes of a request among its files, which travel one after another. */
  progress(batch: readonly Item<F>[], sent: number): void {
    let left = sent;
    for (const item of batch) {
      if (isOpen(item)) {
        this.setSent(item, Math.min(item.size, Math.max(left, 0)));
      }
      left -= item.size;
    }
  }

  /** Everything is with the server, which writes and checks it now. */
  arrived(batch: readonly Item<F>[]): void {
    for (const item of batch) {
      if (item.state === "sending") {
        this.setSent(item, item.size);
        this.setState(item, "storing");
      }
    }
  }

  settle(batch: readonly Item<F>[], answer: Answer): void {
    const byPart = new Map<number, PartResult[]>();
    for (const result of answer.results) {
      this.tally.add(result);
      byPart.set(result.part, [...(byPart.get(result.part) ?? []), result]);
    }
    batch.forEach((item, part) => {
      this.setSent(item, item.size);
      this.settleOne(item, byPart.get(part) ?? []);
    });
  }

  fail(batch: readonly Item<F>[], reason: string): void {
    for (const item of batch) {
      if (isOpen(item)) {
        this.setState(item, "failed", reason);
      }
    }
  }

  /** Put a request's files back; `isAttempt` says whether the server had its say about them. */
  putBack(batch: readonly Item<F>[], isAttempt: boolean): void {
    const again = batch.filter(isOpen);
    for (const item of again) {
      item.attempts += isAttempt ? 1 : 0;
      this.setSent(item, 0);
      this.setState(item, "waiting");
    }
    this.waiting.unshift(...again);
  }

  retry(item: Item<F>): void {
    if (item.file && (item.state === "failed" || item.state === "cancelled")) {
      if (item.state === "cancelled") {
        this.totalBytes += item.size;
      }
      this.setSent(item, 0);
      this.setState(item, "waiting");
      this.waiting.push(item);
    }
  }

  cancel(item: Item<F>): void {
    if (isOpen(item)) {
      this.setSent(item, 0);
      this.totalBytes -= item.size;
      this.setState(item, "cancelled");
    }
  }

  private settleOne(item: Item<F>, results: readonly PartResult[]): void {
    const only = results[0];
    if (!only) {
      this.setState(item, "skipped", t("left behind by an operating system"));
      return;
    }
    const isArchive = results.length > 1 || only.name !== item.name;
    if (!isArchive) {
      this.setState(item, only.outcome, said(only.reason));
      return;
    }
    const own = new Tally();
    for (const result of results) {
      own.add({ ...result, reason: said(result.reason) });
    }
    this.setState(item, "opened", own.line());
    for (const result of results) {
      this.make(null, result.name, item.facility, result.outcome, said(result.reason));
    }
  }

  private make(file: F | null, name: string, facility: string, state: State, reason: string) {
    this.lastId += 1;
    const size = file?.size ?? 0;
    const item = {
      id: this.lastId,
      file,
      name,
      facility,
      size,
      sent: 0,
      attempts: 0,
      state,
      reason,
    };
    this.items.push(item);
    this.counts.set(state, (this.counts.get(state) ?? 0) + 1);
    return item as Item<F>;
  }

  private setSent(item: Item<F>, sent: number): void {
    this.sentBytes += sent - item.sent;
    item.sent = sent;
  }

  private setState(item: Item<F>, state: State, reason = ""): void {
    this.counts.set(item.state, (this.counts.get(item.state) ?? 0) - 1);
    this.counts.set(state, (this.counts.get(state) ?? 0) + 1);
    item.state = state;
    item.reason = reason;
  }
}
