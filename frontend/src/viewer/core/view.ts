import type { Affine } from "./affine";
import { apply, invert } from "./affine";
import type { Vec2, Vec3 } from "./manifest";

/**
 * How image directions lie on the screen: a 2 x 2 matrix of 0 and +-1 in row order. It maps
 * (column, row) directions of the picture to (right, down) of the screen; the eight of them are all
 * quarter turns and mirrorings.
 */
export type Orientation = readonly [number, number, number, number];

export interface View {
  orientation: Orientation;
  /** Times the fitting scale; 1 fits the whole picture into the viewport. */
  zoom: number;
  /** Displacement of the picture's centre from the viewport's, in CSS pixels. */
  pan: Vec2;
}

export interface PictureSize {
  columns: number;
  rows: number;
  /** Height of a pixel divided by its width. */
  pixelAspect: number;
}

export interface Size {
  width: number;
  height: number;
}

export const UPRIGHT: Orientation = [1, 0, 0, 1];
export const INITIAL_VIEW: View = { orientation: UPRIGHT, zoom: 1, pan: [0, 0] };
export const MIN_ZOOM = 0.05;
export const MAX_ZOOM = 60;

function multiply(a: Orientation, b: Orientation): Orientation {
  return [
    a[0] * b[0] + a[1] * b[2] || 0,
    a[0] * b[1] + a[1] * b[3] || 0,
    a[2] * b[0] + a[3] * b[2] || 0,
    a[2] * b[1] + a[3] * b[3] || 0,
  ];
}

const TURNS = {
  rotateRight: [0, -1, 1, 0],
  rotateLeft: [0, 1, -1, 0],
  flipHorizontal: [-1, 0, 0, 1],
  flipVertical: [1, 0, 0, -1],
} as const satisfies Record<string, Orientation>;

export type Turn = keyof typeof TURNS;

/** Turns or mirrors what is on the screen about the viewport's centre. */
export function turn(view: View, by: Turn): View {
  const [a, b, c, d] = TURNS[by];
  return {
    ...view,
    orientation: multiply(TURNS[by], view.orientation),
    pan: [a * view.pan[0] + b * view.pan[1] || 0, c * view.pan[0] + d * view.pan[1] || 0],
  };
}

/** CSS pixels per picture column at zoom 1. */
export function fitScale(picture: PictureSize, viewport: Size, orientation: Orientation): number {
  const width = picture.columns;
  const height = picture.rows * picture.pixelAspect;
  const turned = orientation[0] === 0;
  const [shownWidth, shownHeight] = turned ? [height, width] : [width, height];
  return Math.min(viewport.width / shownWidth, viewport.height / shownHeight);
}

/** Picture coordinates (centre of the first pixel is 0, 0) to CSS pixels of the viewport. */
export function imageToScreen(view: View, picture: PictureSize, viewport: Size): Affine {
  const scaleX = fitScale(picture, viewport, view.orientation) * view.zoom;
  const scaleY = scaleX * picture.pixelAspect;
  const [a, b, c, d] = view.orientation;
  const centerX = (picture.columns - 1) / 2;
  const centerY = (picture.rows - 1) / 2;
  const m0 = a * scaleX;
  const m1 = c * scaleX;
  const m2 = b * scaleY;
  const m3 = d * scaleY;
  return [
    m0,
    m1,
    m2,
    m3,
    viewport.width / 2 + view.pan[0] - m0 * centerX - m2 * centerY,
    viewport.height / 2 + view.pan[1] - m1 * centerX - m3 * centerY,
  ];
}

/**
 * What of a picture lies within the viewport, in its pixels with its upper left corner at 0, 0:
 * left, top, width and height. Null where all of it does, or nothing.
 */
export function seenRegion(
  view: View,
  picture: PictureSize,
  viewport: Size,
): [number, number, number, number] | null {
  const matrix = imageToScreen(view, picture, viewport);
  const one = screenToImage(matrix, [0, 0]);
  const other = screenToImage(matrix, [viewport.width, viewport.height]);
  const span = (at: 0 | 1, most: number): [number, number] => [
    Math.max(0, Math.min(one[at], other[at]) + 0.5),
    Math.min(most, Math.max(one[at], other[at]) + 0.5),
  ];
  const [left, right] = span(0, picture.columns);
  const [top, bottom] = span(1, picture.rows);
  const isWhole = left < 0.5 && top < 0.5 && right > picture.columns - 0.5;
  if ((isWhole && bottom > picture.rows - 0.5) || right - left < 1 || bottom - top < 1) {
    return null;
  }
  return [left, top, right - left, bottom - top];
}

/** Zooms so that the picture point under `anchor` (CSS pixels) stays under it. */
export function zoomAt(view: View, factor: number, anchor: Vec2, viewport: Size): View {
  const zoom = Math.min(Math.max(view.zoom * factor, MIN_ZOOM), MAX_ZOOM);
  const real = zoom / view.zoom;
  const x = anchor[0] - viewport.width / 2;
  const y = anchor[1] - viewport.height / 2;
  return {
    ...view,
    zoom,
    pan: [x - (x - view.pan[0]) * real, y - (y - view.pan[1]) * real],
  };
}

export function panBy(view: View, dx: number, dy: number): View {
  return { ...view, pan: [view.pan[0] + dx, view.pan[1] + dy] };
}

/** One picture column a device pixel. */
export function oneToOne(
  view: View,
  picture: PictureSize,
  viewport: Size,
  devicePixelRatio: number,
): View {
  return {
    ...view,
    zoom: 1 / (fitScale(picture, viewport, view.orientation) * devicePixelRatio),
    pan: [0, 0],
  };
}

/** As large on the screen as in the patient: `columnMm` a picture column, by the screen's own size. */
export function trueSize(
  view: View,
  picture: PictureSize,
  viewport: Size,
  columnMm: number,
  pixelsPerMm: number,
): View {
  const zoom = (columnMm * pixelsPerMm) / fitScale(picture, viewport, view.orientation);
  return { ...view, zoom: Math.min(Math.max(zoom, MIN_ZOOM), MAX_ZOOM), pan: [0, 0] };
}

/** Device-independent zoom shown to people: 1 means a picture column is a CSS pixel wide. */
export function shownZoom(view: View, picture: PictureSize, viewport: Size): number {
  return fitScale(picture, viewport, view.orientation) * view.zoom;
}

/** Patient directions towards the right and the lower edge of the screen. */
export function screenAxes(
  orientation: Orientation,
  axes: { row: Vec3; column: Vec3 },
): { right: Vec3; down: Vec3 } {
  const [a, b, c, d] = orientation;
  const mix = (x: number, y: number): Vec3 => [
    x * axes.row[0] + y * axes.column[0],
    x * axes.row[1] + y * axes.column[1],
    x * axes.row[2] + y * axes.column[2],
  ];
  return { right: mix(a, b), down: mix(c, d) };
}

export function screenToImage(matrix: Affine, point: Vec2): Vec2 {
  return apply(invert(matrix), point);
}
