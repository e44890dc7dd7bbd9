import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { kindOf, pictureUids, read, sha256Of } from "../../src/offline/reading";

function element(group: number, number: number, vr: string, value: string): number[] {
  const text = [...new TextEncoder().encode(value.length % 2 ? `${value}\0` : value)];
  const two = (word: number) => [word & 0xff, word >> 8];
  return [
    ...two(group),
    ...two(number),
    ...new TextEncoder().encode(vr),
    ...two(text.length),
    ...text,
  ];
}

/** An object in Explicit VR Little Endian with `padding` bytes of text before its study. */
function object(padding: number, hasSeries = true): Blob {
  const meta = element(0x0002, 0x0010, "UI", "1.2.840.10008.1.2.1");
  const length = [0x02, 0, 0, 0, 0x55, 0x4c, 4, 0, meta.length, 0, 0, 0];
  const long = [0x10, 0, 0, 0x40, 0x4c, 0x54, ...[padding & 0xff, padding >> 8]];
  const body = [
    ...element(0x0008, 0x0018, "UI", "1.2.3.9"),
    ...long,
    ...new Array<number>(padding).fill(0x41),
    ...element(0x0020, 0x000d, "UI", "1.2.3"),
    ...(hasSeries ? element(0x0020, 0x000e, "UI", "1.2.3.4") : []),
    ...element(0x0028, 0x0010, "US", "ab"),
  ];
  return new Blob([
    new Uint8Array(128),
    new Uint8Array([0x44, 0x49, 0x43, 0x4d, ...length, ...meta, ...body]),
    new Uint8Array(400_000),
  ]);
}

test.each([0, 60_000])(
  "the UIDs of an object are read, %i bytes into its header",
  async (padding) => {
    const file = object(padding);
    const found = await read(file);
    expect(found).toMatchObject({
      mime: "application/dicom",
      studyUid: "1.2.3",
      seriesUid: "1.2.3.4",
      imageUid: "1.2.3.9",
      reason: "",
    });
    const bytes = new Uint8Array(await file.arrayBuffer());
    expect(found.checksum).toBe(createHash("sha256").update(bytes).digest("hex"));
  },
);

test("what cannot be handed in says why", async () => {
  expect((await read(object(0, false))).reason).toContain("UID is missing");
  expect((await read(new Blob([]))).reason).toContain("empty");
  expect((await read(new Blob(["GIF89a"]))).reason).toContain("not DICOM, JPEG or PNG");
});

test("kinds are told by their first bytes", () => {
  expect(kindOf(new Uint8Array([0xff, 0xd8, 0xff, 0xe0]))).toBe("image/jpeg");
  expect(kindOf(new Uint8Array([0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10]))).toBe("image/png");
  expect(kindOf(new Uint8Array([0x89, 0x50, 0x4e, 0x47]))).toBe("");
});

test("a file that is read in pieces has the digest that others give it", async () => {
  const bytes = new Uint8Array(5_000_001).map((_, at) => at % 251);
  const file = new Blob([bytes]);
  const expected = createHash("sha256").update(bytes).digest("hex");
  expect(await sha256Of(file, 1000)).toBe(expected);
  expect(await sha256Of(file)).toBe(expected);
});

test("a picture has its UIDs from its place, its order and its bytes", async () => {
  const first = await pictureUids("here NORTH", "A-1", "ab");
  expect(first.imageUid).toMatch(
    /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
  );
  expect(await pictureUids("here NORTH", "A-1", "ab")).toEqual(first);
  const other = await pictureUids("here NORTH", "A-1", "ac");
  expect([other.studyUid, other.seriesUid]).toEqual([first.studyUid, first.seriesUid]);
  expect(other.imageUid).not.toBe(first.imageUid);
  const elsewhere = await pictureUids("here SOUTH", "A-1", "ab");
  expect(new Set([...Object.values(first), ...Object.values(elsewhere)]).size).toBe(6);
});
