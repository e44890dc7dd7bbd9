import { describe, expect, test } from "vitest";
import { canonical, countText, hasSameFilters } from "../../src/site/worklist/address";

const of = (text: string) => new URLSearchParams(text);

describe("addresses of lists", () => {
  test("keep known fields with a value, in one order", () => {
    expect(canonical(of("mod=CT&q=+a+&evil=1&name=&cursor=x&sort=date")).toString()).toBe(
      "q=a&mod=CT&sort=date",
    );
  });

  test("are one list when only the order of rows differs", () => {
    expect(hasSameFilters(of("mod=CT&sort=name&dir=asc"), of("dir=desc&mod=CT"))).toBe(true);
    expect(hasSameFilters(of("mod=CT"), of("mod=MR"))).toBe(false);
    expect(hasSameFilters(of(""), of("status=unread"))).toBe(false);
  });
});

test.each([
  [0, false, "0"],
  [999, false, "999"],
  [12345, false, "12\u2009345"],
  [10000, true, "10\u2009000+"],
])("a count of %d", (count, hasMore, text) => {
  expect(countText(count, hasMore)).toBe(text);
});
