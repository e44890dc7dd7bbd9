import { msg, t, tn } from "../i18n";
import { element, icon, toast } from "../site/dom";
import { localDate } from "../site/times";
import { type Picked, pickedFrom, readDrop } from "../site/upload/drop";
import { countText, sizeText } from "../site/upload/pace";
import { downloadText } from "../site/upload/report";
import { type Item, newItem, tryAgain, type Wish, wipeList } from "./items";
import { Reader } from "./reader";
import { OfflineRows } from "./rows";
import { Sender } from "./sender";
import { type Facility, Server, type Session } from "./server";
import { Shelf } from "./shelf";

/** So many copies share one wait for the disk. */
const TOGETHER = 20;
const KNOWN = "known";

const SHOWN = {
  open: ({ stage }: Item) => stage !== "safe" && stage !== "refused",
  refused: ({ stage }: Item) => stage === "refused",
  safe: ({ stage }: Item) => stage === "safe",
} as const;
type Show = keyof typeof SHOWN;

/** What was known of the person when the server last answered. */
interface Known {
  name: string;
  facilities: Facility[];
  facility: string;
}

/** The page that takes files without a network: what it keeps, what it sends, what is safe. */
export class OfflinePage {
  private readonly rows: OfflineRows;
  private readonly sender: Sender;
  private showing: Show = "open";
  private known: Known = { name: "", facilities: [], facility: "" };
  private isDrawing = false;
  private adding = 0;

  private constructor(
    private readonly root: HTMLElement,
    private readonly shelf: Shelf,
    private readonly server: Server,
  ) {
    this.rows = new OfflineRows(
      this.part("rows"),
      (item) => this.sender.sent.get(item.id) ?? 0,
      (item, action) => void this.act(item, action),
    );
    const reader = new Reader(root.dataset.reading ?? "");
    const most = Number(root.dataset.mostDeidentified);
    this.sender = new Sender(shelf, server, reader, most, () => this.redraw());
  }

  static async open(root: HTMLElement): Promise<OfflinePage | null> {
    let shelf: Shelf;
    try {
      shelf = await Shelf.open();
    } catch (error) {
      root.dataset.state = "impossible";
      toast(t("This browser keeps nothing: {error}", { error: String(error) }), "error");
      return null;
    }
    const page = new OfflinePage(root, shelf, new Server());
    await page.start();
    return page;
  }

  /** The page works, but not after the next start without a network. */
  static tellNotKept(root: HTMLElement, error: unknown): void {
    const note = root.querySelector<HTMLElement>("[data-not-kept]");
    if (note) {
      note.hidden = false;
      note.title = String(error);
    }
  }

