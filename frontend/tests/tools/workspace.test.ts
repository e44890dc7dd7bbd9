// @vitest-environment jsdom
import { beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { measurementLines, sourceText } from "../../src/viewer/core/format";
import type { Frame } from "../../src/viewer/core/frame";
import type { Manifest, MeasurementKind, Vec2, Vec3 } from "../../src/viewer/core/manifest";
import { toPatient } from "../../src/viewer/core/measure";
import { onPicture, type Plane, planeOf, planePoint, subtract } from "../../src/viewer/core/planes";
import { planeAt } from "../../src/viewer/core/reformat";
import { THIN } from "../../src/viewer/core/volume";
import type { Volume } from "../../src/viewer/core/voxels";
import type { Pane } from "../../src/viewer/engine/pane";
import type { Surface } from "../../src/viewer/engine/surface";
import type { ByteCache } from "../../src/viewer/net/lru";
import { Drawing } from "../../src/viewer/tools/drawing";
import { OutlineDrawing } from "../../src/viewer/tools/outline";
import { toolRefusal } from "../../src/viewer/tools/refusals";
import { keepSized } from "../../src/viewer/tools/sized";
import { Workspace } from "../../src/viewer/tools/workspace";
import { image, series } from "../factory";

// No frame is decoded here.
vi.mock("../../src/viewer/net/decode-pool", () => ({ DecodePool: class {} }));

/** Workers of the page: the volume's runs here, for real; the decoder's has nothing to do. */
class HereWorker extends EventTarget {
  static volumes: HereWorker[] = [];

  constructor(private readonly url: URL) {
    super();
    if (String(url).includes("volume")) {
      HereWorker.volumes.push(this);
    }
  }

  postMessage(data: unknown): void {
    if (String(this.url).includes("volume")) {
      window.dispatchEvent(new MessageEvent("message", { data }));
    }
  }

  terminate(): void {}
}

/** 2x + 3y + 5z in the patient's millimetres. */
const field = ([x, y, z]: Vec3): number => 2 * x + 3 * y + 5 * z;

const surface = (): Surface => ({
  name: "none",
  element: document.createElement("div"),
  show: () => {},
  clear: () => {},
  resize: () => {},
  destroy: () => {},
});

beforeAll(async () => {
  vi.stubGlobal("Worker", HereWorker);
  vi.stubGlobal("fetch", () => new Promise(() => {}));
  vi.stubGlobal("matchMedia", () => ({ matches: false, addEventListener: () => {} }));
  HTMLCanvasElement.prototype.getContext = (() => ({
    setTransform: () => {},
    fillRect: () => {},
    drawImage: () => {},
    putImageData: () => {},
    createImageData: (width: number, height: number) => ({
      width,
      height,
      data: new Uint8ClampedArray(width * height * 4),
    }),
  })) as never;
  await import("../../src/viewer/engine/volume.worker");
  window.postMessage = ((data: unknown) => {
    HereWorker.volumes.at(-1)?.dispatchEvent(new MessageEvent("message", { data }));
  }) as never;
});

let workspace: Workspace;

beforeEach(() => {
  const images = Array.from({ length: 11 }, (_, index) =>
    image({
      id: `i${index}`,
      SOPInstanceUID: `1.2.${index}`,
      Rows: 20,
      Columns: 24,
      PixelSpacing: [2, 2],
      ImagePositionPatient: [-24, -20, index * 4],
      RescaleIntercept: 0,
    }),
  );
  const manifest = {
    study: { id: "s", warning: null },
    patient: {},
    series: [series(images)],
    first_image: null,
    presets: [],
    measurements: [],
    user: { id: "u", name: "u", can_write: false },
    links: { batch: "/frames", measurements: "/m", worklist: "/" },
  } as unknown as Manifest;
  workspace = new Workspace(manifest, surface, false);
});

/** Lets the frames of the series arrive, as from the server. */
function arrive(every = 1): void {
  const [stack] = workspace.stacks;
  for (const [index, frame] of (stack?.frames ?? []).entries()) {
    const plane = planeOf(frame);
    if (!plane || index % every !== 0) {
      continue;
    }
    const data = new Int16Array(20 * 24).map((_, i) =>
      field(planePoint(plane, [i % 24, Math.floor(i / 24)])),
    );
    const kept: Frame = { key: frame.key, rows: 20, columns: 24, samples: 1, data, min: 0, max: 1 };
    const { frames } = workspace;
    (frames as unknown as { cache: ByteCache<Frame> }).cache.set(frame.key, kept, data.byteLength);
    frames.emit("loaded", { key: frame.key });
  }
}

/** Whether the volume reads the very pixels that the frames have. */
function sharesPixels(): boolean {
  const { stack } = workspace.active;
  const { plan } = workspace.mpr;
  const axial = workspace.mpr.panes()[0]?.pane;
  const first = plan?.frames[0]?.key ?? "";
  const data = workspace.frames.peek(first)?.data;
  if (!plan || !axial || !stack || !data) {
    throw new Error("Planes are open.");
  }
  const before = data[0] as number;
  data[0] = 12345;
  const { reformatter } = workspace.pictures;
  const { volume } = (reformatter as unknown as { held: { volume: Volume } }).held;
  const grid = stack.reformat?.grid;
  const found = grid && volume.sample({ ...grid, ...planeAt(grid, 0) }, THIN)[0];
  data[0] = before;
  return found === 12345;
}

const drawn = (): Promise<void> =>
  vi.waitFor(() => {
    for (const { pane } of workspace.mpr.panes()) {
      expect(pane.pixels).not.toBeNull();
      expect(pane.isStale).toBe(false);
    }
  });

describe("MPR in the workspace", () => {
  it("shows the field in three planes, keeps a probe in the patient, and goes back", async () => {
    arrive();
    workspace.active.go(3);
    workspace.mpr.open();
    expect(workspace.layout).toBe("2x2");
    // The series itself stays in sight, at the place where it was read.
    expect(workspace.panes[3]?.stack).toBe(workspace.stacks[0]);
    expect(workspace.panes[3]?.index).toBe(3);
    expect(workspace.mpr.panes().map(({ kind }) => kind)).toEqual(["axial", "coronal", "sagittal"]);
    await drawn();
    for (const { pane, kind } of workspace.mpr.panes()) {
      const facts = workspace.measured(pane, "probe", [[7, 6]], null);
      expect(facts?.value).toBeCloseTo(field(facts?.points_mm?.[0] ?? [0, 0, 0]), 3);
      expect(facts?.SOPInstanceUID).toMatch(/^1\.2\.\d+$/);
      // The axial plane is the slice at 20 mm itself.
      expect(facts?.plane).toEqual(
        kind === "axial" ? null : expect.objectContaining({ length: 6 }),
      );
    }
    workspace.mpr.close();
    expect(workspace.layout).toBe("1x1");
    expect(workspace.active.stack).toBe(workspace.stacks[0]);
    expect(workspace.active.index).toBe(3);
  });

  it("moves the crossing with scrolling, and the planes with the crossing", () => {
    arrive();
    workspace.mpr.open();
    const [axial, coronal, sagittal] = workspace.mpr.panes().map(({ pane }) => pane);
    expect(workspace.mpr.center[2]).toBe(20);
    axial?.step(2);
    expect(workspace.mpr.center[2]).toBe(28);
    workspace.mpr.goTo([4, -6, 12]);
    expect([axial?.index, coronal?.index]).toEqual([3, 7]);
    // Sagittal planes are counted from the left side, x = 22 mm.
    expect(sagittal?.index).toBe(9);
  });

  it("turns planes about the one that is looked at and straightens them again", async () => {
    arrive();
    workspace.mpr.open();
    await drawn();
    const [axial, coronal] = workspace.mpr.panes().map(({ pane }) => pane);
    if (!axial || !coronal) {
      throw new Error("Three planes are open.");
    }
    workspace.mpr.turn(axial, Math.PI / 6);
    expect(coronal.stack?.reformat?.isOblique).toBe(true);
    await drawn();
    const size = coronal.pictureSize;
    const middle: [number, number] = [
      Math.round((size?.columns ?? 0) / 2),
      Math.round((size?.rows ?? 0) / 2),
    ];
    const facts = workspace.measured(coronal, "probe", [middle], null);
    expect(facts?.value).toBeCloseTo(field(facts?.points_mm?.[0] ?? [0, 0, 0]), 3);
    workspace.mpr.straighten();
    expect(coronal.stack?.reformat?.isOblique).toBe(false);
  });

  it("is lit by every second slice and grows finer as the others come", async () => {
    workspace.mpr.open();
    arrive(2);
    await drawn();
    expect(workspace.mpr.loaded).toBe(6);
    const [axial] = workspace.mpr.panes();
    const before = axial?.pane.pixels;
    arrive();
    await vi.waitFor(() => expect(axial?.pane.pixels).not.toBe(before));
    expect(workspace.mpr.loaded).toBe(11);
  });

  it("says that a slice which cannot be shown is estimated from its neighbours", async () => {
    workspace.mpr.open();
    arrive(2);
    expect(workspace.mpr.notes).toEqual([]);
    const { frames } = workspace;
    const lost = workspace.stacks[0]?.frames[3]?.key ?? "";
    const told: string[] = [];
    workspace.on("loaded", ({ key }) => told.push(key));
    const problem = { message: "The compressed data end early.", canRetry: false };
    (frames as unknown as { problems: Map<string, unknown> }).problems.set(lost, problem);
    frames.emit("failed", { key: lost, problem });
    expect(told).toEqual([lost]);
    expect(workspace.mpr.notes).toEqual([expect.stringContaining("One slice of this series")]);
    await drawn();
  });

  it("keeps the voxels once, and lets them go with the planes", async () => {
    arrive();
    const bytes = 11 * 20 * 24 * 2;
    workspace.mpr.open();
    await drawn();
    expect(workspace.frames.keptBytes).toBe(bytes);
    expect(sharesPixels()).toBe(true);
    workspace.mpr.close();
    expect(workspace.frames.keptBytes).toBe(bytes);
  });

  it("counts the smaller copies of a volume that is too large, within the memory for frames", async () => {
    arrive();
    const bytes = 11 * 20 * 24 * 2;
    const { frames } = workspace;
    vi.spyOn(frames, "mostVolumeBytes", "get").mockReturnValue(bytes - 1);
    workspace.mpr.open();
    await drawn();
    expect(workspace.mpr.plan?.geometry.shrink).toBe(2);
    expect(frames.keptBytes).toBe(bytes + bytes / 4);
    expect(sharesPixels()).toBe(false);
    workspace.mpr.close();
    expect(frames.keptBytes).toBe(bytes);
  });

  it("shows what was drawn on a slice in the plane that lies there, and no other", async () => {
    arrive();
    await vi.waitFor(() => expect(workspace.active.pixels).not.toBeNull());
    workspace.active.go(5);
    await vi.waitFor(() => expect(workspace.active.shownIndex).toBe(5));
    const facts = workspace.measured(
      workspace.active,
      "length",
      [
        [2, 3],
        [12, 3],
      ],
      null,
    );
    if (!facts) {
      throw new Error("A length is measured.");
    }
    workspace.list.create(facts);
    workspace.mpr.open();
    await drawn();
    const [axial, coronal] = workspace.mpr.panes().map(({ pane }) => pane);
    expect(axial && workspace.itemsOn(axial)).toHaveLength(1);
    expect(coronal && workspace.itemsOn(coronal)).toHaveLength(0);
    axial?.step(1);
    await vi.waitFor(() => expect(axial?.shownIndex).toBe(6));
    expect(axial && workspace.itemsOn(axial)).toHaveLength(0);
  });

  it("opens the volume as a whole and gives the series back", async () => {
    arrive();
    workspace.active.go(3);
    workspace.volume3d.open();
    await vi.waitFor(() => expect(workspace.active.pixels?.columns).toBe(256), { timeout: 20_000 });
    expect(workspace.active.pixels?.samples).toBe(3);
    workspace.volume3d.turn(0.3, 0.1, true);
    await vi.waitFor(() => expect(workspace.active.pixels?.columns).toBe(128), { timeout: 20_000 });
    workspace.volume3d.close();
    expect(workspace.active.stack).toBe(workspace.stacks[0]);
    expect(workspace.active.index).toBe(3);
  }, 60_000);
});

describe("pictures of a size", () => {
  it("keep it in a viewport of another size until somebody zooms", () => {
    const pane = workspace.active;
    pane.resize({ width: 240, height: 200 }, 1);
    const lay = vi.fn(() => pane.setView({ ...pane.view, zoom: 240 / pane.size.width }));
    keepSized(pane, lay);
    pane.resize({ width: 480, height: 400 }, 1);
    expect(pane.view.zoom).toBe(0.5);
    pane.turn("rotateRight");
    pane.resize({ width: 240, height: 200 }, 1);
    expect(pane.view.zoom).toBe(0.5);
    expect(lay).toHaveBeenCalledTimes(2);
  });
});

describe("measuring in planes", () => {
  const CORNERS = [
    [4, 3],
    [12, 3],
    [12, 9],
    [4, 9],
  ] as const;

  async function planes(): Promise<Pane[]> {
    arrive();
    workspace.mpr.open();
    await drawn();
    return workspace.mpr.panes().map(({ pane }) => pane);
  }

  function take(pane: Pane | undefined, kind: MeasurementKind, points: readonly Vec2[]) {
    const facts = pane && workspace.measured(pane, kind, points, null);
    if (!facts?.points_mm) {
      throw new Error(`A ${kind} is measured.`);
    }
    return { ...facts, points_mm: facts.points_mm };
  }

  it("tells the patient's millimetres and values of every tool in an oblique plane", async () => {
    const [axial, coronal] = await planes();
    workspace.mpr.turn(axial as Pane, Math.PI / 6);
    await drawn();
    const [a, b, c, d] = CORNERS;
    const at = ([x, y]: Vec2, [u, v]: Vec2): Vec3 =>
      toPatient(coronal?.shownFrame as never, [[(x + u) / 2, (y + v) / 2]])?.[0] as Vec3;
    // Pixels are 2 mm, the finest there are.
    for (const kind of ["length", "profile"] as const) {
      const facts = take(coronal, kind, [a, c]);
      expect(facts.value).toBeCloseTo(20, 6);
      expect(Math.hypot(...subtract(...(facts.points_mm as [Vec3, Vec3])))).toBeCloseTo(20, 6);
      expect(facts.unit_source).toBe("PixelSpacing of the slices and their positions");
    }
    const profile = take(coronal, "profile", [a, c]);
    const [low, high] = profile.points_mm.map(field).sort((one, other) => one - other);
    expect(profile.statistics?.min).toBeCloseTo(low as number, 3);
    expect(profile.statistics?.max).toBeCloseTo(high as number, 3);
    expect(take(coronal, "height", [a, c]).value).toBeCloseTo(12, 6);
    expect(take(coronal, "angle", [b, a, c]).value).toBeCloseTo(36.8699, 3);
    expect(take(coronal, "cobb", [a, b, a, c]).value).toBeCloseTo(36.8699, 3);
    expect(take(coronal, "bidirectional", [a, b, b, c])).toMatchObject({
      value: expect.closeTo(16, 6),
      second_value: expect.closeTo(12, 6),
    });
    const areas = { ellipse: (16 * 12 * Math.PI) / 4, rectangle: 16 * 12 } as const;
    for (const kind of ["ellipse", "rectangle"] as const) {
      const facts = take(coronal, kind, [a, c]);
      expect(facts.value).toBeCloseTo(areas[kind], 6);
      expect(facts.statistics?.mean).toBeCloseTo(field(at(a, c)), 3);
    }
    const circle = take(coronal, "circle", [
      [8, 6],
      [11, 6],
    ]);
    expect(circle.value).toBeCloseTo(Math.PI * 36, 6);
    expect(circle.statistics?.mean).toBeCloseTo(field(at([8, 6], [8, 6])), 3);
    for (const kind of ["freehand", "livewire"] as const) {
      expect(take(coronal, kind, [a, b, c, d]).value).toBeCloseTo(16 * 12, 6);
    }
    expect(take(coronal, "spline", [a, b, c, d]).statistics?.mean).toBeCloseTo(field(at(a, c)), 3);
    for (const kind of ["arrow", "text"] as const) {
      expect(take(coronal, kind, kind === "text" ? [a] : [a, b]).plane).toHaveLength(6);
    }
  });

  it("says of values in a slab which they are, and keeps its lengths", async () => {
    await planes();
    workspace.mpr.setSlab({ mode: "mip", thickness: 8 });
    await drawn();
    const axial = workspace.mpr.panes()[0]?.pane;
    const probe = take(axial, "probe", [[7, 6]]);
    expect(probe.value).toBeCloseTo(field(probe.points_mm[0] as Vec3) + 5 * 4, 3);
    expect(probe).toMatchObject({ unit_source: "MIP 8 mm" });
    expect(probe.plane).toHaveLength(6);
    expect(measurementLines(probe)).toContain("MIP 8 mm");
    expect(sourceText(probe)).toBe("modality rescale; MIP 8 mm");
    const region = take(axial, "rectangle", [CORNERS[0], CORNERS[2]]);
    expect(region.unit_source).toBe("PixelSpacing of the slices; MIP 8 mm");
    const length = take(axial, "length", [CORNERS[0], CORNERS[1]]);
    expect(length.value).toBeCloseTo(16, 6);
    expect(length.unit_source).toBe("PixelSpacing of the slices and their positions");
  });

  it("shows in the stack what was drawn in a plane and lies on one slice", async () => {
    const [axial, coronal] = await planes();
    const onSlice = take(axial, "circle", [CORNERS[0], CORNERS[1]]);
    expect(onSlice).toMatchObject({ plane: null, SOPInstanceUID: "1.2.5" });
    expect(onSlice.points[1]).toEqual([expect.closeTo(12, 6), expect.closeTo(3, 6)]);
    // Rows of the coronal plane are 2 mm apart: the sixth from below is the slice at 20 mm.
    const row = onPicture(planeOf(coronal?.shownFrame as never) as Plane, [0, 0, 20])[1];
    const across = take(coronal, "length", [
      [4, row],
      [12, row],
    ]);
    expect(across.plane).toHaveLength(6);
    const upright = take(coronal, "circle", [
      [8, row],
      [11, row],
    ]);
    for (const facts of [onSlice, across, upright]) {
      workspace.list.create(facts);
    }
    const kinds = (pane: Pane | undefined): string[] =>
      pane ? workspace.itemsOn(pane).map(({ facts }) => facts.kind) : [];
    expect(kinds(coronal)).toEqual(["length", "circle"]);
    workspace.mpr.close();
    workspace.active.go(5);
    await vi.waitFor(() => expect(workspace.active.shownIndex).toBe(5));
    expect(kinds(workspace.active)).toEqual(["circle", "length"]);
    expect(workspace.itemsOn(workspace.active)[1]?.facts.points).toEqual([
      [expect.closeTo(4, 6), expect.closeTo(10, 6)],
      [expect.closeTo(12, 6), expect.closeTo(10, 6)],
    ]);
    workspace.active.go(6);
    await vi.waitFor(() => expect(workspace.active.shownIndex).toBe(6));
    expect(kinds(workspace.active)).toEqual([]);
  });

  it("refuses in words the tools that make no sense there", async () => {
    const [axial] = await planes();
    const told = (): string | undefined =>
      workspace.notices.all.find(({ id }) => id === "tool")?.text;
    workspace.setTool("calibration");
    expect(workspace.tool).not.toBe("calibration");
    expect(told()).toContain("patient's millimetres already");
    workspace.setTool("length");
    expect(workspace.tool).toBe("length");
    expect(told()).toBeUndefined();
    // Taken up on a picture of a file, and carried into a plane.
    workspace.activate(3);
    workspace.setTool("calibration");
    expect(workspace.tool).toBe("calibration");
    expect(toolRefusal(workspace.tool, axial as Pane)).not.toBeNull();
  });
});

describe("drawing in the workspace", () => {
  /** Picture places as CSS pixels: the viewport is ten times as large as the picture. */
  const css = (column: number, row: number): [number, number] => [
    (column + 0.5) * 10,
    (row + 0.5) * 10,
  ];

  beforeEach(async () => {
    arrive();
    workspace.active.resize({ width: 240, height: 200 }, 1);
    await vi.waitFor(() => expect(workspace.active.isExact).toBe(true));
  });

  it("draws both lines of a Cobb angle by dragging each", () => {
    const drawing = new Drawing(workspace, workspace.active, "cobb", css(2, 2));
    drawing.move(css(12, 2));
    expect(drawing.release(css(12, 2))).toBe(false);
    drawing.move(css(4, 9));
    drawing.press(css(2, 8));
    drawing.move(css(12, 18));
    expect(drawing.release(css(12, 18))).toBe(true);
    expect(drawing.commit()?.value).toBeCloseTo(45, 6);
  });

  it("gives a long axis its short one", () => {
    const drawing = new Drawing(workspace, workspace.active, "bidirectional", css(2, 10));
    drawing.move(css(14, 10));
    expect(drawing.release(css(14, 10))).toBe(true);
    const facts = drawing.commit();
    expect(facts?.points).toHaveLength(4);
    expect(facts?.value).toBeCloseTo(24, 6);
    expect(facts?.second_value).toBeCloseTo(12, 6);
  });

  it("closes a spline at its beginning or by Enter, and a free line when it is let go", () => {
    const click = (drawing: OutlineDrawing, column: number, row: number): boolean => {
      drawing.press(css(column, row));
      drawing.move(css(column, row));
      return drawing.release(css(column, row));
    };
    const spline = new OutlineDrawing(workspace, workspace.active, "spline", css(2, 2));
    expect(spline.release(css(2, 2))).toBe(false);
    expect(spline.close()).toBe(false);
    expect(click(spline, 12, 2)).toBe(false);
    expect(click(spline, 12, 12)).toBe(false);
    expect(spline.close()).toBe(true);
    expect(click(spline, 2, 2)).toBe(true);
    expect(spline.commit()?.points).toHaveLength(3);
    const free = new OutlineDrawing(workspace, workspace.active, "freehand", css(2, 2));
    for (const [column, row] of [
      [12, 2],
      [12, 12],
      [2, 12],
    ] as const) {
      free.move(css(column, row));
    }
    expect(free.release(css(2, 12))).toBe(true);
    expect(free.commit()?.value).toBeCloseTo(400, 6);
  });

  it("follows edges from click to click", () => {
    const wire = new OutlineDrawing(workspace, workspace.active, "livewire", css(2, 2));
    wire.release(css(2, 2));
    for (const [column, row] of [
      [12, 2],
      [12, 12],
      [2, 12],
    ] as const) {
      wire.move(css(column, row));
      expect(wire.release(css(column, row))).toBe(false);
    }
    expect(wire.release(css(2, 2))).toBe(true);
    const facts = wire.commit();
    expect(facts?.kind).toBe("livewire");
    expect(facts?.points.length).toBeGreaterThan(3);
    expect(facts?.statistics?.count).toBeGreaterThan(60);
  });

  it("measures anew by a calibration line, and again without it", () => {
    const { list, active } = workspace;
    const length = list.create(
      workspace.measured(
        active,
        "length",
        [
          [2, 2],
          [12, 2],
        ],
        null,
      ) as never,
    );
    expect(list.get(length.key)?.facts.value).toBeCloseTo(20, 6);
    const points = [
      [2, 5],
      [7, 5],
    ] as const;
    const facts = workspace.measured(active, "calibration", points, null);
    if (!facts) {
      throw new Error("A calibration line can be drawn.");
    }
    const line = list.create(facts);
    list.commit(line.key, facts, { ...facts, value: 50 });
    expect(list.get(length.key)?.facts).toMatchObject({ unit_source: "calibration line" });
    expect(list.get(length.key)?.facts.value).toBeCloseTo(100, 6);
    list.remove(line.key);
    expect(list.get(length.key)?.facts.value).toBeCloseTo(20, 6);
    expect(list.get(length.key)?.facts.unit_source).toBe("PixelSpacing");
  });
});
