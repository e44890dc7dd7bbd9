// @vitest-environment jsdom
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { HungPlace, HungStage, Manifest } from "../../src/viewer/core/manifest";
import type { Surface } from "../../src/viewer/engine/surface";
import { Workspace } from "../../src/viewer/tools/workspace";
import { image, series } from "../factory";

// No frame is decoded here.
vi.mock("../../src/viewer/net/decode-pool", () => ({ DecodePool: class {} }));

const surface = (): Surface => ({
  name: "none",
  element: document.createElement("div"),
  show: () => {},
  clear: () => {},
  resize: () => {},
  destroy: () => {},
});

/** Slices of 5 mm from a place on the table on. */
function study(id: string, table: number, count: number, more: object = {}): Manifest {
  const images = Array.from({ length: count }, (_, index) =>
    image({
      id: `${id}${index}`,
      SOPInstanceUID: `1.${table}.${index}`,
      ImagePositionPatient: [0, 0, table + index * 5],
    }),
  );
  const facts = { id: `${id}-lung`, SeriesInstanceUID: `2.${table}`, FrameOfReferenceUID: id };
  return {
    study: { id, warning: null, StudyDate: "2026-01-01" },
    patient: { id: "p", PatientID: "P1", PatientName: "Test^Anna" },
    series: [series(images, facts)],
    first_image: null,
    presets: [],
    measurements: [],
    user: { id: "u", name: "u", can_write: true },
    links: { batch: "/frames", measurements: "/m", worklist: "/" },
    ...more,
  } as unknown as Manifest;
}

function place(of: string, more: Partial<HungPlace> = {}): HungPlace {
  const nothing = { image: "", laterality: "", window_center: null, window_width: null };
  return { study: of, series: `${of}-lung`, ...nothing, ...more };
}

function stage(columns: number, ...viewports: (HungPlace | null)[]): HungStage {
  return { name: "", rows: 1, columns, fit: "", links: null, viewports };
}

const LUNG = { window_center: -600, window_width: 1500 };
const COMPARED: HungStage = {
  ...stage(2, place("now"), place("before")),
  links: { scroll: "position", window: false, view: false },
};

function opened(stages: readonly HungStage[], more: object = {}): Workspace {
  const priors = [
    { id: "before", manifest_url: "/viewer/api/studies/before/", interval_days: 400 },
  ];
  const hanging = { protocol: { id: null, name: "Chest", sentence: "" }, stages };
  return new Workspace(study("now", 0, 21, { priors, hanging, ...more }), surface, false);
}

let answer: () => Promise<Response>;

beforeAll(() => {
  vi.stubGlobal("Worker", EventTarget);
  vi.stubGlobal("matchMedia", () => ({ matches: false, addEventListener: () => {} }));
  HTMLCanvasElement.prototype.getContext = (() => null) as never;
  vi.stubGlobal("fetch", (url: string) =>
    url.startsWith("/viewer/api/studies/") ? answer() : new Promise(() => {}),
  );
});

beforeEach(() => {
  answer = async () => new Response(JSON.stringify(study("before", 1000, 21)));
  window.innerWidth = 1440;
});

afterEach(() => {
  window.innerWidth = 1440;
});

function shown(workspace: Workspace): (string | null)[] {
  return workspace.visible.map(({ pane }) => pane.stack?.series.id ?? null);
}

/** The prior has come and hangs. */
async function compared(): Promise<Workspace> {
  const workspace = opened([COMPARED]);
  workspace.hanging.begin();
  await vi.waitFor(() => expect(shown(workspace)).toEqual(["now-lung", "before-lung"]));
  return workspace;
}

describe("a study that is opened", () => {
  it("hangs the first stage, each viewport with its own window", () => {
    const workspace = opened([stage(2, place("now"), place("now", LUNG)), stage(1, place("now"))]);
    expect(workspace.layout).toBe("1x2");
    expect(shown(workspace)).toEqual(["now-lung", "now-lung"]);
    const [first, second] = workspace.panes;
    expect(first?.hasChosenWindow).toBe(false);
    expect(second?.window).toMatchObject({ center: -600, width: 1500 });
    // Begun in the middle; what the layout has set is nobody's own setting.
    expect(first?.index).toBe(10);
    expect(workspace.kept.latest).toEqual({});
    second?.setWindow({ center: 0, width: 1, function: "LINEAR" });
    second?.reset();
    expect(second?.window.width).toBe(1500);
  });

  it("goes through the stages round and round, and leaves them for a layout of one's own", () => {
    const workspace = opened([stage(2, place("now"), null), stage(1, place("now"))]);
    workspace.hanging.step(1);
    expect([workspace.layout, workspace.hanging.place]).toEqual(["1x1", "Chest#1"]);
    workspace.hanging.step(1);
    expect([workspace.layout, workspace.hanging.place]).toEqual(["1x2", "Chest#0"]);
    workspace.hanging.step(-1);
    expect(workspace.hanging.index).toBe(1);
    workspace.setLayout("2x2");
    expect(workspace.hanging.place).toBeNull();
    workspace.hanging.step(-1);
    expect(workspace.hanging.index).toBe(1);
  });

  it("shows one viewport in a narrow window", () => {
    window.innerWidth = 360;
    const workspace = opened([stage(2, null, place("now", LUNG))]);
    expect([workspace.layout, shown(workspace)]).toEqual(["1x1", ["now-lung"]]);
    // A wide window comes back to the stage.
    expect([workspace.hanging.index, workspace.hanging.place]).toEqual([null, "Chest#0"]);
    workspace.setLayout("1x2");
    expect(workspace.hanging.place).toBeNull();
  });

  it("goes on where the person stopped", () => {
    const session = { series_id: "now-lung", image_id: "now3", frame_number: 1 };
    const stages = [stage(1, place("now")), stage(2, place("now"), place("now", LUNG))];
    const kept = opened(stages, { session: { ...session, viewport: { stage: "Chest#1" } } });
    expect([kept.layout, kept.active.index]).toEqual(["1x2", 3]);
    const other = opened(stages, { session: { ...session, viewport: { stage: null } } });
    expect([other.layout, other.active.index, other.hanging.index]).toEqual(["1x1", 3, null]);
    const gone = opened(stages, { session: { ...session, viewport: { stage: "Other#1" } } });
    expect(gone.hanging.index).toBeNull();
  });

  it("is shown plainly where nothing can be hung", () => {
    const workspace = opened([]);
    expect([workspace.layout, shown(workspace)]).toEqual(["1x1", ["now-lung"]]);
    workspace.hanging.step(1);
    expect(workspace.layout).toBe("1x1");
  });
});

