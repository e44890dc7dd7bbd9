import { html, nothing, type TemplateResult } from "lit";
import { t } from "../../i18n";
import { ageAt, ageText, personName, sexText } from "../core/format";
import { parseLayout } from "../core/layout";
import type { Pane } from "../engine/pane";
import { ReportDraft } from "../net/report";
import { toggleTheme } from "../tools/theme";
import { measurementWords } from "../tools/wording";
import type { Workspace } from "../tools/workspace";
import { iconButton } from "./button";
import { colorsAndFusionBar } from "./colors";
import { keyMap } from "./commands";
import { helpDialog, windowDialog } from "./dialogs";
import { ViewerElement } from "./element";
import "./export";
import type { ExportElement } from "./export";
import { icon } from "./icons";
import "./keep-layout";
import type { KeepLayoutElement } from "./keep-layout";
import { listenToKeys } from "./keyboard";
import { machineToggle } from "./machine-toggle";
import { mprBar } from "./mpr";
import { noticeBar, saveSign } from "./notice-bar";
import "./report";
import type { Dock, FramePlace, ReportElement } from "./report";
import "./shortcuts";
import type { ShortcutsElement } from "./shortcuts";
import "./strip";
import "./table";
import "./toolbar";
import { windowText } from "./texts";
import type { ToolbarHooks } from "./toolbar";
import type { ViewportElement } from "./viewport";
import "./viewport";
import { trueSizeDialog } from "./true-size";
import { volumeBar } from "./volume3d";

const SPEAK_AFTER_MS = 500;
const NARROW = "(max-width: 760px)";
const DOCK_KEY = "noctis.report-dock";

/** The whole page: bars, strip, viewports, measurements. Says from outside what it shows. */
export class ViewerPageElement extends ViewerElement {
  static override properties = {
    workspace: { attribute: false },
    showsTable: { state: true },
    showsSegments: { state: true },
    showsMachine: { state: true },
    showsStrip: { state: true },
    showsReport: { state: true },
    dock: { state: true },
    showsCine: { state: true },
    isNarrow: { state: true },
  };
  declare workspace: Workspace | null;
  declare showsTable: boolean;
  declare showsSegments: boolean;
  declare showsMachine: boolean;
  declare showsStrip: boolean;
  declare showsReport: boolean;
  declare dock: Dock;
  declare showsCine: boolean;
  declare isNarrow: boolean;
  private speakTimer = 0;
  private draft: ReportDraft | null = null;
  private readonly hooks: ToolbarHooks = {
    toggleCineBar: () => {
      this.showsCine = !this.workspace?.active.cine.isPlaying;
    },
    showHelp: () => this.openDialog("help"),
    showWindow: () => this.openDialog("window-numbers"),
    showKeys: () => this.changeKeys(),
    toggleTheme: () => this.changeTheme(),
    keepLayout: () => void this.querySelector<KeepLayoutElement>("noctis-keep-layout")?.open(),
  };

  constructor() {
    super();
    this.workspace = null;
    this.showsTable = false;
    this.showsSegments = false;
    this.showsMachine = false;
    this.showsCine = false;
    this.showsReport = false;
    this.dock = localStorage.getItem(DOCK_KEY) === "bottom" ? "bottom" : "right";
    const narrow = matchMedia(NARROW);
    this.isNarrow = narrow.matches;
    this.showsStrip = !narrow.matches;
    narrow.addEventListener("change", () => {
      this.isNarrow = narrow.matches;
      this.showsStrip = !narrow.matches;
    });
  }

  /** Starts showing a study; called once, by the page's entry. */
  open(workspace: Workspace): void {
    this.workspace = workspace;
    const { links, user } = workspace.manifest;
    keyMap.load(user.shortcuts ?? {});
    this.until(keyMap.on("change", () => workspace.emit("change", undefined)));
    if (links.report && user.can_report) {
      this.draft = new ReportDraft(links.report);
      this.guardDraft(this.draft);
    }
    this.until(workspace.on("change", () => this.refresh()));
    this.until(workspace.machine.on("change", () => this.requestUpdate()));
    // The bars of planes and volumes tell how much is here; planes themselves change no bar.
    const { reformatter } = workspace.pictures;
    let before = "";
    this.until(
      workspace.on("loaded", () => {
        const planes = reformatter.isComplete
          ? "all"
          : `${reformatter.loaded}-${reformatter.failed}`;
        const now = `${planes}-${workspace.fusion.loaded}`;
        if (now !== before) {
          before = now;
          this.requestUpdate();
        }
      }),
    );
    workspace.eachPane((pane) => this.until(pane.on("change", () => this.report(pane))));
    this.until(
      workspace.list.on("edit", ({ before, after }) => {
        // The first stroke opens the pane where there is room for it: its row is the proof of
        // saving. What others draw moves nothing on this person's screen.
        if (!before && after && !this.isNarrow && !this.showsSegments && !this.showsMachine) {
          this.showsTable = true;
        }
        if (!before && after) {
          this.say(measurementWords(workspace, after));
        }
      }),
    );
    this.until(
      listenToKeys(workspace, {
        help: this.hooks.showHelp,
        keys: this.hooks.showKeys,
        report: () => this.writeReport(),
        keyImage: () => this.intoReport((pane) => pane.insertImage()),
        insertMeasurement: () =>
          this.intoReport((pane) => pane.insertMeasurement(workspace.list.selected)),
        point: () => this.say(this.activeViewport?.startPointing() ?? ""),
        pointing: (name) => this.pointBy(name),
        cancel: () => this.cancel(),
        close: () => this.closeDrawing(),
        segments: () => void this.toggleSegments(),
        machine: () => void this.toggleMachine(),
      }),
    );
    this.showsTable = workspace.list.all().length > 0 && !this.isNarrow;
    this.refresh();
  }

