import { msg, t } from "../i18n";
import { element, icon } from "../site/dom";
import { localMoment } from "../site/times";
import { sizeText } from "../site/upload/pace";
import type { Item, Stage } from "./items";

/** More are counted: nobody reads them, and the page stays quick. */
const MOST = 300;

const FACES: Record<Stage, { icon: string; word: string; tone: string }> = {
  kept: { icon: "hard-drive", word: msg("Kept"), tone: "dim" },
  prepared: { icon: "clock", word: msg("Waiting"), tone: "dim" },
  announced: { icon: "clock", word: msg("Announced"), tone: "dim" },
  stored: { icon: "hard-drive", word: msg("Being checked"), tone: "accent" },
  safe: { icon: "circle-check", word: msg("Safe to delete"), tone: "ok" },
  refused: { icon: "circle-x", word: msg("Needs you"), tone: "danger" },
};
const SENDING = { icon: "upload", word: msg("Sending"), tone: "accent" };

export type Action = "retry" | "remove" | "receipt";

/** The images of one tab as rows. */
export class OfflineRows {
  private readonly shown = new Map<string, { root: HTMLElement; said: string }>();
  private readonly more = element("p", "dim offline-more");

  constructor(
    private readonly body: HTMLElement,
    private readonly sentOf: (item: Item) => number,
    private readonly onAction: (item: Item, action: Action) => void,
  ) {}

  show(items: readonly Item[]): void {
    const some = items.slice(0, MOST);
    const ids = new Set(some.map(({ id }) => id));
    for (const [id, { root }] of this.shown) {
      if (!ids.has(id)) {
        root.remove();
        this.shown.delete(id);
      }
    }
    let before: Element | null = null;
    for (const item of some) {
      const root = this.rowOf(item);
      const expected: Element | null = before
        ? before.nextElementSibling
        : this.body.firstElementChild;
      if (expected !== root) {
        this.body.insertBefore(root, expected);
      }
      before = root;
    }
    if (items.length > MOST) {
      this.more.textContent = t("and {count} more", { count: items.length - MOST });
      this.body.append(this.more);
    } else {
      this.more.remove();
    }
  }

  private rowOf(item: Item): HTMLElement {
    const sent = this.sentOf(item);
    const said = JSON.stringify([item.stage, item.reason, item.warning, item.order, sent]);
    const known = this.shown.get(item.id);
    if (known?.said === said) {
      return known.root;
    }
    const root = this.draw(item, sent);
    // Whoever has a button of the row under the finger keeps it.
    const focused = known?.root.contains(document.activeElement)
      ? (document.activeElement as HTMLElement).dataset.action
      : undefined;
    known?.root.replaceWith(root);
    if (focused) {
      root.querySelector<HTMLElement>(`[data-action="${focused}"]`)?.focus();
    }
    this.shown.set(item.id, { root, said });
    return root;
  }

  private draw(item: Item, sent: number): HTMLElement {
    const look = sent > 0 && item.stage === "announced" ? SENDING : FACES[item.stage];
    const face = element("span", `file-state tone-${look.tone}`, icon(look.icon), t(look.word));
    const name = element("span", "offline-name", item.name);
    name.title = item.name;
    const text = element("div", "offline-text", name, this.line(item));
    if (look === SENDING) {
      const bar = element("progress", "file-bar");
      bar.max = item.size;
      bar.value = sent;
      bar.setAttribute("aria-label", t("{name}: sent", { name: item.name }));
      text.append(bar);
    }
    const size = element("span", "file-size", sizeText(item.size));
    const actions = element("span", "offline-actions");
    if (item.stage === "refused") {
      actions.append(this.button(item, "retry", "rotate-ccw", t("Try again")));
    }
    if (item.receipt) {
      actions.append(this.button(item, "receipt", "download", t("Receipt")));
    }
    actions.append(this.button(item, "remove", "trash-2", t("Remove")));
    const row = element("li", "offline-row", face, text, size, actions);
    row.dataset.id = item.id;
    row.dataset.stage = item.stage;
    return row;
  }

  private line(item: Item): HTMLElement {
    const parts = [
      item.deidentify
        ? t("de-identified on arrival")
        : item.order
          ? t("order {order}", { order: item.order })
          : "",
      item.acknowledgedAt
        ? t("acknowledged {at}", { at: localMoment(new Date(item.acknowledgedAt)) })
        : "",
      item.warning,
    ];
    const line = element("span", "offline-line dim", parts.filter(Boolean).join(" · "));
    if (item.reason) {
      line.className = "offline-line offline-reason";
      line.textContent = t(item.reason);
    }
    return line;
  }

  private button(item: Item, action: Action, image: string, word: string): HTMLButtonElement {
    const button = element("button", "button-plain", icon(image));
    button.type = "button";
    button.title = word;
    button.dataset.action = action;
    button.setAttribute("aria-label", `${word}: ${item.name}`);
    button.addEventListener("click", () => this.onAction(item, action));
    return button;
  }
}
