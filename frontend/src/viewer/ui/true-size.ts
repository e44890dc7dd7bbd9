import { html, type TemplateResult } from "lit";
import { t } from "../../i18n";
import { keepSized } from "../tools/sized";
import type { Workspace } from "../tools/workspace";

const DIALOG = "true-size";
const KEPT = "noctis.pixelsPerMm";
/** The short side of a bank card, ISO/IEC 7810 ID-1: it finds room on a phone too. */
const CARD_MM = 53.98;
/** What browsers take an inch for, until somebody has measured the screen. */
const USUAL = 96 / 25.4;
const [LEAST, MOST] = [2, 8];

/** CSS pixels a millimetre of this screen, as somebody measured it; null where nobody has. */
export function measuredPixelsPerMm(): number | null {
  const kept = Number(localStorage.getItem(KEPT));
  return kept >= LEAST && kept <= MOST ? kept : null;
}

/** The same, or what browsers take it for. */
export function pixelsPerMm(): number {
  return measuredPixelsPerMm() ?? USUAL;
}

/** What is done with the screen's size when it is known, in the place of the picture's true size. */
let then: (() => void) | null = null;

/** Asks how large the screen is; `use` what for, if not for showing the picture in true size. */
export function openTrueSize(use: (() => void) | null = null): void {
  then = use;
  const dialog = document.querySelector<HTMLDialogElement>(`#${DIALOG}`);
  const slider = dialog?.querySelector("input");
  if (dialog && slider) {
    slider.value = String(pixelsPerMm());
    draw(slider);
    dialog.showModal();
  }
}

/** Asks how large the screen is, and shows the picture as large as the patient. */
export function trueSizeDialog(workspace: Workspace): TemplateResult {
  return html`<dialog class="sheet small" id=${DIALOG} aria-label=${t("True size")}>
    <form method="dialog" @submit=${(event: SubmitEvent) => take(event, workspace)}>
      <h2>${t("True size")}</h2>
      <p>
        ${t("Hold the short side of a bank card (54 mm) to the screen and make the bar as high as it. This browser remembers it for this screen.")}
      </p>
      <div class="card-side" aria-hidden="true"></div>
      <label
        >${t("Height of the bar")}
        <input
          name="side"
          type="range"
          min=${LEAST}
          max=${MOST}
          step="0.01"
          @input=${(event: Event) => draw(event.target as HTMLInputElement)}
      /></label>
      <p class="row">
        <button class="button" value="cancel" formnovalidate>${t("Cancel")}</button>
        <button class="button primary" value="apply">${t("Show in true size")}</button>
      </p>
    </form>
  </dialog>`;
}

function draw(slider: HTMLInputElement): void {
  const bar = slider.form?.querySelector<HTMLElement>(".card-side");
  if (bar) {
    bar.style.height = `${Number(slider.value) * CARD_MM}px`;
  }
}

function take(event: SubmitEvent, workspace: Workspace): void {
  const form = event.currentTarget as HTMLFormElement;
  const { value } = (event.submitter ?? {}) as HTMLButtonElement;
  if (value === "cancel") {
    return;
  }
  const given = Number(new FormData(form).get("side"));
  localStorage.setItem(KEPT, String(given));
  if (then) {
    then();
  } else if (workspace.active.trueSize(given)) {
    const { active } = workspace;
    keepSized(active, () => active.trueSize(given));
  } else {
    workspace.notify({
      id: "true-size",
      kind: "info",
      text: t(
        "This picture does not say how large its pixels are in the patient, so it has no true size.",
      ),
    });
  }
}
