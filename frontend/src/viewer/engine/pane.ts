import type { Affine } from "../core/affine";
import { type Appearance, INITIAL_APPEARANCE } from "../core/appearance";
import { calibrate, pixelAspect } from "../core/calibration";
import { type ColorMapId, colorsOf } from "../core/colors";
import { Emitter } from "../core/emitter";
import { nextOfFilm } from "../core/film";
import type { Frame } from "../core/frame";
import type { Vec2 } from "../core/manifest";
import { prefetchOrder } from "../core/order";
import type { Placement } from "../core/placing";
import { takenWindow, toldWindow } from "../core/quantity";
import {
  clampIndex,
  isColor,
  isDocument,
  type Stack,
  type StackFrame,
  stackFps,
} from "../core/stack";
import {
  INITIAL_VIEW,
  imageToScreen,
  oneToOne,
  type PictureSize,
  type Size,
  shownZoom,
  type Turn,
  trueSize,
  turn,
  type View,
} from "../core/view";
import {
  COLOR_WINDOW,
  fileWindows,
  fullRangeWindow,
  type Overlay,
  type Rendering,
  renderingOf,
  type Window,
} from "../core/voi";
import type { FrameProblem } from "../net/frames";
import { CanvasSurface } from "./canvas-surface";
import type { Pictures } from "./pictures";
import type { Picture, Surface, SurfaceFactory } from "./surface";

export type PaneState = "empty" | "loading" | "preview" | "ready" | "error" | "document";

export interface Cine {
  isPlaying: boolean;
  fps: number;
  loops: boolean;
  /** To and fro, instead of from the start again. */
  bounces: boolean;
}

interface Events {
  /** Anything a person sees has changed. */
  change: undefined;
  /** A picture was drawn: the index, and whether it was exact. */
  drawn: { index: number; exact: boolean };
  /** Another frame or series is wanted now. */
  focus: undefined;
  /** Another frame of the same stack is wanted: linked viewports follow. */
  moved: undefined;
  /** A person set the window or exchanged light and dark. */
  windowed: undefined;
  /** A person zoomed, moved or turned the picture. */
  viewed: undefined;
  /** Another stack hangs here. */
  hung: undefined;
  /** The viewport has another size. */
  resized: undefined;
}

/** What a layout asks of a viewport: the window it begins with, and how the picture lies. */
export interface Hanging {
  window: Window | null;
  placement: Placement | null;
}

/** What shows a video in a viewport: it takes the keys that step and play. */
export interface Player {
  play(): void;
  stop(): void;
  /** Returns false where there is no further frame in that direction. */
  step(by: number): boolean;
  go(index: number): void;
}

/** What knows what is laid over the pictures of viewports. */
export interface Overlays {
  has(pane: Pane): boolean;
  over(pane: Pane, frame: StackFrame): Overlay | null;
  describe(pane: Pane): { text: string; title: string; isForced: boolean } | null;
}

interface PreviewImage {
  key: string;
  image: HTMLImageElement;
  window: Window | null;
}

/** One viewport: which stack it shows, where in it, and how. Knows no DOM but its surface. */
export class Pane extends Emitter<Events> {
  stack: Stack | null = null;
  /** The frame that is wanted. */
  index = 0;
  /** The frame that is on the screen; -1: none. What texts and measurements speak of. */
  shownIndex = -1;
  direction: 1 | -1 = 1;
  view: View = INITIAL_VIEW;
  invert = false;
  /** Colours of a grey picture; "grey": none. */
  colorMap: ColorMapId = "grey";
  /** What is laid over the pictures of this viewport, if anything is: asked when one is drawn. */
  overlays: Overlays | null = null;
  state: PaneState = "empty";
  problem: FrameProblem | null = null;
  /** Of the video that is shown here, if one is. */
  player: Player | null = null;
  cine: Cine = { isPlaying: false, fps: 10, loops: true, bounces: false };
  size: Size = { width: 1, height: 1 };
  surface: Surface;
  /** Two corners of a box that is being drawn, in CSS pixels. */
  band: readonly [Vec2, Vec2] | null = null;
  /** Where the magnifying glass is held, in CSS pixels. */
  lens: Vec2 | null = null;
  /** The person's own window; null: each frame's own. */
  private chosen: Window | null = null;
  /** For stacks whose files carry no window: one for all of its frames. */
  private computed: Window | null = null;
  private preview: PreviewImage | null = null;
  private ratio = 1;
  private drawRequest = 0;
  private cineTimer = 0;
  private cineDue = 0;
  /** What the layout asks; null: nothing. */
  hanging: Hanging | null = null;
  /** The view that the layout asks for, in this viewport's size. */
  private placed: View = INITIAL_VIEW;
  /** Nobody has zoomed, moved or turned the picture since it was placed. */
  private isPlaced = true;
  private cineDirection: 1 | -1 = 1;
  /** The canvas stands in for the engine's own surface. */
  private isBorrowed = false;
  /** The picture on the screen is still that of the stack before. */
  isStale = false;

