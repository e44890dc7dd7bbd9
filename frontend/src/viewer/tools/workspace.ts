import { INITIAL_APPEARANCE } from "../core/appearance";
import { Emitter } from "../core/emitter";
import { FoundList } from "../core/found";
import { cellCount, type Layout, parseLayout } from "../core/layout";
import { MachineFindings } from "../core/machine";
import type { Manifest, MeasurementFacts, SeriesFacts } from "../core/manifest";
import { type Item, MeasurementList } from "../core/measurements";
import { type Preset, presetsFor } from "../core/presets";
import { quantityOf } from "../core/quantity";
import { ShownLedger } from "../core/shown";
import {
  buildStack,
  findFrame,
  frameKey,
  isDocument,
  ownerOf,
  type Stack,
  startingPlace,
} from "../core/stack";
import type { Hanging as PaneHanging } from "../engine/beside-pane";
import { Pane } from "../engine/pane";
import { Pictures } from "../engine/pictures";
import type { SurfaceFactory } from "../engine/surface";
import { keptAhead } from "../net/ahead";
import type { FrameService } from "../net/frames";
import { MeasurementSaver } from "../net/saver";
import type { Crosshair } from "./crosshair";
import { Fusion } from "./fusion";
import { Hanging } from "./hanging";
import { KeptAppearances } from "./kept";
import { Links } from "./links";
import { belongs, completeItems, itemsOn, measured, recalibrate } from "./measuring";
import { Mpr } from "./mpr";
import type { Tool } from "./names";
import { type Notice, Notices } from "./notices";
import { OtherStudies } from "./others";
import type { OverPictures } from "./over-pictures";
import { ReadingList } from "./reading-list";
import { toolRefusal } from "./refusals";
import { Volume3d } from "./volume3d";
import { wantedBy } from "./wanted";
import { Windows } from "./windows";

interface Events {
  change: undefined;
  /** A frame arrived, or it is known why it will not: load states want repainting. */
  loaded: { key: string };
  /** A viewport was added. */
  pane: Pane;
  /** Lines that say where pictures lie in each other want drawing again. */
  lines: undefined;
}

/** A window narrower than this shows one viewport. */
const LEAST_FOR_TWO = 760;

/** The one store of a viewer window: the study, its viewports, the tool in hand, what is drawn. */
export class Workspace extends Emitter<Events> {
  readonly stacks: readonly Stack[];
  readonly pictures: Pictures;
  readonly mpr: Mpr;
  readonly volume3d: Volume3d;
  readonly fusion: Fusion;
  /** Viewports, as many as any layout of this window has needed so far. */
  readonly panes: Pane[] = [];
  readonly links: Links;
  readonly hanging: Hanging;
  readonly readingList = new ReadingList(this);
  readonly others: OtherStudies;
  /** Further windows with the same study. */
  readonly windows: Windows;
  crosshair: Crosshair | null = null;
  readonly list = new MeasurementList();
  /** What stood on the screen in full fidelity. */
  readonly shown = new ShownLedger();
  /** What others measured, read-only. */
  readonly found = new FoundList();
  /** What programs found. */
  readonly machine = new MachineFindings();
  readonly saver: MeasurementSaver;
  /** Segments and the like, once somebody has asked for them. */
  over: OverPictures | null = null;
  layout: Layout = "1x1";
  maximised = false;
  activeIndex = 0;
  tool: Tool;
  showsTexts = true;
  readonly notices = new Notices(this);
  /** How the person has set each series. */
  readonly kept: KeptAppearances;

  constructor(
    readonly manifest: Manifest,
    private createSurface: SurfaceFactory,
    isTouch: boolean,
  ) {
    super();
    this.tool = isTouch ? "scroll" : "window";
    this.stacks = manifest.series.map((series) => buildStack(series));
    this.pictures = new Pictures(manifest.links.batch);
    this.frames.expect(keptAhead(manifest.study.id));
    this.mpr = new Mpr(this);
    this.volume3d = new Volume3d(this);
    this.fusion = new Fusion(this);
    this.links = new Links(() => this.visible.map(({ pane }) => pane));
    this.others = new OtherStudies(manifest);
    this.hanging = new Hanging(this);
    this.list.load(manifest.measurements);
    this.found.hides = ({ image_id, machine }) => this.machine.hides(image_id, machine);
    const collection = manifest.links.measurements;
    const item = (id: string): string =>
      new URL(`/viewer/api/measurements/${id}/`, location.href).pathname;
    this.saver = new MeasurementSaver(this.list, { collection, item }, manifest.user.can_write);
    this.kept = new KeptAppearances(this.stacks, manifest.session?.viewport?.series);
    this.listen();
    this.addPanes(1);
    if (!this.hanging.open()) {
      this.openStart();
    }
    recalibrate(this);
    this.windows = new Windows(this);
  }

