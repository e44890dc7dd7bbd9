import { t } from "../../i18n";
import { isCovered, isWriting, toast } from "../dom";
import type { Frame } from "../frame";
import { getFragment, isAbort, messageOf, postJson } from "../http";
import { canonical, countText, ofForm } from "./address";
import { RowCursor } from "./cursor";
import { Drawer } from "./drawer";
import { Pictures } from "./pictures";
import { idOf, Rows } from "./rows";
import { askAndSend } from "./send";
import { Tabs } from "./tabs";

const TYPING_MS = 250;
const NEW_ROWS_MS = 30;
const CHANGED_ROWS_MS = 250;
const MOST_IDS = 100;
const LAST_ROW = "noctis.worklist.row";

const KEYS: [string, string][] = [
  ["↑ ↓", t("Row up, down")],
  ["PgUp PgDn", t("Screen up, down")],
  ["Home", t("First row")],
  ["End", t("Last row that is loaded; again for the next")],
  ["Enter", t("Open in the viewer")],
  ["Space", t("Preview")],
  ["d", t("Study page")],
  ["x", t("Select")],
  ["r u", t("Mark read, unread")],
  ["s", t("Send to another system")],
  ["n", t("Show new studies")],
  ["Esc", t("Close the preview, clear the selection")],
];

/** Gathers ids for a moment and hands them on together. */
class Gather {
  private ids = new Set<string>();
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly pauseMs: number,
    private readonly act: (ids: string[]) => Promise<void>,
  ) {}

  add(id: string): void {
    this.ids.add(id);
    this.timer ??= setTimeout(() => {
      const ids = [...this.ids].slice(0, MOST_IDS);
      this.ids = new Set([...this.ids].slice(MOST_IDS));
      this.timer = undefined;
      this.act(ids).catch((error: unknown) => toast(messageOf(error), "error"));
      for (const rest of this.ids) {
        this.add(rest);
      }
    }, this.pauseMs);
  }
}

class Worklist {
  private readonly config = this.frame.config;
  private readonly main = required<HTMLElement>(".worklist");
  private readonly form = required<HTMLFormElement>("#filters");
  private readonly scroll = required<HTMLElement>("[data-scroll]");
  private readonly search = required<HTMLInputElement>("#search");
  private readonly filters = required<HTMLElement>('[data-slot="filters"]');
  private readonly bulk = required<HTMLElement>("[data-bulk]");
  private readonly canRead = this.main.dataset.canRead === "true";
  private readonly maySend = this.main.dataset.maySend === "true";
  private readonly drawer: Drawer;
  private readonly rows: Rows;
  private readonly cursor: RowCursor;
  private readonly tabs: Tabs;
  private request: AbortController | null = null;
  private typing: ReturnType<typeof setTimeout> | undefined;
  private editedField = "";

  constructor(private readonly frame: Frame) {
    this.drawer = new Drawer(
      required("[data-drawer]"),
      (id) => `${this.config.urls.studies}${id}/preview/`,
    );
    const pictures = new Pictures(this.scroll);
    this.rows = new Rows(this.scroll, this.config.urls.rows, {
      onRows: (rows) => {
        for (const row of rows) {
          this.cursor?.dress(row);
        }
        pictures.showSoon();
      },
      onChange: () => this.cursor.settle(),
    });
    this.rows.params = this.shownAddress();
    this.cursor = new RowCursor(this.rows, {
      onMove: (id) => {
        sessionStorage.setItem(LAST_ROW, id);
        this.drawer.follow(id);
      },
      onSelect: () => this.drawBulk(),
    });
    this.cursor.settle();
    this.tabs = new Tabs(required("[data-views]"), this.config, (params) => {
      for (const field of ["sort", "dir"]) {
        const value = this.rows.params.get(field);
        if (value) {
          params.set(field, value);
        }
      }
      void this.go(params, true);
    });
    frame.addKeys(KEYS);
    this.restoreRow();
    this.listenToFilters();
    this.listenToRows();
    this.listenToSettings();
    this.listenToEvents();
    document.addEventListener("keydown", (event) => this.onKey(event));
  }

