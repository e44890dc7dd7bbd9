import "../styles/site.css";
import "./offline.css";
import { keepPresent } from "../site/presence";
import { isTheme, show } from "../site/theme";
import { keepTimes } from "../site/times";
import { OfflinePage } from "./page";

/** The page was kept without anybody's cookies: its colours are this browser's. */
function dress(): void {
  const chosen = /(?:^|; )noctis_theme=([^;]+)/.exec(document.cookie)?.[1];
  if (isTheme(chosen)) {
    show(chosen);
  }
}

async function start(): Promise<void> {
  const root = document.querySelector<HTMLElement>("[data-offline]");
  if (!root) {
    return;
  }
  if (!isSecureContext || !("serviceWorker" in navigator) || !("locks" in navigator)) {
    root.dataset.state = "impossible";
    return;
  }
  await navigator.serviceWorker
    .register(root.dataset.worker ?? "", { scope: root.dataset.scope ?? "" })
    .catch((error: unknown) => OfflinePage.tellNotKept(root, error));
  await OfflinePage.open(root);
}

dress();
keepTimes();
keepPresent();
void start();