  /** The frames of files. */
  get frames(): FrameService {
    return this.pictures.frames;
  }

  get active(): Pane {
    return this.panes[this.activeIndex] as Pane;
  }

  /** The viewports on the screen, by their number. */
  get visible(): { pane: Pane; number: number }[] {
    const all = this.panes
      .slice(0, cellCount(this.layout))
      .map((pane, number) => ({ pane, number }));
    return this.maximised ? all.filter(({ number }) => number === this.activeIndex) : all;
  }

  get presets(): Preset[] {
    const { stack } = this.active;
    const modality = stack?.series.Modality ?? null;
    return presetsFor(modality, this.active.wantedFrame, this.manifest.presets, quantityOf(stack));
  }

  setTool(tool: Tool): void {
    if (this.refuses(tool, this.active)) {
      return;
    }
    this.tool = tool;
    this.over?.putDown();
    this.emit("change", undefined);
  }

  /** Says why a tool makes no sense in a viewport; returns whether that is so. */
  refuses(tool: Tool, pane: Pane): boolean {
    const text = toolRefusal(tool, pane);
    if (text) {
      this.notify({ id: "tool", kind: "info", text });
    } else {
      this.dismiss("tool");
    }
    return text !== null;
  }

  activate(number: number): void {
    if (this.activeIndex !== number && this.panes[number]) {
      this.activeIndex = number;
      this.focus();
      this.emit("lines", undefined);
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
    if (!parseLayout(layout)) {
      return;
    }
    this.hanging.leave();
    this.arrange(layout);
    for (const { pane } of this.visible) {
      if (!pane.stack) {
        this.hang(pane, this.nextUnshown());
      }
    }
    this.focus();
    this.emit("change", undefined);
  }

  /** Divides the window, and hangs nothing into it. */
  arrange(layout: Layout): void {
    this.layout = layout;
    this.addPanes(cellCount(layout));
    this.maximised = false;
    if (this.activeIndex >= cellCount(layout)) {
      this.activeIndex = 0;
    }
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
    const { stack } = this.active;
    const all = stack?.owner ? this.others.stacksOf(stack.owner.study.id) : this.stacks;
    const next = all[(stack ? all.indexOf(stack) : -1) + by];
    if (next) {
      this.hang(this.active, next);
      this.focus();
      this.emit("change", undefined);
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
    if (stack && facts.plane) {
      this.mpr.show(stack, facts);
      this.list.select(key);
      this.emit("change", undefined);
    } else if (stack) {
      const holder = this.holderOf(stack, place.index);
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
    const holder = this.holderOf(stack, place.index);
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

  /** The viewport that shows a frame, or else its series. */
  holderOf(stack: Stack, index: number): { pane: Pane; number: number } | null {
    const all = this.visible.filter(({ pane }) => pane.stack === stack);
    return all.find(({ pane }) => pane.index === index) ?? all[0] ?? null;
  }

  /** Measurements drawn on the frame that a pane shows, in the coordinates of its picture. */
  itemsOn(pane: Pane): Item[] {
    return itemsOn(pane, this.list.all());
  }

  /** What was drawn on the other study that a pane shows: it is seen here, and changed there. */
  earlierOn(pane: Pane): Item[] {
    const drawn = ownerOf(pane.stack)?.measurements ?? [];
    return itemsOn(
      pane,
      drawn.map((facts) => ({ key: facts.id, facts })),
    );
  }

  /** All facts of a measurement with these points on the frame that `pane` shows. */
  measured(
    pane: Pane,
    kind: MeasurementFacts["kind"],
    points: MeasurementFacts["points"],
    before: MeasurementFacts | null,
  ): MeasurementFacts | null {
    return measured(pane, kind, points, before);
  }

  undo(): void {
    if (this.over?.undo()) {
      return;
    }
    this.showChange(this.list.undo()?.key);
  }

  redo(): void {
    if (this.over?.redo()) {
      return;
    }
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
    this.notices.notify(notice);
  }

  dismiss(id: string): void {
    this.notices.dismiss(id);
  }

  /** "Try again" after a lost network, an ended session or a refused frame. */
  retry(): void {
    this.dismiss("network");
    this.pictures.retry();
    this.saver.retry();
    this.focus();
    for (const pane of this.panes) {
      pane.requestDraw();
    }
  }

  private showChange(key: string | undefined): void {
    if (key && this.list.get(key)) {
      this.showMeasurement(key);
    }
  }

  /** Hangs where the person stopped, or where reading begins. */
  openStart(): void {
    const place = startingPlace(this.manifest, this.stacks);
    const stack = place && this.stacks[place.seriesIndex];
    if (stack) {
      this.hang(this.active, stack, place.index);
    }
  }

  /** Puts a stack into a viewport, set as the person left it. */
  hang(pane: Pane, stack: Stack | null, index = 0, hanging: PaneHanging | null = null): void {
    // A window or place that the layout gives is the layout's in each viewport, not the series' own.
    const kept = stack && !hanging ? this.kept.get(stack.series.id) : null;
    pane.setStack(stack, index, kept ?? INITIAL_APPEARANCE, hanging);
  }

  /** The study that a viewport shows: the window's own unless another one hangs there. */
  manifestOf(pane: Pane): Manifest {
    return ownerOf(pane.stack) ?? this.manifest;
  }

  /** What of the patient differs in a viewport's study; empty: the window's own patient record. */
  strangeness(pane: Pane): string[] {
    return this.others.strangeness(this.manifestOf(pane));
  }

  /** Whether what is drawn in a viewport would belong to the window's study. */
  isOwn(pane: Pane): boolean {
    const uid = pane.stack?.series.SeriesInstanceUID;
    return this.manifest.series.some(({ SeriesInstanceUID }) => SeriesInstanceUID === uid);
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

  /** Calls for each viewport there is, and for each that is added later. */
  eachPane(call: (pane: Pane) => void): void {
    this.panes.forEach(call);
    this.on("pane", call);
  }

  /** Draws with another engine from now on, in viewports to come too. */
  replaceSurfaces(create: SurfaceFactory): void {
    this.createSurface = create;
    for (const pane of this.panes) {
      pane.replaceSurface(create);
    }
  }

  /** Tells what is on the screen now, after something was hung. */
  refocus(): void {
    this.focus();
    this.emit("lines", undefined);
    this.emit("change", undefined);
  }

  setCrosshair(crosshair: Crosshair | null): void {
    this.crosshair = crosshair;
    this.emit("lines", undefined);
  }

  private addPanes(count: number): void {
    while (this.panes.length < count) {
      const pane = new Pane(this.pictures, this.createSurface);
      this.panes.push(pane);
      this.listenTo(pane);
      this.emit("pane", pane);
    }
  }

  /** Values are told in another unit from now on. */
  valuesChanged(): void {
    this.fusion.valuesChanged();
    for (const pane of this.panes) {
      pane.requestDraw();
    }
    this.emit("change", undefined);
  }

  private listenTo(pane: Pane): void {
    pane.overlays = this.fusion;
    this.links.watch(pane);
    this.mpr.watch(pane);
    this.hanging.watch(pane);
    pane.on("change", () => this.kept.note(pane));
    pane.on("focus", () => this.focus());
    pane.on("drawn", ({ exact }) => {
      if (exact) {
        completeItems(pane, this.list);
      }
      if (this.visible.length > 1) {
        this.emit("lines", undefined);
      }
    });
    let before = "";
    pane.on("change", () => {
      // A step of scrolling or windowing concerns the viewport alone; bars and lists stay.
      const { state, invert, colorMap, cine, stack } = pane;
      const hidden = pane.shownFrame?.image.hidden?.join(" ");
      const { isPlaying, fps, loops, bounces } = cine;
      const now = [
        state,
        invert,
        colorMap,
        isPlaying,
        fps,
        loops,
        bounces,
        stack?.series.id,
        hidden,
      ].join();
      if (now !== before) {
        before = now;
        this.emit("change", undefined);
      }
    });
  }

  private listen(): void {
    this.mpr.on("change", () => this.emit("change", undefined));
    this.volume3d.on("change", () => this.emit("change", undefined));
    this.hanging.on("change", () => this.emit("change", undefined));
    this.others.on("change", () => this.emit("change", undefined));
    this.fusion.on("change", () => this.emit("change", undefined));
    this.links.on("change", () => {
      this.emit("lines", undefined);
      this.emit("change", undefined);
    });
    this.list.on("change", () => {
      recalibrate(this);
      this.emit("change", undefined);
    });
    this.saver.on("change", () => this.emit("change", undefined));
    this.saver.on("notice", ({ message }) =>
      this.notify({ id: "measurement", kind: "warning", text: message }),
    );
    this.pictures.on("loaded", ({ key }) => this.emit("loaded", { key }));
    this.pictures.on("failed", ({ key }) => this.emit("loaded", { key }));
    this.pictures.on("network", (state) => this.notices.onNetwork(state));
  }

  private get activeFirst(): Pane[] {
    const cells = this.visible.map(({ pane }) => pane);
    return [this.active, ...cells.filter((pane) => pane !== this.active)];
  }

  /** Tells the frame service what is on the screen and what is wanted next, the active pane first. */
  private focus(): void {
    const { visible, next } = wantedBy(this.activeFirst, this.stacks);
    this.pictures.want(visible, next);
  }
}
