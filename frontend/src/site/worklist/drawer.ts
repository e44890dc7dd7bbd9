import { element, toast } from "../dom";
import { getFragment, isAbort, messageOf } from "../http";
import { writeTimes } from "../times";

const FOLLOW_MS = 100;
const KEPT_AS = "noctis.drawer";

/** The preview beside the list; it follows the current row while it is open. */
export class Drawer {
  private shownId = "";
  private request: AbortController | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly place: HTMLElement,
    private readonly addressOf: (id: string) => string,
  ) {
    place.addEventListener("click", (event) => {
      if ((event.target as Element).closest('[data-action="close-drawer"]')) {
        this.close();
      }
    });
  }

  get isOpen(): boolean {
    return !this.place.hidden;
  }

  /** Whether it was left open on the page before this one. */
  static get wasOpen(): boolean {
    return sessionStorage.getItem(KEPT_AS) === "open";
  }

  toggle(id: string): void {
    if (this.isOpen && this.shownId === id) {
      this.close();
    } else {
      this.open(id);
    }
  }

  open(id: string): void {
    if (!this.isOpen) {
      this.place.replaceChildren(
        element("span", "skeleton-row"),
        element("span", "skeleton-row"),
        element("span", "skeleton-row"),
      );
      this.place.hidden = false;
      sessionStorage.setItem(KEPT_AS, "open");
    }
    void this.load(id);
  }

  /** The current row changed; wait until the reader rests on it. */
  follow(id: string): void {
    if (this.isOpen && id !== this.shownId) {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => void this.load(id), FOLLOW_MS);
    }
  }

  /** The study that is shown changed. */
  renew(id: string): void {
    if (this.isOpen && id === this.shownId) {
      void this.load(id);
    }
  }

  close(): void {
    clearTimeout(this.timer);
    this.request?.abort();
    this.place.hidden = true;
    this.place.replaceChildren();
    this.shownId = "";
    sessionStorage.removeItem(KEPT_AS);
  }

  private async load(id: string): Promise<void> {
    this.request?.abort();
    this.request = new AbortController();
    this.shownId = id;
    try {
      const content = await getFragment(this.addressOf(id), this.request.signal);
      writeTimes(content);
      this.place.replaceChildren(content);
    } catch (error) {
      if (!isAbort(error)) {
        this.close();
        toast(messageOf(error), "error");
      }
    }
  }
}
