import { type SVGTemplateResult, svg } from "lit";
import { apply } from "../core/affine";
import type { Vec2 } from "../core/manifest";
import { cutLine, planeOf } from "../core/planes";
import type { Pane } from "../engine/pane";
import { crosshairOn } from "../tools/crosshair";
import { sameSpace } from "../tools/links";
import type { Workspace } from "../tools/workspace";

/** Free room about the crosshair's place, in CSS pixels: it must not cover what it points at. */
const GAP = 12;

/** Where other viewports' pictures cut through this one, and the crosshair. */
export function spatialLines(workspace: Workspace, pane: Pane): SVGTemplateResult[] {
  const cross = crosshairOn(workspace, pane);
  const lines = referenceLines(workspace, pane, cross);
  return pane.stack?.reformat || !cross ? lines : [...lines, crosshair(pane, cross)];
}

/** Planes of one volume show each other's lines; else the active viewport's line is shown. */
function referenceLines(workspace: Workspace, pane: Pane, cross: Vec2 | null): SVGTemplateResult[] {
  const plane = pane.shownFrame && planeOf(pane.shownFrame);
  const { matrix } = pane;
  const isPlane = pane.stack?.reformat !== undefined;
  if (!(workspace.links.state.referenceLines || isPlane) || !plane || !matrix) {
    return [];
  }
  return workspace.visible.flatMap(({ pane: other, number }) => {
    const kind = isPlane ? other.stack?.reformat?.kind : undefined;
    const isMeant = isPlane ? kind !== undefined : other === workspace.active;
    const frame = other.shownFrame;
    const there =
      isMeant && other !== pane && frame && (isPlane || sameSpace(pane, other)) && planeOf(frame);
    const line = there && cutLine(plane, there);
    if (!line) {
      return [];
    }
    const [a, b] = [apply(matrix, line[0]), apply(matrix, line[1])];
    const path = isPlane && cross ? broken(a, b, cross) : `M${a[0]},${a[1]}L${b[0]},${b[1]}`;
    return [
      svg`<g class="reference" data-of=${number + 1} data-kind=${kind ?? "stack"}>
        <path class="halo" d=${path}></path><path class="line" d=${path}></path>
      </g>`,
    ];
  });
}

/** A line that leaves the crossing free. */
function broken(a: Vec2, b: Vec2, at: Vec2): string {
  const length = Math.hypot(b[0] - a[0], b[1] - a[1]) || 1;
  const along: Vec2 = [(b[0] - a[0]) / length, (b[1] - a[1]) / length];
  const middle = (at[0] - a[0]) * along[0] + (at[1] - a[1]) * along[1];
  const point = (distance: number): string =>
    `${a[0] + along[0] * distance},${a[1] + along[1] * distance}`;
  const before = middle - GAP;
  const after = middle + GAP;
  return [
    before > 0 ? `M${point(0)}L${point(Math.min(before, length))}` : "",
    after < length ? `M${point(Math.max(after, 0))}L${point(length)}` : "",
  ].join("");
}

function crosshair(pane: Pane, [x, y]: Vec2): SVGTemplateResult {
  const { width, height } = pane.size;
  const path = `M0,${y}H${x - GAP}M${x + GAP},${y}H${width}M${x},0V${y - GAP}M${x},${y + GAP}V${height}`;
  return svg`<g class="crosshair" data-x=${x} data-y=${y}>
      <path class="halo" d=${path}></path><path class="line" d=${path}></path>
    </g>`;
}
