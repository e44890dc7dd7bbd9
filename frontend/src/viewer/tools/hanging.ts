import { t } from "../../i18n";
import { mostAlike } from "../core/alike";
import { calibrate } from "../core/calibration";
import { Emitter } from "../core/emitter";
import { type Layout, layoutOf } from "../core/layout";
import type { HungPlace, HungStage } from "../core/manifest";
import { breastPlacement, CENTRED, type Placement, placedView, sideOf } from "../core/placing";
import { findFrame, frameKey, isComputed, type Stack, startingIndex } from "../core/stack";
import { fitScale } from "../core/view";
import type { Hanging as PaneHanging } from "../engine/beside-pane";
import type { Pane } from "../engine/pane";
import { HungViews } from "./hung-views";
import type { Workspace } from "./workspace";

/** A window narrower than this opens with one viewport. */
const LEAST_WIDTH = 760;
/** Priors are asked for when the first picture is drawn, or after a while. */
const PRIORS_AFTER_MS = 3000;
const SIDE_BY_SIDE: Layout = "1x2";

/** Hangs a study by its protocol: stage by stage, with the priors that a stage asks for. */
export class Hanging extends Emitter<{ change: undefined }> {
  /** The stage on the screen; null: the person has laid the window out otherwise. */
  index: number | null = null;
  /** Viewports whose prior is on its way, and which prior. */
  readonly waiting = new Map<Pane, string>();
  /** The study was opened by its layout, if only the first place of it in a narrow window. */
  isOpened = false;
  /** The stage that a narrow window has no room for, and a wide one comes back to. */
  private later: number | null = null;
  private hasBegun = false;

  /** Fused viewports and projections of the stage. */
  readonly views: HungViews;

  constructor(private readonly workspace: Workspace) {
    super();
    this.views = new HungViews(workspace);
  }

  get stages(): readonly HungStage[] {
    return this.workspace.manifest.hanging?.stages ?? [];
  }

  get stage(): HungStage | null {
    return this.index === null ? null : (this.stages[this.index] ?? null);
  }

  /** What a session keeps to come back to the stage. */
  get place(): string | null {
    const { hanging } = this.workspace.manifest;
    const at = this.index ?? this.later;
    return hanging && at !== null ? `${hanging.protocol.id ?? hanging.protocol.name}#${at}` : null;
  }

  /**
   * Hangs the first stage, or the one that the person left; false where nothing can be hung or
   * they left another layout.
   */
  open(): boolean {
    const { session } = this.workspace.manifest;
    const at = session ? this.stageOf(session.viewport?.stage) : 0;
    const stage = at === null ? null : this.stages[at];
    if (!stage || at === null) {
      return false;
    }
    this.isOpened = true;
    const first = stage.viewports.find((place) => place && this.isOwn(place));
    if (innerWidth < LEAST_WIDTH || stage.viewports.length === 1) {
      [this.index, this.later] = stage.viewports.length === 1 ? [at, null] : [null, at];
      // One viewport goes on where the person stopped.
      if (session || !first) {
        this.workspace.openStart();
      } else {
        this.workspace.hang(this.workspace.active, ...this.contents(first, null));
      }
      return true;
    }
    this.apply(at, stage);
    if (session) {
      this.goOn(frameKey(session.image_id, session.frame_number));
    }
    return true;
  }

  /** Goes on where the person stopped, in the viewport that shows it. */
  private goOn(key: string): void {
    const { workspace } = this;
    const place = findFrame(workspace.stacks, (frame) => frame.key === key);
    const stack = place && workspace.stacks[place.seriesIndex];
    const holder = stack && workspace.holderOf(stack, place.index);
    if (!holder) {
      return;
    }
    // Pictures that were placed one by one stay where they are.
    if (!holder.pane.hanging?.placement) {
      holder.pane.go(place.index);
    }
    if (holder.pane.wantedFrame?.key === key) {
      workspace.activeIndex = holder.number;
    }
  }

