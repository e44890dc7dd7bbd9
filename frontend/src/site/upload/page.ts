import { t } from "../../i18n";
import { element, toast } from "../dom";
import { localDate } from "../times";
import { type Picked, pickedFrom, readDrop } from "./drop";
import { FileList } from "./list";
import { countText, Pace, sizeText, timeText } from "./pace";
import { type Item, isOpen, Queue, type State } from "./queue";
import { copyText, downloadText, reportText } from "./report";
import { ResumableSending } from "./resumable";
import { StudyList } from "./studies";
import { type Failure, type Part, Sending, type Transfer } from "./transport";

const PARALLEL = 3;
const MOST_ATTEMPTS = 4;
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 30_000;
const MOST_REASONS_SHOWN = 20;
/** Files of this size go in pieces, so that a lost connection costs one piece. */
const IN_PIECES_FROM_BYTES = 32 * 1024 * 1024;

/** What the list may be narrowed to. */
const SHOWN = {
  all: () => true,
  open: isOpen,
  stored: ({ state }: Item) => state === "stored",
  duplicate: ({ state }: Item) => state === "duplicate",
  refused: ({ state }: Item) => state === "refused",
  conflict: ({ state }: Item) => state === "conflict",
  unsent: ({ state }: Item) => state === "failed" || state === "cancelled" || state === "skipped",
} as const satisfies Record<string, (item: Item) => boolean>;
type Show = keyof typeof SHOWN;
/** Tabs that are there only while there is something behind them. */
const PASSING: readonly Show[] = ["open", "unsent"];

/** The upload page: takes files, sends them three requests at a time, says what became of each. */
export class UploadPage {
  private queue = new Queue<File>();
  private readonly pace = new Pace();
  private readonly list: FileList;
  private readonly studies: StudyList;
  private readonly active = new Map<Transfer, Item[]>();
  private showing: Show = "all";
  private pauses = 0;
  private retryAt = 0;
  private retryTimer: ReturnType<typeof setTimeout> | undefined;
  private isSignedOut = false;
  private isDrawing = false;

  constructor(private readonly root: HTMLElement) {
    this.list = new FileList(this.part("list"), this.part("rows"), (item) => this.act(item));
    this.studies = new StudyList(this.part("studies"), this.part("study-list"));
    this.listenToPickers();
    this.listenToDrops();
    this.listenToButtons();
    addEventListener("beforeunload", (event) => {
      if (this.queue.openCount > 0) {
        event.preventDefault();
      }
    });
    addEventListener("online", () => this.tryNow());
    this.root.dataset["ready"] = "";
  }

  private part(name: string): HTMLElement {
    const found = this.root.querySelector<HTMLElement>(`[data-${name}]`);
    if (!found) {
      throw new Error(`The upload page lacks its part ${name}.`);
    }
    return found;
  }

  private facility(): { code: string; name: string } {
    const field = document.querySelector<HTMLElement>("[data-upload-facility]");
    if (field instanceof HTMLSelectElement) {
      return { code: field.value, name: field.selectedOptions[0]?.text ?? "" };
    }
    return { code: field?.dataset["uploadFacility"] ?? "", name: "" };
  }

  private listenToPickers(): void {
    for (const kind of ["files", "folder"]) {
      const input = this.root.querySelector<HTMLInputElement>(`[data-input="${kind}"]`);
      this.root
        .querySelector(`[data-pick="${kind}"]`)
        ?.addEventListener("click", () => input?.click());
      input?.addEventListener("change", () => {
        if (input.files) {
          this.take(pickedFrom(input.files));
        }
        input.value = "";
      });
    }
  }

  private listenToDrops(): void {
    const veil = document.querySelector<HTMLElement>("[data-veil]");
    const name = document.querySelector<HTMLElement>("[data-veil-facility]");
    let depth = 0;
    const carriesFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
    const uncover = () => {
      depth = 0;
      veil?.setAttribute("hidden", "");
    };
    window.addEventListener("dragenter", (event) => {
      if (carriesFiles(event)) {
        event.preventDefault();
        depth += 1;
        const facility = this.facility().name;
        if (name) {
          name.textContent = facility ? t(" for {facility}", { facility }) : "";
        }
        veil?.removeAttribute("hidden");
      }
    });
    window.addEventListener("dragover", (event) => carriesFiles(event) && event.preventDefault());
    window.addEventListener("dragleave", () => {
      depth -= 1;
      if (depth <= 0) {
        uncover();
      }
    });
    window.addEventListener("drop", (event) => {
      uncover();
      if (event.dataTransfer && carriesFiles(event)) {
        event.preventDefault();
        void readDrop(event.dataTransfer, (files) => this.take(files)).then(({ unreadable }) => {
          if (unreadable > 0) {
            toast(
              t("{unreadable} files or folders could not be read on this computer.", {
                unreadable,
              }),
              "error",
            );
          }
        });
      }
    });
  }

