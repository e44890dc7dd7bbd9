import { t } from "../../i18n";
import { Emitter } from "../core/emitter";
import { putBelow, type Reference, type ReportText, used } from "../core/report";
import { randomUuid } from "../core/uuid";
import { ApiError, request, requestJson } from "./api";

export type ReportState = "loading" | "saved" | "saving" | "waiting" | "failed" | "conflict";

export interface ReportFacts extends ReportText {
  version: number;
  author: { name: string } | null;
  updated_by: { name: string } | null;
  updated_at?: string;
}

export interface RevisionFacts {
  id: string;
  version: number | null;
  is_aside: boolean;
  user: { name: string };
  at: string;
}

const QUIET_MS = 1000;
const RETRY_MS = 5000;

interface Events {
  change: undefined;
}

const NOTHING: ReportFacts = {
  version: 0,
  text: "",
  references: [],
  author: null,
  updated_by: null,
};

/** The text about a study: kept by itself a moment after the last stroke, and never overwritten. */
export class ReportDraft extends Emitter<Events> {
  text = "";
  references: readonly Reference[] = [];
  state: ReportState = "loading";
  message = "";
  /** Somebody else's text, which stands on the server while this person's is not kept as such. */
  theirs: ReportFacts | null = null;
  private kept: ReportFacts = NOTHING;
  private timer = 0;
  private isSending = false;
  private sentText = "";
  private sendingText = "";
  private revisionId = "";

  private begin: () => void = () => {};
  /** Fulfilled when the first answer is here, or is not to be had. */
  readonly arrived = new Promise<void>((resolve) => {
    this.begin = resolve;
  });

  constructor(private readonly url: string) {
    super();
  }

  get facts(): ReportFacts {
    return this.kept;
  }

  get isClean(): boolean {
    return this.state === "saved" || this.state === "loading";
  }

  /** Asks for what stands there; what this person has not saved yet is never replaced. */
  async load(): Promise<void> {
    try {
      const facts = await requestJson<ReportFacts>(this.url);
      // An answer that was under way while this window saved is older than what stands here.
      if (this.isClean && !this.isSending && facts.version >= this.kept.version) {
        this.adopt(facts);
      }
    } catch (error) {
      if (this.state === "loading") {
        this.fail(error);
      }
    } finally {
      this.begin();
    }
  }

  write({ text, references }: ReportText): void {
    if (text === this.text && references === this.references) {
      return;
    }
    this.text = text;
    this.references = references;
    if (this.state !== "conflict" && this.state !== "loading") {
      this.state = "saving";
      this.later(QUIET_MS);
    }
    this.emit("change", undefined);
  }

  retry(): void {
    if (this.state === "waiting" || this.state === "failed") {
      if (this.kept === NOTHING && this.text === "") {
        this.state = "loading";
        void this.load();
      } else {
        void this.send(false);
      }
    }
  }

  /**
   * Sends at once what is not saved. `isLast`: the page is going, so that words behind a message
   * that is still under way are sent beside it; the server keeps both.
   */
  flush(isLast: boolean): void {
    if (this.state === "saving" || this.state === "waiting") {
      void this.send(isLast);
    }
  }

  /** This person's text below the other's: both stand. */
  putBelowTheirs(): void {
    if (this.theirs) {
      this.resolve(putBelow(this.theirs, this));
    }
  }

  /** Puts an earlier text below the present one. */
  putBelow(earlier: ReportText): void {
    this.write(putBelow(this, earlier));
  }

  /**
   * The other's text; this person's stays among the earlier texts, where the server put it. What
   * was written since then is put there first.
   */
  async takeTheirs(): Promise<void> {
    if (!this.theirs) {
      return;
    }
    const { text } = this;
    const references = used(this);
    if (this.contentOf(text, references) !== this.sentText) {
      try {
        await request(this.url, { method: "PUT", body: this.bodyOf(text, references) });
      } catch (error) {
        const isPutAside = error instanceof ApiError && error.status === 409;
        if (!isPutAside) {
          this.message = t("Your text could not be put aside yet. {message}", {
            message: (error as Error).message,
          });
          this.emit("change", undefined);
          return;
        }
        const { current } = error.body as { current?: ReportFacts };
        this.theirs = current ?? this.theirs;
      }
    }
    const theirs = this.theirs;
    this.theirs = null;
    this.adopt(theirs);
  }

  async revisions(): Promise<RevisionFacts[]> {
    const answer = await requestJson<{ revisions: RevisionFacts[] }>(`${this.url}revisions/`);
    return answer.revisions;
  }

  async revision(id: string): Promise<ReportText> {
    return requestJson<ReportText>(`${this.url}revisions/${id}/`);
  }

  private resolve(merged: ReportText): void {
    this.kept = this.theirs ?? this.kept;
    this.theirs = null;
    this.state = "saving";
    this.message = "";
    this.text = merged.text;
    this.references = merged.references;
    this.emit("change", undefined);
    void this.send(false);
  }

  private adopt(facts: ReportFacts): void {
    this.kept = facts;
    this.text = facts.text;
    this.references = facts.references;
    this.state = "saved";
    this.message = "";
    this.emit("change", undefined);
  }

  private later(delayMs: number): void {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => void this.send(false), delayMs);
  }

  private async send(keepalive: boolean): Promise<void> {
    clearTimeout(this.timer);
    const isUnderWay = this.isSending && !(keepalive && this.text !== this.sendingText);
    if (isUnderWay || this.state === "conflict" || this.state === "loading") {
      return;
    }
    const { text } = this;
    const references = used(this);
    this.isSending = true;
    this.sendingText = text;
    this.state = "saving";
    this.emit("change", undefined);
    const body = this.bodyOf(text, references);
    try {
      const answer = await request(this.url, { method: "PUT", body, keepalive });
      this.kept = (await answer.json()) as ReportFacts;
      this.state = this.text === text ? "saved" : "saving";
      this.message = "";
    } catch (error) {
      this.fail(error);
    } finally {
      this.isSending = false;
    }
    if (this.state === "saving") {
      this.later(QUIET_MS);
    }
    this.emit("change", undefined);
  }

  private contentOf(text: string, references: readonly Reference[]): string {
    return JSON.stringify([this.kept.version, text, references]);
  }

  private bodyOf(text: string, references: readonly Reference[]): object {
    const content = this.contentOf(text, references);
    if (content !== this.sentText) {
      // The same content sent again keeps its name, so that the server keeps it once.
      this.sentText = content;
      this.revisionId = randomUuid();
    }
    const base_version = this.kept.version;
    return { revision_id: this.revisionId, base_version, text, references };
  }

  private fail(error: unknown): void {
    this.message = error instanceof Error ? error.message : String(error);
    const current = error instanceof ApiError ? (error.body as { current?: ReportFacts }) : null;
    if (error instanceof ApiError && error.status === 409 && current?.current) {
      this.theirs = current.current;
      this.state = "conflict";
    } else if (error instanceof ApiError && !error.isTransient) {
      this.state = "failed";
    } else {
      this.state = "waiting";
      window.setTimeout(() => this.retry(), RETRY_MS);
    }
    this.emit("change", undefined);
  }
}
