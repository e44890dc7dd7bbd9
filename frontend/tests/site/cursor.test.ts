// @vitest-environment jsdom
import { beforeEach, describe, expect, test } from "vitest";
import { type ListOfRows, RowCursor } from "../../src/site/worklist/cursor";

let moved: string[] = [];
let cursor: RowCursor;

function list(...ids: string[]): ListOfRows {
  document.body.replaceChildren(
    ...ids.map((id) => {
      const row = document.createElement("div");
      row.id = `study-${id}`;
      row.dataset.id = id;
      row.innerHTML = "<input type=checkbox data-select>";
      row.scrollIntoView = () => undefined;
      return row;
    }),
  );
  return {
    order: ids,
    get: (id) => document.getElementById(`study-${id}`) ?? undefined,
    has: (id) => ids.includes(id),
  };
}

function select(ids: string[]): void {
  expect([...cursor.selected].sort()).toEqual(ids);
  for (const row of document.querySelectorAll<HTMLElement>("[data-id]")) {
    const isSelected = ids.includes(row.dataset.id ?? "");
    expect(row.getAttribute("aria-selected") === "true").toBe(isSelected);
    expect(row.querySelector("input")?.checked).toBe(isSelected);
  }
}

beforeEach(() => {
  moved = [];
  cursor = new RowCursor(list("a", "b", "c", "d"), {
    onMove: (id) => moved.push(id),
    onSelect: () => undefined,
  });
});

describe("moving", () => {
  test("starts at the end that the first step comes from, and stops at the ends", () => {
    cursor.step(-1);
    expect(moved).toEqual(["d"]);
    cursor.step(5);
    cursor.step(-99);
    cursor.step(1);
    expect(moved).toEqual(["d", "d", "a", "b"]);
  });

  test("leaves one row with the focus and in the order of the Tab key", () => {
    cursor.step(1);
    cursor.step(1);
    const reachable = [...document.querySelectorAll<HTMLElement>("[data-id]")].filter(
      (row) => row.tabIndex === 0,
    );
    expect(reachable.map((row) => row.dataset.id)).toEqual(["b"]);
    expect(document.activeElement?.id).toBe("study-b");
  });

  test("does nothing in an empty list", () => {
    cursor = new RowCursor(list(), { onMove: (id) => moved.push(id), onSelect: () => undefined });
    cursor.step(1);
    cursor.toEnd(true);
    expect(moved).toEqual([]);
    expect(cursor.targets).toEqual([]);
  });
});

describe("selecting", () => {
  test("an action is meant for the current row until rows are selected", () => {
    cursor.step(1);
    expect(cursor.targets).toEqual(["a"]);
    cursor.select("c", true);
    expect(cursor.targets).toEqual(["c"]);
    select(["c"]);
  });

  test("a range goes both ways", () => {
    cursor.toEnd(true);
    const second = document.getElementById("study-b");
    expect(second).not.toBeNull();
    cursor.selectTo(second as HTMLElement);
    select(["b", "c", "d"]);
    cursor.clear();
    select([]);
  });

  test("a row that is no longer in the list is not selected", () => {
    const rows = list("a", "b");
    let has = rows.has;
    cursor = new RowCursor(
      { order: rows.order, get: rows.get, has: (id) => has(id) },
      { onMove: () => undefined, onSelect: () => undefined },
    );
    cursor.select("a", true);
    cursor.select("b", true);
    has = (id) => id === "b";
    cursor.settle();
    expect(cursor.targets).toEqual(["b"]);
  });
});
