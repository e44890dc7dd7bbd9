import { msg, t } from "../i18n";
import { sizeText } from "../site/upload/pace";
import { Failure } from "./answers";
import { type Item, isReceiptOf, nextToSend } from "./items";
import type { Reader } from "./reader";
import { pictureUids } from "./reading";
import type { Answer, Server } from "./server";
import type { Shelf } from "./shelf";

const AT_ONCE = 3;
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 60_000;
/** Faults of the server at one image in a row, before the others go on without it. */
const MOST_FAULTS = 5;
const LOCK = "noctis-offline-sender";

export type Trouble =
  | { kind: "none" }
  | { kind: "offline" }
  | { kind: "signed-out" }
  | { kind: "may-not" }
  | { kind: "later"; words: string; until: number };

/** Hands images in, three at a time, until each has its receipt; one window at a time does. */
export class Sender {
  readonly items = new Map<string, Item>();
  /** Bytes of those that are being sent. */
  readonly sent = new Map<string, number>();
  trouble: Trouble = { kind: "none" };
  /** Whether this window sends; the others show what it does. */
  isLeading = false;
  private readonly busy = new Set<string>();
  private isReading = false;
  private pauses = 0;
  private retryTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly shelf: Shelf,
    private readonly server: Server,
    private readonly reader: Reader,
    /** Bytes of the largest file that the server de-identifies. */
    private readonly mostDeidentified: number,
    private readonly onChange: () => void,
  ) {}

  /** Load what is kept, and begin when no other window sends. */
  async start(): Promise<void> {
    await this.load();
    this.shelf.onChange(() => void this.load().then(() => this.pump()));
    void this.tryNow();
    void navigator.locks.request(LOCK, async () => {
      this.isLeading = true;
      await this.load();
      this.pump();
      // Held until the window is gone.
      await new Promise(() => undefined);
    });
  }

  private async load(): Promise<void> {
    const kept = await this.shelf.all();
    const ids = new Set(kept.map((item) => item.id));
    for (const id of this.items.keys()) {
      if (!ids.has(id)) {
        this.items.delete(id);
      }
    }
    for (const item of kept) {
      if (!this.busy.has(item.id)) {
        this.items.set(item.id, item);
      }
    }
    this.onChange();
  }

  /** Look who is signed in, and go on at once. */
  tryNow(): Promise<void> {
    this.pauses = 0;
    return this.goOn();
  }

  private async goOn(): Promise<void> {
    clearTimeout(this.retryTimer);
    try {
      const session = await this.server.refresh();
      this.trouble = session
        ? { kind: session.can_upload ? "none" : "may-not" }
        : { kind: "signed-out" };
    } catch (error) {
      this.setBack(error);
    }
    this.onChange();
    this.pump();
  }

  /** Keep requests going while there is something to send and nothing in the way. */
  pump(): void {
    if (!this.isLeading) {
      return;
    }
    void this.readNext();
    while (this.busy.size < AT_ONCE && this.trouble.kind === "none" && this.server.session) {
      const item = nextToSend(this.items.values(), this.busy);
      if (!item) {
        break;
      }
      this.busy.add(item.id);
      void this.step(item).finally(() => {
        this.busy.delete(item.id);
        this.sent.delete(item.id);
        this.onChange();
        this.pump();
      });
    }
    this.onChange();
  }

  // What needs no network ------------------------------------------------------------------------

  private async readNext(): Promise<void> {
    if (this.isReading) {
      return;
    }
    const item = [...this.items.values()].find(
      (each) => each.stage === "kept" && !this.busy.has(each.id),
    );
    if (!item) {
      return;
    }
    this.isReading = true;
    this.busy.add(item.id);
    try {
      await this.read(item);
    } catch (error) {
      await this.refuse(
        item,
        t("This browser could not read its copy: {error}", { error: String(error) }),
      );
    } finally {
      this.isReading = false;
      this.busy.delete(item.id);
      this.pump();
    }
  }

  private async read(item: Item): Promise<void> {
    const file = await this.shelf.file(item.id);
    if (!file) {
      await this.refuse(item, msg("The browser's copy is gone. Add the file again."));
      return;
    }
    const { reason, ...found } = await this.reader.read(file);
    Object.assign(item, found);
    const wrong = reason || this.missing(item) || this.known(item);
    if (wrong) {
      await this.refuse(item, wrong);
      return;
    }
    if (item.mime !== "application/dicom") {
      const place = `${location.origin} ${item.facility}`;
      Object.assign(item, await pictureUids(place, item.order, item.checksum));
    }
    item.stage = "prepared";
    await this.keep(item);
  }

  private missing(item: Item): string {
    if (item.mime === "application/dicom") {
      return item.deidentify && item.size > this.mostDeidentified
        ? t("Files of more than {size} are not de-identified here. Do it before you hand it in.", {
            size: sizeText(this.mostDeidentified),
          })
        : "";
    }
    if (item.deidentify) {
      return msg("A JPEG or PNG cannot be de-identified here: nobody knows what is drawn in it.");
    }
    return item.order
      ? ""
      : msg("A picture does not say whose it is. Write its order's number above, then try again.");
  }

  private known(item: Item): string {
    const twin = [...this.items.values()].find(
      (other) =>
        other.id !== item.id &&
        other.checksum === item.checksum &&
        other.order === item.order &&
        other.facility === item.facility &&
        other.deidentify === item.deidentify &&
        other.stage !== "refused",
    );
    return twin ? t("The same file is in this list already, as {name}.", { name: twin.name }) : "";
  }

  // One step with the server ---------------------------------------------------------------------

  private async step(item: Item): Promise<void> {
    try {
      if (item.stage === "prepared") {
        await this.take(item, await this.server.announce(item));
      } else if (item.stage === "announced") {
        await this.send(item);
      } else {
        await this.take(item, await this.server.acknowledge(item));
      }
      this.pauses = 0;
    } catch (error) {
      await this.failed(item, error);
    }
  }

  private async send(item: Item): Promise<void> {
    if (item.tries > 0) {
      // Its answer may have been lost on the way: asking costs less than sending.
      const state = await this.server.state(item.id);
      if (state === null || state.status !== "METADATA_UPLOADED") {
        await this.take(item, state);
        return;
      }
    }
    const file = await this.shelf.file(item.id);
    if (!file) {
      await this.refuse(item, msg("The browser's copy is gone. Add the file again."));
      return;
    }
    item.tries += 1;
    await this.keep(item);
    const answer = await this.server.send(item, file, {
      onProgress: (sent) => {
        this.sent.set(item.id, Math.min(sent, item.size));
        this.onChange();
      },
      onBegun: (upload) => {
        item.upload = upload;
        void this.keep(item);
      },
      isWanted: () => this.isListed(item),
    });
    item.upload = "";
    await this.take(item, answer);
  }

  /** What was taken off the list is not kept at the server either. */
  discard(items: readonly Item[]): void {
    for (const item of items) {
      this.items.delete(item.id);
      this.server.takeBack(item);
    }
  }

  /** Take what the server says for how far an image is; null: it knows nothing of it. */
  private async take(item: Item, answer: Answer | null): Promise<void> {
    item.faults = 0;
    item.reason = "";
    item.warning = answer?.warning ?? item.warning;
    if (answer === null) {
      item.stage = "prepared";
    } else if (answer.status === "METADATA_UPLOADED") {
      item.stage = "announced";
    } else if (answer.status === "BINARY_UPLOADED") {
      item.stage = "stored";
    } else if (answer.safe_to_delete && isReceiptOf(item, answer.receipt)) {
      item.stage = "safe";
      item.receipt = answer.receipt;
      item.acknowledgedAt = answer.acknowledged_at ?? "";
      if (this.isListed(item)) {
        await this.shelf.release(item);
      }
      return;
    } else {
      await this.refuse(
        item,
        msg(
          "The archive had this image and has it no more, or its receipt is about other bytes. Keep the file, and ask an administrator.",
        ),
      );
      return;
    }
    await this.keep(item);
  }

  /** Whoever took it off the list while it was on its way does not find it there again. */
  private isListed(item: Item): boolean {
    return this.items.get(item.id) === item;
  }

  private async keep(item: Item): Promise<void> {
    if (this.isListed(item)) {
      await this.shelf.save(item);
    }
  }

  private async refuse(item: Item, reason: string): Promise<void> {
    item.stage = "refused";
    item.reason = reason;
    await this.keep(item);
  }

  private async failed(item: Item, error: unknown): Promise<void> {
    if (!(error instanceof Failure)) {
      await this.refuse(
        item,
        t("This browser could not send it: {error}", { error: String(error) }),
      );
      return;
    }
    if (error.kind === "old-token") {
      item.faults += 1;
      await this.goOn();
    } else if (error.kind === "later" && error.status === 500) {
      item.faults += 1;
      this.setBack(error);
    } else if (error.kind === "refused") {
      await this.refused(item, error);
      return;
    } else {
      this.setBack(error);
    }
    if (item.faults >= MOST_FAULTS) {
      await this.refuse(item, error.message);
    } else {
      await this.keep(item);
    }
  }

  /** A server that was restored from a backup has forgotten steps: they are done again. */
  private async refused(item: Item, error: Failure): Promise<void> {
    const isLater = item.stage === "announced" || item.stage === "stored";
    // What came in pieces may have expired there, or was thrown away because it was wrong.
    const isGone = Boolean(item.upload) && error.status === 404;
    item.upload = "";
    if (isLater && (error.status === 404 || error.status === 409) && item.faults < MOST_FAULTS) {
      const state = await this.server.state(item.id).catch(() => undefined);
      const isBehind =
        state === null ||
        ((item.stage === "stored" || isGone) && state?.status === "METADATA_UPLOADED");
      if (isBehind) {
        item.stage = state === null ? "prepared" : "announced";
        item.faults += 1;
        item.tries = 0;
        await this.keep(item);
        return;
      }
    }
    await this.refuse(item, error.message);
  }

  /** Nobody is asked for a while; then everything goes on by itself. */
  private setBack(error: unknown): void {
    if (error instanceof Failure && error.kind === "signed-out") {
      this.server.session = null;
      this.trouble = { kind: "signed-out" };
      return;
    }
    const failure = error instanceof Failure ? error : new Failure("later", String(error));
    if (failure.kind === "network" && !navigator.onLine) {
      this.trouble = { kind: "offline" };
    } else if (this.trouble.kind === "later" && this.trouble.until > Date.now()) {
      return;
    } else {
      this.trouble = { kind: "later", words: failure.message, until: 0 };
    }
    const pause = Math.min(FIRST_PAUSE_MS * 2 ** this.pauses, LONGEST_PAUSE_MS);
    // So that those who lost the server together do not come back together.
    const ms = Math.max(pause * (0.75 + Math.random() / 2), failure.waitS * 1000);
    this.pauses += 1;
    clearTimeout(this.retryTimer);
    this.retryTimer = setTimeout(() => void this.goOn(), ms);
    if (this.trouble.kind === "later") {
      this.trouble.until = Date.now() + ms;
    }
  }
}
