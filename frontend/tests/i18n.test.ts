import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { t, tn } from "../src/i18n";

describe("without a catalogue", () => {
  test("texts are English, with their values", () => {
    expect(t("Zoom {factor}", { factor: 2 })).toBe("Zoom 2");
    expect(t("An {unknown} name stays")).toBe("An {unknown} name stays");
    expect(tn("{count} image", "{count} images", 1)).toBe("1 image");
    expect(tn("{count} image", "{count} images", 0)).toBe("0 images");
    expect(tn("One of {where}", "{count} of {where}", 3, { where: "it" })).toBe("3 of it");
  });
});

describe("with a catalogue", () => {
  beforeEach(() => {
    globalThis.noctisMessages = {
      "Zoom {factor}": "Vergrößerung {factor}",
      "{count} image": { one: "{count} Bild", other: "{count} Bilder" },
      "{count} study": { other: "{count} Studien" },
    };
  });
  afterEach(() => {
    globalThis.noctisMessages = undefined;
  });

  test("texts are those of the catalogue, others stay English", () => {
    expect(t("Zoom {factor}", { factor: 2 })).toBe("Vergrößerung 2");
    expect(t("Pan")).toBe("Pan");
  });

  test("the form follows the number", () => {
    expect(tn("{count} image", "{count} images", 1)).toBe("1 Bild");
    expect(tn("{count} image", "{count} images", 12)).toBe("12 Bilder");
    expect(tn("{count} image", "{count} images", 12345, { count: "12 345" })).toBe("12 345 Bilder");
    expect(tn("{count} study", "{count} studies", 1)).toBe("1 Studien");
    expect(tn("{count} file", "{count} files", 1)).toBe("1 file");
  });
});
