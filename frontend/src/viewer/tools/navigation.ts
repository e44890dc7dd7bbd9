import type { Vec2 } from "../core/manifest";
import { boxOf } from "../core/measure";
import { panBy, screenToImage, zoomAt } from "../core/view";
import { dragWindow, hasWholeValues, windowOfBox } from "../core/voi";
import type { Pane } from "../engine/pane";
import type { NavigationTool } from "./names";

/** A drag under way: told where the pointer is, in CSS pixels of the viewport. */
export interface Drag {
  move(at: Vec2): void;
  end(): void;
  cancel(): void;
}

/** Pixels of dragging for one image: a viewport's height spans the whole stack, 3 to 24 pixels a step. */
export function scrollPixelsPerStep(height: number, count: number): number {
  return Math.min(Math.max((height * 0.8) / Math.max(count, 1), 3), 24);
}

function windowDrag(pane: Pane, start: Vec2): Drag {
  const before = pane.hasChosenWindow ? pane.window : null;
  let last = start;
  return {
    move(at) {
      const frame = pane.shownFrame;
      const pixels = pane.pixels;
      if (frame && pixels) {
        const isWhole = hasWholeValues(frame, pixels);
        pane.setWindow(dragWindow(pane.window, at[0] - last[0], at[1] - last[1], isWhole));
      }
      last = at;
    },
    end() {},
    cancel: () => pane.setWindow(before),
  };
}

function panDrag(pane: Pane, start: Vec2): Drag {
  const before = pane.view;
  let last = start;
  return {
    move(at) {
      pane.setView(panBy(pane.view, at[0] - last[0], at[1] - last[1]));
      last = at;
    },
    end() {},
    cancel: () => pane.setView(before),
  };
}

function zoomDrag(pane: Pane, start: Vec2): Drag {
  const before = pane.view;
  let last = start;
  return {
    move(at) {
      const factor = Math.exp((last[1] - at[1]) / 150);
      pane.setView(zoomAt(pane.view, factor, start, pane.size));
      last = at;
    },
    end() {},
    cancel: () => pane.setView(before),
  };
}

function scrollDrag(pane: Pane, start: Vec2): Drag {
  const before = pane.index;
  const perStep = scrollPixelsPerStep(pane.size.height, pane.stack?.frames.length ?? 1);
  return {
    move(at) {
      pane.go(before + Math.round((at[1] - start[1]) / perStep));
    },
    end() {},
    cancel: () => pane.go(before),
  };
}

function lensDrag(pane: Pane, start: Vec2): Drag {
  pane.setLens(start);
  return {
    move: (at) => pane.setLens(at),
    end: () => pane.setLens(null),
    cancel: () => pane.setLens(null),
  };
}

/** The window becomes what the pixels of a box reach from and to. */
function regionDrag(pane: Pane, start: Vec2): Drag {
  let last = start;
  return {
    move(at) {
      last = at;
      pane.setBand([start, at]);
    },
    end() {
      pane.setBand(null);
      const { matrix, pixels, shownFrame: frame } = pane;
      const window =
        matrix && pixels && frame
          ? windowOfBox(
              pixels,
              boxOf(screenToImage(matrix, start), screenToImage(matrix, last)),
              frame,
            )
          : null;
      if (window) {
        pane.setWindow(window);
      }
    },
    cancel: () => pane.setBand(null),
  };
}

export function startNavigation(
  tool: Exclude<NavigationTool, "crosshair">,
  pane: Pane,
  start: Vec2,
): Drag {
  const starters = {
    window: windowDrag,
    pan: panDrag,
    zoom: zoomDrag,
    scroll: scrollDrag,
    magnify: lensDrag,
    region: regionDrag,
  };
  return starters[tool](pane, start);
}

/** Two fingers: their middle moves the picture, their distance zooms it. */
export function startPinch(pane: Pane, one: Vec2, other: Vec2): (a: Vec2, b: Vec2) => void {
  let center: Vec2 = middle(one, other);
  let spread = Math.max(Math.hypot(one[0] - other[0], one[1] - other[1]), 1);
  return (a, b) => {
    const nextCenter = middle(a, b);
    const nextSpread = Math.max(Math.hypot(a[0] - b[0], a[1] - b[1]), 1);
    const moved = panBy(pane.view, nextCenter[0] - center[0], nextCenter[1] - center[1]);
    pane.setView(zoomAt(moved, nextSpread / spread, nextCenter, pane.size));
    center = nextCenter;
    spread = nextSpread;
  };
}

function middle(a: Vec2, b: Vec2): Vec2 {
  return [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
}
