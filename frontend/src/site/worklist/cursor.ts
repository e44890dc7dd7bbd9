/** Which row the keys act on, and which rows are selected. */
export class RowCursor {
  readonly selected = new Set<string>();
  private currentId = "";

  constructor(
    private readonly rows: () => HTMLElement[],
    private readonly rowOf: (id: string) => HTMLElement | undefined,
    private readonly onMove: (id: string) => void,
    private readonly onSelect: () => void,
  ) {}

  get current(): HTMLElement | undefined {
    return this.rowOf(this.currentId);
  }

  /** Ids that an action is meant for: the selected rows, else the current one. */
  get targets(): string[] {
    if (this.selected.size) {
      return [...this.selected];
    }
    return this.current ? [this.currentId] : [];
  }

  /** Make a row the current one. The focus goes there, so that screen readers read it. */
  moveTo(row: HTMLElement | undefined, shouldFocus = true): void {
    if (!row) {
      return;
    }
    const before = this.current;
    before?.classList.remove("is-current");
    if (before) {
      before.tabIndex = -1;
    }
    this.currentId = row.dataset.id ?? "";
    row.classList.add("is-current");
    row.tabIndex = 0;
    if (shouldFocus) {
      row.focus({ preventScroll: true });
      row.scrollIntoView({ block: "nearest" });
    }
    this.onMove(this.currentId);
  }

  step(by: number): void {
    const rows = this.rows();
    const at = this.current ? rows.indexOf(this.current) : by > 0 ? -1 : rows.length;
    this.moveTo(rows[Math.max(0, Math.min(rows.length - 1, at + by))]);
  }

  toEnd(isLast: boolean): void {
    const rows = this.rows();
    this.moveTo(isLast ? rows[rows.length - 1] : rows[0]);
  }

  toggle(row: HTMLElement | undefined): void {
    if (row) {
      this.select(row, !this.selected.has(row.dataset.id ?? ""));
    }
  }

  select(row: HTMLElement, isSelected: boolean): void {
    const id = row.dataset.id ?? "";
    if (isSelected) {
      this.selected.add(id);
    } else {
      this.selected.delete(id);
    }
    this.draw(row);
    this.onSelect();
  }

  /** Select every row from the current one to `row`. */
  selectTo(row: HTMLElement): void {
    const rows = this.rows();
    const from = this.current ? rows.indexOf(this.current) : rows.indexOf(row);
    const [first, last] = [from, rows.indexOf(row)].sort((a, b) => a - b) as [number, number];
    for (const between of rows.slice(first, last + 1)) {
      this.select(between, true);
    }
  }

  clear(): void {
    const ids = [...this.selected];
    this.selected.clear();
    for (const id of ids) {
      const row = this.rowOf(id);
      if (row) {
        this.draw(row);
      }
    }
    this.onSelect();
  }

  /** The rows are others now. */
  settle(): void {
    for (const id of [...this.selected]) {
      const row = this.rowOf(id);
      if (row) {
        this.draw(row);
      } else {
        this.selected.delete(id);
      }
    }
    const current = this.current;
    if (current) {
      current.classList.add("is-current");
      current.tabIndex = 0;
    } else {
      this.currentId = "";
      const first = this.rows()[0];
      if (first) {
        first.tabIndex = 0;
      }
    }
    this.onSelect();
  }

  private draw(row: HTMLElement): void {
    const isSelected = this.selected.has(row.dataset.id ?? "");
    row.setAttribute("aria-selected", String(isSelected));
    const box = row.querySelector<HTMLInputElement>("[data-select]");
    if (box) {
      box.checked = isSelected;
    }
  }
}
