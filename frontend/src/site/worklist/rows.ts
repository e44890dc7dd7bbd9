import { t } from "../../i18n";
import { element, icon } from "../dom";
import { getFragment, messageOf } from "../http";
import { writeTimes } from "../times";
import { countText } from "./address";
import { Chunk } from "./chunk";

/** How far from the top one still counts as looking at the newest rows. */
const AT_TOP_PX = 40;
/** The next page is loaded this far before it is needed. */
const AHEAD_PX = 2500;
/** Rows that were put away come back this far before they are seen. */
const WAKE_PX = 1000;

export interface RowsHooks {
  /** Rows came into the page: those that a reader marked are to be marked again. */
  onRows: (rows: HTMLElement[]) => void;
  /** The list is another one, or longer. */
  onChange: () => void;
}

/**
 * The rows: pages of the list, and above them the studies that arrived since. A row is known by its
 * study's id and is there once.
 */
export class Rows {
  params = new URLSearchParams();
  private chunks: Chunk[] = [];
  private arrived: string[] = [];
  private readonly place = new Map<string, Chunk | null>();
  private readonly waiting = new Map<string, HTMLElement>();
  private readonly stale = new Set<string>();
  private readonly slot = required('[data-slot="rows"]');
  private readonly arrivals = required("[data-arrivals]");
  private readonly more = required("[data-more]");
  private readonly pill = required('[data-action="show-new"]');
  private readonly near: IntersectionObserver;
  private cursor = "";
  private loading: Promise<void> | null = null;
  private generation = 0;

