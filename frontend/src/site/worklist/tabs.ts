import { t } from "../../i18n";
import type { SiteConfig } from "../config";
import { element, icon, toast } from "../dom";
import { getJson, messageOf, postJson } from "../http";
import { countText, hasSameFilters } from "./address";

const COUNT_PAUSE_MS = 1000;

/** The views above the list: built-in ones and the person's own, each with its count. */
export class Tabs {
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly place: HTMLElement,
    private readonly config: SiteConfig,
    private readonly onChoose: (params: URLSearchParams) => void,
  ) {
    place.addEventListener("click", (event) => this.onClick(event));
    for (const tab of place.querySelectorAll<HTMLElement>("[data-own]")) {
      const remove = element("button", "button-plain tab-remove", icon("x"));
      remove.type = "button";
      remove.dataset.remove = tab.dataset.view ?? "";
      remove.setAttribute(
        "aria-label",
        t("Remove the view {view}", { view: tab.dataset.view ?? "" }),
      );
      tab.append(remove);
    }
    void this.count();
  }

  /** Mark the tab of this list, if one has its filters. */
  mark(params: URLSearchParams): void {
    for (const tab of this.tabs) {
      const isCurrent = hasSameFilters(new URLSearchParams(tab.dataset.query), params);
      if (isCurrent) {
        tab.setAttribute("aria-current", "page");
      } else {
        tab.removeAttribute("aria-current");
      }
    }
  }

  /** Count again soon; many changes at once are counted once. */
  countSoon(): void {
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      void this.count();
    }, COUNT_PAUSE_MS);
  }

  /** Ask for a name and keep the list as an own view. */
  keep(params: URLSearchParams): void {
    const input = element("input", "");
    input.name = "name";
    input.maxLength = 40;
    input.required = true;
    input.id = "view-name";
    input.placeholder = t("CT of this week");
    const label = element("label", "", t("Name of the view"));
    label.htmlFor = "view-name";
    const keep = element("button", "button button-primary", t("Keep the view"));
    const cancel = element("button", "button", t("Cancel"));
    cancel.type = "button";
    const form = element(
      "form",
      "form help",
      element("div", "field", label, input),
      element("div", "button-row", keep, cancel),
    );
    const dialog = element("dialog", "", form);
    dialog.setAttribute("aria-label", t("Keep this list as a view"));
    cancel.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => dialog.remove());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.save({ name: input.value, query: params.toString() });
    });
    document.body.append(dialog);
    dialog.showModal();
  }

  private get tabs(): HTMLElement[] {
    return [...this.place.querySelectorAll<HTMLElement>("[data-view]")];
  }

  private onClick(event: MouseEvent): void {
    const target = event.target as Element;
    const remove = target.closest<HTMLElement>("[data-remove]");
    if (remove) {
      event.preventDefault();
      void this.save({ name: remove.dataset.remove, remove: true });
      return;
    }
    const tab = target.closest<HTMLElement>("[data-view]");
    if (tab && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      this.onChoose(new URLSearchParams(tab.dataset.query));
    }
  }

  private async save(change: Record<string, unknown>): Promise<void> {
    try {
      await postJson(this.config.urls.views, change);
      location.reload();
    } catch (error) {
      toast(messageOf(error), "error");
    }
  }

  private async count(): Promise<void> {
    if (document.hidden) {
      return;
    }
    try {
      const answer = await getJson<{ views: { name: string; count: number; more: boolean }[] }>(
        this.config.urls.counts,
      );
      for (const view of answer.views) {
        const tab = this.tabs.find((candidate) => candidate.dataset.view === view.name);
        const mark = tab?.querySelector("[data-count]");
        if (mark) {
          mark.textContent = countText(view.count, view.more);
        }
      }
    } catch (error) {
      toast(messageOf(error), "error");
    }
  }
}
