import type { Live } from "../../site/live";
import type { Decision, FindingFacts, MachineAnswer, MachineFindings } from "../core/machine";
import { requestJson } from "./api";

/** Several changes in a row are asked for once. */
const GATHER_MS = 300;

/** Fetches what programs found. */
export async function loadFindings(
  url: string | undefined,
  findings: MachineFindings,
): Promise<void> {
  if (!url) {
    return;
  }
  try {
    findings.load(await requestJson<MachineAnswer>(url));
  } catch (error) {
    findings.fail(error instanceof Error ? error.message : String(error));
  }
}

/** Accepts or rejects a finding, or takes that back. */
export async function decide(
  findings: MachineFindings,
  { url }: FindingFacts,
  decision: Decision,
  comment?: string,
): Promise<void> {
  const body = comment === undefined ? { decision } : { decision, comment };
  findings.put(await requestJson<FindingFacts>(url, { method: "POST", body }));
}

/** Looks again when an analysis has ended, or somebody has said something of a finding. */
export function followFindings(
  live: Live,
  studyId: string,
  url: string | undefined,
  findings: MachineFindings,
): void {
  let timer = 0;
  live.on("analysis.changed", ({ study_id }) => {
    if (study_id === studyId) {
      clearTimeout(timer);
      timer = window.setTimeout(() => void loadFindings(url, findings), GATHER_MS);
    }
  });
}
