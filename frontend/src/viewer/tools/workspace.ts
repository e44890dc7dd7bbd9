import { type Appearance, INITIAL_APPEARANCE, isInitial, readAppearance } from "../core/appearance";
import { Emitter } from "../core/emitter";
import { FoundList } from "../core/found";
import { hiddenTexts } from "../core/hidden";
import type { Manifest, MeasurementFacts, SeriesFacts } from "../core/manifest";
import { evaluate, toPatient } from "../core/measure";
import { MeasurementList } from "../core/measurements";
import { type Preset, presetsFor } from "../core/presets";
import {
  buildStack,
  findFrame,
  frameKey,
  isDocument,
  type Stack,
  type StackFrame,
  startingPlace,
} from "../core/stack";
import { randomUuid } from "../core/uuid";
import { Pane } from "../engine/pane";
import type { SurfaceFactory } from "../engine/surface";
import { FrameService, type NetworkState } from "../net/frames";
import { MeasurementSaver } from "../net/saver";
import type { Tool } from "./names";

export type Layout = "1x1" | "1x2" | "2x2";

export const LAYOUTS: readonly { layout: Layout; name: string; cells: number }[] = [
  { layout: "1x1", name: "One viewport", cells: 1 },
  { layout: "1x2", name: "Two viewports", cells: 2 },
  { layout: "2x2", name: "Four viewports", cells: 4 },
];

export interface Notice {
  id: string;
  kind: "info" | "warning" | "error";
  text: string;
  action?: { label: string; run: () => void } | { label: string; href: string };
}

interface Events {
  change: undefined;
  /** A frame arrived: load states want repainting. */
  loaded: { key: string };
}

/** How many frames of other series are asked for ahead, after the series on the screen. */
const OTHER_SERIES_FRAMES = 2000;
/** A window narrower than this shows one viewport. */
const LEAST_FOR_TWO = 760;
/** The server keeps a session of 16 KiB; a series takes a sixth of one. */
const MOST_KEPT = 40;

/** The one store of a viewer window: the study, its viewports, the tool in hand, what is drawn. */
export class Workspace extends Emitter<Events> {
  readonly stacks: readonly Stack[];
  readonly frames: FrameService;
  readonly panes: readonly Pane[];
  readonly list = new MeasurementList();
  /** What others measured, read-only. */
  readonly found = new FoundList();
  readonly saver: MeasurementSaver;
  layout: Layout = "1x1";
  maximised = false;
  activeIndex = 0;
  tool: Tool;
  showsTexts = true;
  notices: readonly Notice[] = [];
  private readonly readWarnings = new Set<string>();
  /** How the person has set each series, by its id; the untouched ones are left out. */
  private readonly kept = new Map<string, Appearance>();

  constructor(
    readonly manifest: Manifest,
    createSurface: SurfaceFactory,
    isTouch: boolean,
  ) {
    super();
    this.tool = isTouch ? "scroll" : "window";
    this.stacks = manifest.series.map(buildStack);
    this.frames = new FrameService(manifest.links.batch);
    this.panes = [0, 1, 2, 3].map(() => new Pane(this.frames, createSurface));
    this.list.load(manifest.measurements);
    const collection = manifest.links.measurements;
    const item = (id: string): string =>
      new URL(`/viewer/api/measurements/${id}/`, location.href).pathname;
    this.saver = new MeasurementSaver(this.list, { collection, item }, manifest.user.can_write);
    this.takeUp(manifest.session?.viewport?.series);
    this.listen();
    this.openStart();
  }

  get active(): Pane {
    return this.panes[this.activeIndex] as Pane;
  }

  private get activeStackIndex(): number {
    const { stack } = this.active;
    return stack ? this.stacks.indexOf(stack) : -1;
  }

  /** The viewports on the screen, by their number. */
  get visible(): { pane: Pane; number: number }[] {
    const cells = LAYOUTS.find(({ layout }) => layout === this.layout)?.cells ?? 1;
    const all = this.panes.slice(0, cells).map((pane, number) => ({ pane, number }));
    return this.maximised ? all.filter(({ number }) => number === this.activeIndex) : all;
  }

  get presets(): Preset[] {
    const { stack } = this.active;
    const modality = stack?.series.Modality ?? null;
    return presetsFor(modality, this.active.wantedFrame, this.manifest.presets);
  }