  constructor(
    private readonly scroll: HTMLElement,
    private readonly address: string,
    private readonly hooks: RowsHooks,
  ) {
    const around = (margin: number) => ({ root: scroll, rootMargin: `${margin}px 0px` });
    new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting)) {
        void this.loadMore();
      }
    }, around(AHEAD_PX)).observe(this.more);
    this.near = new IntersectionObserver((entries) => this.turn(entries), around(WAKE_PX));
    this.pill.addEventListener("click", () => this.showWaiting());
    this.adopt([...this.slot.querySelectorAll<HTMLElement>(".chunk")]);
  }

  /** The ids of all rows in their order. */
  get order(): string[] {
    return [...this.arrived, ...this.chunks.flatMap((chunk) => chunk.ids)];
  }

  /** The row of a study; it is brought into the page if it was put away. */
  get(id: string): HTMLElement | undefined {
    const chunk = this.place.get(id);
    if (chunk === undefined) {
      return undefined;
    }
    if (chunk) {
      this.wake(chunk);
    }
    return document.getElementById(`study-${id}`) ?? undefined;
  }

  has(id: string): boolean {
    return this.place.has(id) || this.waiting.has(id);
  }

  get isAtTop(): boolean {
    return this.scroll.scrollTop <= AT_TOP_PX;
  }

  /** Replace everything by the first page of another list. */
  reset(content: Node[]): void {
    this.generation += 1;
    this.loading = null;
    this.near.disconnect();
    this.waiting.clear();
    this.stale.clear();
    this.place.clear();
    this.chunks = [];
    this.arrived = [];
    this.arrivals.replaceChildren();
    this.slot.replaceChildren(...content);
    this.scroll.scrollTop = 0;
    this.adopt([...this.slot.querySelectorAll<HTMLElement>(".chunk")]);
    this.hooks.onChange();
  }

  /** Rows by id: those that match the list's filters, or all that may be seen. */
  async fetchRows(ids: string[], isFiltered: boolean): Promise<HTMLElement[]> {
    const params = isFiltered ? new URLSearchParams(this.params) : new URLSearchParams();
    params.set("ids", ids.join(","));
    return rowsOf(await this.fetch(params));
  }

  /** Studies that came in: shown at once at the top, else announced. */
  arrive(rows: HTMLElement[]): void {
    for (const row of rows.filter((candidate) => !this.place.has(idOf(candidate)))) {
      this.waiting.set(idOf(row), row);
    }
    if (this.isAtTop) {
      this.showWaiting();
    } else {
      this.drawPill();
    }
  }

  showWaiting(): void {
    const rows = [...this.waiting.values()];
    this.waiting.clear();
    this.drawPill();
    if (!rows.length) {
      return;
    }
    for (const row of rows) {
      row.classList.add("is-new");
      row.querySelector(".c-patient")?.append(newMark());
      this.place.set(idOf(row), null);
      this.arrived.unshift(idOf(row));
      this.arrivals.prepend(row);
    }
    writeTimes(this.arrivals);
    this.slot.querySelector("[data-empty]")?.remove();
    this.scroll.scrollTop = 0;
    this.hooks.onRows(rows);
    this.hooks.onChange();
  }

  /** Write new facts into rows that are there; what the reader did to them stays. */
  refresh(rows: HTMLElement[]): void {
    for (const fresh of rows) {
      const id = idOf(fresh);
      if (this.waiting.has(id)) {
        this.waiting.set(id, fresh);
      }
      const row = this.place.has(id) ? document.getElementById(`study-${id}`) : null;
      if (!row) {
        continue;
      }
      writeTimes(fresh);
      row.dataset.status = fresh.dataset.status;
      if (copyCells(fresh, row)) {
        row.classList.remove("is-changed");
        void row.offsetWidth; // starts the animation anew
        row.classList.add("is-changed");
      }
    }
  }

  /** Studies changed: fetch those whose rows are in the page, remember the others. */
  async renew(ids: string[]): Promise<void> {
    const shown = ids.filter(
      (id) => this.waiting.has(id) || document.getElementById(`study-${id}`),
    );
    for (const id of ids) {
      if (this.place.has(id) && !shown.includes(id)) {
        this.stale.add(id);
      }
    }
    if (shown.length) {
      this.refresh(await this.fetchRows(shown, false));
    }
  }

  /** Compare with the first page as it is now: after a connection came back. */
  async catchUp(): Promise<void> {
    const generation = this.generation;
    const rows = rowsOf(await this.fetch(new URLSearchParams(this.params)));
    if (generation === this.generation) {
      this.refresh(rows.filter((row) => this.place.has(idOf(row))));
      this.arrive(rows.filter((row) => !this.has(idOf(row))).reverse());
    }
  }

  private async fetch(params: URLSearchParams): Promise<DocumentFragment> {
    params.set("part", "rows");
    return getFragment(`${this.address}?${params}`);
  }

  /** Load the next page, unless one is on its way. */
  loadMore(): Promise<void> {
    if (this.loading || !this.cursor) {
      return this.loading ?? Promise.resolve();
    }
    const generation = this.generation;
    const params = new URLSearchParams(this.params);
    params.set("cursor", this.cursor);
    this.loading = this.fetch(params)
      .then((content) => {
        if (generation === this.generation) {
          this.append(content);
        }
      })
      .catch((error: unknown) => this.showRetry(messageOf(error)))
      .finally(() => {
        if (generation === this.generation) {
          this.loading = null;
          requestAnimationFrame(() => this.isNearEnd && void this.loadMore());
        }
      });
    return this.loading;
  }

  /** The observer tells of changes alone: one page may not be enough to push the end away. */
  private get isNearEnd(): boolean {
    const end = this.more.getBoundingClientRect().top;
    return !this.more.hidden && end < this.scroll.getBoundingClientRect().bottom + AHEAD_PX;
  }

  private append(content: DocumentFragment): void {
    const box = content.querySelector<HTMLElement>(".chunk");
    for (const row of box?.querySelectorAll<HTMLElement>(".row") ?? []) {
      if (this.has(idOf(row))) {
        row.remove();
      }
    }
    if (box) {
      this.slot.append(box);
    }
    this.cursor = box?.dataset.cursor ?? "";
    this.adopt(box ? [box] : []);
    this.hooks.onChange();
  }

  private adopt(boxes: HTMLElement[]): void {
    for (const box of boxes) {
      const rows = [...box.querySelectorAll<HTMLElement>(".row")];
      const chunk = new Chunk(box, rows.map(idOf));
      this.chunks.push(chunk);
      for (const id of chunk.ids) {
        this.place.set(id, chunk);
      }
      writeTimes(box);
      this.near.observe(box);
      this.cursor = box.dataset.cursor ?? "";
      this.hooks.onRows(rows);
    }
    if (!this.chunks.length) {
      this.cursor = "";
    }
    this.more.hidden = !this.cursor;
    this.slot.parentElement?.querySelector(".grid-end")?.remove();
    if (!this.cursor && this.chunks.length > 1) {
      const text = t("End of the list: {place} studies", { place: countText(this.place.size) });
      this.slot.after(element("p", "grid-end", text));
    }
    this.drawPill();
  }

  /** Wake what comes near, put away what is far. */
  private turn(entries: IntersectionObserverEntry[]): void {
    for (const entry of entries) {
      const chunk = this.chunks.find((candidate) => candidate.box === entry.target);
      if (chunk && entry.isIntersecting) {
        this.wake(chunk);
      } else if (chunk && !chunk.box.contains(document.activeElement)) {
        chunk.sleep();
      }
    }
  }

  private wake(chunk: Chunk): void {
    if (!chunk.wake()) {
      return;
    }
    writeTimes(chunk.box);
    this.hooks.onRows(chunk.rows);
    const stale = chunk.ids.filter((id) => this.stale.delete(id));
    if (stale.length) {
      // What cannot be fetched now stays as it was and is asked for again next time.
      this.renew(stale).catch(() => {
        for (const id of stale) {
          this.stale.add(id);
        }
      });
    }
  }

  private showRetry(text: string): void {
    this.more.hidden = true;
    this.slot.querySelector(".list-error")?.remove();
    const again = element("button", "button button-small", icon("rotate-ccw"), t("Try again"));
    again.type = "button";
    const box = element("div", "list-error", element("span", "", text), again);
    box.setAttribute("role", "alert");
    again.addEventListener("click", () => {
      box.remove();
      this.more.hidden = false;
      void this.loadMore();
    });
    this.slot.append(box);
  }

  private drawPill(): void {
    this.pill.hidden = this.waiting.size === 0;
    const text = this.pill.querySelector("[data-new-count]");
    if (text) {
      text.textContent = t("{waiting} new", { waiting: countText(this.waiting.size) });
    }
  }
}