  override render(): TemplateResult | typeof nothing {
    const { workspace } = this;
    if (!workspace) {
      return nothing;
    }
    const { rows, columns } = parseLayout(workspace.layout) ?? { rows: 1, columns: 1 };
    const bar = html`<noctis-toolbar
      .workspace=${workspace}
      .hooks=${this.hooks}
      .showsCine=${this.showsCine}
    ></noctis-toolbar>`;
    return html`
      <header class="top-bar">
        ${this.titles()} ${this.isNarrow ? nothing : bar} ${this.toggles()}
      </header>
      ${noticeBar(workspace)} ${colorsAndFusionBar(workspace)} ${mprBar(workspace)} ${volumeBar(workspace, () => void this.toggleSegments())}
      <div class="body" data-strip=${String(this.showsStrip)} data-table=${String(this.showsTable)}>
        ${
          this.showsStrip
            ? html`<nav class="strip" aria-label=${t("Series of the study")}>
                <noctis-series-strip
                  .workspace=${workspace}
                  .chosen=${
                    this.isNarrow
                      ? () => {
                          this.showsStrip = false;
                        }
                      : undefined
                  }
                ></noctis-series-strip>
                <noctis-priors .workspace=${workspace}></noctis-priors>
              </nav>`
            : nothing
        }
        <main
          class="viewports"
          data-layout=${workspace.layout}
          data-rows=${rows}
          data-columns=${columns}
          data-maximised=${String(workspace.maximised)}
          aria-label=${t("Pictures")}
        >
          ${workspace.panes.map((pane, number) => this.viewport(pane, number))}
        </main>
        ${
          this.showsTable
            ? html`<aside class="side" aria-label=${t("Measurements")}>
                <noctis-measurements
                  .workspace=${workspace}
                  .close=${() => {
                    this.showsTable = false;
                  }}
                ></noctis-measurements>
              </aside>`
            : nothing
        }
        ${this.dock === "right" || this.isNarrow ? this.reportPane() : nothing}
        ${
          this.showsSegments
            ? html`<aside class="side" aria-label=${t("Segments and structures")}>
                <noctis-segments
                  .workspace=${workspace}
                  .close=${() => {
                    this.showsSegments = false;
                  }}
                ></noctis-segments>
              </aside>`
            : nothing
        }
        ${
          this.showsMachine
            ? html`<aside class="side" aria-label=${t("Machine findings")}>
                <noctis-machine
                  .workspace=${workspace}
                  .report=${this.draft ? (...words: [string, FramePlace]) => void this.intoReport((pane) => pane.insertWords(...words)) : null}
                  .close=${() => {
                    this.showsMachine = false;
                  }}
                ></noctis-machine>
              </aside>`
            : nothing
        }
      </div>
      ${this.dock === "bottom" && !this.isNarrow ? this.reportPane() : nothing}
      ${this.isNarrow ? html`<footer class="bottom-bar">${bar}${this.machineButton()}${this.helpButton()}</footer>` : nothing}
      <div class="visually-hidden" role="status" aria-live="polite" id="spoken"></div>
      ${helpDialog(workspace, this.hooks.showKeys)} ${windowDialog(workspace.active)}
      ${trueSizeDialog(workspace)}
      <noctis-export .workspace=${workspace}></noctis-export>
      <noctis-shortcuts .url=${workspace.manifest.links.shortcuts}></noctis-shortcuts>
      <noctis-keep-layout .workspace=${workspace}></noctis-keep-layout>
    `;
  }

  private viewport(pane: Pane, number: number): TemplateResult {
    const workspace = this.workspace as Workspace;
    const isVisible = workspace.visible.some((cell) => cell.number === number);
    const isActive = workspace.activeIndex === number;
    return html`<noctis-viewport
      .workspace=${workspace}
      .pane=${pane}
      .number=${number}
      .isActive=${isActive && workspace.visible.length > 1}
      .showsCine=${isActive && this.showsCine}
      ?hidden=${!isVisible}
      role="group"
      aria-label=${t("Viewport {number}", { number: number + 1 })}
    ></noctis-viewport>`;
  }

