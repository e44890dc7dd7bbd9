import { t } from "../../i18n";
import { apply } from "../core/affine";
import { pixelAspect } from "../core/calibration";
import { Emitter } from "../core/emitter";
import type { Vec2 } from "../core/manifest";
import { alongStroke, between, insideOf } from "../core/masks";
import { frameLocation, frameRescale, isColor, isComputed, type StackFrame } from "../core/stack";
import type { Pane } from "../engine/pane";
import { pictureAt } from "./drawing";
import type { Drag } from "./navigation";
import type { SeriesDraft } from "./series-draft";
import type { Workspace } from "./workspace";

/** Tools that draw segments: brush, eraser and scissors, over one slice or all. */

export type PaintTool = "brush" | "eraser" | "scissors" | "rectangle";
export type CutAction = "fill-inside" | "erase-inside" | "erase-outside";

export const PAINT_TOOLS: readonly { tool: PaintTool; name: string }[] = [
  { tool: "brush", name: t("Brush") },
  { tool: "eraser", name: t("Eraser") },
  { tool: "scissors", name: t("Freehand scissors") },
  { tool: "rectangle", name: t("Rectangle scissors") },
];

export const CUT_ACTIONS: readonly { action: CutAction; name: string }[] = [
  { action: "fill-inside", name: t("Fill inside") },
  { action: "erase-inside", name: t("Erase inside") },
  { action: "erase-outside", name: t("Erase outside") },
];

export interface PaintOptions {
  /** Of the brush, in pixels. */
  radius: number;
  action: CutAction;
  isAllSlices: boolean;
  /** Only pixels of these values are filled, as CT's of a range in HU. */
  isRanged: boolean;
  low: number;
  high: number;
}

export const LARGEST_RADIUS = 100;

export class Painter extends Emitter<{ change: undefined }> {
  tool: PaintTool | null = null;
  options: PaintOptions = {
    radius: 8,
    action: "fill-inside",
    isAllSlices: false,
    isRanged: false,
    low: -100,
    high: 300,
  };
  /** The outline of scissors under way, in picture coordinates, and where. */
  outline: { pane: Pane; points: readonly Vec2[] } | null = null;

  constructor(
    private readonly workspace: Workspace,
    private readonly draftOf: (pane: Pane) => SeriesDraft | null,
  ) {
    super();
  }

  setTool(tool: PaintTool | null): void {
    this.tool = tool;
    this.emit("change", undefined);
  }

  setOptions(options: Partial<PaintOptions>): void {
    this.options = { ...this.options, ...options };
    this.emit("change", undefined);
  }

  drag(pane: Pane, at: Vec2): Drag | null {
    if (!this.tool) {
      return null;
    }
    const series = this.seriesOf(pane);
    if (!series) {
      return { move: () => {}, end: () => {}, cancel: () => {} };
    }
    if (!series.draft.segment(series.draft.active) && !series.addSegment()) {
      this.say(t("A segmentation holds at most 100 segments."));
      return null;
    }
    return this.tool === "brush" || this.tool === "eraser"
      ? this.brush(series, pane, at)
      : this.scissors(series, pane, at);
  }

  /** Fills slices between those that the active segment is drawn on. Returns how many. */
  fillBetween(series: SeriesDraft): number {
    const { draft, stack } = series;
    const { columns, rows, active } = draft;
    const drawn = [...draft.counts(active).keys()].sort((a, b) => a - b);
    const stroke = draft.stroke();
    let count = 0;
    const maskOf = (index: number): Uint8Array =>
      (draft.labelsOf(index) ?? new Uint8Array()).map((value) => (value === active ? 1 : 0));
    const placeOf = (index: number): number => {
      const frame = stack.frames[index];
      return (frame && frameLocation(frame)) ?? index;
    };
    for (const [at, from] of drawn.entries()) {
      const to = drawn[at + 1];
      if (to === undefined || to === from + 1) {
        continue;
      }
      const [first, last] = [maskOf(from), maskOf(to)];
      for (let index = from + 1; index < to; index++) {
        const share = (placeOf(index) - placeOf(from)) / (placeOf(to) - placeOf(from) || 1);
        const shape = between(first, last, share, columns, rows);
        stroke.edit(index, (labels) => {
          for (let i = 0; i < labels.length; i++) {
            if (shape[i] === 1 && labels[i] === 0) {
              labels[i] = active;
            }
          }
        });
        count++;
      }
    }
    stroke.end();
    return count;
  }

  private seriesOf(pane: Pane): SeriesDraft | null {
    const frame = pane.shownFrame;
    if (!frame || isComputed(pane.stack)) {
      this.say(t("Segments are drawn on the series itself. Press q to leave the planes."));
      return null;
    }
    if (!this.workspace.isOwn(pane)) {
      this.say(t("Segments are drawn on the study that was opened. Open this one to draw on it."));
      return null;
    }
    const series = this.draftOf(pane);
    if (!series?.isLoaded) {
      this.say(t("The segments of this series are still being fetched. Try again in a moment."));
      return null;
    }
    const size = pane.pictureSize;
    if (size?.columns !== series.draft.columns || size.rows !== series.draft.rows) {
      this.say(t("This picture differs in size from the others of its series."));
      return null;
    }
    return series;
  }