export function idOf(row: HTMLElement): string {
  return row.dataset.id ?? "";
}

function rowsOf(content: DocumentFragment): HTMLElement[] {
  return [...content.querySelectorAll<HTMLElement>(".row")];
}

function newMark(): HTMLElement {
  return element("span", "tag row-new", icon("arrow-down"), t("New"));
}

/** Put the cells that differ into the row; returns whether any did. */
function copyCells(from: HTMLElement, to: HTMLElement): boolean {
  let isChanged = false;
  const mark = to.querySelector(".row-new");
  for (const cell of from.querySelectorAll<HTMLElement>(".cell:not(.c-select, .c-preview)")) {
    const name = cell.classList[1] ?? "";
    const present = to.querySelector<HTMLElement>(`.${name}`);
    if (name === "c-patient" && mark) {
      cell.append(mark.cloneNode(true));
    }
    if (present && present.innerHTML !== cell.innerHTML) {
      present.className = cell.className;
      present.title = cell.title;
      present.replaceChildren(...cell.childNodes);
      isChanged = true;
    }
  }
  // The picture may have come after the row.
  const missing = to.querySelector<HTMLImageElement>(".c-preview img.is-missing");
  if (missing) {
    missing.classList.remove("is-missing");
    missing.src = missing.dataset.src ?? "";
  }
  return isChanged;
}

function required(selector: string): HTMLElement {
  const found = document.querySelector<HTMLElement>(selector);
  if (!found) {
    throw new Error(`The page lacks ${selector}.`);
  }
  return found;
}
