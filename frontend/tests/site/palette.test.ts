import { expect, test } from "vitest";
import { matching } from "../../src/site/palette";

const COMMANDS = [{ name: "Go to Worklist" }, { name: "Go to Upload" }, { name: "Theme light" }];
const names = (text: string) => matching(COMMANDS, text).map((command) => command.name);

test("every word must be there, in any order and case", () => {
  expect(names("work go")).toEqual(["Go to Worklist"]);
  expect(names("GO")).toEqual(["Go to Worklist", "Go to Upload"]);
  expect(names("light dark")).toEqual([]);
  expect(names("  ")).toHaveLength(3);
});
