import { t } from "../../i18n";
import { type ColorMapId, colorsOf } from "../core/colors";
import { Emitter } from "../core/emitter";
import { planeOf } from "../core/planes";
import { quantityOf, takenWindow } from "../core/quantity";
import { planeAt } from "../core/reformat";
import { isColor, isDocument, type Stack, type StackFrame } from "../core/stack";
import { fileWindows, type Overlay, type Window } from "../core/voi";
import { planVolume, THIN } from "../core/volume";
import { OverlayVolume, type PlaneRequest } from "../engine/overlay-volume";
import type { Pane } from "../engine/pane";
import type { Workspace } from "./workspace";

/** What is laid over which series, and how it looks. */
export interface FusionState {
  base: Stack;
  overlay: Stack;
  /** A person laid it over although nobody vouches that the positions agree. */
  isForced: boolean;
  opacity: number;
  /** In the overlay's modality units; null: the whole range of its values. */
  window: Window | null;
  colorMap: ColorMapId;
}

const NOTICE = "fusion";
/** Modalities whose pictures are mostly laid over others, the most usual first. */
const OVERLAID = ["PT", "NM", "RTDOSE", "MR", "CT"];
const FIRST_SUV = { center: 5, width: 10, function: "LINEAR_EXACT" } as const;
const STEP = 0.1;

/** One series laid over another by the places of their voxels. */
export class Fusion extends Emitter<{ change: undefined }> {
  state: FusionState | null = null;
  /** The bar with colours and what is laid over is open. */
  isBarOpen = false;
  private volume: OverlayVolume | null = null;
  private readonly without = new WeakSet<Pane>();
  /** The same for the planes of MPR, which all show what is laid over until somebody says not to. */
  private readonly withoutPlanes = new WeakSet<Pane>();
  private wholeRange: Window | null = null;
  private hasOwnWindow = false;

  constructor(private readonly workspace: Workspace) {
    super();
  }

  setBar(open: boolean): void {
    this.isBarOpen = open;
    this.emit("change", undefined);
  }

  /** The series whose pictures a viewport shows, as they are or as planes through them. */
  baseOf(pane: Pane): Stack | null {
    const { stack } = pane;
    return stack?.rendering ? null : (stack?.reformat?.plan.stack ?? stack);
  }

  /** The series that might be laid over a viewport's. */
  choices(pane: Pane): Stack[] {
    const base = this.baseOf(pane);
    return base === null
      ? []
      : this.workspace.stacks.filter(
          (stack) => stack !== base && !isDocument(stack.series) && !stack.frames.some(isColor),
        );
  }

  isSameSpace(one: Stack, other: Stack): boolean {
    const uid = one.series.FrameOfReferenceUID;
    return Boolean(uid) && uid === other.series.FrameOfReferenceUID;
  }

  /** Lays a series over the active viewport's, or says why it does not. */
  open(overlay: Stack, isForced = false, base = this.baseOf(this.workspace.active)): void {
    const { workspace } = this;
    if (!base || base === overlay) {
      return;
    }
    const plan = planVolume(overlay);
    const refusal =
      "refusal" in plan
        ? t("{overlay} cannot be laid over another series. {refusal}", {
            overlay: nameOf(overlay),
            refusal: plan.refusal,
          })
        : base.frames.some(isColor)
          ? t("{base} is in colour. Only grey pictures are laid over each other.", {
              base: nameOf(base),
            })
          : base.frames.every((frame) => planeOf(frame) === null)
            ? t("{base} does not say where its pictures lie, so nothing can be laid over it.", {
                base: nameOf(base),
              })
            : null;
    if (refusal !== null || "refusal" in plan) {
      workspace.notify({ id: NOTICE, kind: "info", text: refusal ?? "" });
      return;
    }
    if (!this.isSameSpace(base, overlay) && !isForced) {
      workspace.notify({
        id: NOTICE,
        kind: "warning",
        text: t(
          "{overlay} and {base} have different Frames of Reference: nobody vouches that the same position is the same place in the patient. They are not laid over each other.",
          { overlay: nameOf(overlay), base: nameOf(base) },
        ),
        action: { label: t("Lay over anyway"), run: () => this.open(overlay, true, base) },
      });
      return;
    }
    workspace.dismiss(NOTICE);
    this.drop();
    this.volume = new OverlayVolume(workspace.frames, plan);
    this.volume.on("sampled", ({ key }) => this.drawn(key));
    this.volume.on("arrived", () => this.renew());
    workspace.pictures.overlay = this.volume;
    this.state = {
      base,
      overlay,
      isForced: !this.isSameSpace(base, overlay),
      opacity: 0.5,
      window: firstWindow(overlay),
      colorMap: "hotIron",
    };
    this.changed();
    workspace.refocus();
  }

  close(): void {
    if (this.state) {
      for (const pane of this.workspace.panes) {
        this.without.delete(pane);
        this.withoutPlanes.delete(pane);
      }
      this.drop();
      this.changed();
    }
  }

  /** Lays over what is most likely meant, or takes it away. */
  toggle(): void {
    if (this.state) {
      this.close();
      return;
    }
    const best = this.best(this.workspace.active);
    this.isBarOpen = true;
    if (best) {
      this.open(best);
    } else {
      const text = t("This study has no other series that could be laid over this one.");
      this.workspace.notify({ id: NOTICE, kind: "info", text });
    }
    this.emit("change", undefined);
  }

  /** What is most likely meant to lie over a viewport's series. */
  best(pane: Pane): Stack | null {
    const base = this.baseOf(pane);
    const rank = (stack: Stack): number => {
      const at = OVERLAID.indexOf(stack.series.Modality ?? "");
      const isOther = stack.series.Modality !== base?.series.Modality;
      const isSame = base !== null && this.isSameSpace(base, stack);
      return (isSame ? 0 : 100) + (isOther ? 0 : 10) + (at < 0 ? OVERLAID.length : at);
    };
    return this.choices(pane).sort((a, b) => rank(a) - rank(b))[0] ?? null;
  }

