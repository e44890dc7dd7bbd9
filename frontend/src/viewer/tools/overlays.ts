import { t } from "../../i18n";
import type { Affine } from "../core/affine";
import { contourDistance, outlinesOn } from "../core/contours";
import {
  cutMasks,
  cutValues,
  type DerivedObject,
  type Drawn,
  type Grid,
  gridOfPlanes,
  liesOn,
  type MaskPlane,
  type PartFacts,
  type ValuePlane,
} from "../core/derived";
import { Emitter } from "../core/emitter";
import { colourAt, DOSE_LEVELS, isoline } from "../core/isolines";
import type { Vec2 } from "../core/manifest";
import { edgesOf, type Patch } from "../core/masks";
import { planeOf } from "../core/planes";
import type { Stack, StackFrame } from "../core/stack";
import type { Pane } from "../engine/pane";

/** What is drawn over pictures: which parts of which objects, how, and as what it appears there. */

export type Fill = "both" | "fill" | "outline";

export interface LayerPart {
  facts: PartFacts;
  colour: string;
  isShown: boolean;
}

/** One object over the pictures. */
export interface Layer {
  id: string;
  object: DerivedObject;
  parts: LayerPart[];
  drawn: Drawn | null;
  state: "listed" | "loading" | "ready" | "failed";
  problem: string | null;
  /** Raised at each change of what it draws. */
  version: number;
}

/** As much of a layer as one picture shows, in its pixels. */
interface Appearance {
  key: string;
  fill: HTMLCanvasElement | null;
  lines: { path: Path2D; colour: string; isThin: boolean }[];
  /** The parts that are on this picture. */
  parts: readonly LayerPart[];
  /** What lies under a picture point, in words. */
  at: (column: number, row: number) => string[];
}

/** Told apart by eye as well as by name; beyond them they repeat. */
export const COLOURS = [
  "#e6194b", "#3cb44b", "#ffe119", "#4aa3ff", "#f58231", "#b46cff", "#42d4f4", "#f032e6",
  "#bfef45", "#fabed4", "#20b2aa", "#dcbeff",
] as const; // biome-ignore format: a table
const MOST_KEPT = 24;
/** Of 255: from here on a pixel counts as inside. */
export const HALF = 128;

export class Overlays extends Emitter<{ change: undefined }> {
  layers: Layer[] = [];
  opacity = 0.4;
  fill: Fill = "both";
  private readonly kept = new Map<string, Appearance>();

  /** `isOurs` says whether a viewport shows the person that the layers are of. */
  constructor(private readonly isOurs: (pane: Pane) => boolean) {
    super();
  }

  add(layers: readonly Layer[]): void {
    this.layers = [...this.layers, ...layers];
    this.changed();
  }

  remove(id: string): void {
    this.layers = this.layers.filter((layer) => layer.id !== id);
    this.changed();
  }

  setShown(layer: Layer, part: LayerPart | null, isShown: boolean): void {
    for (const one of part ? [part] : layer.parts) {
      one.isShown = isShown;
    }
    layer.version++;
    this.changed();
  }

  setOpacity(opacity: number): void {
    this.opacity = opacity;
    this.emit("change", undefined);
  }

  setFill(fill: Fill): void {
    this.fill = fill;
    this.emit("change", undefined);
  }

  changed(): void {
    this.emit("change", undefined);
  }

  /** Layers of which the picture of a viewport could show something. */
  shownOn(pane: Pane): Layer[] {
    const { stack } = pane;
    return stack && this.isOurs(pane)
      ? this.layers.filter(
          (layer) =>
            layer.drawn && layer.parts.some((part) => part.isShown) && belongs(layer, stack),
        )
      : [];
  }

