import { t } from "../../i18n";
import { said } from "../../sentences";
import "./ended.css";

/** What the server says of the link that somebody came by. */
export interface GuestFacts {
  shared_by: string;
  ends_at: string;
  visit_url: string;
}

const ASK_EVERY_MS = 30_000;
/** Timers that wait longer than this fire at once. */
const LONGEST_MS = 2 ** 31 - 1;
const OVER = "This link is over. Ask whoever shared the study for a new one.";

/**
 * Covers the page once the link that opened it is over or withdrawn: what was fetched before is on
 * the screen until then, and nothing new comes.
 */
export function watchLink(guest: GuestFacts): void {
  const end = (words: string): void => {
    clearInterval(asking);
    clearTimeout(waiting);
    cover(words);
  };
  const ask = async (): Promise<void> => {
    let response: Response;
    try {
      response = await fetch(guest.visit_url, { credentials: "same-origin" });
    } catch {
      return; // no network: the pictures say so
    }
    if (response.status === 401 || response.status === 403) {
      const body = (await response.json().catch(() => null)) as { detail?: string } | null;
      end(said(body?.detail ?? OVER));
    }
  };
  const left = Date.parse(guest.ends_at) - Date.now();
  const waiting = window.setTimeout(
    () => void ask(),
    Math.min(Math.max(left, 0) + 500, LONGEST_MS),
  );
  const asking = window.setInterval(() => {
    if (document.visibilityState === "visible") {
      void ask();
    }
  }, ASK_EVERY_MS);
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") {
      void ask();
    }
  });
}

function cover(words: string): void {
  if (document.querySelector(".link-ended")) {
    return;
  }
  const dialog = document.createElement("dialog");
  dialog.className = "link-ended";
  dialog.setAttribute("aria-labelledby", "link-ended-title");
  const title = document.createElement("h1");
  title.id = "link-ended-title";
  title.textContent = t("This link has ended");
  const text = document.createElement("p");
  text.textContent = words;
  dialog.append(title, text);
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  document.body.append(dialog);
  dialog.showModal();
}
