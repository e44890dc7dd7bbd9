import { expect, test } from "vitest";
import {
  type FindingFacts,
  findingWords,
  MachineFindings,
  type RunFacts,
  reportText,
  standingText,
} from "../../src/viewer/core/machine";

const NODE: FindingFacts = {
  id: "f1",
  url: "/viewer/api/findings/f1/",
  label: "Node",
  value: 4.21684,
  unit: "mm",
  text: "",
  machine: "Finder 2",
  decision: "open",
  decided_by: null,
  decided_at: null,
  comment: "",
  object: null,
  drawing: {
    SOPInstanceUID: "1.2.3",
    frame_number: 2,
    graphic: "polyline",
    points: [
      [1, 2],
      [3, 2],
      [3, 4],
    ],
    is_closed: true,
  },
};
const MASK: FindingFacts = {
  ...NODE,
  id: "f2",
  label: "Segmentation",
  value: null,
  drawing: null,
  object: { image_id: "seg", SeriesNumber: 9, SeriesDescription: "" },
};

function listOf(...findings: FindingFacts[]): MachineFindings {
  const run = { id: "r", state: "done", findings } as unknown as RunFacts;
  const list = new MachineFindings();
  list.load({ runs: [run], can_decide: true, page_url: "" });
  return list;
}

test("a finding is drawn on its frame alone, with the word that it is a machine's", () => {
  const list = listOf(NODE);
  expect(list.onFrame("1.2.3", 1)).toEqual([]);
  expect(list.onFrame("1.2.4", 2)).toEqual([]);
  const [drawing] = list.onFrame("1.2.3", 2);
  expect(drawing?.label).toBe("Node 4.217 mm (machine, not reviewed)");
  expect(drawing?.is_closed).toBe(true);
});

test("what is rejected is off the pictures until somebody asks for it", () => {
  const list = listOf(NODE, MASK);
  expect(list.openCount).toBe(2);
  list.put({ ...NODE, decision: "rejected" });
  list.put({ ...MASK, decision: "rejected" });
  expect(list.openCount).toBe(0);
  expect(list.onFrame("1.2.3", 2)).toEqual([]);
  expect(list.hides("seg", null)).toBe(true);
  list.set({ showsRejected: true });
  expect(list.onFrame("1.2.3", 2)[0]?.label).toContain("machine, rejected");
  expect(list.hides("seg", null)).toBe(false);
  list.set({ isDrawn: false });
  expect(list.onFrame("1.2.3", 2)).toEqual([]);
  expect(list.hides("seg", null)).toBe(true);
});

test("before the findings are here, an object's own mark counts", () => {
  const list = new MachineFindings();
  const mark = { finding_id: "f2", name: "Finder", version: "2", decided_at: null };
  expect(list.hides("seg", { ...mark, decision: "rejected", decided_by: "rita" })).toBe(true);
  expect(list.hides("seg", { ...mark, decision: "open", decided_by: null })).toBe(false);
  expect(list.hides("person's", null)).toBe(false);
  expect(list.standingOf("seg", { ...mark, decision: "open", decided_by: null })).toBe(
    "Found by a machine: Finder 2, not reviewed",
  );
  expect(list.standingOf("person's", null)).toBe("");
});

test("whose word it is stands beside it, and in the report", () => {
  expect(standingText(NODE)).toBe("Found by a machine: Finder 2, not reviewed");
  const accepted = { ...NODE, decision: "accepted" as const, decided_by: "rita", comment: "New." };
  expect(standingText(accepted)).toBe("Found by a machine: Finder 2, accepted by rita");
  expect(findingWords(MASK)).toBe("Segmentation");
  expect(reportText(accepted)).toBe(
    "Node 4.217 mm (Found by a machine: Finder 2, accepted by rita). New.",
  );
});