  /** What is wrong with the study and the series on the screen, and what their pictures lack. */
  get warnings(): Notice[] {
    const series = this.visible.flatMap(({ pane }) => pane.stack?.series ?? []);
    const found = series.flatMap(({ id, SeriesNumber, warning }) =>
      warning
        ? [{ id: `series-${id}`, text: `Series ${SeriesNumber ?? "without number"}: ${warning}` }]
        : [],
    );
    const { warning } = this.manifest.study;
    const said = this.manifest.series.some((entry) => entry.warning === warning);
    const all = warning && !said ? [{ id: "study", text: warning }, ...found] : found;
    const unseen = this.visible.flatMap(({ pane }) => {
      const frame = pane.shownFrame;
      return frame && pane.stack
        ? hiddenTexts(frame).map(({ keyword, text }) => ({
            id: `hidden-${keyword}-${pane.stack?.series.id}`,
            text,
          }))
        : [];
    });
    const distinct = new Map([...all, ...unseen].map((entry) => [entry.id, entry]));
    return [...distinct.values()]
      .filter(({ id }) => !this.readWarnings.has(id))
      .map(({ id, text }) => ({ id, text, kind: "warning" as const }));
  }

  setTool(tool: Tool): void {
    this.tool = tool;
    this.emit("change", undefined);
  }

  activate(number: number): void {
    if (this.activeIndex !== number && this.panes[number]) {
      this.activeIndex = number;
      this.focus();
      this.emit("change", undefined);
    }
  }

  /** Moves the mark to the next or previous viewport on the screen. */
  activateNext(by: 1 | -1): void {
    const cells = this.visible;
    const at = cells.findIndex(({ number }) => number === this.activeIndex);
    const next = cells[(at + by + cells.length) % cells.length];
    if (next) {
      this.activate(next.number);
    }
  }

  setLayout(layout: Layout): void {
    this.layout = layout;
    this.maximised = false;
    const cells = this.visible;
    if (this.activeIndex >= cells.length) {
      this.activeIndex = 0;
    }
    for (const { pane } of cells) {
      if (!pane.stack) {
        this.hang(pane, this.nextUnshown());
      }
    }
    this.focus();
    this.emit("change", undefined);
  }

  toggleMaximised(number: number): void {
    if (this.layout !== "1x1") {
      this.activeIndex = number;
      this.maximised = !this.maximised;
      this.emit("change", undefined);
    }
  }

  openSeries(series: SeriesFacts, number = this.activeIndex): void {
    const stack = this.stacks.find((candidate) => candidate.series.id === series.id);
    const pane = this.panes[number];
    if (stack && pane) {
      this.activeIndex = number;
      if (pane.stack !== stack) {
        this.hang(pane, stack);
      }
      this.focus();
      this.emit("change", undefined);
    }
  }

  /** Hangs the next or previous series into the active viewport. */
  stepSeries(by: 1 | -1): void {
    const next = this.stacks[this.activeStackIndex + by];
    if (next) {
      this.openSeries(next.series);
    }
  }

  /** Brings the frame of a measurement onto the screen and selects it. */
  showMeasurement(key: string): void {
    const facts = this.list.get(key)?.facts;
    if (!facts) {
      return;
    }
    const place = findFrame(this.stacks, (frame) => belongs(facts, frame));
    const stack = place && this.stacks[place.seriesIndex];
    if (stack) {
      const holder = this.visible.find(({ pane }) => pane.stack === stack);
      if (holder) {
        this.activate(holder.number);
      } else {
        this.hang(this.active, stack, place.index);
      }
      this.active.go(place.index);
      this.list.select(key);
      this.emit("change", undefined);
    }
  }

