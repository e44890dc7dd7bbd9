import { describe, expect, it } from "vitest";
import { Draft, type Segment } from "../../src/viewer/core/draft";
import { toRuns } from "../../src/viewer/core/masks";

const segment = (number: number): Segment => ({
  id: `00000000-0000-4000-8000-00000000000${number}`,
  number,
  name: `Segment ${number}`,
  property: "85756007",
  colour: "#3cb44b",
  is_semiautomatic: false,
});

function paint(draft: Draft, index: number, value: number, ...pixels: number[]): void {
  const stroke = draft.stroke();
  stroke.edit(index, (labels) => {
    for (const pixel of pixels) {
      labels[pixel] = value;
    }
  });
  stroke.end();
}

describe("a draft", () => {
  it("undoes and does again stroke by stroke, on the slice that each was on", () => {
    const draft = new Draft(4, 2);
    draft.add(segment(1));
    paint(draft, 0, 1, 0, 1, 2);
    paint(draft, 3, 1, 5);
    expect([...draft.counts(1)]).toEqual([
      [0, 3],
      [3, 1],
    ]);
    expect(draft.undo()).toBe(3);
    expect([...draft.counts(1)]).toEqual([[0, 3]]);
    expect(draft.undo()).toBe(0);
    expect(draft.drawnFrames).toEqual([]);
    expect(draft.redo()).toBe(0);
    expect(draft.redo()).toBe(3);
    expect([...draft.counts(1)]).toEqual([
      [0, 3],
      [3, 1],
    ]);
    expect(draft.canRedo).toBe(false);
  });

  it("remembers no stroke that changed nothing", () => {
    const draft = new Draft(4, 2);
    draft.add(segment(1));
    paint(draft, 0, 1, 0);
    paint(draft, 0, 1, 0);
    paint(draft, 1, 0, 0);
    expect(draft.undo()).toBe(0);
    expect(draft.drawnFrames.filter((index) => draft.labelsOf(index)?.includes(1))).toEqual([]);
  });

  it("gives up a stroke without touching the one before", () => {
    const draft = new Draft(4, 2);
    draft.add(segment(1));
    paint(draft, 0, 1, 0);
    const stroke = draft.stroke();
    stroke.edit(0, (labels) => labels.fill(1));
    stroke.cancel();
    const idle = draft.stroke();
    idle.edit(0, () => {});
    idle.cancel();
    expect([...draft.counts(1)]).toEqual([[0, 1]]);
  });

  it("deletes a segment with all that is drawn in it, and brings it back", () => {
    const draft = new Draft(4, 2);
    draft.add(segment(1));
    draft.add(segment(2));
    paint(draft, 0, 1, 0, 1);
    paint(draft, 0, 2, 2);
    draft.remove(1);
    expect(draft.segments.map(({ number }) => number)).toEqual([2]);
    expect(draft.counts(1).size).toBe(0);
    draft.undo();
    expect(draft.segments.map(({ number }) => number)).toEqual([1, 2]);
    expect([...draft.counts(1)]).toEqual([[0, 2]]);
  });

  it("goes on with stored segments as one step, which is undone as one", () => {
    const draft = new Draft(4, 2);
    const drawn = [
      { index: 1, runs: toRuns(Uint8Array.of(0, 1, 1, 0, 0, 2, 2, 2)) },
      { index: 4, runs: toRuns(Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0)) },
    ];
    draft.take([segment(1), segment(2)], drawn);
    expect(draft.active).toBe(1);
    expect([...draft.counts(1)]).toEqual([
      [1, 2],
      [4, 1],
    ]);
    expect([...draft.counts(2)]).toEqual([[1, 3]]);
    paint(draft, 1, 2, 0);
    expect([...draft.counts(2)]).toEqual([[1, 4]]);
    draft.undo();
    expect([...draft.counts(2)]).toEqual([[1, 3]]);
    draft.undo();
    expect(draft.segments).toEqual([]);
    expect(draft.drawnFrames).toEqual([]);
    draft.redo();
    expect(draft.runsOf(1)).toEqual(drawn[0]?.runs);
    expect(draft.segments).toHaveLength(2);
  });
});