  private listenToButtons(): void {
    this.root.addEventListener("click", (event) => {
      const button = (event.target as Element).closest<HTMLElement>("[data-action], [data-show]");
      const action = button?.dataset["action"];
      if (button?.dataset["show"]) {
        this.show(button.dataset["show"] as Show);
      } else if (action === "try-now") {
        this.tryNow();
      } else if (action === "retry-all") {
        this.queue.items
          .filter((item) => item.state === "failed")
          .forEach((item) => {
            this.queue.retry(item);
          });
        this.pump();
      } else if (action === "cancel-all") {
        this.cancelAll();
      } else if (action === "clear") {
        this.clear();
      } else if (action === "copy-report") {
        void this.copyReport();
      } else if (action === "download-report") {
        downloadText(this.report(), `not-taken-${localDate(new Date())}.txt`);
      }
    });
  }

  private report(): string {
    return reportText(this.queue.items, new Date());
  }

  private async copyReport(): Promise<void> {
    const isCopied = await copyText(this.report());
    toast(
      isCopied
        ? t("Copied.")
        : t("The browser does not allow copying here. Download the list instead."),
      isCopied ? undefined : "error",
    );
  }

  private take(files: Picked[]): void {
    const added = this.queue.add(files, this.facility().code);
    if (added === 0) {
      toast(t("There is no file to send in this folder."));
      return;
    }
    this.part("queue").hidden = false;
    this.pump();
  }

  /** Keep the requests going while there is something to send and nothing in the way. */
  private pump(): void {
    while (this.active.size < PARALLEL && this.retryAt <= Date.now() && !this.isSignedOut) {
      const batch = this.queue.takeBatch();
      const first = batch[0];
      if (!first) {
        break;
      }
      this.send(batch, first.facility);
    }
    this.redraw();
  }

  private transfer(
    facility: string,
    parts: readonly Part[],
    onProgress: (sent: number) => void,
    onArrived: () => void,
  ): Transfer {
    const address = this.root.dataset["upload"] ?? "";
    const [only] = parts;
    return parts.length === 1 && only && only.file.size >= IN_PIECES_FROM_BYTES
      ? new ResumableSending(address, facility, only, onProgress, onArrived)
      : new Sending(address, facility, parts, onProgress, onArrived);
  }

  private send(batch: Item[], facility: string): void {
    const parts = batch.flatMap((item) =>
      item.file ? [{ file: item.file, name: item.name }] : [],
    );
    const sending = this.transfer(
      facility,
      parts,
      (sent) => {
        this.queue.progress(batch, sent);
        this.redraw();
      },
      () => {
        this.queue.arrived(batch);
        this.redraw();
      },
    );
    this.active.set(sending, batch);
    void sending.done.then((ending) => {
      this.active.delete(sending);
      if ("answer" in ending) {
        this.pauses = 0;
        this.calm();
        this.queue.settle(batch, ending.answer);
        this.studies.add(ending.answer.studies);
      } else {
        this.failed(batch, ending.failure);
      }
      this.pump();
    });
  }

  private failed(batch: Item[], failure: Failure): void {
    if (failure.kind === "for-good") {
      this.queue.fail(batch, failure.message);
      return;
    }
    if (failure.kind === "later") {
      const isLast = batch.some((item) => item.attempts + 1 >= MOST_ATTEMPTS);
      if (isLast && batch.length === 1) {
        this.queue.fail(batch, failure.message);
        return;
      }
    }
    this.queue.putBack(batch, failure.kind === "later");
    if (failure.kind === "network") {
      this.pause(t("The server cannot be reached. Uploading goes on by itself when it answers."));
    } else if (failure.kind === "later") {
      this.pause(t("{message} Uploading goes on by itself.", { message: failure.message }));
    } else if (failure.kind === "signed-out") {
      this.isSignedOut = true;
      this.tell(
        t("{message} Then come back here and try again; nothing is lost.", {
          message: failure.message,
        }),
        true,
      );
    }
  }

