import { toast } from "../dom";
import type { Frame } from "../frame";
import { getFragment, isAbort, messageOf, postForm } from "../http";
import type { LiveMessages } from "../live";
import { writeTimes } from "../times";
import { patchRows } from "./patch";

/** Entries that are worked on change many times a second: they are looked at together. */
const PAUSE_MS = 300;

/** A list of entries, kept fresh under the eyes and hands of whoever works on it. */
export class LiveEntries {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private asking: AbortController | undefined;

  /** `event` is what the server tells when one of the entries has changed. */
  constructor(
    private readonly place: HTMLElement,
    frame: Frame,
    event: keyof LiveMessages,
  ) {
    frame.live.on(event, () => this.refreshSoon());
    frame.live.on("hello", () => this.refreshSoon());
    place.addEventListener("submit", (submitted) => {
      submitted.preventDefault();
      void this.act(submitted.target as HTMLFormElement);
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
      const answer = await postForm<{ message: string }>(form);
      toast(answer.message);
    } catch (error) {
      toast(messageOf(error), "error");
    }
    await this.refresh();
  }
}
