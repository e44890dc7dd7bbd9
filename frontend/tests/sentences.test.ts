import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { said } from "../src/sentences";

describe("the server's sentences", () => {
  beforeEach(() => {
    globalThis.noctisMessages = { Health: "Zustand", "{count} day": { one: "", other: "" } };
    globalThis.noctisSentences = {
      "There is no such study.": "Diese Studie gibt es nicht.",
      "{name} listens on port {port}.": "{name} hört auf Port {port} zu.",
      "{name} took it.": "Angenommen von {name}.",
      "{name} took it again.": "Wieder angenommen von {name}.",
      "Series {number}: {rest}": "Serie {number}: {rest}",
      "Images {ranges} are missing.": "Bilder {ranges} fehlen.",
      "{rule} go to {to}.": "{rule} gehen an {to}.",
      "Studies of {of}": "Studien von {of}",
      "every facility": "jeder Einrichtung",
      "from station {station}": "von Station {station}",
    };
  });
  afterEach(() => {
    globalThis.noctisMessages = undefined;
    globalThis.noctisSentences = undefined;
  });

  test.each([
    ["There is no such study.", "Diese Studie gibt es nicht."],
    ["NOCTIS listens on port 104.", "NOCTIS hört auf Port 104 zu."],
    ["B took it again.", "Wieder angenommen von B."],
    ["There is no such study. B took it.", "Diese Studie gibt es nicht. Angenommen von B."],
    ["Who knows. B took it.", "Who knows. Angenommen von B."],
    ["ct.dcm: There is no such study.", "ct.dcm: Diese Studie gibt es nicht."],
    ["Series 3: images 3 to 4, 7 are missing.", "Serie 3: Bilder 3–4, 7 fehlen."],
    [
      "Studies of every facility, from station CT7, go to PACS2.",
      "Studien von jeder Einrichtung, von Station CT7, gehen an PACS2.",
    ],
    ["Health", "Zustand"],
    ["Health took it.", "Angenommen von Health."],
    ["constructor", "constructor"],
    ["Nobody knows this", "Nobody knows this"],
    ["", ""],
  ])("%s", (english, german) => {
    // The page's language is English here: only the letters behind colons depend on it.
    expect(said(english).toLowerCase()).toBe(german.toLowerCase());
  });

  test("a text without end is left as it is", () => {
    const long = "B took it. ".repeat(1000);
    expect(said(long)).toBe(long);
  });
});

test("English pages have none", () => {
  expect(said("There is no such study.")).toBe("There is no such study.");
});