  private titles(): TemplateResult {
    const { manifest } = this.workspace as Workspace;
    const { patient, study } = manifest;
    const age = patient.PatientAge ?? ageAt(patient.PatientBirthDate, study.StudyDate);
    const who = [patient.PatientID, sexText(patient.PatientSex), ageText(age)];
    const { worklist } = manifest.links;
    return html`${
      worklist
        ? html`<a class="tool back" href=${worklist} aria-label=${t("Worklist")} title=${t("Worklist")}>${icon("arrowLeft")}</a>`
        : nothing
    }
      <h1 class="titles">
        <span class="patient">${personName(patient.PatientName)}</span>
        <span class="dim">${[...who, study.StudyDate].filter(Boolean).join(" · ")}</span>
      </h1>`;
  }

  private toggles(): TemplateResult {
    return html`<div class="toggles">
      ${saveSign(this.workspace as Workspace)}
      ${
        this.workspace?.manifest.guest
          ? nothing
          : iconButton({
              name: t("Export"),
              icon: "download",
              run: () => this.querySelector<ExportElement>("noctis-export")?.open(),
            })
      }
      <button
        type="button"
        class="tool"
        aria-label=${t("Series")}
        aria-pressed=${String(this.showsStrip)}
        title=${t("Series")}
        @click=${() => {
          this.showsStrip = !this.showsStrip;
        }}
      >
        ${icon("series")}
      </button>
      <button
        type="button"
        class="tool"
        aria-label=${t("Measurements")}
        aria-pressed=${String(this.showsTable)}
        title=${t("Measurements")}
        @click=${() => {
          this.showsTable = !this.showsTable;
          this.showsSegments = false;
          this.showsMachine = false;
        }}
      >
        ${icon("table")}
      </button>
      ${
        this.draft
          ? iconButton({
              name: t("Report"),
              icon: "report",
              key: "F2",
              pressed: this.showsReport,
              run: () => {
                this.showsReport = !this.showsReport;
              },
            })
          : nothing
      }
      ${iconButton({
        name: t("Segments and structures"),
        icon: "segments",
        key: "F4",
        pressed: this.showsSegments,
        run: () => void this.toggleSegments(),
      })}
      ${this.isNarrow ? nothing : [this.machineButton(), this.helpButton()]}
    </div>`;
  }

  private reportPane(): TemplateResult | typeof nothing {
    const { draft, workspace } = this;
    if (!draft || !this.showsReport) {
      return nothing;
    }
    return html`<aside class="side report-side" data-dock=${this.dock} aria-label=${t("Report")}>
      <noctis-report
        .workspace=${workspace}
        .draft=${draft}
        .dock=${this.dock}
        .close=${() => {
          this.showsReport = false;
        }}
        .turn=${this.isNarrow ? null : () => this.turnDock()}
      ></noctis-report>
    </aside>`;
  }

  private turnDock(): void {
    this.dock = this.dock === "right" ? "bottom" : "right";
    localStorage.setItem(DOCK_KEY, this.dock);
  }

  /** Opens the report and puts the caret into it; from there back to the pictures. */
  private writeReport(): void {
    if (document.activeElement?.matches("textarea.report-text")) {
      (document.activeElement as HTMLElement).blur();
      this.say(t("The keys are the picture's again."));
    } else {
      this.intoReport((pane) => pane.write());
    }
  }

  private async intoReport(what: (pane: ReportElement) => void): Promise<void> {
    if (!this.draft) {
      this.say(t("Drafts of reports are for those who report."));
      return;
    }
    this.showsReport = true;
    await this.updateComplete;
    const pane = this.querySelector<ReportElement>("noctis-report");
    await pane?.updateComplete;
    await this.draft.arrived;
    await pane?.updateComplete;
    if (pane) {
      what(pane);
    }
  }

  private guardDraft(draft: ReportDraft): void {
    window.addEventListener("pagehide", () => draft.flush(true));
    window.addEventListener("beforeunload", (event) => {
      draft.flush(false);
      if (!draft.isClean) {
        event.preventDefault();
      }
    });
  }

  private get activeViewport(): ViewportElement | null {
    const number = this.workspace?.activeIndex ?? 0;
    return this.querySelectorAll<ViewportElement>("noctis-viewport")[number] ?? null;
  }

  private pointBy(name: string): boolean {
    const words = this.activeViewport?.pointBy(name) ?? null;
    if (words) {
      this.say(words);
    }
    return words !== null;
  }

