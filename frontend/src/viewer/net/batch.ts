/** One record of an `application/vnd.noctis.frames` answer. */
export interface BatchRecord {
  head: BatchHead;
  body: Uint8Array;
}

export interface BatchHead {
  image: string;
  frame: number;
  status: number;
  content_type: string;
  rows: number;
  columns: number;
  samples: number;
  dtype: string;
  min: number | null;
  max: number | null;
  detail?: string;
}

/** A head is a few hundred bytes and a body a few dozen MiB: more means a damaged stream. */
const LONGEST_HEAD = 1 << 20;
const LONGEST_BODY = 1 << 30;

/**
 * Cuts a stream of bytes into batch records, whatever the sizes in which the bytes come. Each
 * record's body is a copy of its own, so that it can be handed to a worker.
 */
export class BatchParser {
  private chunks: Uint8Array[] = [];
  private held = 0;
  private head: BatchHead | null = null;
  private wanted = 4;
  private part: "head-length" | "head" | "body-length" | "body" = "head-length";

  /** Takes the next bytes and returns the records that are complete now. */
  push(chunk: Uint8Array): BatchRecord[] {
    this.chunks.push(chunk);
    this.held += chunk.byteLength;
    const records: BatchRecord[] = [];
    while (this.held >= this.wanted) {
      const bytes = this.take(this.wanted);
      if (this.part === "head-length") {
        this.expect("head", readLength(bytes, LONGEST_HEAD));
      } else if (this.part === "head") {
        this.head = JSON.parse(new TextDecoder().decode(bytes)) as BatchHead;
        this.expect("body-length", 4);
      } else if (this.part === "body-length") {
        this.expect("body", readLength(bytes, LONGEST_BODY));
      } else {
        records.push({ head: this.head as BatchHead, body: bytes });
        this.expect("head-length", 4);
      }
    }
    return records;
  }

  /** Throws when the stream ended inside a record. */
  end(): void {
    if (this.held > 0 || this.part !== "head-length") {
      throw new Error("The server's answer broke off.");
    }
  }

  private expect(part: BatchParser["part"], length: number): void {
    this.part = part;
    this.wanted = length;
  }

  private take(length: number): Uint8Array {
    const taken = new Uint8Array(length);
    let filled = 0;
    while (filled < length) {
      const chunk = this.chunks[0] as Uint8Array;
      const part = chunk.subarray(0, length - filled);
      taken.set(part, filled);
      filled += part.byteLength;
      if (part.byteLength === chunk.byteLength) {
        this.chunks.shift();
      } else {
        this.chunks[0] = chunk.subarray(part.byteLength);
      }
    }
    this.held -= length;
    return taken;
  }
}

function readLength(bytes: Uint8Array, most: number): number {
  const length = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
  if (length > most) {
    throw new Error("The server's answer is damaged.");
  }
  return length;
}
