/** An image on its way: what is known of it, and how far it is. Its bytes are kept apart. */
export interface Item {
  /** `image_uuid`: the sender's own name for the image. */
  id: string;
  /** Its place at the source, as people see it there. */
  name: string;
  size: number;
  addedAt: number;
  /** Its place among what was added with it, from 1. */
  number: number;
  stage: Stage;
  /** The order's number; empty: for no order. */
  order: string;
  facility: string;
  deidentify: boolean;
  mime: string;
  checksum: string;
  studyUid: string;
  seriesUid: string;
  imageUid: string;
  /** Where the server has what was sent of a large file; empty: nowhere. */
  upload: string;
  /** How often its bytes were sent; then the server may have them although nobody heard it. */
  tries: number;
  /** Answers that were wrong on the server's side, one after the other. */
  faults: number;
  /** What the server or the browser said last; empty when all is well. */
  reason: string;
  warning: string;
  acknowledgedAt: string;
  receipt: Receipt | null;
}

/** The archive's signed word (docs/api/offline.md). */
export type Receipt = Record<string, unknown> & {
  image_uuid: string;
  checksum: string;
  file_size: number;
};

/** It goes on in this order; `refused` waits for a person. */
export type Stage = "kept" | "prepared" | "announced" | "stored" | "safe" | "refused";

export interface Added {
  name: string;
  size: number;
}

export interface Wish {
  order: string;
  facility: string;
  deidentify: boolean;
}

export function newItem(added: Added, wish: Wish, number: number, at: number): Item {
  return {
    id: crypto.randomUUID(),
    name: added.name,
    size: added.size,
    addedAt: at,
    number,
    stage: "kept",
    ...wish,
    mime: "",
    checksum: "",
    studyUid: "",
    seriesUid: "",
    imageUid: "",
    upload: "",
    tries: 0,
    faults: 0,
    reason: "",
    warning: "",
    acknowledgedAt: "",
    receipt: null,
  };
}

/** What is sent next: receipts free the browser's copies, and metadata come before files. */
const URGENCY: Partial<Record<Stage, number>> = { stored: 0, prepared: 1, announced: 2 };

export function nextToSend(items: Iterable<Item>, busy: ReadonlySet<string>): Item | null {
  let found: Item | null = null;
  let best = Number.POSITIVE_INFINITY;
  for (const item of items) {
    const urgency = URGENCY[item.stage];
    if (urgency !== undefined && urgency < best && !busy.has(item.id)) {
      found = item;
      best = urgency;
    }
  }
  return found;
}

/** A refused image begins again where a new order or a second look can help. */
export function tryAgain(item: Item, order: string): void {
  item.stage = item.checksum ? "prepared" : "kept";
  item.reason = "";
  item.faults = 0;
  if (order && order !== item.order) {
    // Announced values never change: another order is another announcement.
    item.order = order;
    item.id = crypto.randomUUID();
    item.tries = 0;
  }
}

/** Whether a receipt is about these bytes: only then may the source go. */
export function isReceiptOf(item: Item, receipt: Receipt | null | undefined): receipt is Receipt {
  return (
    receipt?.image_uuid === item.id &&
    receipt.checksum === item.checksum &&
    receipt.file_size === item.size
  );
}

/** Lines that `sha256sum --check` reads at the source. */
export function wipeList(items: readonly Item[]): string {
  return items.map((item) => `${item.checksum}  ${item.name}\n`).join("");
}
