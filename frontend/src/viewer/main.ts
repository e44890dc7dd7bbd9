import { t } from "../i18n";
import "../styles/tokens.css";
import "./styles/page.css";
import "./styles/bars.css";
import "./styles/viewport.css";
import "./styles/panels.css";
import "./styles/export.css";
import "./styles/reading.css";
import "./styles/hanging.css";
import "./styles/segments.css";
import "./styles/machine.css";
import { keepPresent } from "../site/presence";
import { watchLink } from "../site/sharing/watch";
import { personName } from "./core/format";
import { parseManifest } from "./core/manifest";
import { quantities } from "./core/quantity";
import { frameKey } from "./core/stack";
import { CanvasSurface } from "./engine/canvas-surface";
import { chooseRenderer } from "./engine/choose";
import { loadFound } from "./net/found";
import { followFindings, loadFindings } from "./net/machine";
import { shareStrokes } from "./net/strokes";
import { loadUptake } from "./net/uptake";
import { keepSession, restoreSession } from "./tools/session";
import { keepShown, loadShown } from "./tools/shown";
import { Workspace } from "./tools/workspace";
import "./ui/priors";
import "./ui/viewer";
import type { ViewerPageElement } from "./ui/viewer";

const SHARE_AFTER_MS = 2000;
const PREPARE_AFTER_MS = 20_000;
const TOLD_WITHIN_MS = 1000;
/** A tab that nobody looks at paints nothing. */
const PAINTED_WITHIN_MS = 100;

/** Sets a mark once, however often the moment comes. */
function markOnce(name: string, startTime = performance.now()): void {
  if (performance.getEntriesByName(name, "mark").length === 0) {
    performance.mark(name, { startTime });
  }
}

/** The picture in the page itself, which stands there before this script has run. */
const still = document.querySelector<HTMLElement>("[data-still]");

/** Hands the picture that came with the page to the viewport, before anything has been fetched. */
function showPreview(workspace: Workspace): void {
  const first = workspace.manifest.first_image;
  const image = still?.querySelector("img");
  // A picture that cannot be made small comes as its exact frame alone, with the reason if it fails.
  if (!first || !image) {
    return;
  }
  const { window_center: center, window_width: width } = first;
  const window =
    center !== null && width !== null && width > 0
      ? ({ center, width, function: "LINEAR" } as const)
      : null;
  const show = (): void => {
    const key = frameKey(first.image_id, first.frame_number);
    workspace.active.setPreview({ key, image, window });
  };
  if (image.complete) {
    show();
  } else {
    image.addEventListener("load", show);
  }
  const { active } = workspace;
  const stop = active.on("change", () => {
    if (active.state !== "loading") {
      stop();
      still?.remove();
    }
  });
}

/** When the page's own picture was painted, where the browser tells. */
function markStill(): void {
  if (PerformanceObserver.supportedEntryTypes.includes("element")) {
    new PerformanceObserver((list, observer) => {
      observer.disconnect();
      markOnce("viewer:first-preview", list.getEntries()[0]?.startTime);
    }).observe({ type: "element", buffered: true });
  }
}

function markMoments(workspace: Workspace): void {
  const firstSeries = workspace.active.stack;
  let isDrawn = false;
  workspace.active.on("drawn", ({ exact }) => {
    const now = performance.now();
    if (exact) {
      markOnce("viewer:first-lossless", now);
    }
    if (!isDrawn) {
      isDrawn = true;
      // The browser tells of the page's own picture, which was there before, in a task of its own;
      // not at all where the exact one was sooner.
      setTimeout(() => markOnce("viewer:first-preview", now), TOLD_WITHIN_MS);
    }
  });
  workspace.mpr.on("change", () => {
    for (const { pane } of workspace.mpr.panes()) {
      const stopWaiting = pane.on("drawn", () => {
        stopWaiting();
        if (workspace.mpr.panes().every(({ pane: each }) => each.shownIndex >= 0)) {
          markOnce("viewer:mpr-lit");
        }
      });
    }
  });
  const stop = workspace.on("loaded", () => {
    if (firstSeries?.frames.every(({ key }) => workspace.frames.has(key))) {
      markOnce("viewer:series-complete");
      stop();
    }
  });
}

/** After the first exact picture: hands the drawing to the graphics processor where there is one. */
function upgradeSurfaces(workspace: Workspace): void {
  const stop = workspace.active.on("drawn", ({ exact }) => {
    if (exact) {
      stop();
      // To ask for the graphics processor takes 15 ms and more: not before the picture is painted.
      setTimeout(() => void upgrade(workspace));
    }
  });
}

