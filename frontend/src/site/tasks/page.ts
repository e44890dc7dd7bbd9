import { toast } from "../dom";
import { patchRows } from "../forwarding/patch";
import type { Frame } from "../frame";
import { getFragment, isAbort, messageOf, postForm } from "../http";
import { writeTimes } from "../times";

/** Programs report their progress often: what they say is looked at together. */
const PAUSE_MS = 300;

/** The tasks, kept fresh under the eyes and hands of whoever works on them. */
class Tasks {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private asking: AbortController | undefined;

  constructor(
    private readonly place: HTMLElement,
    frame: Frame,
  ) {
    frame.live.on("workitem.changed", () => this.refreshSoon());
    frame.live.on("hello", () => this.refreshSoon());
    place.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.act(event.target as HTMLFormElement);
    });
    place.addEventListener("toggle", (event) => this.opened(event.target), true);
    place.addEventListener("keydown", (event) => this.pressed(event));
  }

  /** The reason is what one wants to write next. */
  private opened(target: EventTarget | null): void {
    if (target instanceof HTMLDetailsElement && target.open) {
      target.querySelector<HTMLInputElement>("input:not([type=hidden])")?.focus();
    }
  }

  private pressed(event: KeyboardEvent): void {
    const details = (event.target as HTMLElement).closest("details");
    if (event.key === "Escape" && details?.open) {
      details.open = false;
      details.querySelector("summary")?.focus();
    }
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
      const answer = await postForm<{ message: string }>(form);
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
    new Tasks(place, frame);
  }
}