  /** Draws all layers of a viewport's picture onto a canvas of the viewport's size. */
  draw(pane: Pane, canvas: HTMLCanvasElement): void {
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(pane.size.width * ratio);
    const height = Math.round(pane.size.height * ratio);
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    const context = canvas.getContext("2d");
    const { matrix } = pane;
    if (!context) {
      return;
    }
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    canvas.dataset.layers = "0";
    if (!matrix || !pane.shownFrame || (pane.state !== "ready" && pane.state !== "preview")) {
      return;
    }
    let count = 0;
    for (const layer of this.shownOn(pane)) {
      const appearance = this.appearanceOn(layer, pane);
      if (appearance) {
        this.paint(context, appearance, matrix, ratio, layer.object.kind);
        count++;
      }
    }
    canvas.dataset.layers = String(count);
  }

  /** What lies under a place of a viewport, in words; the topmost last. */
  textsAt(pane: Pane, point: Vec2): string[] {
    const [column, row] = [Math.round(point[0]), Math.round(point[1])];
    return this.shownOn(pane).flatMap(
      (layer) => this.appearanceOn(layer, pane)?.at(column, row) ?? [],
    );
  }

  /** The segments and structures that stand on a viewport's picture. */
  partsOn(pane: Pane): LayerPart[] {
    return this.shownOn(pane).flatMap((layer) => this.appearanceOn(layer, pane)?.parts ?? []);
  }

