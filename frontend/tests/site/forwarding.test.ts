// @vitest-environment jsdom
import { beforeEach, expect, test } from "vitest";
import { patchRows } from "../../src/site/entries/patch";
import { outcomeText } from "../../src/site/worklist/send";

interface Entry {
  id: string;
  version: string;
  buttons?: string[];
}

function markup(entries: Entry[], count = entries.length): string {
  const rows = entries.map(
    ({ id, version, buttons = ["cancel"] }) =>
      `<tr data-entry="${id}" data-version="${version}"><th><a href="/study/${id}">${id}</a></th><td>${version}</td><td>${buttons
        .map((name) => `<form action="/${id}/${name}"><button>${name}</button></form>`)
        .join("")}</td></tr>`,
  );
  const nav = `<nav><a href="/queue">All ${count}</a><a href="/queue?state=sent">Sent</a></nav>`;
  return rows.length
    ? `${nav}<table><tbody>${rows.join("")}</tbody></table>`
    : `${nav}<p>Nothing has been sent on yet</p>`;
}

function fragment(html: string): DocumentFragment {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

let place: HTMLElement;

function shows(...entries: Entry[]): void {
  place.innerHTML = markup(entries);
}

function becomes(...entries: Entry[]): void {
  patchRows(place, fragment(markup(entries)));
}

function row(id: string): HTMLElement {
  const found = place.querySelector<HTMLElement>(`[data-entry="${id}"]`);
  if (!found) {
    throw new Error(`There is no row ${id}.`);
  }
  return found;
}

function order(): (string | undefined)[] {
  return [...place.querySelectorAll<HTMLElement>("[data-entry]")].map((one) => one.dataset.entry);
}

beforeEach(() => {
  document.body.innerHTML = "<main></main>";
  place = document.querySelector("main") as HTMLElement;
});

test("a row that did not change stays the element that it is", () => {
  shows({ id: "a", version: "1" }, { id: "b", version: "1" });
  const [a, b] = [row("a"), row("b")];
  becomes({ id: "new", version: "1" }, { id: "a", version: "2" }, { id: "b", version: "1" });
  expect(order()).toEqual(["new", "a", "b"]);
  expect(row("b")).toBe(b);
  expect(row("a")).not.toBe(a);
  expect(row("a").textContent).toContain("2");
  expect(place.querySelector("nav")?.textContent).toContain("All 3");
});

test("the focus stays on an unchanged row while others come and go", () => {
  shows({ id: "gone", version: "1" }, { id: "a", version: "1" }, { id: "b", version: "1" });
  const button = row("b").querySelector("button");
  button?.focus();
  becomes({ id: "new", version: "1" }, { id: "a", version: "2" }, { id: "b", version: "1" });
  expect(document.activeElement).toBe(button);
  expect(order()).toEqual(["new", "a", "b"]);
});

test("the same control of a changed row has the focus again", () => {
  shows({ id: "a", version: "1" }, { id: "b", version: "1" });
  row("b").querySelector("button")?.focus();
  becomes({ id: "a", version: "1" }, { id: "b", version: "2" });
  expect(document.activeElement).toBe(row("b").querySelector("button"));
});

test("where the control is gone, another of its row has the focus", () => {
  shows({ id: "a", version: "1" });
  row("a").querySelector("button")?.focus();
  becomes({ id: "a", version: "2", buttons: ["retry"] });
  expect(document.activeElement).toBe(row("a").querySelector("button"));
  becomes({ id: "a", version: "3", buttons: [] });
  expect(document.activeElement).toBe(row("a").querySelector("a"));
});

test("the focus on a tab stays on it", () => {
  shows({ id: "a", version: "1" });
  place.querySelectorAll<HTMLElement>("nav a")[1]?.focus();
  becomes({ id: "a", version: "2" }, { id: "b", version: "1" });
  expect((document.activeElement as HTMLAnchorElement).href).toContain("?state=sent");
});

test("an empty queue becomes one with entries, and empty again", () => {
  shows();
  becomes({ id: "a", version: "1" });
  expect(order()).toEqual(["a"]);
  becomes();
  expect(order()).toEqual([]);
  expect(place.textContent).toContain("Nothing has been sent on yet");
});

test.each([
  [{ sent: ["a"], not: [] }, "1 study is on its way to PACS2.", true],
  [{ sent: ["a", "b"], not: [] }, "2 studies are on their way to PACS2.", true],
  [
    { sent: ["a"], not: [{ id: "b", reason: "It has no images." }] },
    "1 study is on its way to PACS2. 1 study not sent: It has no images.",
    false,
  ],
  [
    {
      sent: [],
      not: [
        { id: "a", reason: "It is on its way there already." },
        { id: "b", reason: "It is on its way there already." },
      ],
    },
    "2 studies not sent: It is on its way there already.",
    false,
  ],
])("what was sent is said in words", (outcome, text, isGood) => {
  expect(outcomeText(outcome, "PACS2")).toEqual({ text, isGood });
});
