import { element, icon } from "../dom";
import { getFragment } from "../http";
import { writeTimes } from "../times";
import { countText } from "./address";

/** How far from the top one still counts as looking at the newest rows. */
const AT_TOP_PX = 40;
const AHEAD_PX = 2500;

/**
 * The rows: pages of the list below, studies that arrived since above them. A row is known by its
 * study's id and is there once.
 */
export class Rows {
  params = new URLSearchParams();
  private readonly byId = new Map<string, HTMLElement>();
  private readonly waiting = new Map<string, HTMLElement>();
  private readonly slot: HTMLElement;
  private readonly arrivals: HTMLElement;
  private readonly more: HTMLElement;
  private readonly pill: HTMLElement;
  private cursor = "";
  private loading: Promise<void> | null = null;
  private generation = 0;

  constructor(
    private readonly scroll: HTMLElement,
    private readonly address: string,
    private readonly onChange: () => void,
    private readonly onError: (error: unknown) => void,
  ) {
    const find = (selector: string) => {
      const found = document.querySelector<HTMLElement>(selector);
      if (!found) {
        throw new Error(`The page lacks ${selector}.`);
      }
      return found;
    };
    this.slot = find('[data-slot="rows"]');
    this.arrivals = find("[data-arrivals]");
    this.more = find("[data-more]");
    this.pill = find('[data-action="show-new"]');
    new IntersectionObserver(
      (entries) => entries.some((e) => e.isIntersecting) && this.loadMore(),
      {
        root: scroll,
        rootMargin: `0px 0px ${AHEAD_PX}px 0px`,
      },
    ).observe(this.more);
    this.pill.addEventListener("click", () => this.showWaiting());
    this.adopt();
  }

  /** Every row in the order of the page. */
  get all(): HTMLElement[] {
    return [...this.scroll.querySelectorAll<HTMLElement>(".row")];
  }

  get(id: string): HTMLElement | undefined {
    return this.byId.get(id);
  }

  has(id: string): boolean {
    return this.byId.has(id) || this.waiting.has(id);
  }

  get isAtTop(): boolean {
    return this.scroll.scrollTop <= AT_TOP_PX;
  }

  /** Replace everything by the first page of another list. */
  reset(content: Node[]): void {
    this.generation += 1;
    this.loading = null;
    this.waiting.clear();
    this.arrivals.replaceChildren();
    this.slot.replaceChildren(...content);
    this.scroll.scrollTop = 0;
    this.adopt();
    this.onChange();
  }

  /** Rows by id: those that match the list's filters, or all that may be seen. */
  async fetchRows(ids: string[], isFiltered: boolean): Promise<HTMLElement[]> {
    const params = isFiltered ? new URLSearchParams(this.params) : new URLSearchParams();
    params.set("ids", ids.join(","));
    params.set("part", "rows");
    const content = await getFragment(`${this.address}?${params}`);
    return [...content.querySelectorAll<HTMLElement>(".row")];
  }

  /** Studies that came in: shown at once at the top, else announced. */
  arrive(rows: HTMLElement[]): void {
    const fresh = rows.filter((row) => !this.byId.has(row.dataset.id ?? ""));
    for (const row of fresh) {
      this.waiting.set(row.dataset.id ?? "", row);
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
      row
        .querySelector(".c-patient")
        ?.append(element("span", "tag row-new", icon("arrow-down"), "New"));
      this.byId.set(row.dataset.id ?? "", row);
      this.arrivals.prepend(row);
    }
    writeTimes(this.arrivals);
    this.slot.querySelector("[data-empty]")?.remove();
    this.scroll.scrollTop = 0;
    this.onChange();
  }

  /** Write new facts into rows that are there; what the reader did to them stays. */
  refresh(rows: HTMLElement[]): void {
    for (const fresh of rows) {
      const id = fresh.dataset.id ?? "";
      if (this.waiting.has(id)) {
        this.waiting.set(id, fresh);
      }
      const row = this.byId.get(id);
      if (!row) {
        continue;
      }
      writeTimes(fresh);
      const isChanged = this.copyCells(fresh, row);
      row.dataset.status = fresh.dataset.status;
      if (isChanged) {
        row.classList.remove("is-changed");
        void row.offsetWidth; // starts the animation anew
        row.classList.add("is-changed");
      }
    }
    this.onChange();
  }