  constructor(
    private readonly frames: Pictures,
    private createSurface: SurfaceFactory,
  ) {
    super();
    this.surface = createSurface();
    frames.on("loaded", ({ key }) => {
      if (key === this.wantedFrame?.key) {
        this.requestDraw();
      }
    });
    frames.on("failed", ({ key }) => {
      if (key === this.wantedFrame?.key) {
        this.requestDraw();
      }
    });
  }

  get wantedFrame(): StackFrame | null {
    return this.stack?.frames[this.index] ?? null;
  }

  get shownFrame(): StackFrame | null {
    return this.stack?.frames[this.shownIndex] ?? null;
  }

  /** Exact pixels of the frame on the screen; null while only a preview is shown. */
  get pixels(): Frame | null {
    const frame = this.shownFrame;
    return frame && this.state !== "preview" ? (this.frames.peek(frame.key) ?? null) : null;
  }

  /** Exact pixels of any frame, if they are here. */
  pixelsOf(frame: StackFrame): Frame | null {
    return this.frames.peek(frame.key) ?? null;
  }

  get isExact(): boolean {
    return this.state === "ready" && this.shownIndex === this.index;
  }

  /** The window the shown frame is drawn with. */
  get window(): Window {
    if (this.chosen) {
      return this.chosen;
    }
    const frame = this.shownFrame ?? this.wantedFrame;
    if (this.state === "preview" && this.preview?.window) {
      return this.preview.window;
    }
    const pixels = frame && this.frames.peek(frame.key);
    return frame && pixels ? this.windowFor(frame, pixels) : COLOR_WINDOW;
  }

  /** The window as people read it: of PET in uptake values where they are known. */
  get toldWindow(): Window {
    return toldWindow(this.stack, this.window);
  }

  setToldWindow(window: Window): void {
    this.setWindow(takenWindow(this.stack, window));
  }

  /** How the person has set the pictures, to be kept and put back. */
  get appearance(): Appearance {
    const { chosen: window, invert, view, colorMap } = this;
    return colorMap === "grey" ? { window, invert, view } : { window, invert, view, colorMap };
  }

  setAppearance({ window, invert, view, colorMap }: Appearance): void {
    this.chosen = window;
    this.invert = invert;
    this.colorMap = colorMap ?? "grey";
    this.chooseSurface();
    this.setView(view);
  }

  setColorMap(map: ColorMapId): void {
    this.colorMap = map;
    this.chooseSurface();
    this.requestDraw();
  }

  /** Something is laid over the pictures now, or no longer, or otherwise. */
  overlayChanged(): void {
    this.chooseSurface();
    this.requestDraw();
  }

  get hasChosenWindow(): boolean {
    return this.chosen !== null;
  }

  get pictureSize(): PictureSize | null {
    const frame = this.shownFrame ?? this.wantedFrame;
    return frame ? this.sizeOf(frame) : null;
  }

  get matrix(): Affine | null {
    const picture = this.pictureSize;
    return picture && imageToScreen(this.view, picture, this.size);
  }

  get zoomFactor(): number {
    const picture = this.pictureSize;
    return picture ? shownZoom(this.view, picture, this.size) : 1;
  }

