import { t } from "../../i18n";
import { said } from "../../sentences";

/** What the server says where it does not open the study. */
interface Refusal {
  detail?: string;
  needs_pin?: boolean;
}

const OFFLINE = t("The server does not answer. Check the network, then try again.");
const INCOMPLETE = t("This link is incomplete. Copy all of it, or ask whoever shared the study.");

/**
 * Exchanges the link behind the `#` of this page's address for a visit. Browsers send that part to
 * no server; it is taken out of the address, and out of the history, before anything else.
 */
export function start(): void {
  const sheet = document.querySelector<HTMLElement>("[data-exchange]");
  if (!sheet) {
    return;
  }
  const link = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
  const form = part<HTMLFormElement>(sheet, "[data-pin]");
  const again = part(sheet, "[data-again]");
  const told = part(sheet, "[data-said]");
  const failure = part(sheet, "[data-failure]");
  const alert = part(sheet, "#open-error");
  const pin = part<HTMLInputElement>(sheet, "#pin");

  const refuse = (words: string): void => {
    told.hidden = true;
    failure.textContent = words;
    alert.hidden = false;
  };
  const ask = (words: string, isFirst: boolean): void => {
    form.hidden = false;
    if (isFirst) {
      told.textContent = words;
    } else {
      refuse(words);
      pin.setAttribute("aria-invalid", "true");
    }
    pin.select();
    pin.focus();
  };
  const open = async (): Promise<void> => {
    alert.hidden = true;
    again.hidden = true;
    const written = pin.value.trim();
    let response: Response;
    try {
      response = await fetch(sheet.dataset.exchange ?? "", {
        method: "POST",
        credentials: "same-origin",
        headers: { Accept: "application/json", "Content-Type": "application/json" },
        body: JSON.stringify({ link, pin: written }),
      });
    } catch {
      refuse(OFFLINE);
      again.hidden = !form.hidden;
      return;
    }
    const answer = (await response.json().catch(() => ({}))) as Refusal & { url?: string };
    if (response.ok && answer.url) {
      location.replace(answer.url);
      return;
    }
    const words = answer.detail
      ? said(answer.detail)
      : t("The server could not answer ({status}). Try again.", { status: response.status });
    if (answer.needs_pin) {
      ask(words, written === "");
    } else {
      refuse(words);
      const mayHelp = response.status === 429 || response.status >= 500;
      form.hidden ||= !mayHelp;
      again.hidden = !mayHelp || !form.hidden;
    }
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (pin.value.trim() === "") {
      ask(t("Write the PIN."), false);
    } else {
      void open();
    }
  });
  again.addEventListener("click", () => void open());
  if (link) {
    void open();
  } else {
    refuse(INCOMPLETE);
  }
}

function part<T extends HTMLElement = HTMLElement>(sheet: HTMLElement, selector: string): T {
  const found = sheet.querySelector<T>(selector);
  if (!found) {
    throw new Error(`The page has no ${selector}.`);
  }
  return found;
}
