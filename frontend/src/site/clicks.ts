import { t } from "../i18n";
import { toast } from "./dom";

/** Small buttons that any page may have: copy a text, show a password, hide a missing picture. */
export function startClicks(): void {
  for (const button of document.querySelectorAll<HTMLElement>(
    '[data-action="reveal"], [data-action="back"]',
  )) {
    button.hidden = button.dataset.action === "back" && history.length < 2;
  }
  document.addEventListener("click", (event) => {
    const button = (event.target as Element).closest<HTMLElement>("[data-action]");
    if (button?.dataset.action === "copy") {
      void copy(button);
    } else if (button?.dataset.action === "reveal") {
      reveal(button);
    } else if (button?.dataset.action === "back") {
      history.back();
    }
  });
  // A picture that cannot be had leaves its place empty instead of a broken mark.
  document.addEventListener("error", hideMissing, true);
  for (const picture of document.images) {
    if (picture.complete && picture.naturalWidth === 0 && picture.currentSrc) {
      picture.classList.add("is-missing");
    }
  }
}

function hideMissing(event: Event): void {
  if (event.target instanceof HTMLImageElement) {
    event.target.classList.add("is-missing");
  }
}

async function copy(button: HTMLElement): Promise<void> {
  const text = document.getElementById(button.dataset.copy ?? "")?.textContent?.trim() ?? "";
  try {
    await navigator.clipboard.writeText(text);
    toast(t("Copied."));
  } catch {
    toast(t("The browser does not allow copying here. Select the text instead."), "error");
  }
}

function reveal(button: HTMLElement): void {
  const input = document.getElementById(button.getAttribute("aria-controls") ?? "");
  if (input instanceof HTMLInputElement) {
    const isShown = input.type === "text";
    input.type = isShown ? "password" : "text";
    button.setAttribute("aria-pressed", String(!isShown));
    button.querySelector("use")?.setAttribute("href", isShown ? "#i-eye" : "#i-eye-off");
    input.focus();
  }
}