  /** Hangs a stack into this viewport. */
  setStack(
    stack: Stack | null,
    index = 0,
    appearance = INITIAL_APPEARANCE,
    hanging: Hanging | null = null,
  ): void {
    this.stop();
    this.stack = null;
    this.hanging = hanging;
    this.placed = INITIAL_VIEW;
    this.setAppearance(appearance);
    this.isPlaced = appearance.view === INITIAL_VIEW;
    this.chosen = hanging?.window ?? this.chosen;
    this.stack = stack;
    this.index = stack ? clampIndex(stack, index) : 0;
    this.shownIndex = -1;
    this.direction = 1;
    this.computed = null;
    this.problem = null;
    this.cine = {
      isPlaying: false,
      fps: stack ? stackFps(stack) : 10,
      loops: true,
      bounces: false,
    };
    this.state = !stack ? "empty" : isDocument(stack.series) ? "document" : "loading";
    this.isStale = false;
    this.chooseSurface();
    this.surface.clear();
    this.requestDraw();
    this.emit("hung", undefined);
    this.emit("focus", undefined);
  }

  /** Other pictures of the same thing, such as a plane turned further: all settings stay. */
  exchangeStack(stack: Stack, index: number): void {
    this.stack = stack;
    this.index = clampIndex(stack, index);
    this.shownIndex = this.shownIndex < 0 ? -1 : this.index;
    this.isStale = true;
    this.requestDraw();
    this.emit("focus", undefined);
  }

  /** The server's first picture, drawn until the exact one is here. */
  setPreview(preview: PreviewImage): void {
    this.preview = preview;
    this.computed = preview.window;
    this.requestDraw();
  }

  /** Hands keys that step and play to what shows a video here. */
  setPlayer(player: Player): void {
    this.player = player;
  }

  dropPlayer(player: Player): void {
    if (this.player === player) {
      this.player = null;
      this.cine = { ...this.cine, isPlaying: false };
    }
  }

  go(index: number): void {
    if (this.player) {
      this.player.go(index);
    } else {
      this.hang(index);
    }
  }

  private hang(index: number): void {
    if (!this.stack) {
      return;
    }
    const next = clampIndex(this.stack, index);
    if (next === this.index) {
      return;
    }
    this.moveTo(next, next > this.index ? 1 : -1);
  }

  step(by: number): void {
    if (this.player?.step(by)) {
      return;
    }
    this.hang(this.index + by);
  }

  private moveTo(index: number, direction: 1 | -1): void {
    this.direction = direction;
    this.index = index;
    this.requestDraw();
    this.emit("moved", undefined);
    this.emit("focus", undefined);
  }

  setWindow(window: Window | null): void {
    this.chosen = window;
    this.requestDraw();
    this.emit("windowed", undefined);
  }

  /** The whole range of the shown frame's values. */
  setFullRange(): void {
    const frame = this.shownFrame;
    const pixels = this.pixels;
    if (frame && pixels) {
      this.setWindow(pixels.samples === 3 ? COLOR_WINDOW : fullRangeWindow(frame, pixels));
    }
  }

  setView(view: View): void {
    this.view = view;
    this.isPlaced = false;
    this.requestDraw();
    this.emit("viewed", undefined);
  }

  /** Lays the picture as the layout wants it, unless a person has laid it otherwise since. */
  setPlaced(view: View): void {
    this.placed = view;
    if (this.isPlaced) {
      this.view = view;
      this.requestDraw();
    }
  }

  turn(by: Turn): void {
    this.setView(turn(this.view, by));
  }

  fit(): void {
    this.setView({ ...this.view, zoom: 1, pan: [0, 0] });
  }

  oneToOne(): void {
    const picture = this.pictureSize;
    if (picture) {
      this.setView(oneToOne(this.view, picture, this.size, this.ratio));
    }
  }

  /** As large as in the patient; returns false where nothing says how large that is. */
  trueSize(pixelsPerMm: number): boolean {
    const picture = this.pictureSize;
    const frame = this.shownFrame;
    if (!picture || !frame) {
      return false;
    }
    const middle: Vec2 = [(picture.columns - 1) / 2, (picture.rows - 1) / 2];
    const { unit, pixelSize } = calibrate(frame, [middle]);
    if (unit !== "mm") {
      return false;
    }
    this.setView(trueSize(this.view, picture, this.size, pixelSize[0], pixelsPerMm));
    return true;
  }

