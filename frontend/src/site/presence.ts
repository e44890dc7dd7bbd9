const ADDRESS = "/accounts/api/here/";
const TELL_EVERY_MS = 60_000;
const SIGNS = ["pointerdown", "pointermove", "keydown", "wheel", "touchstart"] as const;

/**
 * Tells the server that somebody is at the screen, at most once a minute: sessions end where nobody
 * is, and what pages do by themselves does not count.
 */
export function keepPresent(now: () => number = Date.now): void {
  // Opening the page was a sign itself.
  let told = now();
  const tell = () => {
    if (now() - told < TELL_EVERY_MS) {
      return;
    }
    told = now();
    const token = document.querySelector<HTMLMetaElement>('meta[name="csrf-token"]')?.content ?? "";
    // What it answers does not matter: whatever comes next says that the session is over.
    fetch(ADDRESS, {
      method: "POST",
      credentials: "same-origin",
      keepalive: true,
      headers: { "X-CSRFToken": token },
    }).catch(() => undefined);
  };
  for (const sign of SIGNS) {
    document.addEventListener(sign, tell, { capture: true, passive: true });
  }
}
