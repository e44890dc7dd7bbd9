import { t } from "../../i18n";
import type { MeasurementFacts, Vec2 } from "../core/manifest";
import { OUTLINES } from "../core/outline";
import { zoomAt } from "../core/view";
import type { Pane } from "../engine/pane";
import { crosshairDrag } from "./crosshair";
import { Drawing, type Sketch, startEdit } from "./drawing";
import { isMeasurementTool, type NavigationTool } from "./names";
import { type Drag, startNavigation, startPinch } from "./navigation";
import { OutlineDrawing } from "./outline";
import { hitTest } from "./shapes";
import type { Workspace } from "./workspace";

/** What a drawing says is typed when it is complete. */
const ASKING: ReadonlySet<string> = new Set(["arrow", "text", "calibration"]);
/** Tools that do on a view of a volume what they do on a picture. */
const PLAIN: ReadonlySet<string> = new Set(["pan", "zoom", "magnify"]);
const LEFT = 1;
const RIGHT = 2;
const MIDDLE = 4;
const MOUSE_REACH = 8;
const TOUCH_REACH = 22;
/** Mouse wheels send about this much a notch; trackpads send it in small parts. */
const WHEEL_NOTCH = 100;
const SMALL_WHEEL = 40;
const DOUBLE_TAP_MS = 350;

export interface PointerHooks {
  /** A measurement under way changed or ended. */
  drawn: () => void;
  /** An arrow was placed and wants its text. */
  askText: (facts: MeasurementFacts) => void;
  doubleClick: () => void;
}

/** Turns mouse, pen and finger events of one viewport into drags of tools. */
export class PointerController {
  drawing: Sketch | null = null;
  /** When a drawing was last worked on: its clicks are no double click. */
  private drewAt = Number.NEGATIVE_INFINITY;
  private drag: Drag | null = null;
  private dragButtons = 0;
  private readonly touches = new Map<number, Vec2>();
  private pinch: ((a: Vec2, b: Vec2) => void) | null = null;
  private wheelSum = 0;
  private lastTap = { at: 0, x: 0, y: 0 };

  constructor(
    private readonly workspace: Workspace,
    private readonly pane: Pane,
    private readonly number: number,
    private readonly element: HTMLElement,
    private readonly hooks: PointerHooks,
  ) {
    element.addEventListener("pointerdown", (event) => this.down(event));
    element.addEventListener("pointermove", (event) => this.move(event));
    element.addEventListener("pointerup", (event) => this.up(event));
    element.addEventListener("pointercancel", (event) => this.abort(event));
    element.addEventListener("pointerleave", () => workspace.over?.hover(pane, null));
    element.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    element.addEventListener("contextmenu", (event) => event.preventDefault());
    element.addEventListener("dblclick", (event) => {
      if (!this.drawing && event.timeStamp - this.drewAt > DOUBLE_TAP_MS) {
        this.hooks.doubleClick();
      }
    });
    // Middle press would start the browser's own scrolling.
    element.addEventListener("mousedown", (event) => {
      if (event.button === 1) {
        event.preventDefault();
      }
    });
  }

  /** Esc: gives up what is under way; returns whether there was anything. */
  cancel(): boolean {
    const had = this.drawing !== null || this.drag !== null;
    this.drawing = null;
    this.drag?.cancel();
    this.drag = null;
    this.hooks.drawn();
    return had;
  }

  /** A click at a place of the viewport, as keys make it. */
  click(at: Vec2): void {
    this.workspace.activate(this.number);
    const box = this.element.getBoundingClientRect();
    const place = { clientX: box.left + at[0], clientY: box.top + at[1], pointerType: "mouse" };
    this.pressed(new PointerEvent("pointerdown", { ...place, buttons: LEFT }), at);
    this.up(new PointerEvent("pointerup", place));
    this.hooks.drawn();
  }

  /** Moves what is being drawn to a place, as keys do. */
  hover(at: Vec2): void {
    this.drawing?.move(at);
    this.hooks.drawn();
  }