  toggleInvert(): void {
    this.invert = !this.invert;
    this.requestDraw();
    this.emit("windowed", undefined);
  }

  /** Back to how the picture was hung. */
  reset(): void {
    this.setAppearance({ window: this.hanging?.window ?? null, invert: false, view: this.placed });
    this.isPlaced = true;
    this.emit("windowed", undefined);
  }

  setBand(band: readonly [Vec2, Vec2] | null): void {
    this.band = band;
    this.emit("change", undefined);
  }

  setLens(at: Vec2 | null): void {
    this.lens = at;
    this.requestDraw();
  }

  resize(size: Size, devicePixelRatio: number): void {
    this.size = size;
    this.ratio = devicePixelRatio;
    this.surface.resize(size, devicePixelRatio);
    this.emit("resized", undefined);
    this.drawNow();
  }

  /** Puts another engine's surface in the present one's place. */
  replaceSurface(create: SurfaceFactory): void {
    this.createSurface = create;
    this.changeSurface(this.isBorrowed ? () => new CanvasSurface() : create);
  }

  /**
   * Computed pictures change while their volume arrives: a canvas takes each as it is. It alone
   * draws colours and what is laid over a picture.
   */
  private chooseSurface(): void {
    const { stack } = this;
    const isComputed = Boolean(stack?.reformat ?? stack?.rendering);
    const isColored = this.colorMap !== "grey" || this.overlays?.has(this) === true;
    const needsCanvas = isComputed || (isColored && stack !== null);
    if (needsCanvas && !(this.surface instanceof CanvasSurface)) {
      this.changeSurface(() => new CanvasSurface());
    } else if (!needsCanvas && this.isBorrowed) {
      this.changeSurface(this.createSurface);
    }
    this.isBorrowed = needsCanvas;
  }

  private changeSurface(create: SurfaceFactory): void {
    const old = this.surface;
    this.surface = create();
    old.element.replaceWith(this.surface.element);
    this.surface.resize(this.size, this.ratio);
    old.destroy();
    this.drawNow();
  }

  /** What this viewport wants after its visible frame, the nearest first. */
  wantedNext(): StackFrame[] {
    const { stack } = this;
    if (!stack) {
      return [];
    }
    return prefetchOrder(stack.frames.length, this.index, this.direction).map(
      (index) => stack.frames[index] as StackFrame,
    );
  }

  play(): void {
    if (this.player) {
      this.player.play();
      return;
    }
    if (!this.stack || this.stack.frames.length < 2 || this.cine.isPlaying) {
      return;
    }
    this.cine = { ...this.cine, isPlaying: true };
    this.cineDirection = 1;
    this.cineDue = performance.now();
    this.emit("change", undefined);
    this.scheduleCine();
  }

  stop(): void {
    clearTimeout(this.cineTimer);
    this.player?.stop();
    if (this.cine.isPlaying) {
      this.cine = { ...this.cine, isPlaying: false };
      this.emit("change", undefined);
    }
  }

  setCine(cine: Partial<Cine>): void {
    this.cine = { ...this.cine, ...cine };
    this.emit("change", undefined);
  }

  /** Draws at the next animation frame; any number of steps before it cost one drawing. */
  requestDraw(): void {
    if (this.drawRequest === 0) {
      this.drawRequest = requestAnimationFrame(() => {
        this.drawRequest = 0;
        this.drawNow();
      });
    }
  }

  private scheduleCine(): void {
    const period = 1000 / this.cine.fps;
    this.cineDue = Math.max(this.cineDue + period, performance.now());
    this.cineTimer = window.setTimeout(
      () => this.cineStep(),
      Math.max(0, this.cineDue - performance.now()),
    );
  }

  private cineStep(): void {
    const { stack } = this;
    if (!stack || !this.cine.isPlaying) {
      return;
    }
    const next = nextOfFilm(this.index, stack.frames.length, this.cineDirection, this.cine);
    if (!next) {
      this.stop();
      return;
    }
    const key = stack.frames[next.index]?.key ?? "";
    // A frame that is still on its way holds the film; one that cannot be shown is passed over.
    if (this.frames.has(key) || this.frames.problem(key)) {
      this.cineDirection = next.direction;
      this.moveTo(next.index, next.direction);
    }
    this.scheduleCine();
  }

