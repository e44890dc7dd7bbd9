import { describe, expect, it } from "vitest";
import { BatchParser, type BatchRecord } from "../../src/viewer/net/batch";

function record(head: object, body: Uint8Array): Uint8Array {
  const text = new TextEncoder().encode(JSON.stringify(head));
  const bytes = new Uint8Array(8 + text.length + body.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, text.length, true);
  bytes.set(text, 4);
  view.setUint32(4 + text.length, body.length, true);
  bytes.set(body, 8 + text.length);
  return bytes;
}

const BODY = Uint8Array.of(1, 2, 3, 4, 5);
const STREAM = Uint8Array.of(
  ...record({ image: "a", frame: 1, status: 200 }, BODY),
  ...record({ image: "a", frame: 2, status: 422, detail: "broken" }, new Uint8Array()),
  ...record({ image: "b", frame: 1, status: 200 }, Uint8Array.of(9)),
);

function parse(chunks: readonly Uint8Array[]): BatchRecord[] {
  const parser = new BatchParser();
  const records = chunks.flatMap((chunk) => parser.push(chunk));
  parser.end();
  return records;
}

describe("a batch answer", () => {
  it.each([1, 2, 3, 7, 50, STREAM.length])(
    "cut into pieces of %d bytes gives the same records",
    (size) => {
      const chunks: Uint8Array[] = [];
      for (let i = 0; i < STREAM.length; i += size) {
        chunks.push(STREAM.slice(i, i + size));
      }
      const records = parse(chunks);
      expect(records.map(({ head }) => [head.image, head.frame, head.status])).toEqual([
        ["a", 1, 200],
        ["a", 2, 422],
        ["b", 1, 200],
      ]);
      expect([...(records[0]?.body ?? [])]).toEqual([...BODY]);
      expect(records[1]?.body).toHaveLength(0);
      expect(records[1]?.head.detail).toBe("broken");
    },
  );

  it("gives records before the stream has ended", () => {
    const parser = new BatchParser();
    expect(parser.push(STREAM.slice(0, 60))).toHaveLength(1);
  });

  it("gives each record bytes of its own, which a worker may take away", () => {
    const [first, , last] = parse([STREAM]);
    expect(first?.body.buffer.byteLength).toBe(5);
    expect(first?.body.buffer).not.toBe(last?.body.buffer);
  });

  it("that broke off is an error", () => {
    expect(() => parse([STREAM.slice(0, STREAM.length - 1)])).toThrow(/broke off/);
  });

  it("with an absurd length is an error, not a gigabyte of memory", () => {
    expect(() => parse([Uint8Array.of(0xff, 0xff, 0xff, 0x7f)])).toThrow(/damaged/);
  });
});