  /** Compare with the first page as it is now: after a connection came back. */
  async catchUp(): Promise<void> {
    const generation = this.generation;
    const params = new URLSearchParams(this.params);
    params.set("part", "rows");
    const content = await getFragment(`${this.address}?${params}`);
    if (generation !== this.generation) {
      return;
    }
    const rows = [...content.querySelectorAll<HTMLElement>(".row")];
    const known = rows.filter((row) => this.byId.has(row.dataset.id ?? ""));
    const fresh = rows.filter((row) => !this.has(row.dataset.id ?? ""));
    this.refresh(known);
    this.arrive(fresh.reverse());
  }

  /** Load the next page now; used by the End key and the observer. */
  async loadMore(): Promise<void> {
    if (!this.cursor || this.loading) {
      return this.loading ?? undefined;
    }
    const generation = this.generation;
    const params = new URLSearchParams(this.params);
    params.set("cursor", this.cursor);
    params.set("part", "rows");
    this.loading = getFragment(`${this.address}?${params}`)
      .then((content) => {
        if (generation === this.generation) {
          this.append(content);
        }
      })
      .catch((error: unknown) => {
        this.showRetry();
        this.onError(error);
      })
      .finally(() => {
        this.loading = null;
      });
    return this.loading;
  }

  private append(content: DocumentFragment): void {
    const chunk = content.querySelector<HTMLElement>(".chunk");
    this.cursor = chunk?.dataset.cursor ?? "";
    for (const row of chunk?.querySelectorAll<HTMLElement>(".row") ?? []) {
      if (this.has(row.dataset.id ?? "")) {
        row.remove();
      }
    }
    if (chunk) {
      this.slot.append(chunk);
    }
    this.adopt();
    this.onChange();
  }

  private adopt(): void {
    this.byId.clear();
    for (const row of this.all) {
      this.byId.set(row.dataset.id ?? "", row);
    }
    const chunks = this.slot.querySelectorAll<HTMLElement>(".chunk");
    this.cursor = chunks[chunks.length - 1]?.dataset.cursor ?? "";
    this.slot.querySelector(".list-error")?.remove();
    this.more.hidden = !this.cursor;
    this.slot.parentElement?.querySelector(".grid-end")?.remove();
    if (!this.cursor && chunks.length > 1) {
      this.slot.after(
        element("p", "grid-end", `End of the list: ${countText(this.byId.size)} studies`),
      );
    }
    writeTimes(this.slot);
    this.drawPill();
  }

  private showRetry(): void {
    this.more.hidden = true;
    this.slot.querySelector(".list-error")?.remove();
    const again = element("button", "button button-small", icon("rotate-ccw"), "Try again");
    again.type = "button";
    const box = element("div", "list-error", "The next rows could not be loaded.", again);
    again.addEventListener("click", () => {
      box.remove();
      this.more.hidden = false;
      void this.loadMore();
    });
    this.slot.append(box);
  }

  private copyCells(from: HTMLElement, to: HTMLElement): boolean {
    let isChanged = false;
    const mark = to.querySelector(".row-new");
    for (const cell of from.querySelectorAll<HTMLElement>(".cell:not(.c-select, .c-preview)")) {
      const name = cell.classList[1] ?? "";
      const present = to.querySelector<HTMLElement>(`.${name}`);
      if (!present) {
        continue;
      }
      if (name === "c-patient" && mark) {
        cell.append(mark.cloneNode(true));
      }
      if (present.innerHTML !== cell.innerHTML) {
        present.replaceChildren(...cell.childNodes);
        isChanged = true;
      }
    }
    // The picture may have come after the row.
    const missing = to.querySelector<HTMLImageElement>(".c-preview img.is-missing");
    if (missing) {
      missing.replaceWith(...(from.querySelector(".c-preview")?.childNodes ?? []));
    }
    return isChanged;
  }

  private drawPill(): void {
    this.pill.hidden = this.waiting.size === 0;
    const text = this.pill.querySelector("[data-new-count]");
    if (text) {
      text.textContent = `${countText(this.waiting.size)} new`;
    }
  }
}
