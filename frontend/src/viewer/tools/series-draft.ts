import { t } from "../../i18n";
import type { DerivedObject, Drawn, MaskPlane } from "../core/derived";
import { Draft, type Segment } from "../core/draft";
import { Emitter } from "../core/emitter";
import type { Patch } from "../core/masks";
import { planeOf } from "../core/planes";
import { frameLocation, framePixelSpacing, type Stack, type StackFrame } from "../core/stack";
import { randomUuid } from "../core/uuid";
import {
  type DraftFrame,
  dropDraft,
  fetchDraft,
  type Property,
  putDraft,
  storeDraft,
} from "../net/derived";
import { COLOURS, type Layer } from "./overlays";

export type SaveState = "none" | "saved" | "saving" | "waiting" | "failed";

const SAVE_AFTER_MS = 800;
const RETRY_AFTER_MS = 5000;
const MOST_SEGMENTS = 100;

/** Segments that a person draws on one series, kept on the server by themselves. */
export class SeriesDraft extends Emitter<{ change: undefined }> {
  readonly draft: Draft;
  readonly layer: Layer;
  properties: readonly Property[] = [];
  state: SaveState = "none";
  message = "";
  isLoaded = false;
  private version = 0;
  private savedRevision = 0;
  private timer = 0;
  private saving: Promise<void> | null = null;
  private loading: Promise<void> | null = null;
  private readonly sliceDistance: number | null;

  constructor(readonly stack: Stack) {
    super();
    const [first] = stack.frames;
    this.draft = new Draft(first?.image.Columns ?? 0, first?.image.Rows ?? 0);
    this.layer = layerOf(stack);
    this.sliceDistance = distanceOf(stack);
    this.draft.on("change", () => this.drawnAnew());
  }

  /** Whether anything waits to be kept. */
  get isDirty(): boolean {
    return this.isLoaded && this.draft.revision !== this.savedRevision;
  }

  /** Begins to fetch what was drawn before; whoever asks again waits for the same answer. */
  load(): Promise<void> {
    this.loading ??= this.fetch();
    return this.loading;
  }

  private async fetch(): Promise<void> {
    const { head, runs } = await fetchDraft(this.stack.series.id);
    this.properties = head.properties;
    this.version = head.version;
    this.draft.load(head.segments, this.placed(head.frames, runs));
    this.savedRevision = this.draft.revision;
    this.isLoaded = true;
    this.state = head.version > 0 ? "saved" : "none";
    this.emit("change", undefined);
  }

  /** Goes on with segments that were stored, as one step; false where they lie on no frame here. */
  take(segments: readonly Segment[], drawn: readonly DraftFrame[], runs: Uint32Array): boolean {
    const frames = this.placed(drawn, runs);
    if (frames.length < drawn.length) {
      return false;
    }
    this.draft.take(segments, frames);
    return true;
  }

  private placed(
    drawn: readonly DraftFrame[],
    runs: Uint32Array,
  ): { index: number; runs: Uint32Array }[] {
    const places = new Map(
      this.stack.frames.map((frame, index) => [
        `${frame.image.SOPInstanceUID} ${frame.frame_number}`,
        index,
      ]),
    );
    return drawn.flatMap(({ SOPInstanceUID, frame_number, offset, count }) => {
      const index = places.get(`${SOPInstanceUID} ${frame_number}`);
      return index === undefined ? [] : [{ index, runs: runs.slice(offset, offset + count) }];
    });
  }

  /** A new segment, named and coloured so that it differs from the others. */
  addSegment(): Segment | null {
    const { segments } = this.draft;
    const taken = new Set(segments.map(({ number }) => number));
    const number = Array.from({ length: MOST_SEGMENTS }, (_, at) => at + 1).find(
      (one) => !taken.has(one),
    );
    if (number === undefined) {
      return null;
    }
    const segment = {
      id: randomUuid(),
      number,
      name: `Segment ${number}`,
      property: this.properties[0]?.code ?? "",
      colour: COLOURS[(number - 1) % COLOURS.length] ?? "#3cb44b",
      is_semiautomatic: false,
    };
    this.draft.add(segment);
    return segment;
  }

  change(number: number, values: Partial<Segment>): void {
    this.draft.setSegments(
      this.draft.segments.map((one) => (one.number === number ? { ...one, ...values } : one)),
    );
  }

  /** Volume in ml where the files say how large a voxel is; and where that is said. */
  volumeOf(number: number): { millilitres: number | null; source: string } {
    let area = 0;
    for (const [index, count] of this.draft.counts(number)) {
      const frame = this.stack.frames[index];
      const spacing = frame && planeOf(frame) ? framePixelSpacing(frame) : null;
      if (!spacing || this.sliceDistance === null) {
        return { millilitres: null, source: t("The files do not say how large a voxel is.") };
      }
      area += count * spacing[0] * spacing[1];
    }
    if (this.sliceDistance === null) {
      return { millilitres: null, source: t("The files do not say how large a voxel is.") };
    }
    const shown = Number(this.sliceDistance.toFixed(3));
    return {
      millilitres: (area * this.sliceDistance) / 1000,
      source: `Pixel Spacing x distance of the slices (${shown} mm)`,
    };
  }

  /** Tries again at once. */
  retry(): void {
    window.clearTimeout(this.timer);
    void this.save();
  }

  /** Resolves when everything drawn so far is kept; throws where it cannot be. */
  async settled(): Promise<void> {
    window.clearTimeout(this.timer);
    await this.save();
    if (this.isDirty) {
      throw new Error(this.message || t("The segments could not be saved."));
    }
  }

  async store(description: string): Promise<string> {
    await this.settled();
    const { image_id } = await storeDraft(this.stack.series.id, this.version, description);
    this.forget();
    return image_id;
  }

