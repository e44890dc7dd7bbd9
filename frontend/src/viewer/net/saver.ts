import { t } from "../../i18n";
import { Emitter } from "../core/emitter";
import type { MeasurementFacts } from "../core/manifest";
import type { MeasurementList, SaveState } from "../core/measurements";
import { randomUuid } from "../core/uuid";
import { ApiError, request, requestJson } from "./api";

interface Record {
  /** What the server is known to hold; null: nothing. */
  server: MeasurementFacts | null;
  /** What this window wants it to hold; null: nothing. */
  wanted: MeasurementFacts | null;
  isDirty: boolean;
  isBusy: boolean;
  state: SaveState;
  message: string | null;
  attempts: number;
  timer: number;
}

interface Events {
  change: undefined;
  /** Something the person must know: somebody else was faster, or the server refused for good. */
  notice: { message: string };
}

export interface SaverLinks {
  /** `.../studies/<uuid>/measurements/` */
  collection: string;
  /** Address of one measurement. */
  item: (id: string) => string;
}

const DEBOUNCE_MS = 400;
const LONGEST_WAIT_MS = 15000;

const SENT = [
  "id",
  "kind",
  "SeriesInstanceUID",
  "SOPInstanceUID",
  "frame_number",
  "FrameOfReferenceUID",
  "points",
  "points_mm",
  "plane",
  "label",
  "value",
  "unit",
  "second_value",
  "unit_source",
  "statistics",
] as const satisfies readonly (keyof MeasurementFacts)[];

function bodyOf(facts: MeasurementFacts): object {
  return Object.fromEntries(SENT.map((name) => [name, facts[name]]));
}

/**
 * Sends every stroke to the server by itself. One request at a time for each measurement; the
 * latest wish wins; what the server has not confirmed shows as not saved.
 */
export class MeasurementSaver extends Emitter<Events> {
  private readonly records = new Map<string, Record>();
  /** Ids that once were deleted: the server keeps their history, so they are not used again. */
  private readonly spentIds = new Set<string>();
  private isStopped = false;

  constructor(
    private readonly list: MeasurementList,
    private readonly links: SaverLinks,
    private readonly canWrite: boolean,
  ) {
    super();
    for (const { key, facts } of list.all()) {
      this.records.set(key, fresh(facts));
    }
    list.on("edit", ({ key, after }) => this.edit(key, after));
  }

  state(key: string): SaveState {
    return this.records.get(key)?.state ?? "saved";
  }

  message(key: string): string | null {
    return this.records.get(key)?.message ?? null;
  }

  /** How many strokes the server has not confirmed. */
  get unsaved(): number {
    return [...this.records.values()].filter((record) => record.isDirty || record.isBusy).length;
  }

  /** The worst state of all, for the one sign in the tool bar. */
  get overall(): SaveState {
    const states = new Set([...this.records.values()].map((record) => record.state));
    const order: SaveState[] = ["failed", "waiting", "local", "saving"];
    return order.find((state) => states.has(state)) ?? "saved";
  }

  get overallMessage(): string | null {
    const overall = this.overall;
    const worst = [...this.records.values()].find((record) => record.state === overall);
    return worst?.message ?? null;
  }

  /** Tries everything unsaved again now: the person pressed "Try again", or signed in. */
  retry(): void {
    this.isStopped = false;
    for (const [key, record] of this.records) {
      if (record.isDirty) {
        record.attempts = 0;
        this.schedule(key, record, 0);
      }
    }
  }

  /** The ids that the server is known to hold: asked for before its list, what it lacks is gone. */
  knownIds(): ReadonlySet<string> {
    return new Set([...this.records.values()].flatMap(({ server }) => server?.id ?? []));
  }