  /** Show another list: its first page replaces everything. */
  private async go(wanted: URLSearchParams, shouldPush: boolean): Promise<void> {
    clearTimeout(this.typing);
    this.request?.abort();
    this.request = new AbortController();
    const signal = this.request.signal;
    this.main.setAttribute("aria-busy", "true");
    try {
      const content = await getFragment(`${this.config.urls.rows}?${wanted}`, signal);
      const part = (name: string) => [
        ...(content.querySelector(`[data-part="${name}"]`)?.childNodes ?? []),
      ];
      this.filters.replaceChildren(...part("filters"));
      this.rows.params = this.shownAddress();
      this.rows.reset(part("rows"));
      this.drawFilters();
      const address = `?${this.rows.params}`;
      if (shouldPush) {
        history.pushState(null, "", address);
      } else {
        history.replaceState(null, "", address);
      }
    } catch (error) {
      if (!isAbort(error)) {
        toast(messageOf(error), "error");
      }
    } finally {
      this.main.removeAttribute("aria-busy");
    }
  }

  /** The address as the server read it: tokens have become fields. */
  private shownAddress(): URLSearchParams {
    const bar = this.filters.querySelector<HTMLElement>("[data-address]");
    return canonical(new URLSearchParams(bar?.dataset.address ?? ""));
  }

  private drawFilters(): void {
    const params = this.rows.params;
    for (const field of this.form.querySelectorAll<HTMLInputElement | HTMLSelectElement>(
      ".filter-row [name], input[type=hidden][name]",
    )) {
      if (field !== document.activeElement) {
        field.value = params.get(field.name) ?? "";
      }
    }
    this.search.value = params.get("q") ?? "";
    const sort = params.get("sort") ?? "date";
    const isDescending = (params.get("dir") ?? "desc") === "desc";
    for (const link of this.form.querySelectorAll<HTMLAnchorElement>("[data-sort]")) {
      const head = link.closest("[role=columnheader]");
      const isSorted = link.dataset.sort === sort;
      if (isSorted) {
        head?.setAttribute("aria-sort", isDescending ? "descending" : "ascending");
      } else {
        head?.removeAttribute("aria-sort");
      }
    }
    this.tabs.mark(params);
  }

