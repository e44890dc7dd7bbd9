import { html, nothing, type TemplateResult } from "lit";
import { t, tn } from "../../i18n";
import { said } from "../../sentences";
import type { Workspace } from "../tools/workspace";
import { icon } from "./icons";

/** Whether everything drawn is kept; never silent about what is not. */
export function saveSign({ saver, list }: Workspace): TemplateResult | typeof nothing {
  const state = saver.overall;
  if (state === "saved") {
    return list.all().length > 0
      ? html`<span class="save-sign" data-state="saved" title=${t("Everything drawn is saved")}
          >${icon("saved")}<span class="word">${t("Saved")}</span></span
        >`
      : nothing;
  }
  if (state === "saving") {
    return html`<span class="save-sign" data-state="saving">${icon("saving")}<span class="word">${t("Saving")}</span></span>`;
  }
  const message = saver.overallMessage ?? "";
  if (state === "local") {
    return html`<span class="save-sign" data-state="local" title=${message}
      >${icon("unsaved")}<span class="word">${t("Not kept")}</span></span
    >`;
  }
  return html`<button
    type="button"
    class="save-sign"
    data-state=${state}
    title=${t("{message} Press to try again now.", { message })}
    @click=${() => saver.retry()}
  >
    ${icon("unsaved")}<span class="word">${t("Not saved")}</span>
  </button>`;
}

/** What the person is to know of the study and of the connection. */
export function noticeBar(workspace: Workspace): TemplateResult | typeof nothing {
  const { saver } = workspace;
  const state = saver.overall;
  const { strangers } = workspace.notices;
  const notices = [
    ...(strangers ? [strangers] : []),
    ...workspace.notices.all,
    ...workspace.notices.warnings,
  ];
  if ((state === "waiting" || state === "failed") && !notices.some(({ id }) => id === "network")) {
    notices.push({
      id: "unsaved",
      kind: "warning",
      text: `${tn("One measurement is not saved.", "{count} measurements are not saved.", saver.unsaved)} ${saver.overallMessage ?? ""}`,
      action: { label: t("Try now"), run: () => workspace.retry() },
    });
  }
  return notices.length === 0
    ? nothing
    : html`<div class="notices" role="alert">
        ${notices.map(
          ({
            id,
            kind,
            text,
            action,
          }) => html`<div class="notice" data-kind=${kind} data-notice=${id}>
            ${icon("warning")}<span>${said(text)}</span>
            ${
              action
                ? "href" in action
                  ? html`<a class="button" href=${action.href}>${action.label}</a>`
                  : html`<button type="button" class="button" @click=${action.run}>${action.label}</button>`
                : nothing
            }
            ${
              id === "unsaved" || kind === "error"
                ? nothing
                : html`<button
                    type="button"
                    class="tool"
                    aria-label=${t("Dismiss")}
                    @click=${() => workspace.dismiss(id)}
                  >
                    ${icon("close")}
                  </button>`
            }
          </div>`,
        )}
      </div>`;
}
