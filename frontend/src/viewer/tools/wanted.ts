import type { Stack, StackFrame } from "../core/stack";
import type { Pane } from "../engine/pane";

/** How many frames of other series are asked for ahead, after the series on the screen. */
const OTHER_SERIES_FRAMES = 2000;

/** The frames on the screen, and those that are wanted next, of the first viewport first. */
export function wantedBy(
  panes: readonly Pane[],
  stacks: readonly Stack[],
): { visible: StackFrame[]; next: StackFrame[] } {
  const visible: StackFrame[] = [];
  const next: StackFrame[] = [];
  for (const pane of panes) {
    if (pane.wantedFrame) {
      visible.push(pane.wantedFrame);
    }
    next.push(...pane.wantedNext());
  }
  let others = 0;
  const stack = panes[0]?.stack;
  const at = stack ? stacks.indexOf(stack) : -1;
  for (const stack of [...stacks.slice(at + 1), ...stacks.slice(0, Math.max(at, 0))]) {
    if (others >= OTHER_SERIES_FRAMES) {
      break;
    }
    if (!panes.some((pane) => pane.stack === stack)) {
      next.push(...stack.frames);
      others += stack.frames.length;
    }
  }
  return { visible, next };
}
