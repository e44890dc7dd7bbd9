import { t } from "../../i18n";
import { localMoment } from "../../moments";
import { Emitter } from "./emitter";
import type { FoundDrawing } from "./found";

/** What programs found: docs/api/viewer.md, "Machine findings". */

export type Decision = "open" | "accepted" | "rejected";

/** What is said of an object that a machine made. */
export interface MachineMark {
  finding_id: string;
  name: string;
  version: string;
  decision: Decision;
  decided_by: string | null;
  decided_at: string | null;
}

export interface FindingFacts {
  id: string;
  url: string;
  label: string;
  value: number | null;
  unit: string;
  text: string;
  /** Name and version of the program. */
  machine: string;
  decision: Decision;
  decided_by: string | null;
  decided_at: string | null;
  comment: string;
  object: { image_id: string; SeriesNumber: number | null; SeriesDescription: string } | null;
  drawing:
    | (Pick<FoundDrawing, "SOPInstanceUID" | "points" | "is_closed"> & {
        frame_number: number;
        graphic: "point" | "polyline" | "circle";
      })
    | null;
}

export interface RunFacts {
  id: string;
  name: string;
  version: string;
  manufacturer: string;
  purpose: string;
  state: "waiting" | "running" | "done" | "failed" | "cancelled";
  message: string;
  at: string;
  findings: readonly FindingFacts[];
}

export interface MachineAnswer {
  runs: readonly RunFacts[];
  can_decide: boolean;
  page_url: string;
}

/** The analyses of the study and what each found; the list and the pictures show the same. */
export class MachineFindings extends Emitter<{ change: undefined }> {
  runs: readonly RunFacts[] = [];
  canDecide = false;
  pageUrl = "";
  isLoaded = false;
  problem: string | null = null;
  selected: string | null = null;
  /** Whether anything of machines is drawn over the pictures. */
  isDrawn = true;
  /** Whether what people rejected is drawn, too. */
  showsRejected = false;

  load({ runs, can_decide, page_url }: MachineAnswer): void {
    this.runs = runs;
    this.canDecide = can_decide;
    this.pageUrl = page_url;
    this.isLoaded = true;
    this.problem = null;
    this.emit("change", undefined);
  }

  fail(problem: string): void {
    this.problem = problem;
    this.emit("change", undefined);
  }

  set(choice: Partial<Pick<this, "selected" | "isDrawn" | "showsRejected">>): void {
    Object.assign(this, choice);
    this.emit("change", undefined);
  }

  /** Takes over what the server says of one finding. */
  put(fresh: FindingFacts): void {
    this.runs = this.runs.map((run) => ({
      ...run,
      findings: run.findings.map((one) => (one.id === fresh.id ? fresh : one)),
    }));
    this.emit("change", undefined);
  }

  get all(): FindingFacts[] {
    return this.runs.flatMap(({ findings }) => findings);
  }

  /** How many nobody has looked at. */
  get openCount(): number {
    return this.all.filter(({ decision }) => decision === "open").length;
  }

  /** What the object of an image was made by; null for one that no machine made. */
  ofObject(imageId: string): FindingFacts | null {
    return this.all.find(({ object }) => object?.image_id === imageId) ?? null;
  }

  /** Whether an object that a machine made is kept off the pictures; `mark` as its list told it. */
  hides(imageId: string, mark: MachineMark | null | undefined): boolean {
    const decision = this.ofObject(imageId)?.decision ?? mark?.decision;
    return decision !== undefined && !this.isShown({ decision });
  }

  /** Whose word an object is, where a machine made it. */
  standingOf(imageId: string, mark: MachineMark | null | undefined): string {
    const finding = this.ofObject(imageId);
    return finding ? standingText(finding) : mark ? markText(mark) : "";
  }

  isShown({ decision }: Pick<FindingFacts, "decision">): boolean {
    return this.isDrawn && (decision !== "rejected" || this.showsRejected);
  }

  /** What is drawn on a frame, in the form of other systems' drawings. */
  onFrame(sopInstanceUid: string, frameNumber: number): FoundDrawing[] {
    return this.all.flatMap((finding) => {
      const { drawing } = finding;
      const isHere =
        drawing?.SOPInstanceUID === sopInstanceUid && drawing.frame_number === frameNumber;
      return drawing && isHere && this.isShown(finding)
        ? [
            {
              id: finding.id,
              graphic: drawing.graphic,
              SOPInstanceUID: sopInstanceUid,
              frame_numbers: [frameNumber],
              points: drawing.points,
              is_closed: drawing.is_closed,
              label: `${findingWords(finding)} (${shortStanding(finding)})`,
              values: [],
            },
          ]
        : [];
    });
  }
}

/** A finding as people write it: "Bone volume 12.3 ml". */
export function findingWords({ label, value, unit }: FindingFacts): string {
  const number = value === null ? "" : Number(value.toPrecision(4)).toString();
  return [label, number, value === null ? "" : unit].filter(Boolean).join(" ");
}

function shortStanding({ decision }: Pick<FindingFacts, "decision">): string {
  return decision === "open"
    ? t("machine, not reviewed")
    : t("machine, {decision}", {
        decision: decision === "accepted" ? t("accepted") : t("rejected"),
      });
}

/** Whose word it is, always: a program's, and what a person said of it. */
export function standingText(
  finding: Pick<FindingFacts, "decision" | "decided_by" | "decided_at" | "machine">,
): string {
  const made = t("Found by a machine: {machine}", { machine: finding.machine });
  if (finding.decision === "open") {
    return t("{made}, not reviewed", { made });
  }
  const at = finding.decided_at ? localMoment(new Date(finding.decided_at)) : "";
  const who = [finding.decided_by ?? "somebody", at].filter(Boolean).join(", ");
  return `${made}, ${finding.decision} by ${who}`;
}

/** The same of an object, from what its list says. */
function markText(mark: MachineMark): string {
  return standingText({ ...mark, machine: [mark.name, mark.version].filter(Boolean).join(" ") });
}

/** What an accepted finding says in a report. */
export function reportText(finding: FindingFacts): string {
  const comment = finding.comment ? ` ${finding.comment}` : "";
  return `${findingWords(finding)} (${standingText(finding)}).${comment}`;
}
