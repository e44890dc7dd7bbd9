import { t } from "../../i18n";
import { apply, invert } from "../core/affine";
import type { DerivedObject, Drawn } from "../core/derived";
import { Emitter } from "../core/emitter";
import type { Vec2 } from "../core/manifest";
import { nearestFrame } from "../core/planes";
import { isComputed, type Stack } from "../core/stack";
import type { Pane } from "../engine/pane";
import { fetchCopy, fetchDerived, fetchDrawn } from "../net/derived";
import type { Drag } from "./navigation";
import type { OverPictures } from "./over-pictures";
import { belongs, COLOURS, type Layer, type LayerPart, Overlays } from "./overlays";
import { drawHand, Painter } from "./painter";
import { SeriesDraft } from "./series-draft";
import { Solids } from "./solids";
import type { Workspace } from "./workspace";

/** Segments, structures, doses and maps of a study, and the segments that are drawn. */
export class Segments extends Emitter<{ change: undefined }> implements OverPictures {
  readonly overlays: Overlays;
  readonly painter: Painter;
  /** Of the series in the active viewport, where pictures can be drawn on. */
  current: SeriesDraft | null = null;
  problem: string | null = null;
  isListed = false;
  /** Renders the legend of a viewport; given by the page. */
  renderLegend: (pane: Pane) => unknown = () => null;
  /** The object of which a copy is being made. */
  copying: string | null = null;
  private readonly drafts = new Map<string, SeriesDraft>();
  /** Objects of machines that are kept off the pictures. */
  private readonly away = new Set<string>();
  private pointer: { pane: Pane; at: Vec2 } | null = null;

  constructor(readonly workspace: Workspace) {
    super();
    this.overlays = new Overlays((pane) => workspace.strangeness(pane).length === 0);
    this.painter = new Painter(workspace, (pane) => this.draftOn(pane));
    this.overlays.on("change", () => this.changed());
    workspace.volume3d.offer(new Solids(this.overlays));
    let held = this.painter.tool;
    this.painter.on("change", () => {
      this.changed();
      if (held !== this.painter.tool) {
        held = this.painter.tool;
        workspace.emit("change", undefined);
      }
    });
    workspace.on("change", () => this.follow());
    workspace.machine.on("change", () => this.judge());
    window.addEventListener("beforeunload", (event) => {
      if ([...this.drafts.values()].some((one) => one.isDirty)) {
        for (const one of this.drafts.values()) {
          one.retry();
        }
        event.preventDefault();
      }
    });
  }

  get isHolding(): boolean {
    return this.painter.tool !== null;
  }

  /** Fetches the list anew, and what each object draws. */
  async list(): Promise<void> {
    const url = this.workspace.manifest.links.derived;
    try {
      const objects = url ? await fetchDerived(url) : [];
      this.problem = null;
      this.take(objects);
    } catch (error) {
      this.problem = error instanceof Error ? error.message : String(error);
    }
    this.isListed = true;
    this.emit("change", undefined);
    for (const layer of this.listed) {
      // One after another: each may be large.
      await this.load(layer);
    }
  }

  /** Objects of the study; what is drawn here has a list of its own. */
  get listed(): Layer[] {
    return this.overlays.layers.filter(({ object }) => object.image_id !== "");
  }

  async load(layer: Layer): Promise<void> {
    if (layer.state === "loading" || layer.state === "ready" || layer.object.problem) {
      return;
    }
    layer.state = "loading";
    this.emit("change", undefined);
    try {
      layer.drawn = await fetchDrawn(layer.object.url);
      layer.state = "ready";
      layer.problem = null;
    } catch (error) {
      layer.state = "failed";
      layer.problem = error instanceof Error ? error.message : String(error);
    }
    layer.version++;
    this.overlays.changed();
  }

  /** Brings the slice in the middle of a part onto the screen. */
  jump(layer: Layer, part: LayerPart): void {
    const { workspace } = this;
    const pane = workspace.active;
    const place = layer.drawn && middleOf(layer.drawn, layer, part.facts.number);
    const own = pane.stack && !isComputed(pane.stack) && belongs(layer, pane.stack);
    const stack = own ? pane.stack : workspace.stacks.find((one) => belongs(layer, one));
    if (!place || !stack) {
      workspace.notify({
        id: "segments",
        kind: "info",
        text: t("{name} lies on no picture of this study.", { name: part.facts.name }),
      });
      return;
    }
    const index = stack.frames.findIndex(
      (frame) =>
        frame.image.SOPInstanceUID === place.SOPInstanceUID &&
        (place.frame_number === null || frame.frame_number === place.frame_number),
    );
    const at =
      index >= 0 ? index : place.point ? nearestFrame(stack.frames, place.point)?.index : 0;
    if (pane.stack !== stack) {
      workspace.openSeries(stack.series);
    }
    workspace.active.go(at ?? 0);
  }