  private at(event: MouseEvent): Vec2 {
    const box = this.element.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  private down(event: PointerEvent): void {
    this.workspace.activate(this.number);
    this.element.setPointerCapture(event.pointerId);
    const at = this.at(event);
    if (event.pointerType === "touch") {
      this.touches.set(event.pointerId, at);
      if (this.touches.size === 2) {
        this.startTwoFingers();
        return;
      }
      if (this.touches.size > 2) {
        return;
      }
      this.detectDoubleTap(event, at);
    }
    this.pressed(event, at);
  }

  private pressed(event: PointerEvent, at: Vec2): void {
    if (this.drawing) {
      this.drawing.press(at);
      this.hooks.drawn();
      return;
    }
    this.dragButtons = event.pointerType === "touch" ? LEFT : event.buttons;
    this.drag = this.startDrag(event, at);
    this.hooks.drawn();
  }

  private startDrag(event: PointerEvent, at: Vec2): Drag | null {
    const { pane, workspace } = this;
    const isLeft = this.dragButtons === LEFT;
    const isRefused = isLeft && workspace.refuses(workspace.tool, pane);
    if (isLeft && pane.stack?.rendering && !PLAIN.has(workspace.tool)) {
      return workspace.volume3d.drag(at);
    }
    const over = isLeft ? workspace.over?.drag(pane, at) : null;
    if (over) {
      return over;
    }
    if (isLeft && pane.shownFrame) {
      const reach = event.pointerType === "touch" ? TOUCH_REACH : MOUSE_REACH;
      const edit = this.startEditAt(at, reach);
      if (edit) {
        return edit;
      }
      workspace.list.select(null);
      const { tool } = workspace;
      if (isMeasurementTool(tool) && !workspace.isOwn(pane)) {
        const text = t(
          "Measure in the prior's own window: open it from the list of other studies.",
        );
        workspace.notify({ id: "prior-drawing", kind: "info", text });
      } else if (isMeasurementTool(tool) && !isRefused) {
        this.drawing = OUTLINES.has(tool)
          ? new OutlineDrawing(workspace, pane, tool, at)
          : new Drawing(workspace, pane, tool, at);
        return null;
      }
    }
    return this.startNavigation(at);
  }

  private startNavigation(at: Vec2): Drag {
    const tool = this.navigationTool();
    return tool === "crosshair"
      ? crosshairDrag(this.workspace, this.pane, at)
      : startNavigation(tool, this.pane, at);
  }

  private navigationTool(): NavigationTool {
    const { tool } = this.workspace;
    if ((this.dragButtons & (LEFT | RIGHT)) === (LEFT | RIGHT)) {
      return "window";
    }
    if (this.dragButtons & MIDDLE) {
      return "pan";
    }
    if (this.dragButtons & RIGHT) {
      return "zoom";
    }
    return isMeasurementTool(tool) ? "window" : tool;
  }

  private startEditAt(at: Vec2, reach: number): Drag | null {
    const { pane, workspace } = this;
    const matrix = pane.matrix;
    if (!matrix || !workspace.showsTexts) {
      return null;
    }
    const candidates = workspace.itemsOn(pane).map(({ key, facts }) => ({
      key,
      kind: facts.kind,
      points: facts.points,
      isSelected: workspace.list.selected === key,
    }));
    const hit = hitTest(candidates, matrix, at, reach);
    if (!hit) {
      return null;
    }
    workspace.list.select(hit.key);
    return startEdit(workspace, pane, hit, at);
  }

  private move(event: PointerEvent): void {
    const at = this.at(event);
    if (this.touches.has(event.pointerId)) {
      this.touches.set(event.pointerId, at);
      if (this.pinch) {
        const [a, b] = [...this.touches.values()];
        if (a && b) {
          this.pinch(a, b);
        }
        return;
      }
    }
    if (this.drawing) {
      this.drawing.move(at);
      this.hooks.drawn();
      return;
    }
    this.workspace.over?.hover(this.pane, at);
    if (!this.drag) {
      return;
    }
    if (event.pointerType !== "touch" && event.buttons !== this.dragButtons) {
      this.changeButtons(event, at);
      return;
    }
    this.drag.move(at);
  }

  /** A second button went down, or one of two came up: left and right together window. */
  private changeButtons(event: PointerEvent, at: Vec2): void {
    this.drag?.end();
    this.dragButtons = event.buttons;
    this.drag = event.buttons === 0 ? null : this.startNavigation(at);
  }

  private up(event: PointerEvent): void {
    const at = this.at(event);
    this.touches.delete(event.pointerId);
    if (this.pinch) {
      if (this.touches.size < 2) {
        this.pinch = null;
        // The finger that stays down should not begin to scroll.
        this.drag = null;
      }
      return;
    }
    if (this.drawing) {
      this.drewAt = event.timeStamp;
      if (this.drawing.release(at)) {
        this.finish(this.drawing);
      }
      this.hooks.drawn();
      return;
    }
    this.drag?.end();
    this.drag = null;
  }

  /** Enter: ends an outline as it is; returns whether there was one. */
  closeDrawing(): boolean {
    const { drawing } = this;
    if (!drawing?.close()) {
      return false;
    }
    this.finish(drawing);
    this.hooks.drawn();
    return true;
  }

  private finish(drawing: Sketch): void {
    this.drawing = null;
    const facts = drawing.commit();
    if (facts && ASKING.has(facts.kind)) {
      this.hooks.askText(facts);
    }
  }

  private abort(event: PointerEvent): void {
    this.touches.delete(event.pointerId);
    this.pinch = null;
    this.cancel();
  }

  private startTwoFingers(): void {
    this.drag?.cancel();
    this.drag = null;
    this.drawing = null;
    const [a, b] = [...this.touches.values()];
    if (a && b) {
      this.pinch = startPinch(this.pane, a, b);
    }
    this.hooks.drawn();
  }

  private detectDoubleTap(event: PointerEvent, at: Vec2): void {
    const { lastTap } = this;
    const isNear = Math.hypot(at[0] - lastTap.x, at[1] - lastTap.y) < TOUCH_REACH;
    if (event.timeStamp - lastTap.at < DOUBLE_TAP_MS && isNear && !this.drawing) {
      this.hooks.doubleClick();
      this.lastTap = { at: 0, x: 0, y: 0 };
    } else {
      this.lastTap = { at: event.timeStamp, x: at[0], y: at[1] };
    }
  }

  private wheel(event: WheelEvent): void {
    event.preventDefault();
    this.workspace.activate(this.number);
    if (event.ctrlKey) {
      const factor = Math.exp(-event.deltaY / 300);
      this.pane.setView(zoomAt(this.pane.view, factor, this.at(event), this.pane.size));
      return;
    }
    const delta = event.deltaY || event.deltaX;
    const steps = this.wheelSteps(delta, event.deltaMode);
    if (steps !== 0) {
      this.pane.step(event.shiftKey ? steps * 10 : steps);
    }
  }

  /** A notch is one step whatever the mouse says it is; a trackpad's small parts are added up. */
  private wheelSteps(delta: number, mode: number): number {
    if (mode !== WheelEvent.DOM_DELTA_PIXEL || Math.abs(delta) >= SMALL_WHEEL) {
      this.wheelSum = 0;
      const notches = mode === WheelEvent.DOM_DELTA_PIXEL ? Math.abs(delta) / WHEEL_NOTCH : 1;
      return Math.sign(delta) * Math.max(1, Math.floor(notches));
    }
    this.wheelSum += delta;
    const steps = Math.trunc(this.wheelSum / SMALL_WHEEL);
    this.wheelSum -= steps * SMALL_WHEEL;
    return steps;
  }
}