  private async start(): Promise<void> {
    this.known = (await this.shelf.note<Known>(KNOWN)) ?? this.known;
    this.drawKnown();
    this.listenToPickers();
    this.listenToDrops();
    this.listenToButtons();
    this.listenToInstalling();
    const again = () => void this.sender.tryNow();
    addEventListener("beforeunload", (event) => {
      // Copies are being made; what is listed is kept.
      if (this.adding > 0) {
        event.preventDefault();
      }
    });
    addEventListener("online", again);
    addEventListener("offline", again);
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && this.sender.trouble.kind !== "none") {
        again();
      }
    });
    await this.sender.start();
    if (this.count("open") === 0 && this.count("refused") === 0 && this.count("safe") > 0) {
      this.show("safe");
    }
    setInterval(() => this.redraw(), 1000);
    this.root.dataset.ready = "";
  }

  private part<T extends HTMLElement = HTMLElement>(name: string): T {
    const found = document.querySelector<T>(`[data-${name}]`);
    if (!found) {
      throw new Error(`The page lacks its part ${name}.`);
    }
    return found;
  }

  // What people do -------------------------------------------------------------------------------

  private listenToPickers(): void {
    for (const kind of ["files", "folder"]) {
      const input = this.part<HTMLInputElement>(`input="${kind}"`);
      this.part(`pick="${kind}"`).addEventListener("click", () => input.click());
      input.addEventListener("change", () => {
        if (input.files) {
          void this.add(pickedFrom(input.files));
        }
        input.value = "";
      });
    }
    this.part<HTMLInputElement>("deidentify").addEventListener("change", () => this.drawWish());
    this.part<HTMLSelectElement>("facility").addEventListener("change", (event) => {
      this.known.facility = (event.target as HTMLSelectElement).value;
      void this.shelf.setNote(KNOWN, this.known);
    });
  }

  private listenToDrops(): void {
    const veil = this.part("veil");
    const carriesFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
    let depth = 0;
    window.addEventListener("dragenter", (event) => {
      if (carriesFiles(event)) {
        event.preventDefault();
        depth += 1;
        veil.hidden = false;
      }
    });
    window.addEventListener("dragover", (event) => carriesFiles(event) && event.preventDefault());
    window.addEventListener("dragleave", () => {
      depth -= 1;
      veil.hidden = depth <= 0;
    });
    window.addEventListener("drop", (event) => {
      depth = 0;
      veil.hidden = true;
      if (event.dataTransfer && carriesFiles(event)) {
        event.preventDefault();
        void readDrop(event.dataTransfer, (files) => void this.add(files)).then(
          ({ unreadable }) => {
            if (unreadable > 0) {
              toast(
                t("{count} files or folders could not be read.", { count: unreadable }),
                "error",
              );
            }
          },
        );
      }
    });
  }

  private listenToButtons(): void {
    document.addEventListener("click", (event) => {
      const button = (event.target as Element).closest<HTMLElement>("[data-do], [data-show]");
      const wanted = button?.dataset.show;
      if (wanted) {
        this.show(wanted as Show);
        return;
      }
      switch (button?.dataset.do) {
        case "try-now":
          void this.sender.tryNow();
          break;
        case "retry-all":
          void this.retry(this.of("refused"));
          break;
        case "receipts":
          this.downloadReceipts(this.of("safe"), `receipts-${localDate(new Date())}.json`);
          break;
        case "wipe-list":
          downloadText(wipeList(this.of("safe")), `safe-to-delete-${localDate(new Date())}.txt`);
          break;
        case "clear":
          void this.clear();
          break;
        default:
      }
    });
  }

  private listenToInstalling(): void {
    const button = this.part<HTMLButtonElement>("install");
    addEventListener("beforeinstallprompt", (event) => {
      event.preventDefault();
      const asking = event as Event & { prompt(): Promise<unknown> };
      button.hidden = false;
      button.onclick = () => {
        button.hidden = true;
        void asking.prompt();
      };
    });
  }

  private wish(): Wish {
    const deidentify = this.part<HTMLInputElement>("deidentify").checked;
    const order = this.part<HTMLInputElement>("order").value.trim();
    return {
      order: deidentify ? "" : order,
      facility: this.part<HTMLSelectElement>("facility").value,
      deidentify,
    };
  }

  /** Keep copies of files: from then on they need neither their source nor a network. */
  private async add(files: readonly Picked[]): Promise<void> {
    const wish = this.wish();
    if (!wish.facility && !wish.order) {
      toast(t("Sign in once with a network, so that this page knows your facility."), "error");
      return;
    }
    void navigator.storage.persist?.();
    const at = Date.now();
    this.adding += files.length;
    this.show("open");
    let unread = 0;
    let fault = "";
    for (let start = 0; start < files.length; start += TOGETHER) {
      const some = files.slice(start, start + TOGETHER).map(({ file, name }, place) => {
        const item = newItem({ name, size: file.size }, wish, start + place + 1, at);
        return [item, file] as const;
      });
      for (const pairs of await this.kept(some)) {
        if (pairs.fault) {
          unread += 1;
          fault = pairs.fault;
        } else {
          this.sender.items.set(pairs.item.id, pairs.item);
        }
      }
      this.adding -= some.length;
      this.redraw();
    }
    if (unread > 0) {
      toast(
        t("{count} of {all} files were not kept: {fault}", {
          count: unread,
          all: files.length,
          fault,
        }),
        "error",
      );
    }
    this.sender.pump();
  }

  /** Keep some together; where that fails, one by one, to know which. */
  private async kept(pairs: (readonly [Item, File])[]): Promise<{ item: Item; fault?: string }[]> {
    try {
      await this.shelf.add(pairs);
      return pairs.map(([item]) => ({ item }));
    } catch (error) {
      if (pairs.length > 1) {
        const found = [];
        for (const pair of pairs) {
          found.push(...(await this.kept([pair])));
        }
        return found;
      }
      const [item] = pairs[0] ?? [];
      return item ? [{ item, fault: wordsOf(error) }] : [];
    }
  }

  private async act(item: Item, action: "retry" | "remove" | "receipt"): Promise<void> {
    if (action === "retry") {
      await this.retry([item]);
    } else if (action === "receipt") {
      this.downloadReceipts([item], `receipt-${item.id}.json`);
    } else {
      const words =
        item.stage === "safe"
          ? t("Take {name} off this list? Its receipt goes with it.", { name: item.name })
          : t("Delete this browser's copy of {name}? The archive has given no receipt for it.", {
              name: item.name,
            });
      if (await this.isSure(words)) {
        await this.drop([item]);
      }
    }
  }

  private async retry(items: readonly Item[]): Promise<void> {
    const order = this.wish().order;
    for (const item of items) {
      const before = item.id;
      tryAgain(item, item.deidentify ? "" : order);
      if (item.id === before) {
        await this.shelf.save(item);
      } else {
        await this.shelf.rename(before, item);
        this.sender.items.delete(before);
        this.sender.items.set(item.id, item);
      }
    }
    this.show("open");
    await this.sender.tryNow();
  }

  private async clear(): Promise<void> {
    const done = this.of("safe");
    const words = t(
      "Take all {count} images with their receipts off this list? Download the receipts first if you keep them.",
      { count: countText(done.length) },
    );
    if (await this.isSure(words)) {
      await this.drop(done);
      this.show("open");
    }
  }

  private async drop(items: readonly Item[]): Promise<void> {
    await this.shelf.remove(items.map(({ id }) => id));
    this.sender.discard(items);
    this.redraw();
  }

  private isSure(words: string): Promise<boolean> {
    const dialog = this.part<HTMLDialogElement>("sure");
    this.part("sure-text").textContent = words;
    dialog.returnValue = "";
    dialog.showModal();
    return new Promise((resolve) => {
      dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
    });
  }

  private downloadReceipts(items: readonly Item[], name: string): void {
    const receipts = items.flatMap(({ receipt }) => (receipt ? [receipt] : []));
    const found = receipts.length === 1 ? receipts[0] : receipts;
    downloadText(`${JSON.stringify(found, null, 1)}\n`, name);
  }

  // What people see ------------------------------------------------------------------------------

  private of(what: Show): Item[] {
    return [...this.sender.items.values()].filter(SHOWN[what]);
  }

  private count(what: Show): number {
    return this.of(what).length;
  }

  private show(what: Show): void {
    this.showing = what;
    for (const button of document.querySelectorAll<HTMLElement>("[data-show]")) {
      button.setAttribute("aria-pressed", String(button.dataset.show === what));
    }
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
    const counts = { open: 0, refused: 0, safe: 0 };
    let bytes = 0;
    for (const item of this.sender.items.values()) {
      for (const what of Object.keys(SHOWN) as Show[]) {
        counts[what] += SHOWN[what](item) ? 1 : 0;
      }
      bytes += SHOWN.open(item) ? item.size - (this.sender.sent.get(item.id) ?? 0) : 0;
    }
    const isEmpty = this.sender.items.size === 0 && this.adding === 0;
    this.root.dataset.state = isEmpty ? "empty" : "full";
    this.part("queue").hidden = isEmpty;
    for (const what of Object.keys(SHOWN) as Show[]) {
      this.part(`count="${what}"`).textContent = countText(counts[what]);
    }
    this.part("outcome").textContent = this.outcome(counts, bytes);
    this.part("for=refused").hidden = this.showing !== "refused" || counts.refused === 0;
    this.part("for=safe").hidden = this.showing !== "safe" || counts.safe === 0;
    this.part("none").hidden = isEmpty || counts[this.showing] > 0;
    this.part("none").textContent = t(NOTHING[this.showing]);
    this.rows.show(this.of(this.showing));
    this.drawTrouble(counts.open);
    this.noteSession(this.server.session);
  }

  private outcome(counts: Record<Show, number>, bytes: number): string {
    if (this.adding > 0) {
      return t("Keeping copies: {count} files to go", { count: countText(this.adding) });
    }
    if (counts.open > 0) {
      return t("{count} to hand in, {size}", {
        count: countText(counts.open),
        size: sizeText(Math.max(0, bytes)),
      });
    }
    if (counts.refused > 0) {
      return tn("{count} file needs you", "{count} files need you", counts.refused);
    }
    return t("Everything is in the archive");
  }

  private drawTrouble(open: number): void {
    const trouble = this.sender.trouble;
    const box = this.part("trouble");
    const isSignedOut = trouble.kind === "signed-out";
    box.hidden = trouble.kind === "none";
    this.part("sign-in").hidden = !isSignedOut;
    this.part("try-now").hidden = trouble.kind === "may-not";
    const kept = open > 0 ? ` ${t("What is listed here is kept.")}` : "";
    const words = {
      none: "",
      offline:
        t(
          "No network. Files can be added all the same; they are handed in by themselves when it is back.",
        ) + kept,
      "signed-out": t("You are signed out. Sign in to hand in.") + kept,
      "may-not": t("Your role does not allow uploads. Ask an administrator."),
      later: "",
    }[trouble.kind];
    const text = this.part("trouble-text");
    const said =
      trouble.kind === "later" ? `${t(trouble.words)} ${pauseText(trouble.until)}${kept}` : words;
    if (text.textContent !== said) {
      text.textContent = said;
    }
    const link = this.part("link");
    link.dataset.link = trouble.kind;
    const isCut = trouble.kind === "offline" || trouble.kind === "later";
    this.part("link-text").textContent = isCut ? t("Offline") : t("Online");
  }

  private noteSession(session: Session | null): void {
    if (!session) {
      return;
    }
    document.querySelector('meta[name="csrf-token"]')?.setAttribute("content", session.csrf_token);
    const facility = session.facilities.some(({ code }) => code === this.known.facility)
      ? this.known.facility
      : session.facility || (session.facilities[0]?.code ?? "");
    const known = { name: session.user.name, facilities: session.facilities, facility };
    if (JSON.stringify(known) !== JSON.stringify(this.known)) {
      this.known = known;
      void this.shelf.setNote(KNOWN, known);
      this.drawKnown();
    }
  }

  private drawKnown(): void {
    const select = this.part<HTMLSelectElement>("facility");
    select.replaceChildren(
      ...this.known.facilities.map(({ code, name }) => {
        const option = element("option", "", name);
        option.value = code;
        option.selected = code === this.known.facility;
        return option;
      }),
    );
    this.part("for-facility").hidden = this.known.facilities.length === 0;
    select.disabled = this.known.facilities.length === 1;
    const person = this.part("person");
    person.replaceChildren(...(this.known.name ? [icon("user"), this.known.name] : []));
  }

  private drawWish(): void {
    this.part<HTMLInputElement>("order").disabled =
      this.part<HTMLInputElement>("deidentify").checked;
  }
}

const NOTHING: Record<Show, string> = {
  open: msg("Nothing waits. Add files, or look at what is safe to delete."),
  refused: msg("Nothing needs you."),
  safe: msg("No receipt yet. What the archive has and has read again is listed here."),
};

function pauseText(until: number): string {
  const seconds = Math.ceil((until - Date.now()) / 1000);
  return seconds > 0
    ? t("It is asked again in {seconds} s.", { seconds })
    : t("It is being asked.");
}

function wordsOf(error: unknown): string {
  if (error instanceof DOMException && error.name === "QuotaExceededError") {
    return t("this browser has no more room. Hand in what is listed, or free space on the disk.");
  }
  if (error instanceof DOMException && error.name === "NotReadableError") {
    return t("a file could not be read at its source.");
  }
  return error instanceof Error ? error.message : String(error);
}
