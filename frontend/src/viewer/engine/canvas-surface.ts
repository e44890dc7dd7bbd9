import { t } from "../../i18n";
import { blend } from "../core/blend";
import { imageToScreen, type Size, type View } from "../core/view";
import { type Overlay, paint, type Rendering } from "../core/voi";
import type { Picture, Surface } from "./surface";

interface Painted {
  key: string;
  rendering: Rendering;
}

/**
 * Draws on a 2D canvas with the processor: pictures appear before any engine has loaded, and
 * machines without a graphics processor keep it (software WebGL costs several times as much a step).
 */
export class CanvasSurface implements Surface {
  readonly name = "2D canvas";
  readonly element = document.createElement("canvas");
  private readonly context: CanvasRenderingContext2D;
  /** The windowed picture in its own size; moved and zoomed without being painted again. */
  private readonly paper = document.createElement("canvas");
  private readonly paperContext: CanvasRenderingContext2D;
  private buffer: ImageData | null = null;
  private painted: Painted | null = null;
  private size: Size = { width: 1, height: 1 };
  private ratio = 1;

  constructor() {
    this.element.className = "surface";
    this.context = context2d(this.element, { alpha: false });
    this.paperContext = context2d(this.paper, { alpha: false });
  }

  resize(size: Size, devicePixelRatio: number): void {
    this.size = size;
    this.ratio = devicePixelRatio;
    const width = Math.max(1, Math.round(size.width * devicePixelRatio));
    const height = Math.max(1, Math.round(size.height * devicePixelRatio));
    if (this.element.width !== width || this.element.height !== height) {
      this.element.width = width;
      this.element.height = height;
    }
  }

  show(picture: Picture, rendering: Rendering, view: View): void {
    if (picture.kind === "frame") {
      this.paintFrame(picture, rendering);
      this.draw(this.paper, this.paper.width, this.paper.height, picture, view);
    } else {
      const { image } = picture;
      this.draw(image, image.naturalWidth, image.naturalHeight, picture, view);
    }
  }

  clear(): void {
    this.context.setTransform(1, 0, 0, 1, 0, 0);
    this.context.fillStyle = "#000";
    this.context.fillRect(0, 0, this.element.width, this.element.height);
  }

  destroy(): void {
    this.element.remove();
    this.buffer = null;
  }

  private paintFrame(picture: Picture & { kind: "frame" }, rendering: Rendering): void {
    const { frame } = picture;
    if (this.painted?.key === frame.key && sameRendering(this.painted.rendering, rendering)) {
      return;
    }
    const { columns, rows } = frame;
    if (!this.buffer || this.buffer.width !== columns || this.buffer.height !== rows) {
      this.paper.width = columns;
      this.paper.height = rows;
      this.buffer = this.paperContext.createImageData(columns, rows);
    }
    const words = new Uint32Array(this.buffer.data.buffer);
    paint(frame, rendering, words);
    if (rendering.overlay?.data.length === words.length) {
      blend(words, rendering.overlay);
    }
    this.paperContext.putImageData(this.buffer, 0, 0);
    this.painted = { key: frame.key, rendering };
  }

  private draw(
    source: CanvasImageSource,
    sourceWidth: number,
    sourceHeight: number,
    picture: Picture,
    view: View,
  ): void {
    const { context, ratio } = this;
    const [a, b, c, d, e, f] = imageToScreen(view, picture.size, this.size);
    this.clear();
    context.setTransform(a * ratio, b * ratio, c * ratio, d * ratio, e * ratio, f * ratio);
    context.imageSmoothingEnabled = true;
    // Averages neighbours where the picture is drawn much smaller: fine lines must not vanish.
    const shrink = Math.hypot(a, b) * ratio * (picture.size.columns / sourceWidth);
    context.imageSmoothingQuality = shrink < 0.6 ? "medium" : "low";
    // The centre of the first pixel is 0, 0: its corner lies half a pixel further out.
    context.drawImage(
      source,
      0,
      0,
      sourceWidth,
      sourceHeight,
      -0.5,
      -0.5,
      picture.size.columns,
      picture.size.rows,
    );
  }
}

function context2d(
  canvas: HTMLCanvasElement,
  settings: CanvasRenderingContext2DSettings,
): CanvasRenderingContext2D {
  const context = canvas.getContext("2d", settings);
  if (!context) {
    throw new Error(t("This browser cannot draw pictures: it has no 2D canvas."));
  }
  return context;
}

function sameRendering(one: Rendering, other: Rendering): boolean {
  return (
    one.inverted === other.inverted &&
    one.window.center === other.window.center &&
    one.window.width === other.window.width &&
    one.window.function === other.window.function &&
    one.window.table === other.window.table &&
    one.rescale.slope === other.rescale.slope &&
    one.rescale.intercept === other.rescale.intercept &&
    (one.colors ?? null) === (other.colors ?? null) &&
    sameOverlay(one.overlay ?? null, other.overlay ?? null)
  );
}

function sameOverlay(one: Overlay | null, other: Overlay | null): boolean {
  return (
    one === other ||
    (one !== null &&
      other !== null &&
      one.data === other.data &&
      one.window === other.window &&
      one.colors === other.colors &&
      one.opacity === other.opacity)
  );
}
