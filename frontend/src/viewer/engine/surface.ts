import type { Frame } from "../core/frame";
import type { Stack } from "../core/stack";
import type { PictureSize, Size, View } from "../core/view";
import type { Rendering } from "../core/voi";

/** What stands on a surface: an exact frame, or the server's preview of one. */
export type Picture =
  | { kind: "frame"; stack: Stack; index: number; frame: Frame; size: PictureSize }
  | { kind: "preview"; image: HTMLImageElement; size: PictureSize };

/** A place that pictures are drawn on. Each engine brings one implementation. */
export interface Surface {
  /** Name shown in the help sheet, and told to support. */
  readonly name: string;
  readonly element: HTMLElement;
  /** Draws now; the caller has already waited for the animation frame. */
  show(picture: Picture, rendering: Rendering, view: View): void;
  clear(): void;
  resize(size: Size, devicePixelRatio: number): void;
  destroy(): void;
}

export type SurfaceFactory = () => Surface;