  private brush(series: SeriesDraft, pane: Pane, at: Vec2): Drag | null {
    const frame = pane.shownFrame as StackFrame;
    const index = pane.shownIndex;
    const { draft } = series;
    const { active, columns, rows } = draft;
    const erases = this.tool === "eraser";
    const allowed = erases ? () => true : this.rangeOn(frame);
    if (!allowed) {
      return null;
    }
    if (!erases && this.options.isRanged) {
      this.markHelped(series);
    }
    const aspect = pixelAspect(frame);
    const stroke = draft.stroke();
    let last = pictureAt(pane, at);
    const paint = (to: Vec2): void => {
      stroke.edit(index, (labels) => {
        alongStroke(last, to, this.options.radius, columns, rows, aspect, (pixel) => {
          if (erases) {
            if (labels[pixel] === active) {
              labels[pixel] = 0;
            }
          } else if (allowed(pixel)) {
            labels[pixel] = active;
          }
        });
      });
      last = to;
    };
    paint(last);
    return {
      move: (to) => {
        // A slice that was left during the stroke takes no more paint.
        if (pane.shownIndex === index) {
          paint(pictureAt(pane, to));
        }
      },
      end: () => stroke.end(),
      cancel: () => stroke.cancel(),
    };
  }

  private scissors(series: SeriesDraft, pane: Pane, at: Vec2): Drag {
    const start = pictureAt(pane, at);
    const isBox = this.tool === "rectangle";
    let points: Vec2[] = [start];
    const show = (): void => {
      this.outline = { pane, points };
      this.emit("change", undefined);
    };
    const leave = (): void => {
      this.outline = null;
      this.emit("change", undefined);
    };
    show();
    return {
      move: (to) => {
        const point = pictureAt(pane, to);
        points = isBox
          ? [start, [point[0], start[1]], point, [start[0], point[1]]]
          : [...points, point];
        show();
      },
      end: () => {
        leave();
        if (points.length >= 3) {
          this.cut(series, pane, points);
        }
      },
      cancel: leave,
    };
  }

  private cut(series: SeriesDraft, pane: Pane, outline: readonly Vec2[]): void {
    const { draft, stack } = series;
    const { active, columns, rows } = draft;
    const { action, isAllSlices, isRanged } = this.options;
    const fills = action === "fill-inside";
    const all = stack.frames.map((_, index) => index);
    const wanted = !isAllSlices ? [pane.shownIndex] : fills ? all : draft.drawnFrames;
    const ranges = new Map<number, (pixel: number) => boolean>();
    for (const index of fills ? wanted : []) {
      const range = this.rangeOn(stack.frames[index] as StackFrame);
      if (!range) {
        return;
      }
      ranges.set(index, range);
    }
    if (fills && isRanged) {
      this.markHelped(series);
    }
    const inside = insideOf(outline, columns, rows);
    const stroke = draft.stroke();
    for (const index of wanted) {
      const isAllowed = ranges.get(index);
      stroke.edit(index, (labels) => {
        for (let i = 0; i < labels.length; i++) {
          if (fills) {
            if (inside[i] === 1 && isAllowed?.(i)) {
              labels[i] = active;
            }
          } else if (labels[i] === active && (inside[i] === 1) === (action === "erase-inside")) {
            labels[i] = 0;
          }
        }
      });
    }
    stroke.end();
  }

  /** Which pixels of a frame may be filled; null where that cannot be said. */
  private rangeOn(frame: StackFrame): ((pixel: number) => boolean) | null {
    const { isRanged, low, high } = this.options;
    if (!isRanged) {
      return () => true;
    }
    if (isColor(frame)) {
      this.say(t("A range of values needs grey pictures. Draw without it."));
      return null;
    }
    const pixels = this.workspace.frames.peek(frame.key);
    if (!pixels) {
      this.say(t("Not all images are here yet. Wait until the series is complete and try again."));
      return null;
    }
    const { slope, intercept } = frameRescale(frame);
    const { data } = pixels;
    return (pixel) => {
      const value = (data[pixel] as number) * slope + intercept;
      return value >= low && value <= high;
    };
  }

  private markHelped(series: SeriesDraft): void {
    const { draft } = series;
    if (!draft.segment(draft.active)?.is_semiautomatic) {
      series.change(draft.active, { is_semiautomatic: true });
    }
  }

  private say(text: string): void {
    this.workspace.notify({ id: "segments", kind: "info", text });
  }
}

/** The ring of the brush and the outline of the scissors, on a viewport's canvas. */
export function drawHand(
  painter: Painter,
  pane: Pane,
  pointer: Vec2 | null,
  canvas: HTMLCanvasElement,
): void {
  const context = canvas.getContext("2d");
  const { matrix, shownFrame } = pane;
  if (!context || !matrix || !shownFrame) {
    return;
  }
  const ratio = window.devicePixelRatio || 1;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  const path = new Path2D();
  if (painter.outline?.pane === pane) {
    for (const [index, point] of painter.outline.points.entries()) {
      const [x, y] = apply(matrix, point);
      if (index === 0) {
        path.moveTo(x, y);
      } else {
        path.lineTo(x, y);
      }
    }
    path.closePath();
  } else if (pointer && (painter.tool === "brush" || painter.tool === "eraser")) {
    const scale = Math.hypot(matrix[0], matrix[1]);
    path.arc(pointer[0], pointer[1], painter.options.radius * scale, 0, 2 * Math.PI);
  } else {
    return;
  }
  context.strokeStyle = "rgb(0 0 0 / 70%)";
  context.lineWidth = 3;
  context.stroke(path);
  context.strokeStyle = "#ffffff";
  context.lineWidth = 1;
  context.stroke(path);
}
