import { t } from "../../i18n";
import type { Workspace } from "../tools/workspace";
import { openTrueSize } from "./true-size";

/** What buttons, menus and keys do: one place, so that all ways do the same. */
export interface Action {
  /** Under which a person's own keys for it are kept. */
  id: string;
  name: string;
  keys: readonly string[];
  group: string;
  run: (workspace: Workspace) => void;
}

const NEXT_LINK = { off: "position", position: "offset", offset: "off" } as const;
/** Five degrees. */
const TURN_STEP = Math.PI / 36;
const ZOOM_STEP = 1.25;

function zoom(workspace: Workspace, factor: number): void {
  const pane = workspace.active;
  pane.setView({
    ...pane.view,
    zoom: pane.view.zoom * factor,
    pan: [pane.view.pan[0] * factor, pane.view.pan[1] * factor],
  });
}

export function toggleFullScreen(workspace: Workspace): void {
  const change = document.fullscreenElement
    ? document.exitFullscreen()
    : document.documentElement.requestFullscreen();
  change.catch(() => {
    workspace.notify({
      id: "full-screen",
      kind: "info",
      text: t("This browser does not let the page fill the screen. Its own menu may."),
    });
  });
}

export function toggleCine(workspace: Workspace): void {
  const pane = workspace.active;
  if (pane.cine.isPlaying) {
    pane.stop();
  } else {
    pane.play();
  }
}

/** What shows presentation states is fetched when it is first asked for. */
async function openPresentations(workspace: Workspace): Promise<void> {
  try {
    const loaded = await import("./presentations");
    await loaded.openPresentations(workspace);
  } catch {
    const what = t("Presentation states");
    const text = t("The {what} could not be loaded. Reload the page.", { what });
    workspace.notify({ id: "presentation", kind: "warning", text });
  }
}

export const PICTURE_ACTIONS = {
  rotateLeft: { name: t("Rotate left"), keys: ["l"], run: (w) => w.active.turn("rotateLeft") },
  rotateRight: { name: t("Rotate right"), keys: ["r"], run: (w) => w.active.turn("rotateRight") },
  flipHorizontal: {
    name: t("Flip horizontal"),
    keys: ["h"],
    run: (w) => w.active.turn("flipHorizontal"),
  },
  flipVertical: {
    name: t("Flip vertical"),
    keys: ["v"],
    run: (w) => w.active.turn("flipVertical"),
  },
  invert: { name: t("Invert"), keys: ["i"], run: (w) => w.active.toggleInvert() },
  zoomIn: { name: t("Zoom in"), keys: ["+"], run: (w) => zoom(w, ZOOM_STEP) },
  zoomOut: { name: t("Zoom out"), keys: ["-"], run: (w) => zoom(w, 1 / ZOOM_STEP) },
  fit: { name: t("Fit"), keys: ["="], run: (w) => w.active.fit() },
  trueSize: { name: t("True size"), keys: ["%"], run: () => openTrueSize() },
  presentations: {
    name: t("Presentation states…"),
    keys: [],
    run: (w) => void openPresentations(w),
  },
  oneToOne: { name: "1:1", keys: ["#"], run: (w) => w.active.oneToOne() },
  reset: { name: t("Reset"), keys: ["Space"], run: (w) => w.active.reset() },
  colors: {
    name: t("Colours and fusion"),
    keys: ["$"],
    run: (w) => w.fusion.setBar(!w.fusion.isBarOpen),
  },
  fusion: { name: t("Fusion on or off"), keys: ["&"], run: (w) => w.fusion.toggle() },
  fadeOut: {
    name: t("Fusion: less of what is laid over"),
    keys: ["("],
    run: (w) => w.fusion.fade(-1),
  },
  fadeIn: {
    name: t("Fusion: more of what is laid over"),
    keys: [")"],
    run: (w) => w.fusion.fade(1),
  },
  cine: { name: t("Cine"), keys: ["c"], run: toggleCine },
  fullScreen: { name: t("Full screen"), keys: ["f"], run: toggleFullScreen },
} as const satisfies Record<string, Omit<Action, "group" | "id">>;

function turnPlanes(workspace: Workspace, radians: number): void {
  if (workspace.volume3d.isOpen) {
    workspace.volume3d.turn(radians, 0);
  } else {
    workspace.mpr.turn(workspace.active, radians);
  }
}

