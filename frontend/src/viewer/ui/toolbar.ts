import { html, nothing, type TemplateResult } from "lit";
import { t } from "../../i18n";
import { LAYOUTS, layoutOf, MOST_COLUMNS, MOST_ROWS } from "../core/layout";
import type { MeasurementKind } from "../core/manifest";
import { toldWindow } from "../core/quantity";
import {
  MEASUREMENT_TOOLS,
  MORE_TOOLS,
  NAVIGATION_TOOLS,
  type NavigationTool,
  type ToolInfo,
} from "../tools/names";
import { toolRefusal } from "../tools/refusals";
import type { Workspace } from "../tools/workspace";
import { DRAWING_ACTIONS, LAYOUT_ACTIONS, PICTURE_ACTIONS, toggleCine } from "./actions";
import { type IconButton, iconButton } from "./button";
import { applyPreset, keyMap } from "./commands";
import { ViewerElement } from "./element";
import { type IconName, icon } from "./icons";
import { keyWords } from "./key-words";
import { linkButton, linkMenu } from "./links";
import { buttonMenu, menuButton, place } from "./menu";
import { windowText } from "./texts";

const TOOL_ICONS: Record<NavigationTool | MeasurementKind, IconName> = {
  window: "contrast",
  scroll: "arrowUpDown",
  pan: "pan",
  zoom: "zoom",
  crosshair: "crosshair",
  length: "length",
  angle: "angle",
  ellipse: "ellipse",
  rectangle: "rectangle",
  probe: "probe",
  arrow: "arrow",
  magnify: "magnify",
  region: "region",
  bidirectional: "bidirectional",
  cobb: "cobb",
  height: "height",
  circle: "circle",
  freehand: "freehand",
  spline: "spline",
  livewire: "livewire",
  profile: "profile",
  calibration: "calibration",
  text: "text",
};

const GRID = Array.from({ length: MOST_ROWS }, (_, row) =>
  Array.from({ length: MOST_COLUMNS }, (_unused, column) => [row + 1, column + 1] as const),
).flat();

type ActionId =
  | Exclude<
      keyof typeof PICTURE_ACTIONS,
      "zoomIn" | "zoomOut" | "presentations" | "cine" | "colors" | "fusion" | "fadeIn" | "fadeOut"
    >
  | "undo"
  | "redo";