  private pause(message: string): void {
    this.pace.restart();
    const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** this.pauses, LONGEST_PAUSE_MS);
    this.pauses += 1;
    this.retryAt = Date.now() + pauseMs;
    clearTimeout(this.retryTimer);
    this.retryTimer = setTimeout(() => this.goOn(), pauseMs);
    this.tell(message, false);
  }

  private goOn(): void {
    this.retryAt = 0;
    this.pump();
  }

  private tryNow(): void {
    clearTimeout(this.retryTimer);
    this.pauses = 0;
    this.isSignedOut = false;
    this.goOn();
  }

  private tell(message: string, isSignedOut: boolean): void {
    this.part("trouble-text").textContent = message;
    this.part("trouble-sign-in").hidden = !isSignedOut;
    this.part("trouble").hidden = false;
  }

  private calm(): void {
    this.part("trouble").hidden = true;
  }

  private act(item: Item): void {
    if (!isOpen(item)) {
      this.queue.retry(item);
      this.pump();
      return;
    }
    this.queue.cancel(item);
    // What travels with it in one request goes again without it.
    for (const [sending, batch] of this.active) {
      if (batch.includes(item)) {
        sending.abort();
      }
    }
    this.redraw();
  }

  private cancelAll(): void {
    this.queue.items.filter(isOpen).forEach((item) => {
      this.queue.cancel(item);
    });
    for (const sending of this.active.keys()) {
      sending.abort();
    }
    this.calm();
    this.redraw();
  }

  private clear(): void {
    this.queue = new Queue<File>();
    this.studies.clear();
    this.pace.restart();
    this.calm();
    this.part("queue").hidden = true;
    this.show("all");
  }

  private show(what: Show): void {
    this.showing = what;
    for (const button of this.root.querySelectorAll<HTMLElement>("[data-show]")) {
      button.setAttribute("aria-pressed", String(button.dataset["show"] === what));
    }
    this.part("list").scrollTop = 0;
    this.redraw();
  }

  private redraw(): void {
    if (!this.isDrawing) {
      this.isDrawing = true;
      requestAnimationFrame(() => {
        this.isDrawing = false;
        this.draw();
      });
    }
  }

  private draw(): void {
    const queue = this.queue;
    const open = queue.openCount;
    this.pace.note(queue.sentBytes, performance.now());
    this.list.show(this.shown());
    this.countTabs(open);
    const total = this.part("total") as HTMLProgressElement;
    total.max = Math.max(queue.totalBytes, 1);
    total.value = queue.sentBytes;
    total.hidden = open === 0;
    setText(this.part("figures"), open > 0 ? this.figures(open) : "");
    setText(this.part("outcome"), this.outcome(open));
    this.button("retry-all").hidden = (queue.counts.get("failed") ?? 0) === 0;
    this.button("cancel-all").hidden = open === 0;
    this.button("clear").hidden = open > 0;
    this.root.dataset["state"] = open > 0 ? "running" : queue.items.length > 0 ? "done" : "empty";
    this.reasons();
  }

  private shown(): readonly Item[] {
    return this.showing === "all" ? this.queue.items : this.queue.items.filter(SHOWN[this.showing]);
  }

  private outcome(open: number): string {
    const failed = this.queue.counts.get("failed") ?? 0;
    const cancelled = this.queue.counts.get("cancelled") ?? 0;
    const line = this.queue.tally.line();
    const extra = [
      failed && t("{failed} failed", { failed }),
      cancelled && t("{cancelled} cancelled", { cancelled }),
    ];
    const parts = [open > 0 && line === t("Nothing sent yet") ? t("Sending") : line, ...extra];
    return parts.filter(Boolean).join(", ");
  }

  private figures(open: number): string {
    const queue = this.queue;
    const all = queue.items.filter((item) => item.file && item.state !== "cancelled").length;
    const speed = this.pace.bytesPerSecond;
    const texts = [
      t("{open} of {all} files", { open: countText(all - open), all: countText(all) }),
      t("{sentBytes} of {totalBytes}", {
        sentBytes: sizeText(queue.sentBytes),
        totalBytes: sizeText(queue.totalBytes),
      }),
    ];
    if (speed > 0) {
      texts.push(`${sizeText(speed)}/s`);
      texts.push(
        t("{speed} left", { speed: timeText((queue.totalBytes - queue.sentBytes) / speed) }),
      );
    }
    return texts.join(" · ");
  }

  /** Reasons in full where the line above has no room for them. */
  private reasons(): void {
    const place = this.part("reasons");
    const { tally } = this.queue;
    const sorted = tally.isShortened ? tally.sorted().slice(0, MOST_REASONS_SHOWN) : [];
    const key = JSON.stringify(sorted);
    if (place.dataset["key"] !== key) {
      place.dataset["key"] = key;
      place.hidden = sorted.length === 0;
      place.replaceChildren(
        ...sorted.map(([reason, times]) => element("li", "", `${countText(times)} × ${reason}`)),
      );
    }
  }

  private countTabs(open: number): void {
    const { counts, items, problemCount } = this.queue;
    const of = (...states: State[]) =>
      states.reduce((sum, state) => sum + (counts.get(state) ?? 0), 0);
    const values: Record<Show, number> = {
      all: items.length,
      open,
      stored: of("stored"),
      duplicate: of("duplicate"),
      refused: of("refused"),
      conflict: of("conflict"),
      unsent: of("failed", "cancelled", "skipped"),
    };
    for (const [name, value] of Object.entries(values) as [Show, number][]) {
      setText(this.root.querySelector(`[data-count="${name}"]`), countText(value));
      const tab = this.root.querySelector<HTMLElement>(`[data-show="${name}"]`);
      if (tab) {
        tab.hidden = PASSING.includes(name) && value === 0 && this.showing !== name;
      }
    }
    this.button("copy-report").hidden = problemCount === 0;
    this.button("download-report").hidden = problemCount === 0;
  }

  private button(action: string): HTMLElement {
    const found = this.root.querySelector<HTMLElement>(`[data-action="${action}"]`);
    if (!found) {
      throw new Error(`The upload page lacks its button ${action}.`);
    }
    return found;
  }
}

function setText(place: Element | null, text: string): void {
  if (place && place.textContent !== text) {
    place.textContent = text;
  }
}

export function start(): void {
  const root = document.querySelector<HTMLElement>("[data-upload]");
  if (root) {
    new UploadPage(root);
  }
}
