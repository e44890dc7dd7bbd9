import type { Frame } from "../core/frame";
import { lookupTables } from "../core/lut";
import { isColor, type StackFrame } from "../core/stack";
import { COLOR_WINDOW, fileTables, fileWindows, fullRangeWindow, type Window } from "../core/voi";

/** The window that the pictures of a viewport are drawn with. */
export class Windowing {
  /** The person's own window; null: each frame's own. */
  chosen: Window | null = null;
  /** For stacks whose files carry no window: one for all of its frames. */
  computed: Window | null = null;

  of(frame: StackFrame, pixels: Frame): Window {
    if (isColor(frame)) {
      return this.chosen ?? COLOR_WINDOW;
    }
    const wanted = this.wantedFor(frame);
    if (wanted?.lut === undefined) {
      return wanted ?? this.ownWithoutTable(frame, pixels);
    }
    const table = lookupTables.get(frame.image, wanted.lut);
    return table ? { ...wanted, table } : this.ownWithoutTable(frame, pixels);
  }

  /** False while a table is on its way without which the frame would be drawn otherwise. */
  isSettled(frame: StackFrame): boolean {
    return this.wantedFor(frame)?.lut === undefined || lookupTables.isSettled(frame.image);
  }

  /** The person's choice, else the file's first window, else its first VOI LUT, as the server. */
  private wantedFor(frame: StackFrame): Window | null {
    return this.chosen ?? (fileWindows(frame)[0] ?? fileTables(frame)[0])?.window ?? null;
  }

  private ownWithoutTable(frame: StackFrame, pixels: Frame): Window {
    const own = fileWindows(frame)[0]?.window;
    if (own) {
      return own;
    }
    this.computed ??= fullRangeWindow(frame, pixels);
    return this.computed;
  }
}