export interface ToolbarHooks {
  toggleCineBar: () => void;
  showHelp: () => void;
  showWindow: () => void;
  showKeys: () => void;
  toggleTheme: () => void;
  keepLayout: () => void;
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
    return html`<div class="tools" role="toolbar" aria-label=${t("Tools")}>
      ${group(t("Navigation"), [...NAVIGATION_TOOLS.map((info) => this.tool(info)), this.presetsButton()])}
      ${group(t("Measure"), [
        ...MEASUREMENT_TOOLS.map((info) => this.tool(info)),
        this.moreButton(),
        this.action("undo", { disabled: !workspace.list.canUndo }),
        this.action("redo", { disabled: !workspace.list.canRedo }),
      ])}
      ${group(t("Picture"), [
        this.action("invert", { pressed: pane.invert }),
        this.action("fit"),
        this.action("reset"),
        menuButton("turn-menu", t("Rotate and flip"), "rotateRight"),
      ])}
      ${group(t("View"), [
        iconButton({
          name: t("Cine"),
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
        linkButton(workspace),
        iconButton({
          name: "MPR",
          icon: "mpr",
          key: "q",
          pressed: workspace.mpr.isOpen,
          run: () => workspace.mpr.toggle(),
        }),
        iconButton({
          name: "3D",
          icon: "volume",
          key: "Shift+Enter",
          pressed: workspace.volume3d.isOpen,
          run: () => workspace.volume3d.toggle(),
        }),
        menuButton("display-menu", t("Appearance"), "settings"),
      ])}
      ${this.presetsMenu()} ${this.layoutMenu()} ${linkMenu(workspace)} ${this.moreMenu()}
      ${this.turnMenu()} ${this.displayMenu()}
    </div>`;
  }

  private tool({ tool, name, key }: ToolInfo): TemplateResult {
    return iconButton({
      name,
      icon: TOOL_ICONS[tool],
      key,
      pressed: this.workspace.tool === tool && !this.workspace.over?.isHolding,
      refusal: toolRefusal(tool, this.workspace.active),
      run: () => this.workspace.setTool(tool),
    });
  }

  private action(id: ActionId, more: Partial<IconButton> = {}): TemplateResult {
    return iconButton({ ...this.actionButton(id), ...more });
  }

  private actionButton(id: ActionId): IconButton {
    const { name, keys, run } = { ...PICTURE_ACTIONS, ...DRAWING_ACTIONS }[id];
    return { name, key: keys[0], icon: id, run: () => run(this.workspace) };
  }

  private turnMenu(): TemplateResult {
    const ids = [
      "rotateLeft",
      "rotateRight",
      "flipHorizontal",
      "flipVertical",
      "oneToOne",
      "trueSize",
    ] as const;
    return buttonMenu(
      "turn-menu",
      t("Rotate and flip"),
      ids.map((id) => this.actionButton(id)),
    );
  }

  private displayMenu(): TemplateResult {
    const { workspace } = this;
    return buttonMenu("display-menu", t("Appearance"), [
      {
        name: t("Texts"),
        icon: "texts",
        key: "t",
        pressed: workspace.showsTexts,
        run: () => workspace.setTexts(!workspace.showsTexts),
      },
      this.actionButton("fullScreen"),
      {
        name: t("Colours and fusion"),
        icon: "colors",
        key: "$",
        pressed: workspace.fusion.isBarOpen,
        run: () => workspace.fusion.setBar(!workspace.fusion.isBarOpen),
      },
      { name: t("Light or dark"), icon: "theme", run: this.hooks.toggleTheme },
      { name: t("Change the keys"), icon: "keyboard", key: "Control+,", run: this.hooks.showKeys },
      {
        name: t("Test pattern"),
        icon: "pattern",
        run: () => window.open("/viewer/test-pattern/", "_blank", "noopener"),
      },
    ]);
  }

  private moreButton(): TemplateResult {
    const held = MORE_TOOLS.find(({ tool }) => tool === this.workspace.tool);
    const name = t("More tools");
    return html`<span class="held" data-held=${String(held !== undefined)}
      >${menuButton("more-menu", name, held ? TOOL_ICONS[held.tool] : "more")}</span
    >`;
  }

  private moreMenu(): TemplateResult {
    const { workspace } = this;
    return html`<div id="more-menu" class="menu" popover @beforetoggle=${place}>
      ${MORE_TOOLS.map(
        ({ tool, name }) => html`<button
          type="button"
          class="menu-item"
          popovertarget="more-menu"
          popovertargetaction="hide"
          aria-label=${name}
          aria-current=${workspace.tool === tool ? "true" : nothing}
          aria-disabled=${toolRefusal(tool, workspace.active) ? "true" : nothing}
          title=${toolRefusal(tool, workspace.active) ?? nothing}
          @click=${() => workspace.setTool(tool)}
        >
          ${icon(TOOL_ICONS[tool])}<span>${name}</span><kbd>${keyWords(keyMap.keysOf(`tool-${tool}`)[0] ?? "")}</kbd>
        </button>`,
      )}
      <button
        type="button"
        class="menu-item"
        popovertarget="more-menu"
        popovertargetaction="hide"
        aria-label=${t("Render on the server")}
        @click=${() => openReconstructions(workspace)}
      >
        ${icon("volume")}<span>${t("Render on the server")}</span><kbd></kbd>
      </button>
      <button
        type="button"
        class="menu-item"
        popovertarget="more-menu"
        popovertargetaction="hide"
        aria-label=${t("Analyses")}
        @click=${() =>
          open(`/worklist/studies/${workspace.manifest.study.id}/findings/`, "_blank", "noopener")}
      >
        ${icon("table")}<span>${t("Analyses")}</span><kbd></kbd>
      </button>
    </div>`;
  }

  private presetsButton(): TemplateResult {
    return menuButton("presets-menu", t("Window presets"), "presets");
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
            >${preset.window === "full-range" || preset.window.lut !== undefined ? "" : presetText(toldWindow(workspace.active.stack, preset.window))}</span
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
        <span>${t("As the file says")}</span>
      </button>
      <button
        type="button"
        class="menu-item"
        popovertarget="presets-menu"
        popovertargetaction="hide"
        @click=${this.hooks.showWindow}
      >
        <span>${t("Enter numbers…")}</span>
      </button>
      ${this.presentations()}
    </div>`;
  }

  /** Studies with presentation states offer to show pictures as those ask. */
  private presentations(): TemplateResult | typeof nothing {
    const { manifest } = this.workspace;
    return manifest.links.presentations && manifest.series.some(({ Modality }) => Modality === "PR")
      ? html`<button
          type="button"
          class="menu-item"
          popovertarget="presets-menu"
          popovertargetaction="hide"
          @click=${() => PICTURE_ACTIONS.presentations.run(this.workspace)}
        >
          <span>${PICTURE_ACTIONS.presentations.name}</span>
        </button>`
      : nothing;
  }

  private layoutButton(): TemplateResult {
    const { layout } = this.workspace;
    const name = layout === "1x1" ? "one" : layout === "1x2" ? "two" : "four";
    return menuButton("layout-menu", t("Layout"), name);
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
      <div class="menu-title">${t("Rows x columns")}</div>
      <div class="layout-grid" role="group" aria-label=${t("Rows x columns")}>
        ${GRID.map(
          ([rows, columns]) => html`<button
            type="button"
            class="tool"
            popovertarget="layout-menu"
            popovertargetaction="hide"
            aria-label=${`${rows} x ${columns}`}
            aria-current=${this.workspace.layout === layoutOf(rows, columns) ? "true" : nothing}
            @click=${() => this.workspace.setLayout(layoutOf(rows, columns))}
          >
            ${rows}x${columns}
          </button>`,
        )}
      </div>
      ${this.stages()}
      <div class="menu-title">${t("Beside this")}</div>
      ${this.layoutItem({ ...LAYOUT_ACTIONS.compare, disabled: !this.workspace.manifest.priors?.length })}
      ${this.layoutItem(LAYOUT_ACTIONS.secondWindow)}
      ${this.layoutItem(LAYOUT_ACTIONS.nextStudy)} ${this.layoutItem(LAYOUT_ACTIONS.previousStudy)}
      ${this.layoutItem({
        name: t("Use this layout for studies like this…"),
        keys: [],
        disabled: !this.workspace.manifest.links.hanging,
        run: () => this.hooks.keepLayout(),
      })}
    </div>`;
  }

  /** The stages of the hanging protocol that fits the study. */
  private stages(): TemplateResult | typeof nothing {
    const { hanging, manifest } = this.workspace;
    const { stages } = hanging;
    return stages.length < 2 && hanging.index === 0
      ? nothing
      : html`<div class="menu-title">${manifest.hanging?.protocol.name ?? t("Layout")}: Shift + PgDn, PgUp</div>
          <div class="stage-list" role="group" aria-label=${t("Stages")}>
            ${stages.map(
              ({ name, rows, columns }, index) => html`<button
                type="button"
                class="menu-item"
                popovertarget="layout-menu"
                popovertargetaction="hide"
                aria-current=${hanging.index === index ? "true" : nothing}
                @click=${() => hanging.show(index)}
              >
                <span>${name || `Stage ${index + 1}`}</span><span class="dim">${rows} x ${columns}</span>
              </button>`,
            )}
          </div>`;
  }

  private layoutItem(item: {
    name: string;
    keys: readonly string[];
    disabled?: boolean;
    run: (workspace: Workspace) => void;
  }): TemplateResult {
    const [key] = item.keys;
    return html`<button
      type="button"
      class="menu-item"
      popovertarget="layout-menu"
      popovertargetaction="hide"
      ?disabled=${item.disabled ?? false}
      @click=${() => item.run(this.workspace)}
    >
      <span>${item.name}</span><kbd>${key ? keyWords(key) : ""}</kbd>
    </button>`;
  }
}

function presetText({ width, center }: { width: number; center: number }): string {
  const text = (value: number): string => String(Number(value.toPrecision(6)));
  return `W ${text(width)} L ${text(center)}`;
}

function group(label: string, buttons: readonly TemplateResult[]): TemplateResult {
  return html`<div class="group" role="group" aria-label=${label}>${buttons}</div>`;
}

customElements.define("noctis-toolbar", ToolbarElement);

/** Opens the page on which the server computes planes and 3D, with the series that one looks at. */
function openReconstructions(workspace: Workspace): void {
  const { manifest, active } = workspace;
  const chosen = active.stack?.reformat?.plan.stack ?? active.stack;
  const address = new URL(`/viewer/${manifest.study.id}/reconstructions/`, location.origin);
  if (chosen) {
    address.searchParams.set("series", chosen.series.id);
  }
  window.open(address, "_blank", "noopener");
}
