import type { Vec2 } from "../core/manifest";
import type { Pane } from "../engine/pane";
import type { Drag } from "./navigation";

/** What draws over pictures and may take the hand on them; loaded when somebody asks for it. */
export interface OverPictures {
  /** Whether one of its tools is in the hand, in the place of the workspace's. */
  readonly isHolding: boolean;
  /** Draws onto a canvas that lies over a viewport's picture. */
  draw(pane: Pane, canvas: HTMLCanvasElement): void;
  /** A press of the left button; null leaves it to the tool in hand. */
  drag(pane: Pane, at: Vec2): Drag | null;
  /** The pointer stands here, or has left. */
  hover(pane: Pane, at: Vec2 | null): void;
  /** Words and scales beside a picture. */
  legend(pane: Pane): unknown;
  /** Whether the undoing of a step was this one's. */
  undo(): boolean;
  redo(): boolean;
  /** Another tool was taken into the hand. */
  putDown(): void;
}