  /** Hangs a stage. */
  show(index: number): void {
    const stage = this.stages[index];
    if (!stage) {
      return;
    }
    this.workspace.mpr.close();
    this.workspace.volume3d.close();
    this.hasBegun = true;
    this.apply(index, stage);
    this.workspace.refocus();
    this.emit("change", undefined);
  }

  /** The next or previous stage, round and round. */
  step(by: 1 | -1): void {
    const count = this.stages.length;
    if (count > 0) {
      this.show(this.index === null ? (by > 0 ? 0 : count - 1) : (this.index + by + count) % count);
    }
  }

  /** The person divides the window otherwise. */
  leave(): void {
    this.views.close();
    this.index = null;
    this.later = null;
    this.waiting.clear();
  }

  /** Hangs what is most alike of another study beside what the active viewport shows. */
  async compare(id: string): Promise<void> {
    const { workspace } = this;
    workspace.mpr.close();
    workspace.volume3d.close();
    const current = workspace.visible.find(({ pane }) => pane.stack && !pane.stack.owner)?.pane;
    const source = workspace.active.stack?.owner ? current : workspace.active;
    const stack = source?.stack ?? null;
    const at = source?.index ?? 0;
    this.leave();
    workspace.arrange(SIDE_BY_SIDE);
    const [own, other] = workspace.panes as [Pane, Pane];
    if (own.stack !== stack) {
      workspace.hang(own, stack, at);
    }
    workspace.activate(0);
    this.await(other, id);
    workspace.refocus();
    await this.fill(other, id, (stacks) => mostAlike(stack, stacks));
  }

  /** Sizes a viewport's picture together with the others whenever one of them changes. */
  watch(pane: Pane): void {
    pane.on("resized", () => this.fitTogether());
    pane.on("drawn", () => this.begin());
    pane.on("hung", () => this.waiting.delete(pane));
  }

  /** The first picture is there: priors may be asked for. */
  begin(): void {
    if (!this.hasBegun) {
      this.hasBegun = true;
      if (this.stage) {
        this.views.open(this.stage);
        this.workspace.refocus();
      }
      for (const [pane, id] of [...this.waiting]) {
        this.fillPlace(pane, id);
      }
    }
  }

  private stageOf(kept: unknown): number | null {
    const { hanging } = this.workspace.manifest;
    const [, index] = typeof kept === "string" ? kept.split("#") : [];
    const name = hanging && `${hanging.protocol.id ?? hanging.protocol.name}#${index}`;
    return index !== undefined && name === kept ? Number(index) : null;
  }

  private isOwn({ study }: HungPlace): boolean {
    return study === this.workspace.manifest.study.id;
  }

  private apply(index: number, stage: HungStage): void {
    const { workspace } = this;
    this.waiting.clear();
    workspace.arrange(layoutOf(stage.rows, stage.columns));
    this.index = index;
    for (const [number, place] of stage.viewports.entries()) {
      const pane = workspace.panes[number] as Pane;
      if (place && (this.isOwn(place) || workspace.others.get(place.study))) {
        workspace.hang(pane, ...this.contents(place, stage));
      } else {
        workspace.hang(pane, null);
        if (place) {
          this.await(pane, place.study);
        }
      }
    }
    const first = stage.viewports.findIndex((place) => place && this.isOwn(place));
    workspace.activeIndex = Math.max(first, 0);
    if (stage.links) {
      workspace.links.set(stage.links);
      workspace.links.alignStudies();
    }
    this.fitTogether();
    if (this.hasBegun) {
      this.views.open(stage);
    }
    for (const [pane, id] of [...this.waiting]) {
      if (this.hasBegun) {
        this.fillPlace(pane, id);
      }
    }
    if (!this.hasBegun) {
      setTimeout(() => this.begin(), PRIORS_AFTER_MS);
    }
  }

  private await(pane: Pane, id: string): void {
    this.workspace.hang(pane, null);
    this.waiting.set(pane, id);
  }

  /** Hangs what the stage asks for into a viewport as soon as its prior is here. */
  private fillPlace(pane: Pane, id: string): void {
    const { stage, workspace } = this;
    const place = stage?.viewports[workspace.panes.indexOf(pane)];
    if (stage && place) {
      void this.fill(pane, id, null, () => this.contents(place, stage));
    }
  }

