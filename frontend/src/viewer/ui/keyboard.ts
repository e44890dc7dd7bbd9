import { TOOLS } from "../tools/names";
import type { Workspace } from "../tools/workspace";
import { allActions } from "./actions";

/** A key with its modifiers as written in the actions: "Control+z", "Shift+ArrowUp", "m", "+". */
export function keyName(event: KeyboardEvent): string {
  const key = event.key === " " ? "Space" : event.key;
  const isLetter = key.length === 1;
  const parts: string[] = [];
  if (event.ctrlKey || event.metaKey) {
    parts.push("Control");
  }
  // A sign such as "?" or "+" already has the shift in it; only letters under Control differ by it.
  if (event.shiftKey && (!isLetter || event.ctrlKey || event.metaKey)) {
    parts.push("Shift");
  }
  if (event.altKey) {
    parts.push("Alt");
  }
  parts.push(isLetter ? key.toLowerCase() : key);
  return parts.join("+");
}

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

export interface KeyHooks {
  help: () => void;
  cancel: () => void;
  close: () => void;
}

/** Listens for the viewer's keys; returns the function that stops it. */
export function listenToKeys(workspace: Workspace, hooks: KeyHooks): () => void {
  const bindings = new Map<string, () => void>();
  for (const action of allActions()) {
    for (const key of action.keys) {
      bindings.set(key, () => action.run(workspace));
    }
  }
  for (const { tool, key } of TOOLS) {
    if (key) {
      bindings.set(key, () => workspace.setTool(tool));
    }
  }
  for (let digit = 1; digit <= 9; digit++) {
    bindings.set(String(digit), () => choosePreset(workspace, String(digit)));
  }
  bindings.set("?", hooks.help);
  bindings.set("Escape", hooks.cancel);
  bindings.set("Enter", hooks.close);
  const onKey = (event: KeyboardEvent): void => {
    const name = keyName(event);
    const isInDialog = document.querySelector("dialog[open]") !== null;
    // Esc closes an open menu before it means anything else.
    const isInMenu = document.querySelector(":popover-open") !== null && name === "Escape";
    if (isInMenu || takesText(event.target) || isInDialog || isOwnKey(event.target, name)) {
      return;
    }
    const run = bindings.get(name);
    if (run) {
      event.preventDefault();
      run();
    }
  };
  window.addEventListener("keydown", onKey);
  return () => window.removeEventListener("keydown", onKey);
}

export function choosePreset(workspace: Workspace, key: string): void {
  const preset = workspace.presets.find((candidate) => candidate.key === key);
  if (preset) {
    applyPreset(workspace, preset);
  }
}

export function applyPreset(
  workspace: Workspace,
  preset: { window: Workspace["presets"][number]["window"] },
): void {
  if (preset.window === "full-range") {
    workspace.active.setFullRange();
  } else {
    workspace.active.setWindow(preset.window);
  }
}