  /** Lays over in some viewports of those that show the same series, as a layout asks. */
  openIn(panes: readonly Pane[], overlay: Stack): void {
    const [first] = panes;
    this.open(overlay, false, first && this.baseOf(first));
    if (this.state) {
      for (const { pane } of this.workspace.visible) {
        if (this.isShownIn(pane) !== panes.includes(pane)) {
          this.toggleIn(pane);
        }
      }
    }
  }

  /** Uptake values are known now: a window that nobody has set is told in them. */
  valuesChanged(): void {
    if (this.state && !this.hasOwnWindow) {
      this.state = { ...this.state, window: firstWindow(this.state.overlay) };
      this.changed();
    }
  }

  set(change: Partial<Pick<FusionState, "opacity" | "window" | "colorMap">>): void {
    this.hasOwnWindow ||= change.window !== undefined;
    if (this.state) {
      this.state = { ...this.state, ...change };
      this.changed();
    }
  }

  fade(by: 1 | -1): void {
    const opacity = (this.state?.opacity ?? 0) + by * STEP;
    this.set({ opacity: Math.round(Math.min(Math.max(opacity, 0), 1) * 100) / 100 });
  }

  isShownIn(pane: Pane): boolean {
    return !this.hidden.has(pane);
  }

  private get hidden(): WeakSet<Pane> {
    return this.workspace.mpr.isOpen ? this.withoutPlanes : this.without;
  }

  /** Shows one viewport without what is laid over, or with it again. */
  toggleIn(pane: Pane): void {
    const { hidden } = this;
    if (!hidden.delete(pane)) {
      hidden.add(pane);
    }
    this.changed();
  }

  /** Whether something is laid over the pictures of a viewport. */
  has(pane: Pane): boolean {
    return this.state !== null && this.isShownIn(pane) && this.baseOf(pane) === this.state.base;
  }

  /** What a viewport says of it. */
  describe(pane: Pane): { text: string; title: string; isForced: boolean } | null {
    const { state } = this;
    if (!state || !this.has(pane)) {
      return null;
    }
    const { overlay, isForced } = state;
    const title = t("{series} is laid over this one.", {
      series: overlay.series.SeriesDescription ?? t("Another series"),
    });
    return { text: t("Fused with {overlay}", { overlay: nameOf(overlay) }), title, isForced };
  }

  /** What is laid over a frame; null while its values are on their way. */
  over(pane: Pane, frame: StackFrame): Overlay | null {
    const { state, volume } = this;
    if (!state || !volume || !this.has(pane)) {
      return null;
    }
    const request = pane.stack && planeRequest(pane.stack, frame);
    const data = request && volume.values(request);
    const { opacity, colorMap } = state;
    return data && { data, window: this.window, colors: colorsOf(colorMap), opacity };
  }

  /** The window of what is laid over, in its modality units. */
  get window(): Window {
    const chosen = this.state?.window;
    if (chosen) {
      return chosen;
    }
    const { low = 0, high = 1 } = this.volume ?? {};
    const width = high > low ? high - low : 1;
    const center = high > low ? (low + high) / 2 : low;
    if (this.wholeRange?.width !== width || this.wholeRange.center !== center) {
      this.wholeRange = { center, width, function: "LINEAR_EXACT" };
    }
    return this.wholeRange;
  }

  get loaded(): number {
    return this.volume?.loaded ?? 0;
  }

  get total(): number {
    return this.volume?.plan.frames.length ?? 0;
  }

  get notes(): readonly string[] {
    return this.volume?.plan.notes ?? [];
  }

  private drawn(key: string): void {
    for (const { pane } of this.workspace.visible) {
      if (pane.wantedFrame?.key === key) {
        pane.requestDraw();
      }
    }
  }

  /** More of the overlaid series is here. */
  private renew(): void {
    for (const { pane } of this.workspace.visible) {
      pane.requestDraw();
    }
    this.emit("change", undefined);
  }

  private drop(): void {
    this.volume?.close();
    this.volume = null;
    this.state = null;
    this.hasOwnWindow = false;
    this.wholeRange = null;
    this.workspace.pictures.overlay = null;
  }

  private changed(): void {
    for (const pane of this.workspace.panes) {
      pane.overlayChanged();
    }
    this.emit("change", undefined);
  }
}

function planeRequest(stack: Stack, frame: StackFrame): PlaneRequest | null {
  const { reformat } = stack;
  if (reformat) {
    const grid = planeAt(reformat.grid, frame.frame_number - 1);
    return { key: frame.key, grid, slab: reformat.slab };
  }
  const plane = planeOf(frame);
  if (!plane) {
    return null;
  }
  const { origin, row: right, column: down, columns, rows } = plane;
  const [pixel, pixelDown] = plane.pixel;
  const grid = { origin, right, down, pixel, pixelDown, columns, rows };
  return { key: frame.key, grid, slab: THIN };
}

/** In uptake values where they are known, else as the file says. */
function firstWindow(overlay: Stack): Window | null {
  if (quantityOf(overlay)) {
    return takenWindow(overlay, FIRST_SUV);
  }
  const middle = overlay.frames[Math.floor(overlay.frames.length / 2)];
  return (middle && fileWindows(middle)[0]?.window) ?? null;
}

/** A series in a sentence: "PT series 3". */
export function nameOf({ series }: Stack): string {
  const number = series.SeriesNumber === null ? t("without number") : series.SeriesNumber;
  return t("{kind} series {number}", { kind: series.Modality ?? t("Pictures"), number });
}