  private changeKeys(): void {
    this.querySelector<HTMLDialogElement>("#help")?.close();
    this.querySelector<ShortcutsElement>("noctis-shortcuts")?.open();
  }

  /** One pane at a time at the right; what it needs is fetched when it is first asked for. */
  private async toggleSegments(): Promise<void> {
    const isHere =
      !this.showsSegments && (await this.fetched("segments", () => import("./segments")));
    this.showsSegments = isHere;
    if (isHere) {
      this.showsTable = false;
      this.showsMachine = false;
    }
  }

  private async toggleMachine(): Promise<void> {
    const isHere = !this.showsMachine && (await this.fetched("machine", () => import("./machine")));
    this.showsMachine = isHere;
    if (isHere) {
      this.showsTable = false;
      this.showsSegments = false;
    }
  }

  /** Whether a pane's program is here by now; says so where it is not. */
  private async fetched(
    id: "segments" | "machine",
    load: () => Promise<unknown>,
  ): Promise<boolean> {
    try {
      await load();
      return true;
    } catch {
      const what = { segments: t("tools for segments"), machine: t("pane of machine findings") }[
        id
      ];
      const text = t("The {what} could not be loaded. Reload the page.", { what });
      this.workspace?.notify({ id, kind: "warning", text });
      return false;
    }
  }

  private machineButton(): TemplateResult | typeof nothing {
    const workspace = this.workspace as Workspace;
    return workspace.manifest.guest
      ? nothing
      : machineToggle(workspace, this.showsMachine, () => void this.toggleMachine());
  }

  /** Beside the tools and not among them: it stays in sight however narrow the window is. */
  private helpButton(): TemplateResult {
    return iconButton({ name: t("Help"), icon: "help", key: "?", run: this.hooks.showHelp });
  }

  private refresh(): void {
    this.requestUpdate();
    const { workspace } = this;
    if (workspace) {
      this.report(workspace.active);
    }
  }

  /** The facts that programs and tests read from outside: state, image, window. */
  private report(pane: Pane): void {
    const { workspace } = this;
    if (!workspace || pane !== workspace.active) {
      return;
    }
    const isBehind = pane.state === "ready" && (pane.isStale || pane.shownIndex !== pane.index);
    const states = { empty: "ready", document: "ready" } as Record<string, string>;
    this.dataset.state = isBehind ? "loading" : (states[pane.state] ?? pane.state);
    this.dataset.imageIndex = String(Math.max(pane.shownIndex, 0));
    const { center, width } = pane.toldWindow;
    this.dataset.windowCenter = String(center);
    this.dataset.windowWidth = String(width);
    this.dataset.voiLut = pane.window.table ? String(pane.window.lut) : "";
    this.dataset.seriesId = pane.stack?.series.id ?? "";
    clearTimeout(this.speakTimer);
    this.speakTimer = window.setTimeout(() => this.speak(pane), SPEAK_AFTER_MS);
  }

  /** Says something at once, to those who listen to the page. */
  private say(words: string): void {
    const region = this.querySelector("#spoken");
    if (region && words) {
      clearTimeout(this.speakTimer);
      region.textContent = words;
    }
  }

  private speak(pane: Pane): void {
    const region = this.querySelector("#spoken");
    const count = pane.stack?.frames.length ?? 0;
    if (region && pane.shownIndex >= 0 && !pane.cine.isPlaying) {
      const { center, width, lut } = pane.toldWindow;
      const window =
        lut === undefined
          ? t("window {width}, level {center}", { width, center })
          : windowText(pane);
      const text = t("Image {index} of {count}, {window}", {
        index: pane.shownIndex + 1,
        count,
        window,
      });
      if (region.textContent !== text) {
        region.textContent = text;
      }
    }
  }

  private changeTheme(): void {
    const { workspace } = this;
    toggleTheme(workspace?.manifest.links.theme).catch((error: unknown) => {
      const reason = error instanceof Error ? error.message : String(error);
      const text = t("The theme is changed in this browser only. {reason}", { reason });
      workspace?.notify({ id: "theme", kind: "info", text });
    });
  }

  private openDialog(id: string): void {
    const dialog = this.querySelector<HTMLDialogElement>(`#${id}`);
    this.requestUpdate();
    this.updateComplete.then(() => dialog?.showModal());
  }

  private closeDrawing(): void {
    for (const viewport of this.querySelectorAll<ViewportElement>("noctis-viewport")) {
      viewport.closeDrawing();
    }
  }

  private cancel(): void {
    const { workspace } = this;
    const viewports = [...this.querySelectorAll<ViewportElement>("noctis-viewport")];
    const gaveUp = viewports.some((viewport) => viewport.cancel());
    if (!gaveUp && workspace) {
      workspace.over?.putDown();
      workspace.list.select(null);
      workspace.active.stop();
    }
  }
}

customElements.define("noctis-viewer", ViewerPageElement);
