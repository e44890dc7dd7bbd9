import { describe, expect, it } from "vitest";
import {
  copyOf,
  emptyProtocol,
  emptyStage,
  readExport,
  withPlaces,
} from "../../../src/site/layouts/protocol";

describe("a layout that is written", () => {
  it("has a place for each viewport, and keeps those it had", () => {
    const stage = withPlaces({ ...emptyStage(), rows: 2, columns: 2, least: 9 });
    expect(stage.places).toHaveLength(4);
    expect(stage.least).toBe(4);
    const [first] = stage.places;
    const smaller = withPlaces({ ...stage, rows: 1, columns: 1 });
    expect(smaller.places).toEqual([first]);
  });

  it("is copied as the person's own", () => {
    const site = { ...emptyProtocol(), id: "x", name: "y".repeat(64), is_site: true };
    const copy = copyOf(site);
    expect(copy).toMatchObject({ id: null, is_site: false, is_active: true });
    expect(copy.name.length).toBeLessThanOrEqual(64);
    copy.stages[0] = emptyStage();
    expect(copy.stages[0]).not.toBe(site.stages[0]);
  });
});

describe("an exported file", () => {
  it("is read back", () => {
    expect(readExport('{"protocols": [{"name": "a"}], "built_in": []}')).toEqual([{ name: "a" }]);
  });

  it.each([
    ["a picture", "not JSON"],
    ["[]", "holds no layouts"],
    ["null", "holds no layouts"],
    ['{"protocols": []}', "nobody had kept any"],
  ])("%s is refused in words", (text, reason) => {
    expect(() => readExport(text)).toThrow(reason);
  });
});
