import { t } from "../i18n";
import { toast } from "./dom";
import { askBefore } from "./facilities/confirm";
import type { Frame } from "./frame";
import { getFragment, messageOf, postJson } from "./http";
import { writeTimes } from "./times";

/** A study's page: its status, and the files of a series once somebody opens the list. */
export function start(frame: Frame): void {
  askBefore(document);
  const select = document.querySelector<HTMLSelectElement>("[data-study-status]");
  select?.addEventListener("change", () => {
    const id = select.dataset.studyStatus;
    postJson(frame.config.urls.status, { ids: [id], status: select.value })
      .then(() => toast(t("Marked as {status}.", { status: t(select.value) })))
      .catch((error: unknown) => toast(messageOf(error), "error"));
  });
  for (const files of document.querySelectorAll<HTMLDetailsElement>("[data-files]")) {
    files.addEventListener("toggle", () => void loadFiles(files), { once: true });
  }
  const here = location.pathname.split("/").at(-2);
  frame.live.on("study.changed", (message) => {
    if (message.study_id === here && message.reason === "images") {
      askToReload();
    }
  });
}

let isAsked = false;

function askToReload(): void {
  if (!isAsked) {
    isAsked = true;
    toast(t("More images came. Reload the page to see them."));
  }
}

async function loadFiles(files: HTMLDetailsElement): Promise<void> {
  const slot = files.querySelector("[data-files-slot]");
  try {
    const content = await getFragment(files.dataset.files ?? "");
    writeTimes(content);
    slot?.replaceChildren(content);
  } catch (error) {
    slot?.replaceChildren(messageOf(error));
  }
}