  /**
   * Brings an image of the study onto the screen, beside the viewport from where it was asked for
   * if there is room; returns whether the study has it.
   */
  showImage(imageId: string, frameNumber: number, beside: number | null = null): boolean {
    const key = frameKey(imageId, frameNumber);
    const place = findFrame(this.stacks, (frame) => frame.key === key);
    const stack = place && this.stacks[place.seriesIndex];
    if (!stack) {
      return false;
    }
    const holder = this.visible.find(({ pane }) => pane.stack === stack);
    if (holder) {
      this.activeIndex = holder.number;
    } else {
      if (beside !== null && this.visible.length === 1 && innerWidth >= LEAST_FOR_TWO) {
        this.setLayout("1x2");
      }
      const other = this.visible.find(({ number }) => number !== beside);
      this.activeIndex = other?.number ?? this.activeIndex;
      this.hang(this.active, stack, place.index);
    }
    this.active.go(place.index);
    this.focus();
    this.emit("change", undefined);
    return true;
  }

  /** Measurements drawn on the frame that a pane shows. */
  itemsOn(pane: Pane): ReturnType<MeasurementList["all"]> {
    const frame = pane.shownFrame;
    return frame ? this.list.onFrame(frame.image.SOPInstanceUID, frame.frame_number) : [];
  }

  /** All facts of a measurement with these points on the frame that `pane` shows. */
  measured(
    pane: Pane,
    kind: MeasurementFacts["kind"],
    points: MeasurementFacts["points"],
    before: MeasurementFacts | null,
  ): MeasurementFacts | null {
    const { stack, shownFrame: frame } = pane;
    if (!stack || !frame) {
      return null;
    }
    const found = evaluate(kind, points, stack, frame, pane.pixels);
    return {
      id: randomUuid(),
      label: "",
      ...before,
      kind,
      SeriesInstanceUID: stack.series.SeriesInstanceUID,
      SOPInstanceUID: frame.image.SOPInstanceUID,
      frame_number: frame.frame_number,
      FrameOfReferenceUID: stack.series.FrameOfReferenceUID,
      points,
      points_mm: toPatient(frame, points),
      value: found.value,
      unit: found.unit,
      unit_source: found.unit_source,
      statistics: found.statistics,
    };
  }

  undo(): void {
    this.showChange(this.list.undo()?.key);
  }

  redo(): void {
    this.showChange(this.list.redo()?.key);
  }

  setTexts(shown: boolean): void {
    this.showsTexts = shown;
    this.emit("change", undefined);
  }

  loadedOf(series: SeriesFacts): number {
    const stack = this.stacks.find((candidate) => candidate.series === series);
    return stack?.frames.filter(({ key }) => this.frames.has(key)).length ?? 0;
  }

  notify(notice: Notice): void {
    this.notices = [...this.notices.filter(({ id }) => id !== notice.id), notice];
    this.emit("change", undefined);
  }

  dismiss(id: string): void {
    if (this.warnings.some((warning) => warning.id === id)) {
      this.readWarnings.add(id);
      this.emit("change", undefined);
    }
    if (this.notices.some((notice) => notice.id === id)) {
      this.notices = this.notices.filter((notice) => notice.id !== id);
      this.emit("change", undefined);
    }
  }

  /** "Try again" after a lost network, an ended session or a refused frame. */
  retry(): void {
    this.dismiss("network");
    this.frames.retry();
    this.saver.retry();
    for (const pane of this.panes) {
      pane.requestDraw();
    }
  }

  private showChange(key: string | undefined): void {
    if (key && this.list.get(key)) {
      this.showMeasurement(key);
    }
  }

  /** Regions and probes drawn over a preview get their values when the exact pixels are here. */
  private completeItems(pane: Pane): void {
    for (const { key, facts } of this.itemsOn(pane)) {
      const isRegion = facts.kind === "ellipse" || facts.kind === "rectangle";
      const isOpen = isRegion
        ? facts.statistics === null
        : facts.kind === "probe" && facts.value === null;
      const found = isOpen ? this.measured(pane, facts.kind, facts.points, facts) : null;
      if (found && (found.statistics !== null || (!isRegion && found.value !== null))) {
        this.list.complete(key, { ...found, id: facts.id });
      }
    }
  }

  private openStart(): void {
    const place = startingPlace(this.manifest, this.stacks);
    const stack = place && this.stacks[place.seriesIndex];
    if (stack) {
      this.hang(this.active, stack, place.index);
    }
  }

  private hang(pane: Pane, stack: Stack | null, index = 0): void {
    const kept = stack && this.kept.get(stack.series.id);
    pane.setStack(stack, index, kept ?? INITIAL_APPEARANCE);
  }

