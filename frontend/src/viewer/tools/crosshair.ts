import { t } from "../../i18n";
import { apply, invert } from "../core/affine";
import type { Vec2, Vec3 } from "../core/manifest";
import { cutLine, nearestFrame, offPlane, onPicture, planeOf, planePoint } from "../core/planes";
import { frameThickness } from "../core/stack";
import type { Pane } from "../engine/pane";
import { pictureAt } from "./drawing";
import { sameSpace } from "./links";
import { turnBetween } from "./mpr";
import type { Drag } from "./navigation";
import { distanceToSegment } from "./shapes";
import type { Workspace } from "./workspace";

/** One place of the patient, marked in every viewport that shows it. */
export interface Crosshair {
  point: Vec3;
  FrameOfReferenceUID: string | null;
}

/** Marks the place under the pointer and brings the other viewports of the same space there. */
export function placeCrosshair(workspace: Workspace, pane: Pane, at: Vec2): void {
  const plane = pane.shownFrame && planeOf(pane.shownFrame);
  const uid = pane.stack?.series.FrameOfReferenceUID;
  if (!plane || !uid) {
    workspace.notify({
      id: "crosshair",
      kind: "info",
      text: t(
        "Crosshairs need to know where the picture lies in the patient, and this file does not say it.",
      ),
    });
    return;
  }
  const point = planePoint(plane, pictureAt(pane, at));
  if (workspace.mpr.isOpen && sameSpace(pane, workspace.mpr.panes()[0]?.pane ?? pane)) {
    workspace.mpr.goTo(point);
    return;
  }
  workspace.setCrosshair({ point, FrameOfReferenceUID: uid });
  for (const { pane: other } of workspace.visible) {
    const found =
      other !== pane && sameSpace(pane, other) && nearestFrame(other.stack?.frames ?? [], point);
    if (found) {
      other.go(found.index);
    }
  }
}

export function crosshairDrag(workspace: Workspace, pane: Pane, start: Vec2): Drag {
  const turning = turnDrag(workspace, pane, start);
  if (turning) {
    return turning;
  }
  const before = workspace.crosshair;
  placeCrosshair(workspace, pane, start);
  return {
    move: (at) => placeCrosshair(workspace, pane, at),
    end() {},
    cancel: () => workspace.setCrosshair(before),
  };
}

/** A press this near to a plane's line turns it; nearer to the crossing it moves the crossing. */
const LINE_REACH = 9;
const CENTER_REACH = 36;

/** Turning the other planes by dragging one of their lines about the crossing. */
function turnDrag(workspace: Workspace, pane: Pane, start: Vec2): Drag | null {
  const { mpr } = workspace;
  const frame = pane.stack?.reformat && pane.shownFrame;
  const plane = frame && planeOf(frame);
  const { matrix } = pane;
  if (!plane || !matrix) {
    return null;
  }
  const center = apply(matrix, onPicture(plane, mpr.center));
  const isNearLine = mpr.panes().some(({ pane: other }) => {
    const there = other !== pane && other.shownFrame && planeOf(other.shownFrame);
    const line = there && cutLine(plane, there);
    return (
      line && distanceToSegment(start, apply(matrix, line[0]), apply(matrix, line[1])) <= LINE_REACH
    );
  });
  if (!isNearLine || Math.hypot(start[0] - center[0], start[1] - center[1]) < CENTER_REACH) {
    return null;
  }
  let last = planePoint(plane, apply(invert(matrix), start));
  let whole = 0;
  let hasMoved = false;
  const turnTo = (to: Vec3): void => {
    const by = turnBetween(mpr.center, last, to, plane.normal);
    last = to;
    whole += by;
    mpr.turn(pane, by);
  };
  return {
    move: (at) => {
      hasMoved = true;
      turnTo(planePoint(plane, apply(invert(matrix), at)));
    },
    // A click means the place, on a line too.
    end: () => {
      if (!hasMoved) {
        placeCrosshair(workspace, pane, start);
      }
    },
    cancel: () => mpr.turn(pane, -whole),
  };
}

/** Where the crosshair stands on a viewport; null where its place is not on the shown picture. */
export function crosshairOn(workspace: Workspace, pane: Pane): Vec2 | null {
  const { crosshair } = workspace;
  const frame = pane.shownFrame;
  const plane = frame && planeOf(frame);
  if (
    !crosshair ||
    !plane ||
    !pane.matrix ||
    pane.stack?.series.FrameOfReferenceUID !== crosshair.FrameOfReferenceUID
  ) {
    return null;
  }
  const between = pane.stack?.reformat?.grid.step ?? frameThickness(frame) ?? 0;
  const reach = Math.max(between / 2, 0.5) + 0.01;
  return Math.abs(offPlane(plane, crosshair.point)) <= reach
    ? apply(pane.matrix, onPicture(plane, crosshair.point))
    : null;
}