describe("a prior", () => {
  it("is asked for after the first picture, and hangs as its own study", async () => {
    const asked = vi.fn(answer);
    answer = asked;
    const workspace = opened([COMPARED]);
    const pane = workspace.panes[1];
    expect(asked).not.toHaveBeenCalled();
    expect(pane && workspace.hanging.waiting.get(pane)).toBe("before");
    workspace.panes[0]?.emit("drawn", { index: 0, exact: false });
    await vi.waitFor(() => expect(shown(workspace)[1]).toBe("before-lung"));
    expect(asked).toHaveBeenCalledTimes(1);
    expect(pane && workspace.manifestOf(pane).study.id).toBe("before");
    expect(pane && workspace.isOwn(pane)).toBe(false);
    expect(pane && workspace.strangeness(pane)).toEqual([]);
    expect(workspace.notices.strangers).toBeNull();
  });

  it("says why it does not come, and comes when asked again", async () => {
    const right = answer;
    answer = async () => new Response('{"detail": "Not yours."}', { status: 403 });
    const workspace = opened([COMPARED]);
    workspace.hanging.begin();
    await vi.waitFor(() => expect(workspace.notices.all[0]?.text).toContain("Not yours."));
    answer = right;
    const { action } = workspace.notices.all[0] ?? {};
    expect(action && "run" in action).toBe(true);
    (action as { run: () => void }).run();
    await vi.waitFor(() => expect(shown(workspace)[1]).toBe("before-lung"));
  });

  it("does not take the place of what was hung meanwhile", async () => {
    const workspace = opened([COMPARED]);
    workspace.hanging.begin();
    const pane = workspace.panes[1];
    workspace.openSeries(workspace.manifest.series[0] as never, 1);
    await workspace.others.open("before");
    await Promise.resolve();
    expect(pane?.stack?.series.id).toBe("now-lung");
  });

  it("of another patient record is said aloud while it is shown", async () => {
    const patient = { id: "q", PatientID: "P2", PatientName: "Test^Berta" };
    answer = async () => new Response(JSON.stringify(study("before", 1000, 21, { patient })));
    const workspace = await compared();
    expect(workspace.notices.strangers).toMatchObject({ kind: "error" });
    expect(workspace.notices.strangers?.text).toContain("Test, Anna, P1; and Test, Berta, P2");
    workspace.setLayout("1x1");
    expect(workspace.notices.strangers).toBeNull();
  });
});

describe("slices of two studies", () => {
  it("follow by position from the middles of both, with the offset that a person gave", async () => {
    const workspace = await compared();
    const [now, before] = workspace.panes as [never, never] as unknown as Workspace["panes"];
    const indices = (): (number | undefined)[] => [now?.index, before?.index];
    expect(indices()).toEqual([10, 10]);
    now?.go(12);
    expect(indices()).toEqual([12, 12]);
    workspace.links.set({ scroll: "off" });
    before?.go(15);
    expect(indices()).toEqual([12, 15]);
    workspace.links.set({ scroll: "position" });
    now?.go(10);
    expect(indices()).toEqual([10, 13]);
    before?.go(14);
    expect(indices()).toEqual([11, 14]);
    // Linked again without a step between: nothing has moved.
    workspace.links.set({ scroll: "off" });
    workspace.links.set({ scroll: "position" });
    now?.go(5);
    expect(indices()).toEqual([5, 8]);
  });

  it("of one table position need no offset", async () => {
    answer = async () => new Response(JSON.stringify(study("before", 20, 21)));
    const workspace = await compared();
    expect(workspace.panes.map(({ index }) => index)).toEqual([10, 6]);
  });
});
