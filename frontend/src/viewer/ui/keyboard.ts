import { keyName } from "../core/keys";
import type { Workspace } from "../tools/workspace";
import { type PageHooks, pageCommand } from "./commands";

function takesText(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable || target.matches("input, textarea, select"))
  );
}

/** Keys that a focused button, link or slider needs for itself. */
function isOwnKey(target: EventTarget | null, name: string): boolean {
  if (!(target instanceof HTMLElement)) {
    return false;
  }
  const pressable = target.matches("button, a[href], summary") && name === "Enter";
  const spaced = target.matches("button, summary") && name === "Space";
  return pressable || spaced;
}

/** A key that is text where text is written; F2 and Ctrl with a letter are none. */
function isTyped(name: string): boolean {
  return !/^(Control\+|Alt\+|Shift\+)?(F\d{1,2})$/.test(name);
}

export interface KeyHooks extends PageHooks {
  /** Keys that move a pointer; returns whether this one did. */
  pointing: (name: string) => boolean;
}

/** Listens for the viewer's keys; returns the function that stops it. */
export function listenToKeys(workspace: Workspace, hooks: KeyHooks): () => void {
  const onKey = (event: KeyboardEvent): void => {
    const name = keyName(event);
    const isInDialog = document.querySelector("dialog[open]") !== null;
    // Esc closes an open menu before it means anything else.
    const isInMenu = document.querySelector(":popover-open") !== null && name === "Escape";
    if (isInMenu || isInDialog || isOwnKey(event.target, name)) {
      return;
    }
    const command = pageCommand(name);
    if (takesText(event.target)) {
      if (command?.inText && !isTyped(name)) {
        event.preventDefault();
        command.run(workspace, hooks);
      }
      return;
    }
    if (hooks.pointing(name)) {
      event.preventDefault();
    } else if (name === "Escape") {
      event.preventDefault();
      hooks.cancel();
    } else if (name === "Enter") {
      event.preventDefault();
      hooks.close();
    } else if (command) {
      event.preventDefault();
      command.run(workspace, hooks);
    }
  };
  window.addEventListener("keydown", onKey);
  return () => window.removeEventListener("keydown", onKey);
}
