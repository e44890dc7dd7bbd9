import type { SiteConfig } from "./config";
import { toast } from "./dom";
import { messageOf, postJson } from "./http";

export const THEMES = ["dark", "light", "auto"] as const;
export type Theme = (typeof THEMES)[number];

const COOKIE = "noctis_theme";

export function isTheme(value: string | null | undefined): value is Theme {
  return (THEMES as readonly string[]).includes(value ?? "");
}

export function currentTheme(): Theme {
  const value = document.documentElement.dataset.theme;
  return isTheme(value) ? value : "dark";
}

export function show(theme: Theme): void {
  document.documentElement.dataset.theme = theme;
  for (const button of document.querySelectorAll<HTMLElement>("[data-theme-choice]")) {
    button.setAttribute("aria-checked", String(button.dataset.themeChoice === theme));
  }
}

function remember(theme: Theme): void {
  // biome-ignore lint/suspicious/noDocumentCookie: the Cookie Store API is missing in Firefox.
  document.cookie = `${COOKIE}=${theme};path=/;max-age=31536000;samesite=lax`;
}

/** Change the theme here, in this browser's other pages, and for the person everywhere. */
export async function setTheme(theme: Theme, config: SiteConfig | null): Promise<void> {
  show(theme);
  remember(theme);
  if (config) {
    await postJson(config.urls.theme, { theme });
  }
}

/** The server drew the page in the theme that the cookie keeps, which signing in and the viewer set. */
export function startTheme(config: SiteConfig | null): void {
  show(currentTheme());
  document.addEventListener("click", (event) => {
    const button = (event.target as Element).closest<HTMLElement>("[data-theme-choice]");
    const chosen = button?.dataset.themeChoice;
    if (isTheme(chosen)) {
      setTheme(chosen, config).catch((error: unknown) => toast(messageOf(error), "error"));
    }
  });
}