  private paint(
    context: CanvasRenderingContext2D,
    { fill, lines }: Appearance,
    matrix: Affine,
    ratio: number,
    kind: DerivedObject["kind"],
  ): void {
    const [a, b, c, d, e, f] = matrix;
    if (fill && (this.fill !== "outline" || kind === "parametric")) {
      context.setTransform(a * ratio, b * ratio, c * ratio, d * ratio, e * ratio, f * ratio);
      context.imageSmoothingEnabled = kind === "dose" || kind === "parametric";
      context.globalAlpha = this.opacity;
      context.drawImage(fill, -0.5, -0.5);
      context.globalAlpha = 1;
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    if (this.fill === "fill") {
      return;
    }
    const toScreen = new DOMMatrix([a, b, c, d, e, f]);
    for (const { path, colour, isThin } of lines) {
      const placed = new Path2D();
      placed.addPath(path, toScreen);
      // A dark edge keeps a light line visible on light pictures.
      context.lineJoin = "round";
      context.strokeStyle = "rgb(0 0 0 / 55%)";
      context.lineWidth = isThin ? 2.5 : 3.5;
      context.stroke(placed);
      context.strokeStyle = colour;
      context.lineWidth = isThin ? 1.25 : 1.75;
      context.stroke(placed);
    }
  }

  private appearanceOn(layer: Layer, pane: Pane): Appearance | null {
    const { stack, shownFrame: frame, pictureSize: size } = pane;
    if (!stack || !frame || !size || !layer.drawn) {
      return null;
    }
    const key = `${layer.id} ${frame.key} ${size.columns}x${size.rows}`;
    const known = this.kept.get(key);
    const version = `${layer.version}`;
    if (known?.key === version) {
      return known;
    }
    const made = appearanceOf(layer, layer.drawn, stack, frame, size.columns, size.rows);
    const appearance = made && { ...made, key: version };
    this.kept.delete(key);
    if (appearance) {
      this.kept.set(key, appearance);
    }
    while (this.kept.size > MOST_KEPT) {
      this.kept.delete(this.kept.keys().next().value as string);
    }
    return appearance;
  }
}

/** Whether a layer says something of the pictures of a series. */
export function belongs(layer: Layer, stack: Stack): boolean {
  const { drawn, object } = layer;
  const source = stack.reformat?.plan.stack ?? stack;
  if (!drawn || stack.rendering) {
    return false;
  }
  const own = object.FrameOfReferenceUID;
  if (own && own === source.series.FrameOfReferenceUID) {
    return true;
  }
  const images = new Set(source.series.images.map(({ SOPInstanceUID }) => SOPInstanceUID));
  const names = (uid: string | null): boolean => uid !== null && images.has(uid);
  return (
    drawn.masks.some(({ SOPInstanceUID }) => names(SOPInstanceUID)) ||
    drawn.values.some(({ SOPInstanceUID }) => names(SOPInstanceUID)) ||
    [...drawn.contours.values()].some((contours) =>
      contours.some(({ SOPInstanceUID }) => names(SOPInstanceUID)),
    )
  );
}

type Made = Omit<Appearance, "key">;

function appearanceOf(
  layer: Layer,
  drawn: Drawn,
  stack: Stack,
  frame: StackFrame,
  columns: number,
  rows: number,
): Made | null {
  if (drawn.form === "CONTOURS") {
    return contoursOn(layer, drawn, frame, columns, rows);
  }
  if (drawn.form === "VALUES") {
    return valuesOn(layer, drawn, frame, columns, rows);
  }
  return masksOn(layer, masksFor(layer, drawn, stack, frame, columns, rows), columns, rows);
}

const grids = new WeakMap<Drawn, Map<number | null, Grid<MaskPlane> | null>>();
const valueGrids = new WeakMap<Drawn, Grid<ValuePlane> | null>();

export function gridOf(drawn: Drawn, part: number | null): Grid<MaskPlane> | null {
  let known = grids.get(drawn);
  if (!known) {
    known = new Map();
    grids.set(drawn, known);
  }
  let grid = known.get(part);
  if (grid === undefined) {
    grid = gridOfPlanes(
      drawn.masks.filter((plane) => plane.part === part),
      drawn.sliceDistance,
    );
    known.set(part, grid);
  }
  return grid;
}

interface Cut {
  part: number | null;
  patch: Patch;
}

/** Masks that were made of this frame; else where its plane cuts those of the same patient space. */
function masksFor(
  layer: Layer,
  drawn: Drawn,
  stack: Stack,
  frame: StackFrame,
  columns: number,
  rows: number,
): Cut[] {
  const own = drawn.masks.filter((plane) => liesOn(plane, frame, columns, rows));
  if (own.length > 0) {
    return own.flatMap((plane) => {
      const patch = plane.patch();
      return patch ? [{ part: plane.part, patch }] : [];
    });
  }
  const target = planeOf(frame);
  const source = stack.reformat?.plan.stack ?? stack;
  // Planes that name their images draw on no other picture of the same series.
  const isNamed =
    !stack.reformat &&
    drawn.masks.some(({ SOPInstanceUID }) =>
      source.series.images.some((image) => image.SOPInstanceUID === SOPInstanceUID),
    );
  if (!target || isNamed) {
    return [];
  }
  const wanted = new Set(drawn.masks.map(({ part }) => part));
  return [...wanted].flatMap((part) => {
    const isShown =
      part === null || layer.parts.some(({ facts, isShown: on }) => on && facts.number === part);
    const grid = isShown ? gridOf(drawn, part) : null;
    const patch = grid && cutMasks(grid, { ...target, columns, rows });
    return patch ? [{ part, patch }] : [];
  });
}

function masksOn(layer: Layer, cuts: readonly Cut[], columns: number, rows: number): Made | null {
  const drawn = layer.drawn as Drawn;
  const isFractional = drawn.form === "FRACTIONAL";
  const canvas = document.createElement("canvas");
  canvas.width = columns;
  canvas.height = rows;
  const context = canvas.getContext("2d");
  if (!context || cuts.length === 0) {
    return null;
  }
  const picture = context.createImageData(columns, rows);
  const lines: Made["lines"] = [];
  const shown: { part: LayerPart; patch: Patch; value: number | null }[] = [];
  for (const { part: number, patch } of cuts) {
    const parts =
      number === null
        ? layer.parts.map((part, at) => ({ part, value: at + 1 }))
        : layer.parts
            .filter(({ facts }) => facts.number === number)
            .map((part) => ({ part, value: null }));
    for (const { part, value } of parts) {
      if (!part.isShown) {
        continue;
      }
      const isIn = isFractional
        ? (found: number) => found >= HALF
        : value === null
          ? (found: number) => found !== 0
          : (found: number) => found === value;
      if (value !== null && !patch.data.includes(value)) {
        continue;
      }
      paintFill(picture, patch, part.colour, isFractional ? null : isIn);
      const edges = edgesOf(patch, isIn);
      if (edges.length > 0) {
        lines.push({ path: pathOf(edges), colour: part.colour, isThin: false });
      }
      shown.push({ part, patch, value });
    }
  }
  context.putImageData(picture, 0, 0);
  return {
    fill: canvas,
    lines,
    parts: [...new Set(shown.map(({ part }) => part))],
    at: (column, row) =>
      shown.flatMap(({ part, patch, value }) => {
        const found = valueIn(patch, column, row);
        if (value === null ? found === 0 : found !== value) {
          return [];
        }
        return [
          isFractional ? `${part.facts.name} ${Math.round(found / 2.55)} %` : part.facts.name,
        ];
      }),
  };
}

function valueIn({ left, top, width, height, data }: Patch, column: number, row: number): number {
  const [x, y] = [column - left, row - top];
  return x >= 0 && y >= 0 && x < width && y < height ? (data[y * width + x] as number) : 0;
}

export function rgbOf(colour: string): [number, number, number] {
  const value = Number.parseInt(colour.slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

/** Without `isIn`, as opaque as the value says. */
function paintFill(
  picture: ImageData,
  patch: Patch,
  colour: string,
  isIn: ((value: number) => boolean) | null,
): void {
  const [red, green, blue] = rgbOf(colour);
  for (let y = 0; y < patch.height; y++) {
    for (let x = 0; x < patch.width; x++) {
      const value = patch.data[y * patch.width + x] as number;
      if (value === 0 || (isIn && !isIn(value))) {
        continue;
      }
      const at = 4 * ((patch.top + y) * picture.width + patch.left + x);
      picture.data[at] = red;
      picture.data[at + 1] = green;
      picture.data[at + 2] = blue;
      picture.data[at + 3] = isIn ? 255 : value;
    }
  }
}

function pathOf(pieces: readonly number[]): Path2D {
  const path = new Path2D();
  for (let i = 0; i < pieces.length; i += 4) {
    path.moveTo(pieces[i] as number, pieces[i + 1] as number);
    path.lineTo(pieces[i + 2] as number, pieces[i + 3] as number);
  }
  return path;
}

function contoursOn(
  layer: Layer,
  drawn: Drawn,
  frame: StackFrame,
  columns: number,
  rows: number,
): Made | null {
  const target = planeOf(frame);
  if (!target) {
    return null;
  }
  const canvas = document.createElement("canvas");
  canvas.width = columns;
  canvas.height = rows;
  const context = canvas.getContext("2d");
  if (!context) {
    return null;
  }
  const lines: Made["lines"] = [];
  const areas: { path: Path2D; part: LayerPart }[] = [];
  for (const part of layer.parts) {
    const { facts, colour, isShown } = part;
    const contours = drawn.contours.get(facts.number) ?? [];
    if (!isShown || contours.length === 0) {
      continue;
    }
    const path = new Path2D();
    const area = new Path2D();
    const outlines = outlinesOn(contours, target, contourDistance(contours));
    for (const { points, isClosed } of outlines) {
      for (const [index, [x, y]] of points.entries()) {
        for (const each of isClosed ? [path, area] : [path]) {
          if (index === 0) {
            each.moveTo(x, y);
          } else {
            each.lineTo(x, y);
          }
        }
      }
      if (points.length === 1) {
        const [x, y] = points[0] as Vec2;
        path.arc(x, y, 2, 0, 2 * Math.PI);
      }
      if (isClosed) {
        path.closePath();
        area.closePath();
      }
    }
    if (outlines.length > 0) {
      context.setTransform(1, 0, 0, 1, 0.5, 0.5);
      context.fillStyle = colour;
      context.fill(area, "evenodd");
      lines.push({ path, colour, isThin: false });
      areas.push({ path: area, part });
    }
  }
  return lines.length === 0
    ? null
    : {
        fill: canvas,
        lines,
        parts: areas.map(({ part }) => part),
        at: (column, row) =>
          areas.flatMap(({ path, part }) =>
            context.isPointInPath(path, column + 0.5, row + 0.5, "evenodd")
              ? [part.facts.name]
              : [],
          ),
      };
}

/** Values of an object on a frame; NaN where it has none. Null where it has none at all there. */
export function valuesFor(
  drawn: Drawn,
  frame: StackFrame,
  columns: number,
  rows: number,
): Float32Array | null {
  const own = drawn.values.find((plane) => liesOn(plane, frame, columns, rows));
  if (own) {
    return own.values;
  }
  const target = planeOf(frame);
  let grid = valueGrids.get(drawn);
  if (grid === undefined) {
    grid = gridOfPlanes(drawn.values, drawn.sliceDistance);
    valueGrids.set(drawn, grid);
  }
  if (!target || !grid) {
    return null;
  }
  const found = cutValues(grid, { ...target, columns, rows });
  return found.some((value) => !Number.isNaN(value)) ? found : null;
}

function valuesOn(
  layer: Layer,
  drawn: Drawn,
  frame: StackFrame,
  columns: number,
  rows: number,
): Made | null {
  const values = valuesFor(drawn, frame, columns, rows);
  const [part] = layer.parts;
  const canvas = document.createElement("canvas");
  canvas.width = columns;
  canvas.height = rows;
  const context = canvas.getContext("2d");
  if (!values || !part?.isShown || !context) {
    return null;
  }
  const kind = layer.object.kind === "dose" ? "dose" : "parametric";
  const { low, high } = rangeOf(layer);
  const picture = context.createImageData(columns, rows);
  const table = Array.from({ length: 256 }, (_, at) => colourAt(kind, at / 255));
  for (let i = 0; i < values.length; i++) {
    const share = ((values[i] as number) - low) / (high - low || 1);
    // Doses next to nothing are no wash; of a map nothing is left out.
    if (Number.isNaN(share) || (kind === "dose" && share < 0.02)) {
      continue;
    }
    const rgb = table[Math.min(255, Math.max(0, Math.round(share * 255)))] ?? [0, 0, 0];
    picture.data.set([rgb[0], rgb[1], rgb[2], 255], 4 * i);
  }
  context.putImageData(picture, 0, 0);
  const lines = kind === "dose" ? levelsOf(layer) : [];
  return {
    fill: canvas,
    lines: lines.map(({ level, colour }) => ({
      path: pathOf(isoline(values, columns, rows, level)),
      colour,
      isThin: true,
    })),
    parts: [],
    at: (column, row) => {
      const isIn = column >= 0 && row >= 0 && column < columns && row < rows;
      const value = isIn ? (values[row * columns + column] as number) : Number.NaN;
      return Number.isNaN(value)
        ? []
        : [`${part.facts.name} ${numberText(value)} ${drawn.unit}`.trim()];
    },
  };
}

/** From where to where colours run. */
export function rangeOf(layer: Layer): { low: number; high: number } {
  const { min, max } = layer.drawn ?? { min: 0, max: 1 };
  return layer.object.kind === "dose" ? { low: 0, high: max } : { low: min, high: max };
}

/** Lines of equal dose: shares of the greatest dose, which the legend names in its unit. */
export function levelsOf(layer: Layer): { share: number; level: number; colour: string }[] {
  const { high } = rangeOf(layer);
  return high > 0
    ? DOSE_LEVELS.map((share) => ({
        share,
        level: share * high,
        colour: `rgb(${colourAt("dose", share).join(" ")})`,
      }))
    : [];
}

export function numberText(value: number): string {
  return Number(value.toPrecision(3)).toString();
}

export function volumeText(millilitres: number | null): string {
  if (millilitres === null) {
    return t("no volume");
  }
  const digits = millilitres >= 100 ? 0 : millilitres >= 10 ? 1 : millilitres >= 1 ? 2 : 3;
  return `${millilitres.toFixed(digits)} ml`;
}
