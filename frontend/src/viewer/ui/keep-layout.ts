import { html, nothing, type TemplateResult } from "lit";
import { t } from "../../i18n";
import {
  type KeptPlace,
  type KeptStage,
  type Likeness,
  likenessOf,
  nameOf,
  placeOf,
  stageOf,
} from "../core/keep-layout";
import type { HungStage } from "../core/manifest";
import type { Pane } from "../engine/pane";
import { ApiError, requestJson } from "../net/api";
import type { Workspace } from "../tools/workspace";
import { ViewerElement } from "./element";
import { icon } from "./icons";

interface Kept extends Likeness {
  id: string;
  name: string;
  is_site: boolean;
  sentence: string;
  stages: KeptStage[];
}

const SIDES = [
  ["", "any"],
  ["L", "left"],
  ["R", "right"],
  ["B", "both"],
] as const;
const FITS: readonly [HungStage["fit"], string][] = [
  ["", t("each as large as fits")],
  ["scale", t("all at one scale")],
  ["chest wall", t("breasts back to back, at one scale")],
];

const SHOWN = { "": "", fused: t("fused"), mip: t("as MIP") } as const;

/** "Use this layout for studies like this": what it is for and what it does, in words. */
export class KeepLayoutElement extends ViewerElement {
  static override properties = {
    workspace: { attribute: false },
    likeness: { state: true },
    known: { state: true },
    message: { state: true },
    isBusy: { state: true },
  };
  declare workspace: Workspace;
  /** Null until the dialog is opened. */
  declare likeness: Likeness | null;
  declare known: readonly Kept[];
  declare message: { text: string; isError: boolean } | null;
  declare isBusy: boolean;

  constructor() {
    super();
    this.likeness = null;
    this.known = [];
    this.message = null;
    this.isBusy = false;
  }

  async open(): Promise<void> {
    this.likeness = likenessOf(this.workspace.manifest);
    this.message = null;
    await this.updateComplete;
    this.querySelector<HTMLDialogElement>("dialog")?.showModal();
    try {
      this.known = await this.ask();
    } catch (error) {
      this.say(error);
    }
  }

  override render(): TemplateResult | typeof nothing {
    const { likeness, workspace } = this;
    if (!likeness) {
      return nothing;
    }
    const { layouts } = workspace.manifest.links;
    return html`<dialog class="sheet keep-layout" aria-labelledby="keep-layout-title" @click=${closeOutside}>
      <header>
        <h2 id="keep-layout-title">${t("Use this layout for studies like this")}</h2>
        <button type="button" class="tool" aria-label=${t("Close")} title=${t("Close (Esc)")} @click=${() => this.close()}>
          ${icon("close")}
        </button>
      </header>
      <form @submit=${(event: SubmitEvent) => this.keep(event)}>
        ${this.named(likeness)} ${this.purpose(likeness)} ${this.contents()}
        ${
          this.message
            ? html`<p role=${this.message.isError ? "alert" : "status"} class=${this.message.isError ? "export-error" : "export-done"}>
                ${this.message.text}
              </p>`
            : nothing
        }
        <p class="row">
          ${layouts ? html`<a class="button" href=${layouts}>${t("All layouts")}</a>` : nothing}
          <button type="button" class="button" @click=${() => this.close()}>${t("Close")}</button>
          <button class="button primary" ?disabled=${this.isBusy}>${this.isBusy ? t("Keeping…") : t("Keep")}</button>
        </p>
      </form>
    </dialog>`;
  }

  private named(likeness: Likeness): TemplateResult {
    const { layout, manifest } = this.workspace;
    const own = this.known.filter(
      ({ is_site }) => !is_site || manifest.user.is_administrator === true,
    );
    return html`<fieldset>
      <legend>${t("Keep")}</legend>
      <label>${t("Name")} <input name="name" required maxlength="64" .value=${nameOf(likeness, layout)} /></label>
      <label>${t("As")}
        <select name="target">
          <option value="">${t("a layout of its own")}</option>
          ${own.map(({ id, name, is_site }) => html`<option value=${id}>${is_site ? t("the next stage of “{name}” (site)", { name }) : t("the next stage of “{name}”", { name })}</option>`)}
        </select>
      </label>
      ${
        manifest.user.is_administrator
          ? html`<label>${t("For")}
              <select name="whose"><option value="me">${t("me")}</option><option value="site">${t("everybody")}</option></select>
            </label>`
          : nothing
      }
    </fieldset>`;
  }

  private purpose(likeness: Likeness): TemplateResult {
    const text = (label: string, name: keyof Likeness, most: number): TemplateResult => html`<label
      >${label} <input name=${name} maxlength=${most} placeholder=${t("any")} .value=${likeness[name]} />
    </label>`;
    return html`<fieldset>
      <legend>${t("For studies with")}</legend>
      ${text(t("Modality"), "Modality", 16)} ${text(t("Body part"), "BodyPartExamined", 64)}
      ${text(t("Description with"), "StudyDescription", 255)}
      <label>${t("Side")}
        <select name="Laterality">
          ${SIDES.map(([value, name]) => html`<option value=${value} ?selected=${likeness.Laterality === value}>${name}</option>`)}
        </select>
      </label>
      ${text(t("View"), "ViewPosition", 16)}
      <label>${t("Priors, at least")}
        <input name="priors" type="number" min="0" max="8" required .value=${String(this.priors())} />
      </label>
      <p class="dim">${t("What is empty fits every study. Words parted by commas: one of them is enough.")}</p>
    </fieldset>`;
  }

