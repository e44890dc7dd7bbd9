import { t } from "../../i18n";
import { element, icon } from "../dom";
import { sizeText } from "./pace";
import { type Item, isOpen, type State } from "./queue";

const OVERSCAN = 6;
export const FACES: Record<State, { icon: string; word: string; tone: string }> = {
  waiting: { icon: "clock", word: t("Waiting"), tone: "dim" },
  sending: { icon: "upload", word: t("Sending"), tone: "accent" },
  storing: { icon: "hard-drive", word: t("Storing"), tone: "accent" },
  opened: { icon: "folder-open", word: t("Opened"), tone: "dim" },
  stored: { icon: "circle-check", word: t("Stored"), tone: "ok" },
  duplicate: { icon: "check", word: t("Already here"), tone: "ok" },
  conflict: { icon: "circle-alert", word: t("Kept aside"), tone: "warn" },
  refused: { icon: "circle-x", word: t("Refused"), tone: "danger" },
  skipped: { icon: "circle", word: t("Skipped"), tone: "dim" },
  failed: { icon: "triangle-alert", word: t("Failed"), tone: "danger" },
  cancelled: { icon: "ban", word: t("Cancelled"), tone: "dim" },
};
/** Its bytes are gone; the request that carries it goes on with other files. */
const SENT = { icon: "check", word: t("Sent"), tone: "dim" };

interface Row {
  root: HTMLElement;
  face: HTMLElement;
  name: HTMLElement;
  reason: HTMLElement;
  bar: HTMLProgressElement;
  size: HTMLElement;
  button: HTMLButtonElement;
  item: Item | null;
  shown: string;
}

/** The files as rows; only those in sight are elements, so that ten thousand cost as much as ten. */
export class FileList {
  private items: readonly Item[] = [];
  private readonly rows = new Map<number, Row>();
  private readonly spare: Row[] = [];

  constructor(
    private readonly scroller: HTMLElement,
    private readonly body: HTMLElement,
    private readonly onAction: (item: Item) => void,
  ) {
    scroller.addEventListener("scroll", () => this.draw(), { passive: true });
    new ResizeObserver(() => this.draw()).observe(scroller);
  }

  show(items: readonly Item[]): void {
    this.items = items;
    this.scroller.setAttribute("aria-rowcount", String(items.length));
    this.draw();
  }

  /** Bring the rows in sight up to date. */
  draw(): void {
    const height = this.rowHeight();
    this.body.style.height = `${this.items.length * height}px`;
    const first = Math.max(0, Math.floor(this.scroller.scrollTop / height) - OVERSCAN);
    const inSight = Math.ceil(this.scroller.clientHeight / height) + 2 * OVERSCAN;
    const last = Math.min(this.items.length, first + inSight);
    for (const [index, row] of this.rows) {
      if (index < first || index >= last) {
        row.root.remove();
        this.rows.delete(index);
        this.spare.push(row);
      }
    }
    for (let index = first; index < last; index += 1) {
      const item = this.items[index];
      if (item) {
        this.drawRow(index, item, height);
      }
    }
  }

  private rowHeight(): number {
    const rem = Number.parseFloat(getComputedStyle(document.documentElement).fontSize);
    const rems = Number.parseFloat(getComputedStyle(this.scroller).getPropertyValue("--file-row"));
    return rem * (rems || 2);
  }

  private drawRow(index: number, item: Item, height: number): void {
    let row = this.rows.get(index);
    if (!row) {
      row = this.spare.pop() ?? this.make();
      this.rows.set(index, row);
      this.body.append(row.root);
    }
    row.root.style.transform = `translateY(${index * height}px)`;
    row.root.setAttribute("aria-rowindex", String(index + 1));
    const looks = `${item.id} ${item.state} ${item.sent} ${item.reason}`;
    if (row.shown !== looks) {
      row.shown = looks;
      this.fill(row, item);
    }
  }

  private fill(row: Row, item: Item): void {
    const isSent = item.state === "sending" && item.sent >= item.size;
    const face = isSent ? SENT : FACES[item.state];
    row.item = item;
    row.root.dataset["state"] = item.state;
    row.face.className = `file-state tone-${face.tone}`;
    row.face.replaceChildren(icon(face.icon), element("span", "", face.word));
    row.name.textContent = item.name;
    row.name.title = item.name;
    row.reason.textContent = item.reason;
    row.reason.title = item.reason;
    row.bar.hidden = item.state !== "sending" || isSent;
    row.bar.max = Math.max(item.size, 1);
    row.bar.value = item.sent;
    row.bar.setAttribute("aria-label", t("Sent of {name}", { name: item.name }));
    row.size.textContent = item.file ? sizeText(item.size) : "";
    const action = isOpen(item) ? t("Cancel") : t("Retry");
    const isOffered = isOpen(item) || item.state === "failed" || item.state === "cancelled";
    row.button.hidden = !isOffered;
    row.button.replaceChildren(icon(action === "Cancel" ? "x" : "rotate-ccw"));
    row.button.setAttribute("aria-label", `${action} ${item.name}`);
    row.button.title = action;
  }

  private make(): Row {
    const cell = (className: string) => {
      const made = element("div", className);
      made.setAttribute("role", "cell");
      return made;
    };
    const face = cell("file-state");
    const name = element("span", "file-name clip");
    const reason = element("span", "file-reason");
    const bar = element("progress", "file-bar");
    const text = cell("file-text");
    text.append(name, reason, bar);
    const size = cell("file-size number");
    const button = element("button", "button-plain");
    button.type = "button";
    const action = cell("file-action");
    action.append(button);
    const root = element("div", "file-row", face, text, size, action);
    root.setAttribute("role", "row");
    const row: Row = { root, face, name, reason, bar, size, button, item: null, shown: "" };
    button.addEventListener("click", () => row.item && this.onAction(row.item));
    return row;
  }
}
