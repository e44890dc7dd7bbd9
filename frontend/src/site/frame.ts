import { msg, t } from "../i18n";
import { said } from "../sentences";
import type { SiteConfig } from "./config";
import { element, icon, isCovered, isWriting, toast } from "./dom";
import { getJson, leaveForSignIn, messageOf, postJson } from "./http";
import { Live, type LiveState } from "./live";
import { Palette } from "./palette";
import { localDate, localMoment } from "./times";

interface StatePart {
  name: string;
  level: "ok" | "warn" | "danger";
  text: string;
  since?: string | null;
}

/** What the server looks at, by the names that it gives. */
export const PARTS = [msg("Receiver"), msg("Queue"), msg("Disk"), msg("Files")];
const STATE_EVERY_MS = 20_000;
const LIVE_TEXTS: Record<LiveState, string> = {
  connecting: t("Reconnecting"),
  live: t("Live"),
  lost: t("Signed out"),
};

/** Keys that every page has; a page's own stand before them. */
const KEYS: [string, string][] = [
  ["/", t("Search studies")],
  ["Ctrl K", t("Commands: pages, studies, theme")],
  ["?", t("These keys")],
];

export interface Frame {
  config: SiteConfig;
  live: Live;
  addKeys: (keys: [string, string][]) => void;
}

/** The top bar: search, palette, state, bell, menus. */
export function startFrame(config: SiteConfig): Frame {
  const live = new Live(config.urls.events, () => {
    toast(t("You are signed out. Sign in again to go on."), "error");
    setTimeout(leaveForSignIn, 1500);
  });
  const keys = [...KEYS];
  const openHelp = () => showHelp(keys);
  const palette = new Palette(config, [
    ...config.facilities.map((facility) => ({
      name: t("Show studies of {name}", { name: facility.name }),
      hint: t("Facility"),
      run: () => void switchFacility(config, facility.id),
    })),
    ...(config.facilities.length > 1
      ? [
          {
            name: t("Show studies of all facilities"),
            hint: t("Facility"),
            run: () => void switchFacility(config, ""),
          },
        ]
      : []),
    { name: t("Keys"), hint: t("Help"), run: openHelp },
    {
      name: t("Sign out"),
      hint: t("Session"),
      run: () => document.querySelector<HTMLFormElement>("#sign-out")?.requestSubmit(),
    },
  ]);
  listenToKeys(palette, openHelp);
  listenToClicks(config, palette, openHelp);
  placeMenus();
  showLive(live);
  showBell(live);
  void keepState(config, live);
  live.start();
  return { config, live, addKeys: (more) => keys.unshift(...more) };
}

function listenToKeys(palette: Palette, openHelp: () => void): void {
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      palette.open();
    } else if (isWriting(event) || event.ctrlKey || event.metaKey || event.altKey || isCovered()) {
      if (event.key === "Escape" && event.target instanceof HTMLInputElement) {
        event.target.blur();
      }
    } else if (event.key === "/") {
      event.preventDefault();
      document.querySelector<HTMLInputElement>("#search")?.select();
    } else if (event.key === "?") {
      event.preventDefault();
      openHelp();
    }
  });
}

function listenToClicks(config: SiteConfig, palette: Palette, openHelp: () => void): void {
  document.addEventListener("click", (event) => {
    const target = event.target as Element;
    const action = target.closest<HTMLElement>("[data-action]")?.dataset.action;
    if (action === "palette") {
      palette.open();
    } else if (action === "help") {
      document.querySelector<HTMLElement>("#user-menu")?.hidePopover();
      openHelp();
    }
    const choice = target.closest<HTMLElement>("#facility-menu [data-facility]");
    if (choice) {
      void switchFacility(config, choice.dataset.facility ?? "");
    }
  });
}

async function switchFacility(config: SiteConfig, id: string): Promise<void> {
  try {
    await postJson(config.urls.facility, { facility: id });
    location.reload();
  } catch (error) {
    toast(messageOf(error), "error");
  }
}

/** A menu opens below the button that opens it. */
function placeMenus(): void {
  for (const menu of document.querySelectorAll<HTMLElement>(".menu[popover]")) {
    menu.addEventListener("beforetoggle", (event) => {
      if ((event as ToggleEvent).newState !== "open" || menu.dataset.anchor === "end") {
        return;
      }
      const opener = document.querySelector(`[popovertarget="${menu.id}"]`);
      const box = opener?.getBoundingClientRect();
      if (!box) {
        return;
      }
      menu.style.top = `${box.bottom + 4}px`;
      const isRight = box.left > innerWidth / 2;
      menu.style.left = isRight ? "auto" : `${Math.max(8, box.left)}px`;
      menu.style.right = isRight ? `${Math.max(8, innerWidth - box.right)}px` : "auto";
    });
  }
}