  /**
   * Takes over what others drew, changed and removed; what this person is just changing stays as
   * it is, and the server decides when it is sent. Returns whether something must be asked for again.
   */
  merge(all: readonly MeasurementFacts[], knownBefore: ReadonlySet<string>): boolean {
    const keys = new Map<string, string>();
    for (const [key, record] of this.records) {
      const id = record.server?.id ?? record.wanted?.id;
      if (id !== undefined) {
        keys.set(id, key);
      }
    }
    let isLate = false;
    const present = new Set<string>();
    for (const theirs of all) {
      present.add(theirs.id);
      const key = keys.get(theirs.id);
      if (key === undefined) {
        if (!this.spentIds.has(theirs.id)) {
          this.records.set(theirs.id, fresh(theirs));
          this.list.restore(theirs.id, theirs);
        }
      } else if (this.isOlder(key, theirs)) {
        if (this.isInHand(key)) {
          isLate = true;
        } else {
          this.records.set(key, fresh(theirs));
          this.list.restore(key, theirs);
        }
      }
    }
    for (const [key, { server }] of [...this.records]) {
      if (server && knownBefore.has(server.id) && !present.has(server.id)) {
        if (this.isInHand(key)) {
          isLate = true;
        } else {
          this.spentIds.add(server.id);
          this.records.delete(key);
          this.list.drop(key);
        }
      }
    }
    this.emit("change", undefined);
    return isLate;
  }

  private isOlder(key: string, theirs: MeasurementFacts): boolean {
    const server = this.records.get(key)?.server;
    // Without one, its making is on the way, and the answer to that will tell.
    return server ? (theirs.version ?? 0) > (server.version ?? 0) : false;
  }

  /** Whether it is being drawn over, waits to be sent, or stays in this window. */
  private isInHand(key: string): boolean {
    const record = this.records.get(key);
    if (!record || record.isDirty || record.isBusy || record.state === "local") {
      return record !== undefined;
    }
    const shown = this.list.get(key)?.facts ?? null;
    return !isSameStroke(shown, record.wanted);
  }

  /** The page goes away: sends what is still held back, outliving the page. */
  flush(): void {
    for (const [key, record] of this.records) {
      if (record.isDirty && !record.isBusy) {
        clearTimeout(record.timer);
        void this.send(key, record, true);
      }
    }
  }

  private edit(key: string, after: MeasurementFacts | null): void {
    const record = this.records.get(key) ?? fresh(null);
    this.records.set(key, record);
    record.wanted = after;
    record.attempts = 0;
    if (!this.canWrite) {
      this.mark(
        record,
        "local",
        "You may read this study, not write to it: this stays in this window.",
      );
      return;
    }
    record.isDirty = true;
    this.mark(record, "saving", null);
    this.schedule(key, record, record.server ? DEBOUNCE_MS : 0);
  }

  private schedule(key: string, record: Record, delayMs: number): void {
    clearTimeout(record.timer);
    if (!this.isStopped) {
      record.timer = window.setTimeout(() => void this.send(key, record, false), delayMs);
    }
  }

  private async send(key: string, record: Record, keepalive: boolean): Promise<void> {
    if (record.isBusy || !record.isDirty) {
      return;
    }
    record.isBusy = true;
    record.isDirty = false;
    this.mark(record, "saving", null);
    try {
      await this.bring(key, record, keepalive);
      record.attempts = 0;
      if (!record.isDirty) {
        this.mark(record, "saved", null);
      }
    } catch (error) {
      this.fail(key, record, error);
    } finally {
      record.isBusy = false;
      if (record.isDirty && record.attempts === 0) {
        this.schedule(key, record, 0);
      }
    }
  }

  /** Makes the server hold what is wanted. */
  private async bring(key: string, record: Record, keepalive: boolean): Promise<void> {
    const { server, wanted } = record;
    if (wanted === null) {
      if (server !== null) {
        await request(`${this.links.item(server.id)}?version=${server.version ?? 1}`, {
          method: "DELETE",
          keepalive,
        });
        this.spentIds.add(server.id);
        record.server = null;
      }
      return;
    }
    let answer: MeasurementFacts;
    if (server === null) {
      const id = this.spentIds.has(wanted.id) ? randomUuid() : wanted.id;
      answer = await requestJson<MeasurementFacts>(this.links.collection, {
        method: "POST",
        body: bodyOf({ ...wanted, id }),
        keepalive,
      });
    } else {
      answer = await requestJson<MeasurementFacts>(this.links.item(server.id), {
        method: "PUT",
        body: { ...bodyOf({ ...wanted, id: server.id }), version: server.version },
        keepalive,
      });
    }
    record.server = answer;
    if (!record.isDirty && record.wanted === wanted) {
      // Points and numbers stay as measured here; the server's author, version and times come in.
      const { id, author, version, created_at, updated_at } = answer;
      const merged = {
        ...wanted,
        id,
        ...(author === undefined ? {} : { author }),
        ...(version === undefined ? {} : { version }),
        ...(created_at === undefined ? {} : { created_at }),
        ...(updated_at === undefined ? {} : { updated_at }),
      };
      record.wanted = merged;
      this.list.adopt(key, merged);
    }
  }

