// @vitest-environment jsdom
import { afterEach, expect, test, vi } from "vitest";
import type { Manifest } from "../../src/viewer/core/manifest";
import type { Workspace } from "../../src/viewer/tools/workspace";
import "../../src/viewer/ui/export-download";
import "../../src/viewer/ui/export-print";
import "../../src/viewer/ui/priors";
import { image } from "../factory";

afterEach(() => {
  document.body.replaceChildren();
  vi.unstubAllGlobals();
});

function workspace(): Workspace {
  const frame = { image: image({ id: "image-7" }), frame_number: 3 };
  const pane = {
    shownFrame: frame,
    stack: { frames: [frame, { ...frame, frame_number: 4 }] },
    window: { center: 40, width: 400, function: "LINEAR" },
    invert: true,
    view: { orientation: [0, -1, 1, 0], zoom: 1, pan: [0, 0] },
    size: { width: 400, height: 400 },
    colorMap: "grey",
  };
  const prior = {
    id: "prior-1",
    StudyDate: "2024-01-01",
    StudyDescription: "Chest",
    ModalitiesInStudy: ["CT"],
    NumberOfStudyRelatedInstances: 12,
    interval_days: 400,
    reasons: ["same region (chest)"],
    viewer_url: "/viewer/prior-1/",
    thumbnail_url: "",
  };
  const manifest = {
    priors: [prior],
    links: { disc: "/disc", anonymised: "/anonymised", sheet: "/sheet" },
  } as unknown as Manifest;
  return {
    manifest,
    active: pane,
    visible: [{ pane, number: 0 }],
    on: () => () => {},
  } as unknown as Workspace;
}

async function shown(name: string): Promise<HTMLElement> {
  const element = document.createElement(name) as HTMLElement & {
    workspace: Workspace;
    updateComplete: Promise<boolean>;
  };
  element.workspace = workspace();
  document.body.append(element);
  await element.updateComplete;
  return element;
}

function submit(element: HTMLElement): void {
  element.querySelector("form")?.dispatchEvent(new SubmitEvent("submit", { cancelable: true }));
}

function followed(): string[] {
  const links: string[] = [];
  vi.spyOn(HTMLAnchorElement.prototype, "click").mockImplementation(function (
    this: HTMLAnchorElement,
  ) {
    links.push(this.getAttribute("href") ?? "");
  });
  return links;
}

test("a disc is downloaded with its page, and without it when it is not wanted", async () => {
  const links = followed();
  const element = await shown("noctis-export-download");
  submit(element);
  element.querySelector<HTMLInputElement>("input[name=viewer]")?.click();
  submit(element);
  expect(links).toEqual(["/disc?viewer=1", "/disc"]);
});

test("an anonymised study is asked for by the options that are chosen", async () => {
  const links = followed();
  const element = await shown("noctis-export-download");
  element
    .querySelector<HTMLInputElement>("input[value=anonymised]")
    ?.dispatchEvent(new Event("change"));
  await (element as unknown as { updateComplete: Promise<boolean> }).updateComplete;
  const name = element.querySelector<HTMLInputElement>("input[name=subject]");
  if (name) {
    name.value = "TRIAL-7";
  }
  element.querySelector<HTMLInputElement>("input[name=patient]")?.click();
  submit(element);
  expect(links).toEqual(["/anonymised?subject=TRIAL-7&dates=removed&patient=1"]);
});

test("the view is printed as it lies on the screen", async () => {
  const bodies: unknown[] = [];
  vi.stubGlobal("fetch", async (_url: string, init: RequestInit) => {
    bodies.push(JSON.parse(String(init.body)));
    return new Response('{"detail": "Too large."}', { status: 422 });
  });
  const element = await shown("noctis-export-print");
  submit(element);
  await vi.waitFor(() => expect(element.querySelector("[role=alert]")).not.toBeNull());
  expect(element.querySelector("[role=alert]")?.textContent?.trim()).toBe("Too large.");
  expect(bodies).toEqual([
    expect.objectContaining({
      pictures: [
        {
          image_id: "image-7",
          frame_number: 3,
          window_center: 40,
          window_width: 400,
          window_function: "LINEAR",
          invert: true,
          orientation: [0, -1, 1, 0],
        },
      ],
      form: "pdf",
      rows: 1,
      paper: "A4",
      is_true_size: false,
      with_drawings: true,
    }),
  ]);
});

test("Tab opens the next prior while the hand is on the pictures", async () => {
  const opened: string[] = [];
  vi.stubGlobal("open", (url: string) => opened.push(url));
  const element = await shown("noctis-priors");
  expect(element.textContent).toContain("13 months before");
  const press = (): boolean =>
    window.dispatchEvent(new KeyboardEvent("keydown", { key: "Tab", cancelable: true }));
  expect(press()).toBe(false);
  expect(opened).toEqual(["/viewer/prior-1/"]);
  element.querySelector("a")?.focus();
  expect(press()).toBe(true);
  expect(opened).toHaveLength(1);
});