  private contents(): TemplateResult {
    const { workspace } = this;
    const isFacing = workspace.visible.some(({ pane }) => pane.hanging?.placement?.edge);
    return html`<fieldset>
      <legend>${t("In the viewports, row by row")}</legend>
      <ol class="places">
        ${workspace.visible.map(({ pane }) => html`<li>${placeWords(this.place(pane, true))}</li>`)}
      </ol>
      <label class="check"><input type="checkbox" name="windows" checked /> ${t("with the windows that were set here")}</label>
      <label class="check"><input type="checkbox" name="links" checked /> ${t("linked as they are linked now")}</label>
      <label>${t("Pictures")}
        <select name="fit">
          ${FITS.map(([value, name]) => html`<option value=${value} ?selected=${value === (isFacing ? "chest wall" : "")}>${name}</option>`)}
        </select>
      </label>
    </fieldset>`;
  }

  /** How many priors the layout on the screen shows. */
  private priors(): number {
    return Math.max(0, ...this.workspace.visible.map(({ pane }) => this.priorOf(pane)));
  }

  private priorOf(pane: Pane): number {
    const { manifest } = this.workspace;
    const { id } = this.workspace.manifestOf(pane).study;
    const shown = this.workspace.visible.map(
      (cell) => this.workspace.manifestOf(cell.pane).study.id,
    );
    const priors = (manifest.priors ?? []).filter((prior) => shown.includes(prior.id));
    return priors.findIndex((prior) => prior.id === id) + 1;
  }

  private place(pane: Pane, keepsWindow: boolean): KeptPlace {
    const { stack } = pane;
    return placeOf(
      stack && {
        series: stack.reformat?.plan.stack.series ?? stack.series,
        frame: pane.wantedFrame,
        prior: this.priorOf(pane),
        window: pane.hasChosenWindow && pane.window.lut === undefined ? pane.window : null,
        show: this.showOf(pane),
      },
      keepsWindow,
    );
  }

  /** How a viewport shows its series, as far as layouts say it. */
  private showOf(pane: Pane): KeptPlace["show"] {
    const { fusion, hanging } = this.workspace;
    if (hanging.views.isProjection(pane)) {
      return "mip";
    }
    return fusion.has(pane) && !pane.stack?.reformat ? "fused" : "";
  }

  private async keep(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const data = new FormData(event.currentTarget as HTMLFormElement);
    const text = (name: string): string => String(data.get(name) ?? "").trim();
    const { workspace } = this;
    const { scroll, window, view } = workspace.links.state;
    const places = workspace.visible.map(({ pane }) => this.place(pane, data.has("windows")));
    const layout = workspace.maximised ? "1x1" : workspace.layout;
    const stage = stageOf(layout, places, {
      name: text("target") ? text("name") : "",
      fit: text("fit") as HungStage["fit"],
      links: data.has("links") ? { scroll, window, view } : null,
    });
    this.isBusy = true;
    this.message = null;
    try {
      const kept = await this.send(text, stage);
      this.message = { text: `Kept. ${kept.sentence}`, isError: false };
      this.known = await this.ask();
    } catch (error) {
      this.say(error);
    } finally {
      this.isBusy = false;
    }
  }

  private send(text: (name: string) => string, stage: KeptStage): Promise<Kept> {
    const address = this.workspace.manifest.links.hanging ?? "";
    const target = this.known.find(({ id }) => id === text("target"));
    if (target) {
      const body = { ...target, stages: [...target.stages, stage] };
      return requestJson<Kept>(`${address}${target.id}/`, { method: "PUT", body });
    }
    const body = {
      name: text("name"),
      // Before all others: what somebody just asked for is what they get.
      priority: 10,
      is_site: text("whose") === "site",
      Modality: text("Modality").toUpperCase(),
      BodyPartExamined: text("BodyPartExamined"),
      StudyDescription: text("StudyDescription"),
      Laterality: text("Laterality"),
      ViewPosition: text("ViewPosition").toUpperCase(),
      priors: Number(text("priors")),
      stages: [stage],
    };
    return requestJson<Kept>(address, { method: "POST", body });
  }

  private async ask(): Promise<Kept[]> {
    const address = this.workspace.manifest.links.hanging;
    return address ? (await requestJson<{ protocols: Kept[] }>(address)).protocols : [];
  }

  private say(error: unknown): void {
    const text = error instanceof ApiError ? error.message : t("The server could not be asked.");
    this.message = { text, isError: true };
  }

  private close(): void {
    this.querySelector<HTMLDialogElement>("dialog")?.close();
  }
}

function placeWords(place: KeptPlace): string {
  const { window_center: center, window_width: width } = place;
  const parts = [
    place.Modality,
    place.SeriesDescription && `“${place.SeriesDescription}”`,
    place.Laterality && (place.Laterality === "L" ? "left" : "right"),
    place.ViewPosition,
    place.prior > 0 && t("of prior {prior}", { prior: place.prior }),
    SHOWN[place.show],
    center !== null && width !== null && `at W ${Math.round(width)} L ${Math.round(center)}`,
  ].filter(Boolean);
  return parts.join(" ") || t("what is left");
}

function closeOutside(event: MouseEvent): void {
  const dialog = event.currentTarget as HTMLDialogElement;
  if (event.target === dialog) {
    dialog.close();
  }
}

customElements.define("noctis-keep-layout", KeepLayoutElement);