  /** Makes an editable copy of what a stored segmentation shows, or says why there is none. */
  async edit(layer: Layer): Promise<void> {
    if (this.copying) {
      return;
    }
    this.copying = layer.id;
    this.emit("change", undefined);
    try {
      this.say("info", await this.copy(layer));
    } catch (error) {
      this.say("warning", error instanceof Error ? error.message : String(error));
    }
    this.copying = null;
    this.emit("change", undefined);
  }

  /** Returns what the person must know of the copy; throws where there is none. */
  private async copy(layer: Layer): Promise<string> {
    const { workspace } = this;
    const shown = layer.parts.filter(({ isShown }) => isShown).map(({ facts }) => facts.number);
    if (shown.length === 0) {
      throw new Error(t("Show the segments first that you want to edit."));
    }
    const isWhole = shown.length === layer.parts.length;
    const { head, runs } = await fetchCopy(layer.object.image_id, isWhole ? [] : shown);
    const stack = workspace.stacks.find(({ series }) => series.id === head.series_id);
    if (!stack) {
      throw new Error(t("The pictures of these segments are not in this study."));
    }
    const series = this.drafts.get(stack.series.id) ?? this.begin(stack);
    await series.load();
    if (!series.draft.isEmpty) {
      throw new Error(
        t("You have drawn segments on this series already. Store or discard them first."),
      );
    }
    const colours = new Map(layer.parts.map(({ facts, colour }) => [facts.number, colour]));
    const segments = head.segments.map((one) => ({
      ...one,
      colour: one.colour ?? colours.get(one.source?.number ?? 0) ?? COLOURS[0],
    }));
    if (!series.take(segments, head.frames, runs)) {
      throw new Error(t("The pictures of these segments are not all here. Reload the page."));
    }
    workspace.mpr.close();
    workspace.volume3d.close();
    const [part] = layer.parts.filter(({ isShown }) => isShown);
    if (part && !this.isDrawnOn(workspace.active, series)) {
      this.jump(layer, part);
    }
    // The copy lies exactly over it: one of them is enough to look at.
    this.overlays.setShown(layer, null, false);
    this.follow();
    this.painter.setTool("brush");
    const text = isWhole
      ? t("This is a copy: what is stored stays as it is, and what you store is a new series.")
      : t(
          "This is a copy of the segments that were shown: what is stored stays as it is, and what you store is a new series.",
        );
    return [text, ...head.notes].join(" ");
  }

  /** Whether a viewport shows a frame that something is drawn on. */
  private isDrawnOn({ stack, index }: Pane, series: SeriesDraft): boolean {
    return stack === series.stack && series.draft.drawnFrames.includes(index);
  }

  private say(kind: "info" | "warning", text: string): void {
    this.workspace.notify({ id: "segments", kind, text });
  }

  draw(pane: Pane, canvas: HTMLCanvasElement): void {
    this.overlays.draw(pane, canvas);
    drawHand(this.painter, pane, this.pointer?.pane === pane ? this.pointer.at : null, canvas);
  }

  drag(pane: Pane, at: Vec2): Drag | null {
    return this.painter.drag(pane, at);
  }

  hover(pane: Pane, at: Vec2 | null): void {
    const before = this.hoverText();
    this.pointer = at && { pane, at };
    if (this.painter.tool || this.hoverText() !== before) {
      pane.emit("change", undefined);
    }
  }

  /** What lies under the pointer, in words. */
  textsUnder(pane: Pane): string[] {
    const { matrix } = pane;
    return this.pointer?.pane === pane && matrix
      ? this.overlays.textsAt(pane, apply(invert(matrix), this.pointer.at))
      : [];
  }

  legend(pane: Pane): unknown {
    return this.renderLegend(pane);
  }

  undo(): boolean {
    return this.turnBack("undo");
  }

  redo(): boolean {
    return this.turnBack("redo");
  }

  putDown(): void {
    if (this.painter.tool) {
      this.painter.setTool(null);
    }
  }

  private turnBack(way: "undo" | "redo"): boolean {
    if (!this.painter.tool || !this.current) {
      return false;
    }
    const index = this.current.draft[way]();
    if (index !== null && index >= 0 && this.workspace.active.stack === this.current.stack) {
      this.workspace.active.go(index);
    }
    return true;
  }

  private hoverText(): string {
    return this.pointer ? this.textsUnder(this.pointer.pane).join() : "";
  }

  private draftOn(pane: Pane): SeriesDraft | null {
    return pane.stack ? (this.drafts.get(pane.stack.series.id) ?? null) : null;
  }

