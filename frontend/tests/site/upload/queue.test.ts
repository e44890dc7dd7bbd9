import { describe, expect, it } from "vitest";
import type { Answer, PartResult } from "../../../src/site/upload/outcome";
import { isSystemFile, MOST_FILES_A_REQUEST, Queue } from "../../../src/site/upload/queue";
import { reportText } from "../../../src/site/upload/report";

const MIB = 1024 * 1024;

function queueOf(...sizes: number[]): Queue<{ size: number }> {
  const queue = new Queue<{ size: number }>();
  queue.add(
    sizes.map((size, n) => ({ file: { size }, name: `f${n}` })),
    "NORTH",
  );
  return queue;
}

function answer(...results: Partial<PartResult>[]): Answer {
  return {
    results: results.map((r, part) => ({
      part,
      name: `f${part}`,
      outcome: "stored",
      reason: "",
      ...r,
    })),
    studies: [],
  };
}

describe("what a request carries", () => {
  it("takes small files together, up to the count and the bytes", () => {
    const many = queueOf(...Array<number>(MOST_FILES_A_REQUEST + 5).fill(10));
    expect(many.takeBatch()).toHaveLength(MOST_FILES_A_REQUEST);
    expect(many.takeBatch()).toHaveLength(5);
    expect(many.takeBatch()).toEqual([]);
    const big = queueOf(3 * MIB, 3 * MIB, 3 * MIB);
    expect(big.takeBatch().map((item) => item.name)).toEqual(["f0", "f1"]);
  });

  it("sends a file above the limit alone", () => {
    const queue = queueOf(100 * MIB, 1);
    expect(queue.takeBatch().map((item) => item.name)).toEqual(["f0"]);
  });

  it("never mixes facilities", () => {
    const queue = queueOf(1);
    queue.add([{ file: { size: 1 }, name: "other" }], "SOUTH");
    expect(queue.takeBatch().map((item) => item.facility)).toEqual(["NORTH"]);
    expect(queue.takeBatch().map((item) => item.facility)).toEqual(["SOUTH"]);
  });

  it("sends what failed before alone, so that it holds back nothing else", () => {
    const queue = queueOf(1, 1, 1);
    queue.putBack(queue.takeBatch(), true);
    expect(queue.takeBatch()).toHaveLength(1);
    expect(queue.takeBatch()).toHaveLength(1);
  });

  it("keeps together what only the network interrupted", () => {
    const queue = queueOf(1, 1, 1);
    queue.putBack(queue.takeBatch(), false);
    expect(queue.takeBatch()).toHaveLength(3);
  });
});

describe("progress", () => {
  it("shares a request's bytes among its files in order", () => {
    const queue = queueOf(10, 10, 10);
    const batch = queue.takeBatch();
    queue.progress(batch, 15);
    expect(batch.map((item) => item.sent)).toEqual([10, 5, 0]);
    expect(queue.sentBytes).toBe(15);
    queue.arrived(batch);
    expect(queue.sentBytes).toBe(30);
    expect(batch.map((item) => item.state)).toEqual(["storing", "storing", "storing"]);
  });

  it("takes back what an interrupted request had sent", () => {
    const queue = queueOf(10, 10);
    const batch = queue.takeBatch();
    queue.progress(batch, 15);
    queue.putBack(batch, false);
    expect(queue.sentBytes).toBe(0);
    expect(queue.openCount).toBe(2);
    expect(queue.hasWaiting).toBe(true);
  });
});