  private sizeOf(frame: StackFrame): PictureSize {
    const pixels = this.frames.peek(frame.key);
    return {
      columns: pixels?.columns ?? frame.image.Columns ?? 1,
      rows: pixels?.rows ?? frame.image.Rows ?? 1,
      pixelAspect: pixelAspect(frame),
    };
  }

  private windowFor(frame: StackFrame, pixels: Frame): Window {
    if (isColor(frame)) {
      return COLOR_WINDOW;
    }
    const own = fileWindows(frame)[0]?.window;
    if (own) {
      return own;
    }
    this.computed ??= fullRangeWindow(frame, pixels);
    return this.computed;
  }

  private drawNow(): void {
    const frame = this.wantedFrame;
    if (!this.stack || !frame || this.state === "document") {
      this.emit("change", undefined);
      return;
    }
    const pixels = this.frames.peek(frame.key);
    if (pixels) {
      this.drawExact(this.stack, frame, pixels);
    } else if (this.preview?.key === frame.key) {
      this.drawPreview(this.preview, frame);
    } else {
      this.explainMissing(frame);
    }
    this.emit("change", undefined);
  }

  private drawExact(stack: Stack, frame: StackFrame, pixels: Frame): void {
    const window = this.chosen ?? this.windowFor(frame, pixels);
    const size = this.sizeOf(frame);
    const picture: Picture = { kind: "frame", stack, index: this.index, frame: pixels, size };
    this.surface.show(picture, this.renderingFor(frame, window), this.view);
    this.shownIndex = this.index;
    this.isStale = false;
    this.problem = null;
    this.preview = null;
    this.state = "ready";
    this.emit("drawn", { index: this.index, exact: true });
  }

  private renderingFor(frame: StackFrame, window: Window): Rendering {
    const rendering = renderingOf(frame, window, this.invert);
    return isColor(frame)
      ? rendering
      : {
          ...rendering,
          colors: this.colorMap === "grey" ? null : colorsOf(this.colorMap),
          overlay: this.overlays?.over(this, frame) ?? null,
        };
  }

  private drawPreview(preview: PreviewImage, frame: StackFrame): void {
    const size = this.sizeOf(frame);
    const picture: Picture = { kind: "preview", image: preview.image, size };
    this.surface.show(picture, renderingOf(frame, COLOR_WINDOW, false), this.view);
    this.shownIndex = this.index;
    this.problem = this.frames.problem(frame.key) ?? null;
    this.state = this.problem ? "error" : "preview";
    this.emit("drawn", { index: this.index, exact: false });
  }

  /** The wanted frame is not here: the last picture stays, or the reason stands in its place. */
  private explainMissing(frame: StackFrame): void {
    const problem =
      frame.image.transport === null
        ? { message: frame.image.problem ?? "This object holds no picture.", canRetry: false }
        : this.frames.problem(frame.key);
    if (problem) {
      this.problem = problem;
      this.state = "error";
      this.shownIndex = this.index;
      this.surface.clear();
    } else {
      this.problem = null;
      if (this.isStale && this.shownIndex >= 0) {
        return;
      }
      this.state = this.shownIndex >= 0 && this.state !== "error" ? "ready" : "loading";
      if (this.state === "loading") {
        this.surface.clear();
        this.shownIndex = -1;
      } else {
        this.redrawLast();
      }
    }
  }

  private redrawLast(): void {
    const frame = this.shownFrame;
    const pixels = frame && this.frames.peek(frame.key);
    if (this.stack && frame && pixels) {
      const window = this.chosen ?? this.windowFor(frame, pixels);
      const size = this.sizeOf(frame);
      const picture: Picture = {
        kind: "frame",
        stack: this.stack,
        index: this.shownIndex,
        frame: pixels,
        size,
      };
      this.surface.show(picture, this.renderingFor(frame, window), this.view);
    }
  }
}