  /** Follows the active viewport: its series is the one to draw on. */
  follow(): void {
    const { active, manifest } = this.workspace;
    const { stack } = active;
    const isDrawable =
      stack && !isComputed(stack) && stack.frames.some(({ image }) => image.transport !== null);
    // While planes are shown, the list stays with the series that they are made of.
    const series = isDrawable ? stack : (stack?.reformat?.plan.stack ?? null);
    // What is drawn on a series is stored in its study: here, the one that was opened.
    const isOwn = series !== null && this.workspace.stacks.includes(series);
    if (!manifest.user.can_write || !isOwn || this.current?.stack === series) {
      return;
    }
    let draft = this.drafts.get(series.series.id);
    if (!draft) {
      draft = this.begin(series);
    }
    this.current = draft;
    this.emit("change", undefined);
  }

  private begin(stack: Stack): SeriesDraft {
    const draft = new SeriesDraft(stack);
    this.drafts.set(stack.series.id, draft);
    draft.on("change", () => this.changed());
    this.overlays.add([draft.layer]);
    draft.load().catch((error: unknown) => {
      draft.state = "failed";
      draft.message = error instanceof Error ? error.message : String(error);
      this.emit("change", undefined);
    });
    return draft;
  }

  private take(objects: readonly DerivedObject[]): void {
    const known = new Set(this.listed.map(({ id }) => id));
    let next = this.listed.reduce((sum, layer) => sum + layer.parts.length, 0);
    for (const { image_id, machine } of objects) {
      if (this.workspace.machine.hides(image_id, machine)) {
        this.away.add(image_id);
      }
    }
    this.overlays.add(
      objects
        .filter(({ image_id }) => !known.has(image_id))
        .map((object) => ({
          id: object.image_id,
          object,
          parts: object.parts.map((facts) => ({
            facts,
            colour: facts.colour ?? (COLOURS[next++ % COLOURS.length] as string),
            isShown: this.isShownFirst(object),
          })),
          drawn: null,
          state: object.problem ? ("failed" as const) : ("listed" as const),
          problem: object.problem,
          version: 0,
        })),
    );
  }

  /** Doses and maps cover all that is under them: a person asks for them. */
  private isShownFirst({ kind, image_id, machine }: DerivedObject): boolean {
    const isOutline = kind === "segmentation" || kind === "structures";
    return isOutline && !this.workspace.machine.hides(image_id, machine);
  }

  /** Takes what a person rejects off the pictures, and puts back what is not rejected any more. */
  private judge(): void {
    for (const layer of this.listed) {
      const { object } = layer;
      const isAway = this.workspace.machine.hides(object.image_id, object.machine);
      if (isAway !== this.away.has(layer.id)) {
        this.away[isAway ? "add" : "delete"](layer.id);
        this.overlays.setShown(layer, null, !isAway && this.isShownFirst(object));
      }
    }
    this.emit("change", undefined);
  }

  private changed(): void {
    for (const { pane } of this.workspace.visible) {
      pane.emit("change", undefined);
    }
    this.workspace.volume3d.renewSegments();
    this.emit("change", undefined);
  }
}

interface Middle {
  SOPInstanceUID: string | null;
  frame_number: number | null;
  point: readonly [number, number, number] | null;
}

/** The plane in the middle of those that a part lies on. */
function middleOf(drawn: Drawn, layer: Layer, number: number): Middle | null {
  if (drawn.form === "CONTOURS") {
    const contours = drawn.contours.get(number) ?? [];
    const one = contours[Math.floor(contours.length / 2)];
    const [x, y, z] = one?.points ?? [];
    return one && x !== undefined && y !== undefined && z !== undefined
      ? { SOPInstanceUID: one.SOPInstanceUID, frame_number: one.frame_number, point: [x, y, z] }
      : null;
  }
  const value = layer.parts.findIndex(({ facts }) => facts.number === number) + 1;
  const planes =
    drawn.form === "VALUES"
      ? drawn.values
      : drawn.masks.filter(({ part, patch }) =>
          part === null ? (patch()?.data.includes(value) ?? false) : part === number,
        );
  const ordered = [...planes].sort(
    (a, b) => (a.plane ? along(a.plane) : 0) - (b.plane ? along(b.plane) : 0),
  );
  const one = ordered[Math.floor(ordered.length / 2)];
  return (
    (one && {
      SOPInstanceUID: one.SOPInstanceUID,
      frame_number: one.frame_number,
      point: one.plane?.origin ?? null,
    }) ??
    null
  );
}

function along({
  origin,
  normal,
}: {
  origin: readonly number[];
  normal: readonly number[];
}): number {
  return origin.reduce((sum, value, axis) => sum + value * (normal[axis] ?? 0), 0);
}