  /** Reads how the person left each series of this study. */
  private takeUp(kept: unknown): void {
    const entries = kept && typeof kept === "object" ? Object.entries(kept) : [];
    for (const [id, value] of entries) {
      if (this.stacks.some(({ series }) => series.id === id)) {
        this.kept.set(id, readAppearance(value));
      }
    }
  }

  /** What is kept of each series that was set otherwise than it came, the latest last. */
  get appearances(): Record<string, Appearance> {
    return Object.fromEntries([...this.kept].slice(-MOST_KEPT));
  }

  private note(pane: Pane): void {
    const id = pane.stack?.series.id;
    if (id === undefined) {
      return;
    }
    const { appearance } = pane;
    const before = this.kept.get(id);
    if (before && JSON.stringify(before) === JSON.stringify(appearance)) {
      return;
    }
    this.kept.delete(id);
    if (!isInitial(appearance)) {
      this.kept.set(id, appearance);
    }
  }

  /** The first series with pictures that no viewport shows yet. */
  private nextUnshown(): Stack | null {
    const shown = new Set(this.panes.map((pane) => pane.stack));
    return (
      this.stacks.find((stack) => !shown.has(stack) && !isDocument(stack.series)) ??
      this.stacks.find((stack) => !shown.has(stack)) ??
      null
    );
  }

  private listen(): void {
    for (const pane of this.panes) {
      pane.on("change", () => this.note(pane));
      pane.on("focus", () => this.focus());
      pane.on("drawn", ({ exact }) => exact && this.completeItems(pane));
      let before = "";
      pane.on("change", () => {
        // A step of scrolling or windowing concerns the viewport alone; bars and lists stay.
        const { state, invert, cine, stack } = pane;
        const hidden = pane.shownFrame?.image.hidden?.join(" ");
        const { isPlaying, fps, loops } = cine;
        const now = [state, invert, isPlaying, fps, loops, stack?.series.id, hidden].join();
        if (now !== before) {
          before = now;
          this.emit("change", undefined);
        }
      });
    }
    this.list.on("change", () => this.emit("change", undefined));
    this.saver.on("change", () => this.emit("change", undefined));
    this.saver.on("notice", ({ message }) =>
      this.notify({ id: "measurement", kind: "warning", text: message }),
    );
    this.frames.on("loaded", ({ key }) => this.emit("loaded", { key }));
    this.frames.on("network", (state) => this.onNetwork(state));
  }

  private onNetwork(state: NetworkState): void {
    if (state.kind === "ok") {
      this.dismiss("network");
    } else if (state.kind === "signed-out") {
      const next = encodeURIComponent(location.pathname);
      this.notify({
        id: "network",
        kind: "error",
        text: `${state.message} What is on the screen stays.`,
        action: { label: "Sign in", href: `/accounts/login/?next=${next}` },
      });
    } else {
      const seconds = Math.round(state.retryInMs / 1000);
      this.notify({
        id: "network",
        kind: "warning",
        text: `${state.message} Trying again in ${seconds} s.`,
        action: { label: "Try now", run: () => this.retry() },
      });
    }
  }

  /** Tells the frame service what is on the screen and what is wanted next, the active pane first. */
  private focus(): void {
    const cells = this.visible.map(({ pane }) => pane);
    const panes = [this.active, ...cells.filter((pane) => pane !== this.active)];
    const visible: StackFrame[] = [];
    const next: StackFrame[] = [];
    for (const pane of panes) {
      if (pane.wantedFrame) {
        visible.push(pane.wantedFrame);
      }
      next.push(...pane.wantedNext());
    }
    let others = 0;
    const at = this.activeStackIndex;
    for (const stack of [...this.stacks.slice(at + 1), ...this.stacks.slice(0, Math.max(at, 0))]) {
      if (others >= OTHER_SERIES_FRAMES) {
        break;
      }
      if (!panes.some((pane) => pane.stack === stack)) {
        next.push(...stack.frames);
        others += stack.frames.length;
      }
    }
    this.frames.want(visible, next);
  }
}

export function belongs(facts: MeasurementFacts, frame: StackFrame): boolean {
  return (
    facts.SOPInstanceUID === frame.image.SOPInstanceUID && facts.frame_number === frame.frame_number
  );
}
