import type { Frame } from "../core/frame";
import { isColor, type StackFrame } from "../core/stack";
import { COLOR_WINDOW, fileWindows, fullRangeWindow, type Window } from "../core/voi";

/** The window that the pictures of a viewport are drawn with. */
export class Windowing {
  /** The person's own window; null: each frame's own. */
  chosen: Window | null = null;
  /** For stacks whose files carry no window: one for all of its frames. */
  computed: Window | null = null;

  of(frame: StackFrame, pixels: Frame): Window {
    return this.chosen ?? this.ownOf(frame, pixels);
  }

  private ownOf(frame: StackFrame, pixels: Frame): Window {
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
}