function showLive(live: Live): void {
  live.watch((state) => {
    for (const mark of document.querySelectorAll<HTMLElement>("[data-live]")) {
      mark.dataset.live = state;
      const text = mark.querySelector("[data-live-text]");
      if (text) {
        text.textContent = LIVE_TEXTS[state];
      }
    }
  });
}

function showBell(live: Live): void {
  const show = (unread: number) => {
    const count = document.querySelector<HTMLElement>("[data-bell-count]");
    const bell = document.querySelector<HTMLElement>("[data-bell]");
    if (count && bell) {
      count.textContent = unread > 99 ? "99+" : String(unread);
      count.hidden = unread === 0;
      const text = unread ? t("Notifications, {unread} unread", { unread }) : t("Notifications");
      bell.title = text;
      bell.setAttribute("aria-label", text);
    }
  };
  live.on("hello", (message) => show(message.unread));
  live.on("notification.unread", (message) => show(message.unread));
  live.on("notification.new", (message) => show(message.unread));
  live.on("notification.changed", (message) => show(message.unread));
}

async function keepState(config: SiteConfig, live: Live): Promise<void> {
  let parts: StatePart[] = [];
  const draw = () => drawState(parts, live.state);
  live.watch(draw);
  const ask = async () => {
    if (document.hidden) {
      return;
    }
    try {
      const state = await getJson<{ parts: StatePart[]; conflicts?: number }>(config.urls.state);
      parts = state.parts;
      for (const place of document.querySelectorAll("[data-conflict-count]")) {
        place.textContent = state.conflicts ? String(state.conflicts) : "";
      }
    } catch (error) {
      parts = [{ name: t("Server"), level: "danger", text: messageOf(error) }];
    }
    draw();
  };
  setInterval(() => void ask(), STATE_EVERY_MS);
  live.on("conflict.new", () => void ask());
  await ask();
}

/** A stopped receiver in words, above the list, for as long as it lasts. */
function drawOutage(parts: StatePart[]): void {
  const banner = document.querySelector<HTMLElement>("[data-receiver-down]");
  if (!banner) {
    return;
  }
  const down = parts.find((part) => part.name === "Receiver" && part.level === "danger");
  const text = down?.since
    ? t("Scanners cannot send. The receiver has not answered since {since}.", {
        since: sinceText(new Date(down.since)),
      })
    : "";
  if (banner.textContent !== text) {
    banner.textContent = text;
  }
  banner.hidden = text === "";
}

function sinceText(at: Date): string {
  const moment = localMoment(at);
  return localDate(at) === localDate(new Date()) ? moment.slice(-5) : moment;
}

function drawState(parts: StatePart[], live: LiveState): void {
  drawOutage(parts);
  const button = document.querySelector<HTMLElement>("[data-state]");
  const list = document.querySelector<HTMLElement>("[data-state-list]");
  if (!button || !list) {
    return;
  }
  const connection: StatePart =
    live === "live"
      ? { name: t("Connection"), level: "ok", text: t("New studies appear by themselves.") }
      : { name: t("Connection"), level: "warn", text: t("Connecting. What is shown may be old.") };
  const all = [connection, ...parts];
  const level = (["danger", "warn"] as const).find((bad) => all.some((p) => p.level === bad));
  button.dataset.state = level ?? "ok";
  const words = all.map((part) => `${t(part.name)}: ${said(part.text)}`).join("\n");
  button.title = words;
  const label = button.querySelector("[data-state-text]");
  if (label) {
    label.textContent = t("State of the site. {words}", { words });
  }
  list.replaceChildren(
    ...all.map((part) => {
      const dot = element("span", "dot");
      dot.classList.add(`dot-${part.level}`);
      return element(
        "div",
        "",
        element("dt", "", dot, t(part.name)),
        element("dd", "", said(part.text)),
      );
    }),
  );
}

function showHelp(keys: [string, string][]): void {
  const dialog = element("dialog", "help");
  dialog.setAttribute("aria-label", t("Keys"));
  const close = element("button", "button-plain", icon("x"));
  close.setAttribute("aria-label", t("Close"));
  close.addEventListener("click", () => dialog.close());
  const list = element("dl", "");
  for (const [key, text] of keys) {
    const parts = key.split(" ").map((part) => element("kbd", "", part));
    const term = element("dt", "");
    term.append(...parts.flatMap((part, index) => (index ? [" ", part] : [part])));
    list.append(term, element("dd", "", text));
  }
  dialog.append(element("div", "help-head", element("h2", "", t("Keys")), close), list);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
}
