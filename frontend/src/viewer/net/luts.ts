import { Emitter } from "../core/emitter";
import { type LookupTable, type LookupTables, lookupTables } from "../core/lut";
import type { ImageFacts } from "../core/manifest";
import { requestJson } from "./api";

interface Item {
  LUTDescriptor: readonly [number, number, number];
  LUTData: string;
}

/** Tables that travel at a time, beside the pictures. */
const AT_ONCE = 3;

/** Fetches the VOI LUTs of images; an image of which they fail is told too, and drawn without. */
export class TableService extends Emitter<{ settled: { imageId: string } }> {
  private readonly asked = new Set<string>();
  private waiting: string[] = [];
  private running = 0;

  constructor(readonly tables: LookupTables = lookupTables) {
    super();
  }

  /** Asks for the tables of images, the first of them first. */
  want(images: readonly ImageFacts[]): void {
    const missing = images.filter((image) => !this.tables.isSettled(image)).map(({ id }) => id);
    const asked = missing.filter((id) => !this.asked.has(id));
    this.waiting = [...new Set(asked)];
    this.pump();
  }

  retry(): void {
    this.asked.clear();
    this.tables.forgetFailures();
  }

  private pump(): void {
    while (this.running < AT_ONCE) {
      const id = this.waiting.shift();
      if (id === undefined) {
        return;
      }
      this.asked.add(id);
      this.running += 1;
      void this.fetch(id).then(() => {
        this.running -= 1;
        this.emit("settled", { imageId: id });
        this.pump();
      });
    }
  }

  private async fetch(id: string): Promise<void> {
    try {
      const answer = await requestJson<{ VOILUTSequence: readonly Item[] }>(
        `/viewer/api/images/${id}/voi-luts/`,
      );
      this.tables.load(id, answer.VOILUTSequence.map(tableOf));
    } catch (error) {
      this.tables.fail(id, error instanceof Error ? error.message : String(error));
    }
  }
}

/** Two bytes a value, the low one first. */
function tableOf({ LUTDescriptor: [count, first, bits], LUTData }: Item): LookupTable {
  const bytes = atob(LUTData);
  const values = Uint16Array.from(
    { length: count },
    (_, index) => bytes.charCodeAt(2 * index) | (bytes.charCodeAt(2 * index + 1) << 8),
  );
  return { first, values, bits };
}