async function upgrade(workspace: Workspace): Promise<void> {
  if (chooseRenderer(location.search, localStorage.getItem("noctis.renderer")) === "canvas") {
    return;
  }
  const fallBack = (): void => workspace.replaceSurfaces(() => new CanvasSurface());
  try {
    const { startCornerstone } = await import("./engine/cornerstone");
    workspace.replaceSurfaces(startCornerstone(workspace.frames, fallBack));
    performance.mark("viewer:engine");
  } catch {
    workspace.notify({
      id: "engine",
      kind: "info",
      text: t("The graphics engine could not be loaded. Pictures are drawn without it."),
    });
  }
}

function guardUnsaved(workspace: Workspace): void {
  window.addEventListener("online", () => workspace.retry());
  window.addEventListener("pagehide", () => workspace.saver.flush());
  window.addEventListener("beforeunload", (event) => {
    workspace.saver.flush();
    const { overall } = workspace.saver;
    if (overall === "waiting" || overall === "failed") {
      event.preventDefault();
    }
  });
}

/** A link may name the image that it is about: `?image=<id>&frame=<number>`. */
function showAsked(workspace: Workspace): void {
  const asked = new URLSearchParams(location.search);
  const image = asked.get("image");
  if (image && !workspace.showImage(image, Number(asked.get("frame")) || 1)) {
    workspace.notify({
      id: "asked",
      kind: "info",
      text: t("The image that the link names is not in this study any more."),
    });
  }
}

/** When all of the first series is here, or after a while: the beginning of the next study. */
function prepareNext(workspace: Workspace): void {
  const frames = workspace.active.stack?.frames ?? [];
  let timer = 0;
  const begin = (): void => {
    stop();
    clearTimeout(timer);
    void workspace.readingList.prepare();
  };
  const stop = workspace.on("loaded", () => {
    if (frames.every(({ key }) => workspace.frames.has(key))) {
      begin();
    }
  });
  timer = window.setTimeout(begin, PREPARE_AFTER_MS);
}

/** After the first exact picture, or a while: pictures come before what others draw on them. */
function shareSoon(workspace: Workspace): void {
  const { study, links } = workspace.manifest;
  let timer = 0;
  const begin = (): void => {
    stop();
    clearTimeout(timer);
    const live = shareStrokes(study.id, links, workspace.saver);
    if (live) {
      followFindings(live, study.id, links.findings, workspace.machine);
    }
    void loadFound(links.found, workspace.found);
    void loadFindings(links.findings, workspace.machine);
    void loadShown(workspace);
    void loadUptake(workspace.manifest.series, quantities, () => workspace.valuesChanged());
  };
  const stop = workspace.active.on("drawn", ({ exact }) => exact && begin());
  timer = window.setTimeout(begin, SHARE_AFTER_MS);
}

function start(): void {
  const element = document.querySelector<ViewerPageElement>("noctis-viewer");
  const source = document.getElementById("study-manifest");
  if (!element) {
    throw new Error("The page has no <noctis-viewer> element.");
  }
  try {
    const manifest = parseManifest(source?.textContent ?? "");
    const isTouch = matchMedia("(pointer: coarse)").matches;
    const workspace = new Workspace(manifest, () => new CanvasSurface(), isTouch);
    document.title = `${personName(manifest.patient.PatientName)} · ${manifest.study.StudyDate ?? t("Viewer")}`;
    markMoments(workspace);
    showPreview(workspace);
    element.open(workspace);
    restoreSession(workspace);
    showAsked(workspace);
    if (workspace.windows.isSecond) {
      document.title = t("Second window · {title}", { title: document.title });
    } else {
      keepSession(workspace);
      prepareNext(workspace);
    }
    keepShown(workspace);
    if (manifest.guest) {
      watchLink(manifest.guest);
    } else {
      keepPresent();
    }
    guardUnsaved(workspace);
    shareSoon(workspace);
    upgradeSurfaces(workspace);
  } catch (error) {
    element.dataset.state = "error";
    element.textContent = error instanceof Error ? error.message : String(error);
    throw error;
  }
}

/** To build the page takes longer than to paint the picture that is there already: that comes first. */
function startAfterStill(): void {
  performance.mark("viewer:shell");
  markStill();
  if (!still || still.hidden || document.visibilityState === "hidden") {
    start();
    return;
  }
  const begin = (): void => {
    if (!hasBegun) {
      hasBegun = true;
      start();
    }
  };
  let hasBegun = false;
  requestAnimationFrame(() => setTimeout(begin));
  setTimeout(begin, PAINTED_WITHIN_MS);
}

startAfterStill();
