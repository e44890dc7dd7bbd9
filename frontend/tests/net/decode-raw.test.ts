import { describe, expect, it } from "vitest";
import { decodeRaw } from "../../src/viewer/net/decode-raw";

describe("raw frames", () => {
  it("are little endian, signed where they say so, with their range", () => {
    const body = Uint8Array.of(0xff, 0xff, 0x00, 0x80, 0x01, 0x00, 0xff, 0x7f);
    const found = decodeRaw({ body, rows: 2, columns: 2, samples: 1, dtype: "int16" });
    expect([...found.data]).toEqual([-1, -32768, 1, 32767]);
    expect([found.min, found.max]).toEqual([-32768, 32767]);
  });

  it("may start at any byte of their buffer", () => {
    const buffer = Uint8Array.of(0, 0x34, 0x12).subarray(1);
    const found = decodeRaw({ body: buffer, rows: 1, columns: 1, samples: 1, dtype: "uint16" });
    expect([...found.data]).toEqual([0x1234]);
  });

  it("lose surplus padding, and their range does not count it", () => {
    const body = Uint8Array.of(5, 6, 7, 200);
    const found = decodeRaw({ body, rows: 1, columns: 1, samples: 3, dtype: "uint8" });
    expect([[...found.data], found.max]).toEqual([[5, 6, 7], 7]);
  });

  it("that are too short are an error", () => {
    const body = new Uint8Array(3);
    expect(() => decodeRaw({ body, rows: 2, columns: 2, samples: 1, dtype: "uint8" })).toThrow(
      "3 values instead of 4",
    );
  });
});
