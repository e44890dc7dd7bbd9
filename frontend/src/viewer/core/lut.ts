import type { ImageFacts } from "./manifest";

/** VOI LUTs of files: tables that stand in the place of a window (PS3.3 C.11.2.1.1). */

export interface LookupTable {
  /** Input of the first entry, in modality units; inputs outside take the nearest end. */
  first: number;
  values: Uint16Array;
  /** Significant bits of the values. */
  bits: number;
}

/** To the nearest whole number, halves to the even one, as the server rounds inputs of tables. */
function nearest(value: number): number {
  const rounded = Math.round(value);
  return Math.abs(value % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

/** Grey level 0 to 255 of a modality value. */
export function tableLevel(value: number, { first, values, bits }: LookupTable): number {
  const at = Math.min(Math.max(nearest(value) - first, 0), values.length - 1);
  return ((values[at] ?? 0) * 255) / (2 ** bits - 1);
}

/** Tables by their image; those that were asked for and could not be had count as none. */
export class LookupTables {
  private readonly known = new Map<string, readonly LookupTable[] | string>();

  load(imageId: string, tables: readonly LookupTable[]): void {
    this.known.set(imageId, tables);
  }

  fail(imageId: string, reason: string): void {
    this.known.set(imageId, reason);
  }

  /** Those that failed may be asked for again. */
  forgetFailures(): void {
    for (const [id, found] of this.known) {
      if (typeof found === "string") {
        this.known.delete(id);
      }
    }
  }

  /** True once nothing more is to be waited for: the tables, the reason, or the image has none. */
  isSettled({ id, VOILUTSequence }: ImageFacts): boolean {
    return !VOILUTSequence?.length || this.known.has(id);
  }

  get({ id }: ImageFacts, index: number): LookupTable | null {
    const found = this.known.get(id);
    return typeof found === "object" ? (found[index] ?? null) : null;
  }

  problem({ id }: ImageFacts): string | null {
    const found = this.known.get(id);
    return typeof found === "string" ? found : null;
  }
}

/** Of all images of this window. */
export const lookupTables = new LookupTables();
