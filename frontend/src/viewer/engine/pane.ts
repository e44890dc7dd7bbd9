import { t } from "../../i18n";
import type { Affine } from "../core/affine";
import { type Appearance, INITIAL_APPEARANCE } from "../core/appearance";
import { calibrate, pixelAspect } from "../core/calibration";
import { type ColorMapId, colorsOf } from "../core/colors";
import { Emitter } from "../core/emitter";
import type { Frame } from "../core/frame";
import type { Vec2 } from "../core/manifest";
import { prefetchOrder } from "../core/order";
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
  fullRangeWindow,
  type Rendering,
  renderingOf,
  type Window,
  withoutValues,
} from "../core/voi";
import type { FrameProblem } from "../net/frames";
import type { Hanging, Overlays, Player, PreviewImage } from "./beside-pane";
import { type Cine, Film } from "./film";
import type { Pictures } from "./pictures";
import { Screen } from "./screen";
import type { Picture, Surface, SurfaceFactory } from "./surface";
import { Windowing } from "./windowing";

export type PaneState = "empty" | "loading" | "preview" | "ready" | "error" | "document";

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
  /** Two corners of a box that is being drawn, in CSS pixels. */
  band: readonly [Vec2, Vec2] | null = null;
  /** Where the magnifying glass is held, in CSS pixels. */
  lens: Vec2 | null = null;
  private readonly windowing = new Windowing();
  private preview: PreviewImage | null = null;
  private drawRequest = 0;
  /** What the layout asks; null: nothing. */
  hanging: Hanging | null = null;
  /** The view that the layout asks for, in this viewport's size. */
  private placed: View = INITIAL_VIEW;
  /** Nobody has zoomed, moved or turned the picture since it was placed. */
  private isPlaced = true;
  private readonly film: Film;
  private readonly screen: Screen;
  /** The picture on the screen is still that of the stack before. */
  isStale = false;

  constructor(
    private readonly frames: Pictures,
    createSurface: SurfaceFactory,
  ) {
    super();
    this.screen = new Screen(createSurface);
    this.film = new Film({
      frames: () => this.stack?.frames ?? [],
      index: () => this.index,
      isKnown: (key) => frames.has(key) || frames.problem(key) !== undefined,
      go: (index, direction) => this.moveTo(index, direction),
      changed: () => this.emit("change", undefined),
    });
    frames.on("loaded", ({ key }) => {
      if (key === this.wantedFrame?.key) {
        this.requestDraw();
      }
    });
    frames.tables.on("settled", ({ imageId }) => {
      if (imageId === this.wantedFrame?.image.id) {
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
    const { chosen } = this.windowing;
    if (chosen && chosen.lut === undefined) {
      return chosen;
    }
    const frame = this.shownFrame ?? this.wantedFrame;
    if (this.state === "preview" && this.preview?.window) {
      return this.preview.window;
    }
    const pixels = frame && this.frames.peek(frame.key);
    return frame && pixels ? this.windowing.of(frame, pixels) : (chosen ?? COLOR_WINDOW);
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
    const { invert, view, colorMap } = this;
    const window = this.windowing.chosen;
    return colorMap === "grey" ? { window, invert, view } : { window, invert, view, colorMap };
  }

  setAppearance({ window, invert, view, colorMap }: Appearance): void {
    this.windowing.chosen = window;
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
    return this.windowing.chosen !== null;
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
    this.windowing.chosen = hanging?.window ?? this.windowing.chosen;
    this.stack = stack;
    this.index = stack ? clampIndex(stack, index) : 0;
    this.shownIndex = -1;
    this.direction = 1;
    this.windowing.computed = null;
    this.problem = null;
    this.film.rewind(stack ? stackFps(stack) : 10);
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
    this.windowing.computed = preview.window;
    this.requestDraw();
  }

  /** Hands keys that step and play to what shows a video here. */
  setPlayer(player: Player): void {
    this.player = player;
  }

  dropPlayer(player: Player): void {
    if (this.player === player) {
      this.player = null;
      this.film.set({ isPlaying: false });
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
    this.windowing.chosen = window && withoutValues(window);
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
      this.setView(oneToOne(this.view, picture, this.size, this.screen.ratio));
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
    this.screen.resize(size, devicePixelRatio);
    this.emit("resized", undefined);
    this.drawNow();
  }

  get size(): Size {
    return this.screen.size;
  }

  get surface(): Surface {
    return this.screen.surface;
  }

  /** Puts another engine's surface in the present one's place. */
  replaceSurface(create: SurfaceFactory): void {
    this.screen.replace(create);
    this.drawNow();
  }

  /**
   * Computed pictures change while their volume arrives: a canvas takes each as it is. It alone
   * draws colours, what is laid over a picture, and VOI LUTs with every one of their steps.
   */
  private chooseSurface(): void {
    const { stack } = this;
    const isComputed = Boolean(stack?.reformat ?? stack?.rendering);
    const isColored = this.colorMap !== "grey" || this.overlays?.has(this) === true;
    const hasTables = stack?.frames.some(({ image }) => image.VOILUTSequence?.length) === true;
    if (this.screen.choose(isComputed || hasTables || (isColored && stack !== null))) {
      this.drawNow();
    }
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
    } else {
      this.film.play();
    }
  }

  stop(): void {
    this.player?.stop();
    this.film.stop();
  }

  get cine(): Cine {
    return this.film.cine;
  }

  setCine(cine: Partial<Cine>): void {
    this.film.set(cine);
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

  private sizeOf(frame: StackFrame): PictureSize {
    const pixels = this.frames.peek(frame.key);
    return {
      columns: pixels?.columns ?? frame.image.Columns ?? 1,
      rows: pixels?.rows ?? frame.image.Rows ?? 1,
      pixelAspect: pixelAspect(frame),
    };
  }

  private drawNow(): void {
    const frame = this.wantedFrame;
    if (!this.stack || !frame || this.state === "document") {
      this.emit("change", undefined);
      return;
    }
    const pixels = this.windowing.isSettled(frame) ? this.frames.peek(frame.key) : undefined;
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
    this.show(stack, frame, this.index, pixels);
    this.shownIndex = this.index;
    this.isStale = false;
    this.problem = null;
    this.preview = null;
    this.state = "ready";
    this.emit("drawn", { index: this.index, exact: true });
  }

  private show(stack: Stack, frame: StackFrame, index: number, pixels: Frame): void {
    const window = this.windowing.of(frame, pixels);
    const size = this.sizeOf(frame);
    const picture: Picture = { kind: "frame", stack, index, frame: pixels, size };
    this.surface.show(picture, this.renderingFor(frame, window), this.view);
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
        ? { message: frame.image.problem ?? t("This object holds no picture."), canRetry: false }
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
      this.show(this.stack, frame, this.shownIndex, pixels);
    }
  }
}
