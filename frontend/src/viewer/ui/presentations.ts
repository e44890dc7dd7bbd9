import { html, nothing, render, type TemplateResult } from "lit";
import { t } from "../../i18n";
import {
  lookOf,
  presentedView,
  type StateFacts,
  type StateLook,
  type Unmet,
} from "../core/presenting";
import type { StackFrame } from "../core/stack";
import type { Pane } from "../engine/pane";
import { requestJson } from "../net/api";
import { keepSized } from "../tools/sized";
import type { Workspace } from "../tools/workspace";
import { icon } from "./icons";
import { measuredPixelsPerMm, openTrueSize, pixelsPerMm } from "./true-size";

const NOT_APPLIED: Readonly<Record<string, string>> = {
  "modality-lut": t("its Modality LUT"),
  "voi-lut": t("its VOI LUT"),
  "presentation-lut": t("its Presentation LUT"),
  palette: t("its palette"),
  shutter: t("its shutter"),
  overlays: t("its overlays"),
  subtraction: t("its subtraction of frames"),
  "pixel-shape": t("its shape of pixels"),
};

const UNMET: Readonly<Record<Unmet, string>> = {
  "no-spacing": t(
    "This presentation state asks for true size and does not say how large a pixel is, so its area is fitted into the viewport.",
  ),
  "no-screen": t(
    "This presentation state asks for true size, and nobody has measured this screen yet, so its area is fitted into the viewport.",
  ),
};

/** Asks the server which presentation states the study has, and offers those for the picture. */
export async function openPresentations(workspace: Workspace): Promise<void> {
  const pane = workspace.active;
  const frame = pane.shownFrame;
  const url = workspace.manifestOf(pane).links.presentations;
  const dialog = document.createElement("dialog");
  dialog.className = "sheet small";
  dialog.setAttribute("aria-label", t("Presentation states"));
  dialog.addEventListener("close", () => dialog.remove());
  const draw = (content: TemplateResult): void => {
    render(frameOf(content), dialog);
  };
  draw(html`<p role="status">${t("Loading…")}</p>`);
  document.body.append(dialog);
  dialog.showModal();
  if (!url || !frame) {
    draw(none());
    return;
  }
  try {
    const { states } = await requestJson<{ states: StateFacts[] }>(url);
    draw(list(workspace, pane, frame, states, () => dialog.close()));
  } catch (error) {
    draw(html`<p role="alert">${error instanceof Error ? error.message : String(error)}</p>`);
  }
}

function frameOf(content: TemplateResult): TemplateResult {
  return html`<header>
      <h2>${t("Presentation states")}</h2>
      <form method="dialog">
        <button class="tool" aria-label=${t("Close")} title=${t("Close (Esc)")}>${icon("close")}</button>
      </form>
    </header>
    ${content}`;
}

function none(): TemplateResult {
  return html`<p>${t("No presentation state of this study is for the image on the screen.")}</p>`;
}

function list(
  workspace: Workspace,
  pane: Pane,
  frame: StackFrame,
  states: readonly StateFacts[],
  close: () => void,
): TemplateResult {
  const rows = states.flatMap((state) => {
    const look = lookOf(state, frame);
    return look || state.problem ? [{ state, look }] : [];
  });
  return rows.length === 0
    ? none()
    : html`<ul class="state-list">
        ${rows.map(({ state, look }) => {
          const name = nameOf(state);
          if (!look) {
            return html`<li><b>${name}</b><p class="dim">${state.problem}</p></li>`;
          }
          const choose = (): void => {
            close();
            apply(workspace, pane, frame, look);
          };
          return html`<li>
            <button type="button" class="button" @click=${choose}>${name}</button>
            <p class="dim">${asked(look)}</p>
            ${drawnByServer(frame, state, look)}
          </li>`;
        })}
      </ul>`;
}

function nameOf({ SeriesNumber, SeriesDescription, InstanceNumber }: StateFacts): string {
  const numbers = [SeriesNumber, InstanceNumber].filter((number) => number !== null).join("/");
  return [SeriesDescription || t("Presentation state"), numbers].filter(Boolean).join(" ");
}

function asked({ area, rotation, is_flipped: isFlipped }: StateLook): string {
  const sizes = {
    "SCALE TO FIT": t("fitted into the viewport"),
    "TRUE SIZE": t("in true size"),
    MAGNIFY: t("magnified {times} times", { times: area?.magnification ?? 1 }),
  };
  return [
    sizes[area?.mode ?? "SCALE TO FIT"],
    rotation ? t("turned by {degrees}°", { degrees: rotation }) : "",
    isFlipped ? t("mirrored") : "",
  ]
    .filter(Boolean)
    .join(", ");
}

/** What the viewer leaves out of a state is seen in the picture that the server draws. */
function drawnByServer(
  frame: StackFrame,
  state: StateFacts,
  { not_applied: missing }: StateLook,
): TemplateResult | typeof nothing {
  if (missing.length === 0) {
    return nothing;
  }
  const what = missing.map((name) => NOT_APPLIED[name] ?? name).join(", ");
  const address = `/api/v1/dicom/image/${frame.image.id}/frames/${frame.frame_number}.png`;
  const query = new URLSearchParams({
    state: state.image_id,
    pixels_per_mm: String(pixelsPerMm() * devicePixelRatio),
  });
  return html`<p class="dim">
    ${t("The viewer leaves out {what}.", { what })}
    <a href=${`${address}?${query}`} target="_blank" rel="noopener"
      >${t("Picture with all of it")}</a
    >
  </p>`;
}

function apply(workspace: Workspace, pane: Pane, frame: StackFrame, look: StateLook): void {
  const picture = pane.pictureSize;
  if (!picture || pane.shownFrame !== frame) {
    return;
  }
  const wanted = () =>
    presentedView(look, picture, pane.size, {
      devicePixelRatio,
      pixelsPerMm: measuredPixelsPerMm(),
    });
  if (look.window) {
    pane.setWindow(look.window);
  }
  if (pane.invert !== look.invert) {
    pane.toggleInvert();
  }
  keepSized(pane, () => pane.setView(wanted().view));
  const { unmet } = wanted();
  workspace.dismiss("presentation");
  if (unmet) {
    const measure = {
      label: t("Measure the screen"),
      run: () => openTrueSize(() => apply(workspace, pane, frame, look)),
    };
    workspace.notify({
      id: "presentation",
      kind: "info",
      text: UNMET[unmet],
      ...(unmet === "no-screen" ? { action: measure } : {}),
    });
  }
}
