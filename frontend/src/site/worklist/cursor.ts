import { idOf } from "./rows";

export interface ListOfRows {
  readonly order: string[];
  get(id: string): HTMLElement | undefined;
  has(id: string): boolean;
}

export interface CursorHooks {
  onMove: (id: string) => void;
  onSelect: () => void;
}

/** Which row the keys act on, and which rows are selected. Both are known by the study's id. */
export class RowCursor {
  readonly selected = new Set<string>();
  private currentId = "";

  constructor(
    private readonly list: ListOfRows,
    private readonly hooks: CursorHooks,
  ) {}

  get current(): HTMLElement | undefined {
    return this.currentId ? this.list.get(this.currentId) : undefined;
  }

  /** Ids that an action is meant for: the selected rows, else the current one. */
  get targets(): string[] {
    if (this.selected.size) {
      return [...this.selected];
    }
    return this.currentId ? [this.currentId] : [];
  }

  /** Make a row the current one. The focus goes there, so that screen readers read it. */
  moveTo(row: HTMLElement | undefined, shouldFocus = true): void {
    if (!row) {
      return;
    }
    const before = this.currentId && document.getElementById(`study-${this.currentId}`);
    this.currentId = idOf(row);
    if (before) {
      this.dress(before);
    }
    this.dress(row);
    if (shouldFocus) {
      row.focus({ preventScroll: true });
      row.scrollIntoView({ block: "nearest" });
    }
    this.hooks.onMove(this.currentId);
  }

  step(by: number): void {
    const order = this.list.order;
    const at = this.currentId ? order.indexOf(this.currentId) : by > 0 ? -1 : order.length;
    const next = order[Math.max(0, Math.min(order.length - 1, at + by))];
    this.moveTo(next ? this.list.get(next) : undefined);
  }

  toEnd(isLast: boolean): void {
    const id = this.list.order.at(isLast ? -1 : 0);
    this.moveTo(id ? this.list.get(id) : undefined);
  }

  toggle(row: HTMLElement | undefined): void {
    if (row) {
      this.select(idOf(row), !this.selected.has(idOf(row)));
    }
  }

  select(id: string, isSelected: boolean): void {
    if (isSelected) {
      this.selected.add(id);
    } else {
      this.selected.delete(id);
    }
    this.redraw(id);
    this.hooks.onSelect();
  }

  /** Select every row from the current one to `row`. */
  selectTo(row: HTMLElement): void {
    const order = this.list.order;
    const to = order.indexOf(idOf(row));
    const from = this.currentId ? order.indexOf(this.currentId) : to;
    for (const id of order.slice(Math.min(from, to), Math.max(from, to) + 1)) {
      this.selected.add(id);
      this.redraw(id);
    }
    this.hooks.onSelect();
  }

  clear(): void {
    const ids = [...this.selected];
    this.selected.clear();
    for (const id of ids) {
      this.redraw(id);
    }
    this.hooks.onSelect();
  }

  /** The list is another one: what it lacks is neither selected nor current. */
  settle(): void {
    for (const id of [...this.selected]) {
      if (!this.list.has(id)) {
        this.selected.delete(id);
      }
    }
    if (!this.list.has(this.currentId)) {
      this.currentId = "";
      const first = this.list.order[0];
      const row = first ? document.getElementById(`study-${first}`) : null;
      if (row) {
        row.tabIndex = 0; // the way in for the Tab key
      }
    }
    this.hooks.onSelect();
  }

  /** Show on a row whether it is the current one and whether it is selected. */
  dress(row: HTMLElement): void {
    const isCurrent = idOf(row) === this.currentId;
    const isSelected = this.selected.has(idOf(row));
    row.classList.toggle("is-current", isCurrent);
    row.tabIndex = isCurrent ? 0 : -1;
    row.setAttribute("aria-selected", String(isSelected));
    const box = row.querySelector<HTMLInputElement>("[data-select]");
    if (box) {
      box.checked = isSelected;
    }
  }

  private redraw(id: string): void {
    const row = document.getElementById(`study-${id}`);
    if (row) {
      this.dress(row);
    }
  }
}
