import type { Placement } from "../core/placing";
import type { StackFrame } from "../core/stack";
import type { Overlay, Window } from "../core/voi";
import type { Pane } from "./pane";

/** What a viewport is given from outside: by a layout, by a video, by what is laid over it. */

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

/** The server's first picture of a study. */
export interface PreviewImage {
  key: string;
  image: HTMLImageElement;
  window: Window | null;
}
