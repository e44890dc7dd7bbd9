import { request } from "../net/api";

const COOKIE = "noctis_theme";

function isLight(): boolean {
  const { theme } = document.documentElement.dataset;
  return (
    theme === "light" || (theme === "auto" && matchMedia("(prefers-color-scheme: light)").matches)
  );
}

/** Exchanges light and dark here, on this browser's next pages, and for the person everywhere. */
export async function toggleTheme(url: string | undefined): Promise<void> {
  const theme = isLight() ? "dark" : "light";
  document.documentElement.dataset.theme = theme;
  // biome-ignore lint/suspicious/noDocumentCookie: the Cookie Store API is missing in Firefox.
  document.cookie = `${COOKIE}=${theme};path=/;max-age=31536000;samesite=lax`;
  if (url) {
    await request(url, { method: "POST", body: { theme } });
  }
}
