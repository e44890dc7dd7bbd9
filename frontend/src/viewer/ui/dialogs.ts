import { html, type TemplateResult } from "lit";
import { t } from "../../i18n";
import { withoutTable } from "../core/voi";
import type { Pane } from "../engine/pane";
import type { Workspace } from "../tools/workspace";
import { keyMap } from "./commands";
import { icon } from "./icons";
import { keyCaps } from "./shortcuts";

function table(title: string, rows: readonly [string, readonly string[]][]): TemplateResult {
  return html`<section>
    <h3>${title}</h3>
    <dl>
      ${rows.map(([name, names]) => html`<dt>${name}</dt><dd>${keyCaps(names)}</dd>`)}
    </dl>
  </section>`;
}

const MOUSE: readonly [string, readonly string[]][] = [
  [t("Next or previous image"), [t("Wheel")]],
  [t("Ten images at a step"), [t("Shift + wheel")]],
  [t("Zoom"), [t("Ctrl + wheel"), t("Right drag")]],
  [t("Pan"), [t("Middle drag")]],
  [t("Window/Level"), [t("Left + right drag")]],
  [t("The tool in hand"), [t("Left drag")]],
  [t("One viewport and back"), [t("Double click")]],
];

const TOUCH: readonly [string, readonly string[]][] = [
  [t("Images (tool: Scroll), or the tool in hand"), [t("One finger")]],
  [t("Pan and zoom"), [t("Two fingers")]],
  [t("One viewport and back"), [t("Double tap")]],
];

const PRESETS = t("Window presets");

/** Everything that hands and keys can do here, with the keys that this person has. */
export function helpDialog(workspace: Workspace, changeKeys: () => void): TemplateResult {
  const groups = new Map<string, [string, readonly string[]][]>();
  for (const { id, name, group } of keyMap.all()) {
    if (group !== PRESETS) {
      groups.set(group, [...(groups.get(group) ?? []), [name, keyMap.keysOf(id)]]);
    }
  }
  groups.set(t("Page"), [
    ...(groups.get(t("Page")) ?? []),
    [t("Give up what is under way"), ["Escape"]],
    [t("End an outline"), ["Enter"]],
  ]);
  const presets = workspace.presets
    .filter((preset) => preset.key !== null)
    .map(({ name, key }): [string, readonly string[]] => [name, keyMap.keysOf(`preset-${key}`)]);
  return html`<dialog class="sheet" id="help" aria-label=${t("Keys and mouse")} @click=${closeOutside}>
    <header>
      <h2>${t("Keys and mouse")}</h2>
      <form method="dialog">
        <button class="tool" aria-label=${t("Close")} title=${t("Close (Esc)")}>${icon("close")}</button>
      </form>
    </header>
    <div class="columns">
      ${table(t("Mouse"), MOUSE)} ${table(t("Touch"), TOUCH)}
      ${[...groups].map(([title, rows]) => table(title, rows))} ${table(PRESETS, presets)}
    </div>
    <p class="row key-actions">
      <button type="button" class="button" @click=${changeKeys}>${t("Change the keys")}</button>
      <button type="button" class="button" @click=${() => window.print()}>${t("Print")}</button>
    </p>
    <p class="dim">${t("Pictures are drawn by: {name}.", { name: workspace.active.surface.name })}</p>
  </dialog>`;
}

/** Window centre and width as numbers. */
export function windowDialog(pane: Pane): TemplateResult {
  const { center, width } = pane.toldWindow;
  return html`<dialog class="sheet small" id="window-numbers" aria-label=${t("Window")} @click=${closeOutside}>
    <form method="dialog" @submit=${(event: SubmitEvent) => takeNumbers(event, pane)}>
      <h2>${t("Window")}</h2>
      <label>${t("Width")} <input name="width" type="number" step="any" required .value=${String(width)} /></label>
      <label>${t("Level")} <input name="center" type="number" step="any" required .value=${String(center)} /></label>
      <p class="row">
        <button class="button" value="cancel" formnovalidate>${t("Cancel")}</button>
        <button class="button primary" value="apply">${t("Apply")}</button>
      </p>
    </form>
  </dialog>`;
}

function takeNumbers(event: SubmitEvent, pane: Pane): void {
  const form = event.currentTarget as HTMLFormElement;
  const { value } = (event.submitter ?? {}) as HTMLButtonElement;
  const data = new FormData(form);
  const width = Number(data.get("width"));
  const center = Number(data.get("center"));
  if (value === "cancel" || !(width > 0) || !Number.isFinite(center)) {
    return;
  }
  pane.setToldWindow({ ...withoutTable(pane.toldWindow), center, width });
}

function closeOutside(event: MouseEvent): void {
  const dialog = event.currentTarget as HTMLDialogElement;
  if (event.target === dialog) {
    dialog.close();
  }
}
