import { t } from "../../i18n";
/** What the upload address answers (see `worklist/views/upload.py`). */
export type Outcome = "stored" | "duplicate" | "conflict" | "refused" | "skipped";

export interface PartResult {
  part: number;
  name: string;
  outcome: Outcome;
  reason: string;
}

export interface StudyResult {
  id: string;
  url: string;
  viewer_url: string;
  patient: string;
  StudyDate: string | null;
  StudyDescription: string;
  ModalitiesInStudy: string[];
  instance_count: number;
}

export interface Answer {
  results: PartResult[];
  studies: StudyResult[];
}

const WORDS: [Outcome, string][] = [
  ["stored", t("stored")],
  ["duplicate", t("already here")],
  ["refused", t("refused")],
  ["conflict", t("kept aside")],
  ["skipped", t("skipped")],
];
const LONGEST_REASON = 72;

/** Counts of results and the reasons of what was not taken. */
export class Tally {
  readonly counts = new Map<Outcome, number>();
  readonly reasons = new Map<string, number>();

  add(result: PartResult): void {
    this.counts.set(result.outcome, (this.counts.get(result.outcome) ?? 0) + 1);
    if (result.outcome === "refused") {
      this.reasons.set(result.reason, (this.reasons.get(result.reason) ?? 0) + 1);
    }
  }

  /** The reasons, the most frequent first. */
  sorted(): [string, number][] {
    return [...this.reasons].sort((a, b) => b[1] - a[1]);
  }

  /** The one reason, if there is but one, the line ends with it and has room for it. */
  private get onlyReason(): string {
    const [only] = this.reasons.keys();
    const isLast = !this.counts.get("conflict") && !this.counts.get("skipped");
    return this.reasons.size === 1 && isLast && only && only.length <= LONGEST_REASON ? only : "";
  }

  /** Whether the line leaves something of the reasons out. */
  get isShortened(): boolean {
    return this.reasons.size > 0 && !this.onlyReason;
  }

  /** One short line for people: `312 stored, 4 already here, 2 refused, 1 kept aside`. */
  line(): string {
    const parts = WORDS.filter(([outcome]) => this.counts.get(outcome)).map(
      ([outcome, word]) => `${this.counts.get(outcome)} ${word}`,
    );
    const reason = this.onlyReason ? `: ${this.onlyReason}` : "";
    return parts.length > 0 ? parts.join(", ") + reason : t("Nothing sent yet");
  }
}
