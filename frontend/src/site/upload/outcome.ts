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
  ["stored", "stored"],
  ["duplicate", "already here"],
  ["conflict", "kept aside for an administrator"],
  ["skipped", "skipped"],
  ["refused", "refused"],
];
const MOST_REASONS = 3;
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

  /** Whether the line leaves something of the reasons out. */
  get isShortened(): boolean {
    return (
      this.reasons.size > MOST_REASONS ||
      [...this.reasons.keys()].some((reason) => short(reason) !== reason)
    );
  }

  /** One line for people: `12 stored, 2 already here, 1 refused: not DICOM (PNG)`. */
  line(): string {
    const parts = WORDS.filter(([outcome]) => this.counts.get(outcome)).map(
      ([outcome, word]) => `${this.counts.get(outcome)} ${word}`,
    );
    if (parts.length === 0) {
      return "Nothing sent yet";
    }
    const sorted = this.sorted();
    const reasons = sorted.slice(0, MOST_REASONS).map(([reason, times]) => {
      return sorted.length === 1 || times === 1 ? short(reason) : `${times} × ${short(reason)}`;
    });
    if (sorted.length > MOST_REASONS) {
      reasons.push("…");
    }
    return parts.join(", ") + (reasons.length > 0 ? `: ${reasons.join("; ")}` : "");
  }
}

function short(reason: string): string {
  return reason.length > LONGEST_REASON
    ? `${reason.slice(0, LONGEST_REASON - 1).trimEnd()}…`
    : reason;
}