  private fail(key: string, record: Record, error: unknown): void {
    const failure = error instanceof ApiError ? error : new ApiError(String(error), 0);
    if (failure.status === 409) {
      this.resolveConflict(key, record, failure.body);
      return;
    }
    if (failure.status === 404 && record.server !== null) {
      this.spentIds.add(record.server.id);
      record.server = null;
      this.records.delete(key);
      if (record.wanted !== null) {
        this.list.drop(key);
        this.emit("notice", {
          message: t("Somebody else has removed this measurement meanwhile."),
        });
      }
      this.emit("change", undefined);
      return;
    }
    record.isDirty = true;
    record.attempts += 1;
    if (failure.status === 401) {
      this.isStopped = true;
      this.mark(record, "waiting", failure.message);
    } else if (failure.isTransient) {
      const waitMs = Math.min(1000 * 2 ** (record.attempts - 1), LONGEST_WAIT_MS);
      this.mark(record, "waiting", failure.message);
      this.schedule(key, record, waitMs);
    } else {
      this.mark(record, "failed", failure.message);
    }
  }

  /** Somebody was faster: theirs is shown, and the person is told that the own change is not kept. */
  private resolveConflict(key: string, record: Record, body: unknown): void {
    const theirs = presentState(body);
    if (!theirs) {
      record.isDirty = true;
      record.attempts += 1;
      this.mark(
        record,
        "failed",
        "Somebody else changed this measurement. Reload the page to see it.",
      );
      return;
    }
    const isTheSame = isSameStroke(record.wanted, theirs);
    record.server = theirs;
    record.wanted = theirs;
    record.isDirty = false;
    record.attempts = 0;
    this.list.restore(key, theirs);
    this.mark(record, "saved", null);
    if (isTheSame) {
      // Two windows completed the same values: nothing of the person's is lost.
      return;
    }
    const who = theirs.updated_by?.name || theirs.author?.name || t("Somebody else");
    this.emit("notice", {
      message: t(
        "{who} changed this measurement meanwhile. Theirs is shown; your change was not kept.",
        { who },
      ),
    });
  }

  private mark(record: Record, state: SaveState, message: string | null): void {
    record.state = state;
    record.message = message;
    this.emit("change", undefined);
  }
}

/** The measurement in a 409 answer, whether bare or in a problem document's `current`. */
function presentState(body: unknown): MeasurementFacts | null {
  const candidates = [body, (body as { current?: unknown } | null)?.current];
  for (const candidate of candidates) {
    const facts = candidate as Partial<MeasurementFacts> | null | undefined;
    if (facts && typeof facts === "object" && facts.id && facts.points && facts.version) {
      return facts as MeasurementFacts;
    }
  }
  return null;
}

/** Whether two states say the same of what a person drew; values follow from it. */
function isSameStroke(a: MeasurementFacts | null, b: MeasurementFacts | null): boolean {
  const drawn = (facts: MeasurementFacts | null): string =>
    JSON.stringify(
      // The length of a calibration line is what a person said; other values follow from the points.
      facts && [facts.kind, facts.points, facts.label, facts.kind === "calibration" && facts.value],
    );
  return drawn(a) === drawn(b);
}

function fresh(server: MeasurementFacts | null): Record {
  return {
    server,
    wanted: server,
    isDirty: false,
    isBusy: false,
    state: "saved",
    message: null,
    attempts: 0,
    timer: 0,
  };
}
