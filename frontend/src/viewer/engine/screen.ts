import type { Size } from "../core/view";
import { CanvasSurface } from "./canvas-surface";
import type { Surface, SurfaceFactory } from "./surface";

/** The surface of a viewport: the engine's own, or a canvas where that cannot draw what is wanted. */
export class Screen {
  size: Size = { width: 1, height: 1 };
  ratio = 1;
  surface: Surface;
  /** The canvas stands in for the engine's own surface. */
  private isBorrowed = false;

  constructor(private create: SurfaceFactory) {
    this.surface = create();
  }

  resize(size: Size, devicePixelRatio: number): void {
    this.size = size;
    this.ratio = devicePixelRatio;
    this.surface.resize(size, devicePixelRatio);
  }

  /** Another engine draws from now on. */
  replace(create: SurfaceFactory): void {
    this.create = create;
    this.change(this.isBorrowed ? () => new CanvasSurface() : create);
  }

  /** Draws on a canvas, or by the engine; returns whether the surface is another one now. */
  choose(needsCanvas: boolean): boolean {
    const wasBorrowed = this.isBorrowed;
    this.isBorrowed = needsCanvas;
    if (needsCanvas && !(this.surface instanceof CanvasSurface)) {
      this.change(() => new CanvasSurface());
      return true;
    }
    if (!needsCanvas && wasBorrowed) {
      this.change(this.create);
      return true;
    }
    return false;
  }

  private change(create: SurfaceFactory): void {
    const old = this.surface;
    this.surface = create();
    old.element.replaceWith(this.surface.element);
    this.surface.resize(this.size, this.ratio);
    old.destroy();
  }
}
