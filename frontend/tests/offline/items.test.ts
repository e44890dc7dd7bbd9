import { expect, test } from "vitest";
import {
  type Item,
  isReceiptOf,
  newItem,
  nextToSend,
  type Stage,
  tryAgain,
  wipeList,
} from "../../src/offline/items";

const WISH = { order: "A-1", facility: "NORTH", deidentify: false };

function item(stage: Stage, name = "a.dcm"): Item {
  return { ...newItem({ name, size: 4 }, WISH, 1, 0), stage, checksum: "ab" };
}

test("receipts come first, then metadata, then files", () => {
  const [kept, announced, prepared, stored] = (
    ["kept", "announced", "prepared", "stored"] as const
  ).map((stage) => item(stage)) as [Item, Item, Item, Item];
  const all = [kept, announced, prepared, stored];
  const busy = new Set<string>();
  for (const expected of [stored, prepared, announced]) {
    expect(nextToSend(all, busy)).toBe(expected);
    busy.add(expected.id);
  }
  expect(nextToSend([...all, item("safe"), item("refused")], busy)).toBeNull();
});

test("another order is another announcement, the same one is not", () => {
  const refused = { ...item("refused"), reason: "There is no such order.", tries: 2 };
  const { id } = refused;
  tryAgain(refused, "A-1");
  expect([refused.id, refused.stage, refused.reason]).toEqual([id, "prepared", ""]);
  tryAgain(refused, "");
  expect([refused.id, refused.order]).toEqual([id, "A-1"]);
  tryAgain(refused, "A-2");
  expect(refused.id).not.toBe(id);
  expect([refused.order, refused.tries]).toEqual(["A-2", 0]);
});

test("what was never read is read again", () => {
  const refused = { ...item("refused"), checksum: "" };
  tryAgain(refused, "");
  expect(refused.stage).toBe("kept");
});

test("a receipt is about these bytes or is none", () => {
  const sent = item("stored");
  const receipt = { image_uuid: sent.id, checksum: "ab", file_size: 4 };
  expect(isReceiptOf(sent, receipt)).toBe(true);
  expect(isReceiptOf(sent, { ...receipt, checksum: "ac" })).toBe(false);
  expect(isReceiptOf(sent, { ...receipt, file_size: 5 })).toBe(false);
  expect(isReceiptOf(sent, { ...receipt, image_uuid: "other" })).toBe(false);
  expect(isReceiptOf(sent, null)).toBe(false);
});

test("the list of what may go is one for sha256sum", () => {
  expect(wipeList([item("safe", "card/IM 1"), item("safe", "b")])).toBe("ab  card/IM 1\nab  b\n");
});