  private async fill(
    pane: Pane,
    id: string,
    choose: ((stacks: readonly Stack[]) => Stack | null) | null,
    contents?: () => [Stack | null, number, PaneHanging | null],
  ): Promise<void> {
    const { workspace } = this;
    try {
      const { stacks } = await workspace.others.open(id);
      // Meanwhile something else may have been hung there.
      if (this.waiting.get(pane) !== id) {
        return;
      }
      const stack = choose?.(stacks) ?? null;
      const found = contents?.() ?? ([stack, stack ? startingIndex(stack) : 0, null] as const);
      workspace.hang(pane, ...found);
      if (choose) {
        workspace.links.set({ scroll: "position" });
      }
      workspace.links.alignStudies();
      this.fitTogether();
    } catch (error) {
      this.waiting.delete(pane);
      const reason = error instanceof Error ? error.message : String(error);
      workspace.notify({
        id: `prior-${id}`,
        kind: "warning",
        text: t("The prior could not be opened. {reason}", { reason }),
        action: { label: t("Try again"), run: () => this.retry(pane, id, choose) },
      });
    }
    workspace.refocus();
    this.emit("change", undefined);
  }

  private retry(
    pane: Pane,
    id: string,
    choose: ((stacks: readonly Stack[]) => Stack | null) | null,
  ): void {
    this.workspace.dismiss(`prior-${id}`);
    this.waiting.set(pane, id);
    if (choose) {
      void this.fill(pane, id, choose);
    } else {
      this.fillPlace(pane, id);
    }
  }

  /** Which stack, where in it, and how: what a place of a stage asks for. */
  private contents(
    place: HungPlace,
    stage: HungStage | null,
  ): [Stack | null, number, PaneHanging | null] {
    const { workspace } = this;
    const all = this.isOwn(place) ? workspace.stacks : workspace.others.stacksOf(place.study);
    const stack = all.find(({ series }) => series.id === place.series) ?? null;
    if (!stack) {
      return [null, 0, null];
    }
    const named = stack.frames.findIndex(({ image }) => image.id === place.image);
    const index = named >= 0 ? named : startingIndex(stack);
    const { window_center: center, window_width: width } = place;
    const window =
      center !== null && width !== null ? ({ center, width, function: "LINEAR" } as const) : null;
    const placement = stage?.fit ? placementOf(stage, place, stack, index) : null;
    return [stack, index, window || placement ? { window, placement } : null];
  }

  /** Pictures that a layout has placed are drawn at one scale, where all say how large they are. */
  private fitTogether(): void {
    const cells = this.workspace.visible.flatMap(({ pane }) => {
      const placement = pane.hanging?.placement;
      const size = pane.pictureSize;
      return placement && size && pane.wantedFrame && !isComputed(pane.stack)
        ? [{ pane, placement, size, perMm: fittingPerMm(pane, placement) }]
        : [];
    });
    const known = cells.map(({ perMm }) => perMm);
    const common = known.every((one) => one !== null) ? Math.min(...(known as number[])) : null;
    for (const { pane, placement, size, perMm } of cells) {
      const zoom = common !== null && perMm ? common / perMm : 1;
      pane.setPlaced(placedView(placement, size, pane.size, zoom));
    }
  }
}

function placementOf(stage: HungStage, place: HungPlace, stack: Stack, index: number): Placement {
  const frame = stack.frames[index];
  const side =
    place.laterality === "L" || place.laterality === "R"
      ? place.laterality
      : frame && sideOf(stack.series, frame);
  return stage.fit === "chest wall" && frame && side ? breastPlacement(frame, side) : CENTRED;
}

/** CSS pixels per millimetre at which the picture just fits; null where its size is not known. */
function fittingPerMm(pane: Pane, { orientation }: Placement): number | null {
  const frame = pane.wantedFrame;
  const size = pane.pictureSize;
  if (!frame || !size) {
    return null;
  }
  const { pixelSize, unit } = calibrate(frame, []);
  return unit === "mm" ? fitScale(size, pane.size, orientation) / pixelSize[0] : null;
}