export const STACK_ACTIONS = {
  previousImage: { name: t("Previous image"), keys: ["ArrowUp"], run: (w) => w.active.step(-1) },
  nextImage: { name: t("Next image"), keys: ["ArrowDown"], run: (w) => w.active.step(1) },
  previousTen: {
    name: t("Ten images back"),
    keys: ["Shift+ArrowUp"],
    run: (w) => w.active.step(-10),
  },
  nextTen: { name: t("Ten images on"), keys: ["Shift+ArrowDown"], run: (w) => w.active.step(10) },
  firstImage: { name: t("First image"), keys: ["Home"], run: (w) => w.active.go(0) },
  lastImage: {
    name: t("Last image"),
    keys: ["End"],
    run: (w) => w.active.go(Number.MAX_SAFE_INTEGER),
  },
  previousSeries: { name: t("Previous series"), keys: ["PageUp"], run: (w) => w.stepSeries(-1) },
  nextSeries: { name: t("Next series"), keys: ["PageDown"], run: (w) => w.stepSeries(1) },
  previousViewport: {
    name: t("Previous viewport"),
    keys: ["ArrowLeft"],
    run: (w) => w.activateNext(-1),
  },
  linkScroll: {
    name: t("Scroll viewports together"),
    keys: ["y"],
    run: (w) => w.links.set({ scroll: NEXT_LINK[w.links.state.scroll] }),
  },
  mpr: { name: "MPR", keys: ["q"], run: (w) => w.mpr.toggle() },
  volume3d: { name: "3D", keys: ["Shift+Enter"], run: (w) => w.volume3d.toggle() },
  turnPlanesLeft: {
    name: t("Turn the other planes or the volume left"),
    keys: ["["],
    run: (w) => turnPlanes(w, -TURN_STEP),
  },
  turnPlanesRight: {
    name: t("Turn the other planes or the volume right"),
    keys: ["]"],
    run: (w) => turnPlanes(w, TURN_STEP),
  },
  nextViewport: { name: t("Next viewport"), keys: ["ArrowRight"], run: (w) => w.activateNext(1) },
} as const satisfies Record<string, Omit<Action, "group" | "id">>;

export const LAYOUT_ACTIONS = {
  nextStage: {
    name: t("Next stage of the layout"),
    keys: ["Shift+PageDown"],
    run: (w) => w.hanging.step(1),
  },
  previousStage: {
    name: t("Previous stage of the layout"),
    keys: ["Shift+PageUp"],
    run: (w) => w.hanging.step(-1),
  },
  compare: { name: t("Compare with the prior"), keys: ["0"], run: compareWithPrior },
  secondWindow: {
    name: t("Second window"),
    keys: ["!"],
    run: (w) => w.windows.openSecond(),
  },
  nextStudy: {
    name: t("Next study of the list"),
    keys: ["n"],
    run: (w) => void w.readingList.go("next"),
  },
  previousStudy: {
    name: t("Previous study of the list"),
    keys: ["p"],
    run: (w) => void w.readingList.go("previous"),
  },
} as const satisfies Record<string, Omit<Action, "group" | "id">>;

/** The most telling prior, or the next one where that is shown already. */
function compareWithPrior(workspace: Workspace): void {
  const priors = workspace.manifest.priors ?? [];
  const shown = workspace.visible.map(({ pane }) => workspace.manifestOf(pane).study.id);
  const at = priors.findLastIndex(({ id }) => shown.includes(id));
  const prior = priors[(at + 1) % Math.max(priors.length, 1)];
  if (prior) {
    void workspace.hanging.compare(prior.id);
  } else {
    const text = t("There is no other study of this person to compare with.");
    workspace.notify({ id: "no-prior", kind: "info", text });
  }
}

export const DRAWING_ACTIONS = {
  undo: { name: t("Undo"), keys: ["Control+z"], run: (w) => w.undo() },
  redo: { name: t("Redo"), keys: ["Control+y", "Control+Shift+z"], run: (w) => w.redo() },
  remove: {
    name: t("Delete the selected measurement"),
    keys: ["Backspace", "Delete"],
    run: (w) => {
      if (w.list.selected) {
        w.list.remove(w.list.selected);
      }
    },
  },
  texts: { name: t("Texts"), keys: ["t"], run: (w) => w.setTexts(!w.showsTexts) },
} as const satisfies Record<string, Omit<Action, "group" | "id">>;

type Named = Record<string, Omit<Action, "group" | "id">>;

function inGroup(group: string, actions: Named): Action[] {
  return Object.entries(actions).map(([id, action]) => ({ ...action, id, group }));
}

export function allActions(): Action[] {
  return [
    ...inGroup(t("Picture"), PICTURE_ACTIONS),
    ...inGroup(t("Images"), STACK_ACTIONS),
    ...inGroup(t("Layout"), LAYOUT_ACTIONS),
    ...inGroup(t("Measurements"), DRAWING_ACTIONS),
  ];
}
