import { html, nothing, type TemplateResult } from "lit";
import type { MeasurementKind } from "../core/manifest";
import {
  MEASUREMENT_TOOLS,
  NAVIGATION_TOOLS,
  type NavigationTool,
  type ToolInfo,
} from "../tools/names";
import { LAYOUTS, type Workspace } from "../tools/workspace";
import { DRAWING_ACTIONS, PICTURE_ACTIONS, toggleCine } from "./actions";
import { type IconButton, iconButton } from "./button";
import { ViewerElement } from "./element";
import { type IconName, icon } from "./icons";
import { applyPreset } from "./keyboard";
import { windowText } from "./texts";

const TOOL_ICONS: Record<NavigationTool | MeasurementKind, IconName> = {
  window: "contrast",
  scroll: "arrowUpDown",
  pan: "pan",
  zoom: "zoom",
  length: "length",
  angle: "angle",
  ellipse: "ellipse",
  rectangle: "rectangle",
  probe: "probe",
  arrow: "arrow",
};

export interface ToolbarHooks {
  toggleCineBar: () => void;
  showHelp: () => void;
  showWindow: () => void;
  toggleTheme: () => void;
}

/** The tools in groups. Wide windows have it in the top bar, narrow ones along the lower edge. */
export class ToolbarElement extends ViewerElement {
  static override properties = {
    workspace: { attribute: false },
    hooks: { attribute: false },
    showsCine: { attribute: false },
  };
  declare workspace: Workspace;
  declare hooks: ToolbarHooks;
  declare showsCine: boolean;

  override connectedCallback(): void {
    super.connectedCallback();
    this.until(this.workspace.on("change", () => this.requestUpdate()));
  }

  override render(): TemplateResult {
    const { workspace, hooks } = this;
    const pane = workspace.active;
    return html`<div class="tools" role="toolbar" aria-label="Tools">
      ${group("Navigation", [...NAVIGATION_TOOLS.map((info) => this.tool(info)), this.presetsButton()])}
      ${group("Measure", [
        ...MEASUREMENT_TOOLS.map((info) => this.tool(info)),
        this.action("undo", { disabled: !workspace.list.canUndo }),
        this.action("redo", { disabled: !workspace.list.canRedo }),
      ])}
      ${group("Picture", [
        this.action("rotateLeft"),
        this.action("rotateRight"),
        this.action("flipHorizontal"),
        this.action("flipVertical"),
        this.action("invert", { pressed: pane.invert }),
        this.action("fit"),
        this.action("oneToOne"),
        this.action("reset"),
      ])}
      ${group("View", [
        iconButton({
          name: "Cine",
          icon: "cine",
          key: "c",
          pressed: this.showsCine || pane.cine.isPlaying,
          disabled: (pane.stack?.frames.length ?? 0) < 2,
          run: () => {
            hooks.toggleCineBar();
            toggleCine(workspace);
          },
        }),
        this.layoutButton(),
        iconButton({
          name: "Texts",
          icon: "texts",
          key: "t",
          pressed: workspace.showsTexts,
          run: () => workspace.setTexts(!workspace.showsTexts),
        }),
        this.action("fullScreen"),
        iconButton({ name: "Light or dark", icon: "theme", run: hooks.toggleTheme }),
        iconButton({ name: "Help", icon: "help", key: "?", run: hooks.showHelp }),
      ])}
      ${this.presetsMenu()} ${this.layoutMenu()}
    </div>`;
  }

  private tool({ tool, name, key }: ToolInfo): TemplateResult {
    return iconButton({
      name,
      icon: TOOL_ICONS[tool],
      key,
      pressed: this.workspace.tool === tool,
      run: () => this.workspace.setTool(tool),
    });
  }

  private action(
    id: Exclude<keyof typeof PICTURE_ACTIONS, "zoomIn" | "zoomOut" | "cine"> | "undo" | "redo",
    more: Partial<IconButton> = {},
  ): TemplateResult {
    const { name, keys, run } = { ...PICTURE_ACTIONS, ...DRAWING_ACTIONS }[id];
    return iconButton({
      name,
      key: keys[0],
      icon: id,
      run: () => run(this.workspace),
      ...more,
    });
  }

  private presetsButton(): TemplateResult {
    return html`<button
      type="button"
      class="tool wide"
      popovertarget="presets-menu"
      aria-label="Window presets"
      title="Window presets (1 to 9)"
    >
      ${icon("presets")}
    </button>`;
  }

  private presetsMenu(): TemplateResult {
    const { workspace } = this;
    return html`<div id="presets-menu" class="menu" popover @beforetoggle=${place}>
      <div class="menu-title">${windowText(workspace.active)}</div>
      ${workspace.presets.map(
        (preset) => html`<button
          type="button"
          class="menu-item"
          popovertarget="presets-menu"
          popovertargetaction="hide"
          @click=${() => applyPreset(workspace, preset)}
        >
          <span>${preset.name}</span>
          <span class="dim"
            >${preset.window === "full-range" ? "" : `W ${preset.window.width} L ${preset.window.center}`}</span
          >
          <kbd>${preset.key ?? ""}</kbd>
        </button>`,
      )}
      <button
        type="button"
        class="menu-item"
        popovertarget="presets-menu"
        popovertargetaction="hide"
        @click=${() => workspace.active.setWindow(null)}
      >
        <span>As the file says</span>
      </button>
      <button
        type="button"
        class="menu-item"
        popovertarget="presets-menu"
        popovertargetaction="hide"
        @click=${this.hooks.showWindow}
      >
        <span>Enter numbers…</span>
      </button>
    </div>`;
  }

  private layoutButton(): TemplateResult {
    const { layout } = this.workspace;
    const name = layout === "1x1" ? "one" : layout === "1x2" ? "two" : "four";
    return html`<button
      type="button"
      class="tool wide"
      popovertarget="layout-menu"
      aria-label="Layout"
      title="Layout"
    >
      ${icon(name)}
    </button>`;
  }

  private layoutMenu(): TemplateResult {
    const icons: Record<string, IconName> = { "1x1": "one", "1x2": "two", "2x2": "four" };
    return html`<div id="layout-menu" class="menu" popover @beforetoggle=${place}>
      ${LAYOUTS.map(
        ({ layout, name }) => html`<button
          type="button"
          class="menu-item"
          popovertarget="layout-menu"
          popovertargetaction="hide"
          aria-current=${this.workspace.layout === layout ? "true" : nothing}
          @click=${() => this.workspace.setLayout(layout)}
        >
          ${icon(icons[layout] ?? "one")}<span>${name}</span>
        </button>`,
      )}
    </div>`;
  }
}

function group(label: string, buttons: readonly TemplateResult[]): TemplateResult {
  return html`<div class="group" role="group" aria-label=${label}>${buttons}</div>`;
}

/** Puts an opening menu beside its button, inside the window. */
function place(event: ToggleEvent): void {
  const menu = event.currentTarget as HTMLElement;
  if (event.newState !== "open") {
    return;
  }
  const opener = document.querySelector(`[popovertarget="${menu.id}"].tool`);
  const box = opener?.getBoundingClientRect();
  if (!box) {
    return;
  }
  const isBelow = box.top < innerHeight / 2;
  const width = Math.min(280, innerWidth - 16);
  menu.style.left = `${Math.max(8, Math.min(box.left, innerWidth - width - 8))}px`;
  menu.style.width = `${width}px`;
  menu.style.top = isBelow ? `${box.bottom + 4}px` : "auto";
  menu.style.bottom = isBelow ? "auto" : `${innerHeight - box.top + 4}px`;
}

customElements.define("noctis-toolbar", ToolbarElement);