describe("results", () => {
  it("gives each file its own outcome and counts them", () => {
    const queue = queueOf(1, 1, 1);
    queue.settle(
      queue.takeBatch(),
      answer({}, { outcome: "duplicate" }, { outcome: "refused", reason: "not DICOM (PNG)" }),
    );
    expect(queue.items.map((item) => item.state)).toEqual(["stored", "duplicate", "refused"]);
    expect(queue.tally.line()).toBe("1 stored, 1 already here, 1 refused: not DICOM (PNG)");
    expect([queue.openCount, queue.problemCount]).toEqual([0, 1]);
  });

  it("shows an archive as one line, and its members below", () => {
    const queue = queueOf(5);
    const batch = queue.takeBatch();
    queue.settle(
      batch,
      answer(
        { part: 0, name: "f0/IM1" },
        { part: 0, name: "f0/IM2" },
        { part: 0, name: "f0/x.png", outcome: "refused", reason: "not DICOM (PNG)" },
      ),
    );
    expect(queue.items.map((item) => [item.name, item.state, item.reason])).toEqual([
      ["f0", "opened", "2 stored, 1 refused: not DICOM (PNG)"],
      ["f0/IM1", "stored", ""],
      ["f0/IM2", "stored", ""],
      ["f0/x.png", "refused", "not DICOM (PNG)"],
    ]);
    expect(queue.items[1]?.file).toBeNull();
    // What the tabs count is what the line says.
    expect([queue.counts.get("stored"), queue.counts.get("refused")]).toEqual([2, 1]);
  });

  it("says in one short line what became of all, and reasons where one says it", () => {
    const queue = queueOf(1, 1, 1, 1);
    queue.settle(
      queue.takeBatch(),
      answer(
        {},
        { outcome: "conflict", reason: "other content" },
        { outcome: "refused", reason: "not DICOM (PNG)" },
        { outcome: "refused", reason: "not DICOM (PDF)" },
      ),
    );
    expect(queue.tally.line()).toBe("1 stored, 2 refused, 1 kept aside");
    expect(queue.tally.isShortened).toBe(true);
    expect(queue.tally.sorted()).toHaveLength(2);
  });

  it("lists what was not taken for mail and spreadsheets", () => {
    const queue = queueOf(1, 1, 1);
    const batch = queue.takeBatch();
    queue.settle(
      batch.slice(0, 2),
      answer({}, { outcome: "refused", reason: "not DICOM\n(PNG)\t" }),
    );
    queue.fail(batch, "The server could not take it.");
    expect(reportText(queue.items, new Date(2026, 0, 2, 3, 4))).toBe(
      "2 files were not taken, 2026-01-02 03:04\n\n" +
        "Refused\tf1\tnot DICOM (PNG) \n" +
        "Failed\tf2\tThe server could not take it.\n",
    );
  });

  it("says that a file without a result was left out", () => {
    const queue = queueOf(1);
    queue.settle(queue.takeBatch(), { results: [], studies: [] });
    expect(queue.items[0]?.state).toBe("skipped");
  });
});

describe("cancel and retry", () => {
  it("takes a cancelled file out of the sum, and a retried one back in", () => {
    const queue = queueOf(10, 20);
    const [first] = queue.items;
    if (!first) {
      throw new Error("no item");
    }
    queue.cancel(first);
    expect(queue.totalBytes).toBe(20);
    expect(queue.takeBatch().map((item) => item.name)).toEqual(["f1"]);
    queue.retry(first);
    expect(queue.totalBytes).toBe(30);
    expect(queue.takeBatch().map((item) => item.name)).toEqual(["f0"]);
  });

  it("retries what failed and leaves what was refused", () => {
    const queue = queueOf(1, 1);
    const batch = queue.takeBatch();
    queue.settle(batch.slice(0, 1), answer({ outcome: "refused", reason: "no" }));
    queue.fail(batch, "The server could not take it.");
    expect(queue.items.map((item) => item.state)).toEqual(["refused", "failed"]);
    for (const item of queue.items) {
      queue.retry(item);
    }
    expect(queue.items.map((item) => item.state)).toEqual(["refused", "waiting"]);
  });

  it("does not put a cancelled file of an interrupted request back", () => {
    const queue = queueOf(1, 1);
    const batch = queue.takeBatch();
    const [first] = batch;
    if (!first) {
      throw new Error("no item");
    }
    queue.cancel(first);
    queue.putBack(batch, false);
    expect(queue.takeBatch().map((item) => item.name)).toEqual(["f1"]);
  });
});

it("knows what operating systems leave behind", () => {
  for (const path of ["a/.DS_Store", "__MACOSX/x", "a/Thumbs.db", ".git/config"]) {
    expect(isSystemFile(path), path).toBe(true);
  }
  for (const path of ["a/IM0001", "..", "../x.dcm", "DICOMDIR", "a.b/c"]) {
    expect(isSystemFile(path), path).toBe(false);
  }
  const queue = new Queue<{ size: number }>();
  expect(queue.add([{ file: { size: 1 }, name: "d/.DS_Store" }], "N")).toBe(0);
});

it("counts twenty thousand files", () => {
  const queue = queueOf(...Array<number>(20_000).fill(500_000));
  for (let batch = queue.takeBatch(); batch.length > 0; batch = queue.takeBatch()) {
    queue.progress(batch, 1);
    queue.settle(batch, answer(...batch.map((item) => ({ name: item.name }))));
  }
  expect(queue.tally.line()).toBe("20000 stored");
});
