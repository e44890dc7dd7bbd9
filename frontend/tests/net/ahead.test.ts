// @vitest-environment jsdom
import { beforeEach, describe, expect, it, vi } from "vitest";
import { fetchAhead, framesAhead, keptAhead } from "../../src/viewer/net/ahead";
import { listAddress } from "../../src/viewer/tools/reading-list";
import { image, series } from "../factory";

// No frame is decoded here.
vi.mock("../../src/viewer/net/decode-pool", () => ({ DecodePool: class {} }));

const slices = Array.from({ length: 40 }, (_, index) =>
  image({
    id: `i${index}`,
    digest: `d${index}`,
    frame_url: `/image/i${index}/frames/{n}`,
    ImagePositionPatient: [0, 0, index],
  }),
);
const manifest = JSON.stringify({
  series: [series(slices, { id: "s" })],
  first_image: { series_id: "s", image_id: "i19", frame_number: 1, preview: null },
  session: null,
  links: {},
});

beforeEach(() => {
  sessionStorage.clear();
  vi.stubGlobal("matchMedia", () => ({ matches: false }));
});

describe("what is fetched of the next study", () => {
  it("is its first picture and the nine nearest", () => {
    const numbers = framesAhead(manifest).map(({ image: { id } }) => Number(id.slice(1)));
    expect(numbers[0]).toBe(19);
    expect(numbers).toHaveLength(10);
    expect(numbers.slice(1, 4)).toEqual([20, 21, 22]);
    expect(Math.max(...numbers.map((number) => Math.abs(number - 19)))).toBeLessThan(10);
  });

  it("begins where the reader stopped", () => {
    const session = { series_id: "s", image_id: "i5", frame_number: 1 };
    const [first] = framesAhead(JSON.stringify({ ...JSON.parse(manifest), session }));
    expect(first?.key).toBe("i5:1");
  });

  it("leaves out what cannot be drawn", () => {
    const dead = slices.map((each) => ({ ...each, transport: null }));
    const text = JSON.stringify({ ...JSON.parse(manifest), series: [series(dead, { id: "s" })] });
    expect(framesAhead(text)).toEqual([]);
  });

  it("comes from the addresses that the viewer will ask, and is remembered for that study", async () => {
    const asked: string[] = [];
    vi.stubGlobal("fetch", (url: string) => {
      asked.push(url);
      return Promise.resolve(new Response(asked.length === 1 ? manifest : "pixels"));
    });
    await fetchAhead("next", "/ahead/");
    expect(asked.slice(0, 3)).toEqual([
      "/ahead/",
      "/image/i19/frames/1.raw?v=d19",
      "/image/i20/frames/1.jphc?v=d20",
    ]);
    expect(asked).toHaveLength(11);
    expect(keptAhead("next").size).toBe(10);
    expect(keptAhead("next").has("i19:1")).toBe(true);
    expect(keptAhead("another").size).toBe(0);
  });

  it("is nothing where the note cannot be read", () => {
    sessionStorage.setItem("noctis.ahead", "{");
    expect(keptAhead("next").size).toBe(0);
  });
});

describe("the list to read through", () => {
  const worklist = "/worklist/studies/";
  it("is the one that led here, also after further studies", () => {
    const from = `${location.origin}${worklist}?status=unread&sort=name`;
    expect(listAddress(from, worklist, sessionStorage)).toBe("?status=unread&sort=name");
    const viewer = `${location.origin}/viewer/1/`;
    expect(listAddress(viewer, worklist, sessionStorage)).toBe("?status=unread&sort=name");
  });

  it("is that of unread studies where no list led here", () => {
    expect(listAddress("", worklist, sessionStorage)).toBe("?status=unread");
    expect(listAddress(`https://elsewhere${worklist}?x=1`, worklist, sessionStorage)).toBe(
      "?status=unread",
    );
  });
});