  async drop(): Promise<void> {
    window.clearTimeout(this.timer);
    await this.saving;
    await dropDraft(this.stack.series.id);
    this.forget();
  }

  private forget(): void {
    this.version = 0;
    this.draft.load([], []);
    this.savedRevision = this.draft.revision;
    this.state = "none";
    this.emit("change", undefined);
  }

  private async save(): Promise<void> {
    // One at a time: two with the same version would be each other's conflict.
    while (this.saving) {
      await this.saving;
    }
    if (!this.isDirty || this.state === "failed") {
      return;
    }
    this.saving = this.send();
    await this.saving;
    this.saving = null;
  }

  private async send(): Promise<void> {
    const { revision, segments } = this.draft;
    const frames: DraftFrame[] = [];
    const pieces: Uint32Array[] = [];
    let offset = 0;
    for (const index of this.draft.drawnFrames) {
      const runs = this.draft.runsOf(index);
      const frame = this.stack.frames[index];
      if (runs && frame && (runs.length > 1 || (runs[0] ?? 0) % 256 !== 0)) {
        const { SOPInstanceUID } = frame.image;
        frames.push({
          SOPInstanceUID,
          frame_number: frame.frame_number,
          offset,
          count: runs.length,
        });
        pieces.push(runs);
        offset += runs.length;
      }
    }
    const all = new Uint32Array(offset);
    let at = 0;
    for (const piece of pieces) {
      all.set(piece, at);
      at += piece.length;
    }
    this.state = "saving";
    this.emit("change", undefined);
    try {
      const head = { version: this.version, segments: [...segments], frames };
      this.version = await putDraft(this.stack.series.id, head, all);
      this.savedRevision = revision;
      this.state = this.isDirty ? "waiting" : "saved";
      this.message = "";
    } catch (error) {
      this.message = error instanceof Error ? error.message : String(error);
      const status = (error as { status?: number }).status ?? 0;
      const mayHelp = status === 0 || status === 429 || status >= 500;
      this.state = mayHelp ? "waiting" : "failed";
      if (mayHelp) {
        this.timer = window.setTimeout(() => void this.save(), RETRY_AFTER_MS);
      }
    }
    this.emit("change", undefined);
  }

  private drawnAnew(): void {
    const { layer, draft } = this;
    const shown = new Map(layer.parts.map((part) => [part.facts.number, part.isShown]));
    const highest = Math.max(0, ...draft.segments.map(({ number }) => number));
    // The values of the masks are the numbers of the segments: a part for each, drawn or not.
    layer.parts = Array.from({ length: highest }, (_, at) => {
      const segment = draft.segment(at + 1);
      return {
        facts: {
          number: at + 1,
          name: segment?.name ?? "",
          category: "",
          type: "",
          algorithm: segment?.is_semiautomatic ? "SEMIAUTOMATIC" : "MANUAL",
          algorithm_name: "",
          colour: segment?.colour ?? null,
        },
        colour: segment?.colour ?? "#808080",
        isShown: segment ? (shown.get(at + 1) ?? true) : false,
      };
    });
    layer.drawn = this.drawn();
    layer.version++;
    if (this.isDirty && this.state !== "failed") {
      if (this.state !== "saving") {
        this.state = "waiting";
      }
      window.clearTimeout(this.timer);
      this.timer = window.setTimeout(() => void this.save(), SAVE_AFTER_MS);
    }
    this.emit("change", undefined);
  }

  private drawn(): Drawn {
    return {
      form: "LABELMAP",
      sliceDistance: this.sliceDistance,
      volumes: new Map(),
      masks: this.draft.drawnFrames.map((index) =>
        this.maskPlane(index, this.stack.frames[index] as StackFrame),
      ),
      values: [],
      contours: new Map(),
      unit: "",
      quantity: "",
      min: 0,
      max: 0,
    };
  }

  private maskPlane(index: number, frame: StackFrame): MaskPlane {
    const { draft } = this;
    return {
      SOPInstanceUID: frame.image.SOPInstanceUID,
      frame_number: frame.frame_number,
      plane: planeOf(frame),
      rows: draft.rows,
      columns: draft.columns,
      part: null,
      patch: (): Patch | null => {
        const data = draft.labelsOf(index);
        return data && { left: 0, top: 0, width: draft.columns, height: draft.rows, data };
      },
    };
  }
}

function distanceOf(stack: Stack): number | null {
  const places = stack.frames
    .map(frameLocation)
    .filter((place): place is number => place !== null)
    .sort((a, b) => a - b);
  const gaps = places
    .slice(1)
    .map((place, at) => place - (places[at] as number))
    .filter((gap) => gap > 1e-3)
    .sort((a, b) => a - b);
  const thickness = stack.frames[0]?.facts?.SliceThickness ?? stack.frames[0]?.image.SliceThickness;
  return gaps[Math.floor(gaps.length / 2)] ?? thickness ?? null;
}

function layerOf(stack: Stack): Layer {
  const { series } = stack;
  const object: DerivedObject = {
    image_id: "",
    kind: "segmentation",
    SeriesInstanceUID: series.SeriesInstanceUID,
    SeriesNumber: series.SeriesNumber,
    SeriesDescription: series.SeriesDescription ?? "",
    FrameOfReferenceUID: series.FrameOfReferenceUID,
    url: "",
    problem: null,
    label: "",
    Manufacturer: "",
    author: "",
    at: "",
    notes: [],
    parts: [],
  };
  return {
    id: `draft-${series.id}`,
    object,
    parts: [],
    drawn: null,
    state: "ready",
    problem: null,
    version: 0,
  };
}
