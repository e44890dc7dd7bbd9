import { toast } from "../dom";
import type { Frame } from "../frame";
import { getFragment, isAbort, messageOf, postJson } from "../http";
import { writeTimes } from "../times";
import { patchRows } from "./patch";

/** Entries that are worked on change many times a second: they are looked at together. */
const PAUSE_MS = 300;

/** The queue, kept fresh under the eyes and hands of whoever works on it. */
class Queue {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private asking: AbortController | undefined;

  constructor(
    private readonly place: HTMLElement,
    frame: Frame,
  ) {
    frame.live.on("transmission.changed", () => this.refreshSoon());
    frame.live.on("hello", () => this.refreshSoon());
    place.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.act(event.target as HTMLFormElement);
    });
  }

  private refreshSoon(): void {
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      void this.refresh();
    }, PAUSE_MS);
  }

  private async refresh(): Promise<void> {
    this.asking?.abort();
    this.asking = new AbortController();
    let found: DocumentFragment;
    try {
      found = await getFragment(this.place.dataset.queue ?? "", this.asking.signal);
    } catch (error) {
      if (!isAbort(error)) {
        toast(messageOf(error), "error");
      }
      return;
    }
    patchRows(this.place, found);
    writeTimes(this.place);
  }

  private async act(form: HTMLFormElement): Promise<void> {
    try {
      const answer = await postJson<{ message: string }>(form.action, {});
      toast(answer.message);
    } catch (error) {
      toast(messageOf(error), "error");
    }
    await this.refresh();
  }
}

export function start(frame: Frame): void {
  const place = document.querySelector<HTMLElement>("[data-queue]");
  if (place) {
    new Queue(place, frame);
  }
}