  private listenToFilters(): void {
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.go(this.typed(), false);
    });
    this.form.addEventListener("input", (event) => {
      if ((event.target as Element).matches(".filter-row input")) {
        clearTimeout(this.typing);
        this.typing = setTimeout(() => void this.go(this.typed(), false), TYPING_MS);
      }
    });
    this.form.addEventListener("change", (event) => {
      if ((event.target as Element).matches(".filter-row select")) {
        void this.go(this.typed(), true);
      }
    });
    this.search.form?.addEventListener("submit", (event) => {
      event.preventDefault();
      const params = this.typed();
      params.delete(this.editedField);
      this.editedField = "";
      params.set("q", this.search.value);
      void this.go(canonical(params), true).then(() => {
        this.search.blur();
        this.cursor.toEnd(false);
      });
    });
    this.form.addEventListener("click", (event) => {
      const link = (event.target as Element).closest<HTMLAnchorElement>("[data-sort]");
      if (link && isPlain(event)) {
        event.preventDefault();
        this.sortBy(link.dataset.sort ?? "date");
      }
    });
    this.main.addEventListener("click", (event) => {
      const target = event.target as Element;
      const drop = target.closest<HTMLAnchorElement>("[data-drop]");
      if (drop && isPlain(event)) {
        event.preventDefault();
        void this.go(new URLSearchParams(drop.search), true);
      }
      const token = target.closest<HTMLElement>("[data-token]")?.dataset.token;
      if (token !== undefined) {
        const field = /^([a-z]+):/.exec(token)?.[1];
        this.editedField = field ?? "q";
        this.search.value = token;
        this.search.focus();
      }
    });
    addEventListener("popstate", () => void this.go(new URLSearchParams(location.search), false));
  }

  /** The filter row's fields and the search text that is in force. */
  private typed(): URLSearchParams {
    const params = ofForm(this.form);
    const text = this.rows.params.get("q");
    if (text) {
      params.set("q", text);
    }
    return params;
  }

  private sortBy(key: string): void {
    const params = new URLSearchParams(this.rows.params);
    const isSame = (params.get("sort") ?? "date") === key;
    const startsDown = ["date", "received", "images"].includes(key);
    const isDescending = isSame ? (params.get("dir") ?? "desc") !== "desc" : startsDown;
    params.set("sort", key);
    params.set("dir", isDescending ? "desc" : "asc");
    void this.go(params, true);
  }

  private listenToRows(): void {
    this.scroll.addEventListener("click", (event) => {
      const target = event.target as Element;
      const row = target.closest<HTMLElement>(".row");
      if (!row || target.closest("a")) {
        return;
      }
      const box = target.closest<HTMLInputElement>("[data-select]");
      if (event.shiftKey) {
        this.cursor.selectTo(row);
      } else if (box) {
        this.cursor.select(idOf(row), box.checked);
      }
      this.cursor.moveTo(row, !box);
      if (!box && matchMedia("(width < 45rem)").matches) {
        this.drawer.open(idOf(row));
      }
    });
    this.scroll.addEventListener("dblclick", (event) => {
      const row = (event.target as Element).closest<HTMLElement>(".row");
      if (row && !(event.target as Element).closest("a, input")) {
        this.openViewer(row);
      }
    });
    this.scroll.addEventListener("focusin", (event) => {
      const row = (event.target as Element).closest<HTMLElement>(".row");
      if (row && row === event.target && row !== this.cursor.current) {
        this.cursor.moveTo(row, false);
      }
    });
    this.bulk.addEventListener("click", (event) => {
      const button = (event.target as Element).closest<HTMLElement>("button");
      if (button?.dataset.action === "clear-selection") {
        this.cursor.clear();
      } else if (button?.dataset.action === "send") {
        void this.send();
      } else if (button?.dataset.mark) {
        void this.mark(button.dataset.mark);
      }
    });
  }

  private listenToSettings(): void {
    this.main.addEventListener("click", (event) => {
      const target = event.target as Element;
      const action = target.closest<HTMLElement>("[data-action]")?.dataset.action;
      if (action === "keep-view") {
        this.tabs.keep(this.rows.params);
      } else if (action === "filters") {
        const isShown = this.form.classList.toggle("shows-filters");
        target.closest("[aria-expanded]")?.setAttribute("aria-expanded", String(isShown));
        this.scroll.scrollTop = 0;
      } else if (action === "date-range") {
        const from = required<HTMLInputElement>("[data-date-from]").value;
        const to = required<HTMLInputElement>("[data-date-to]").value;
        this.setDate(from || to ? `${from}..${to}` : "");
      }
      const preset = target.closest<HTMLElement>("[data-date]");
      if (preset) {
        this.setDate(preset.dataset.date ?? "");
      }
    });
    const boxes = [...document.querySelectorAll<HTMLInputElement>("[data-column]")];
    for (const box of boxes) {
      box.addEventListener("change", () => {
        const hidden = boxes.filter((other) => !other.checked).map((other) => other.value);
        this.form.dataset.hidden = hidden.join(" ");
        postJson(this.config.urls.columns, { hidden }).catch((error: unknown) =>
          toast(messageOf(error), "error"),
        );
      });
    }
  }

  private setDate(value: string): void {
    const field = required<HTMLInputElement>('.filter-row [name="date"]');
    field.value = value;
    required<HTMLElement>("#date-menu").hidePopover();
    void this.go(this.typed(), true);
  }

  private listenToEvents(): void {
    const live = this.frame.live;
    const arrived = new Gather(NEW_ROWS_MS, async (ids) => {
      this.rows.arrive(await this.rows.fetchRows(ids, true));
    });
    const changed = new Gather(CHANGED_ROWS_MS, async (ids) => {
      await this.rows.renew(ids);
      for (const id of ids) {
        this.drawer.renew(id);
      }
    });
    live.on("hello", () => {
      this.rows.catchUp().catch((error: unknown) => toast(messageOf(error), "error"));
      this.tabs.countSoon();
    });
    live.on("study.new", (message) => {
      arrived.add(message.study_id);
      this.tabs.countSoon();
    });
    live.on("study.changed", (message) => {
      if (this.rows.has(message.study_id)) {
        changed.add(message.study_id);
      }
      if (message.reason === "details") {
        this.tabs.countSoon();
      }
    });
  }

  private onKey(event: KeyboardEvent): void {
    if (event.target === this.search && event.key === "ArrowDown") {
      event.preventDefault();
      this.cursor.toEnd(false);
      return;
    }
    const isOnControl = (event.target as Element).closest?.("a, button") !== null;
    const isModified = event.ctrlKey || event.metaKey || event.altKey;
    if (isWriting(event) || isModified || isCovered()) {
      return;
    }
    if (isOnControl && (event.key === "Enter" || event.key === " ")) {
      return;
    }
    const action = this.actionOf(event);
    if (action) {
      event.preventDefault();
      action();
    }
  }

  private actionOf(event: KeyboardEvent): (() => void) | undefined {
    const row = this.cursor.current;
    const page = Math.max(1, Math.floor(this.scroll.clientHeight / (row?.offsetHeight ?? 28)) - 3);
    const step = (by: number) => () => {
      this.cursor.step(by);
      const moved = this.cursor.current;
      if (event.shiftKey && row && moved) {
        this.cursor.select(idOf(row), true);
        this.cursor.select(idOf(moved), true);
      }
    };
    const actions: Record<string, () => void> = {
      ArrowDown: step(1),
      j: step(1),
      ArrowUp: step(-1),
      k: step(-1),
      PageDown: step(page),
      PageUp: step(-page),
      Home: () => this.cursor.toEnd(false),
      End: () => this.cursor.toEnd(true),
      Enter: () => this.openViewer(row),
      " ": () => this.preview(),
      x: () => this.cursor.toggle(row),
      r: () => void this.mark("read"),
      u: () => void this.mark("unread"),
      s: () => void this.send(),
      n: () => this.rows.showWaiting(),
      d: () => this.openPage(row),
      Escape: () => (this.drawer.isOpen ? this.drawer.close() : this.cursor.clear()),
    };
    return actions[event.key];
  }

  private preview(): void {
    if (!this.cursor.current) {
      this.cursor.toEnd(false);
    }
    const id = this.cursor.current?.dataset.id;
    if (id) {
      this.drawer.toggle(id);
    }
  }

  private openViewer(row: HTMLElement | undefined): void {
    const link = row?.querySelector<HTMLAnchorElement>(".row-open");
    if (link) {
      location.assign(link.href);
    }
  }

  private openPage(row: HTMLElement | undefined): void {
    if (row) {
      location.assign(`${this.config.urls.studies}${row.dataset.id}/`);
    }
  }

  private async mark(status: string): Promise<void> {
    const ids = this.cursor.targets;
    if (!ids.length) {
      return;
    }
    if (!this.canRead) {
      toast(t("Your role does not read studies. Ask an administrator."), "error");
      return;
    }
    try {
      const answer = await postJson<{ changed: string[] }>(this.config.urls.status, {
        ids,
        status,
      });
      this.cursor.clear();
      if (answer.changed.length) {
        await this.rows.renew(answer.changed);
      }
      this.tabs.countSoon();
    } catch (error) {
      toast(messageOf(error), "error");
    }
  }

  private async send(): Promise<void> {
    const ids = this.cursor.targets;
    if (!ids.length) {
      return;
    }
    if (!this.maySend) {
      toast(t("Your role does not allow sending studies. Ask an administrator."), "error");
      return;
    }
    if (await askAndSend(ids, this.config.urls)) {
      this.cursor.clear();
    }
  }

  private drawBulk(): void {
    const count = this.cursor.selected.size;
    this.bulk.hidden = count === 0;
    required<HTMLElement>("[data-bulk-count]").textContent = t("{count} selected", {
      count: countText(count),
    });
  }

  /** Coming back from the viewer: the row that was left is the current one again. */
  private restoreRow(): void {
    const row = this.rows.get(sessionStorage.getItem(LAST_ROW) ?? "");
    if (row) {
      this.cursor.moveTo(row);
      if (Drawer.wasOpen && matchMedia("(width >= 64rem)").matches) {
        this.drawer.open(idOf(row));
      }
    }
  }
}

function required<T extends HTMLElement>(selector: string): T {
  const found = document.querySelector<T>(selector);
  if (!found) {
    throw new Error(`The page lacks ${selector}.`);
  }
  return found;
}

/** A click without a key that asks for a new tab or window. */
function isPlain(event: MouseEvent): boolean {
  return !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0;
}

export function start(frame: Frame): void {
  new Worklist(frame);
}
