import { type DBSchema, type IDBPDatabase, openDB } from "idb";
import type { Item } from "./items";

const NAME = "noctis-offline";
const VERSION = 1;
const CHANGED = "changed";

interface Schema extends DBSchema {
  items: { key: string; value: Item };
  files: { key: string; value: Blob };
  /** What was known of the person when the server last answered. */
  notes: { key: string; value: unknown };
}

/** Two stores that change together, or not at all; a finished change is on the disk. */
const BOTH = ["items", "files"] as const;
const STRICT = { durability: "strict" } as const;

/** What this browser keeps until the archive has it. */
export class Shelf {
  private readonly channel = new BroadcastChannel(NAME);

  private constructor(private readonly db: IDBPDatabase<Schema>) {}

  static async open(): Promise<Shelf> {
    const db = await openDB<Schema>(NAME, VERSION, {
      upgrade(made) {
        made.createObjectStore("items", { keyPath: "id" });
        made.createObjectStore("files");
        made.createObjectStore("notes");
      },
    });
    return new Shelf(db);
  }

  /** Calls when another window changed something. */
  onChange(listener: () => void): void {
    this.channel.addEventListener("message", listener);
  }

  async all(): Promise<Item[]> {
    const items = await this.db.getAll("items");
    return items.sort((a, b) => a.addedAt - b.addedAt || a.number - b.number);
  }

  get(id: string): Promise<Item | undefined> {
    return this.db.get("items", id);
  }

  /** The bytes, as they were when they were added. */
  file(id: string): Promise<Blob | undefined> {
    return this.db.get("files", id);
  }

  /** Keep copies; throws when one cannot be read or there is no room, and then keeps none of them. */
  async add(pairs: readonly (readonly [Item, Blob])[]): Promise<void> {
    const change = this.db.transaction(BOTH, "readwrite", STRICT);
    const writes = pairs.flatMap(([item, file]) => [
      change.objectStore("items").put(item),
      change.objectStore("files").put(file, item.id),
    ]);
    await Promise.all([...writes, change.done]);
    this.tell();
  }

  async save(item: Item): Promise<void> {
    const change = this.db.transaction("items", "readwrite", STRICT);
    await Promise.all([change.store.put(item), change.done]);
    this.tell();
  }

  /** Put an item in another's place: announced again under another name. */
  async rename(from: string, item: Item): Promise<void> {
    const file = await this.file(from);
    const change = this.db.transaction(BOTH, "readwrite", STRICT);
    const items = change.objectStore("items");
    const files = change.objectStore("files");
    const writes: Promise<unknown>[] = [items.delete(from), files.delete(from), items.put(item)];
    if (file) {
      writes.push(files.put(file, item.id));
    }
    await Promise.all([...writes, change.done]);
    this.tell();
  }

  /** The archive has it: its receipt stays, the copy goes. */
  async release(item: Item): Promise<void> {
    const change = this.db.transaction(BOTH, "readwrite", STRICT);
    await Promise.all([
      change.objectStore("items").put(item),
      change.objectStore("files").delete(item.id),
      change.done,
    ]);
    this.tell();
  }

  async remove(ids: readonly string[]): Promise<void> {
    const change = this.db.transaction(BOTH, "readwrite", STRICT);
    const writes = ids.flatMap((id) => [
      change.objectStore("items").delete(id),
      change.objectStore("files").delete(id),
    ]);
    await Promise.all([...writes, change.done]);
    this.tell();
  }

  async note<T>(key: string): Promise<T | undefined> {
    return (await this.db.get("notes", key)) as T | undefined;
  }

  async setNote(key: string, value: unknown): Promise<void> {
    await this.db.put("notes", value, key);
  }

  private tell(): void {
    this.channel.postMessage(CHANGED);
  }
}
