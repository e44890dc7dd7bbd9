import type { Vec2 } from "./manifest";

/** Places the texts of measurements: none over another, none beyond the edge of the viewport. */

export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Label {
  /** What the text speaks of; it stands beside this box as near as it can. */
  about: Box;
  /** The side that is tried first. */
  prefers: "right" | "left";
  width: number;
  height: number;
}

export interface PlacedLabel {
  box: Box;
  /** From the text to what it speaks of, where the text had to go further away. */
  leader: readonly [Vec2, Vec2] | null;
}

const GAP = 10;
const MARGIN = 4;
/** Distance between texts. */
const SPACE = 3;
/** Steps of the search for a free place. */
const STEP = 12;
/** A text that stands this near needs no line to what it speaks of. */
const NEAR = 16;

function overlap(a: Box, b: Box): number {
  const width = Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x) + SPACE;
  const height = Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y) + SPACE;
  return width > 0 && height > 0 ? width * height : 0;
}

function clamp(value: number, low: number, high: number): number {
  return Math.max(low, Math.min(value, Math.max(low, high)));
}

/** Nearest points of two boxes, and how far they are from each other. */
function between(from: Box, to: Box): { line: readonly [Vec2, Vec2]; distance: number } {
  const pair = (a: number, aSize: number, b: number, bSize: number): [number, number] => {
    if (a + aSize < b) {
      return [a + aSize, b];
    }
    if (b + bSize < a) {
      return [a, b + bSize];
    }
    const middle = (Math.max(a, b) + Math.min(a + aSize, b + bSize)) / 2;
    return [middle, middle];
  };
  const [x1, x2] = pair(from.x, from.width, to.x, to.width);
  const [y1, y2] = pair(from.y, from.height, to.y, to.height);
  return {
    line: [
      [x1, y1],
      [x2, y2],
    ],
    distance: Math.hypot(x2 - x1, y2 - y1),
  };
}

function sides({ about, prefers, width, height }: Label): Vec2[] {
  const middle = about.y + about.height / 2 - height / 2;
  const center = about.x + about.width / 2 - width / 2;
  const right: Vec2 = [about.x + about.width + GAP, middle];
  const left: Vec2 = [about.x - GAP - width, middle];
  return [
    ...(prefers === "right" ? [right, left] : [left, right]),
    [center, about.y + about.height + GAP],
    [center, about.y - GAP - height],
  ];
}

/** Every place of the viewport that a text of this size may take, the nearest to `wish` first. */
function grid(label: Label, wish: Vec2, size: { width: number; height: number }): Vec2[] {
  const found: Vec2[] = [];
  for (let y = MARGIN; y <= size.height - label.height - MARGIN; y += STEP) {
    for (let x = MARGIN; x <= size.width - label.width - MARGIN; x += STEP) {
      found.push([x, y]);
    }
  }
  const far = ([x, y]: Vec2): number => Math.hypot(x - wish[0], y - wish[1]);
  return found.sort((a, b) => far(a) - far(b));
}

/**
 * Places texts one after the other: beside what they speak of where there is room, else at the
 * nearest free place, with a line. Only where the viewport is full do texts overlap, the least.
 * `kept` is where other texts stand already.
 */
export function placeLabels(
  labels: readonly Label[],
  size: { width: number; height: number },
  kept: readonly Box[] = [],
): PlacedLabel[] {
  const taken = [...kept];
  return labels.map((label) => {
    const { width, height } = label;
    const inside = ([x, y]: Vec2): Vec2 => [
      clamp(x, MARGIN, size.width - width - MARGIN),
      clamp(y, MARGIN, size.height - height - MARGIN),
    ];
    const covered = ([x, y]: Vec2): number =>
      taken.reduce((sum, other) => sum + overlap({ x, y, width, height }, other), 0);
    const beside = sides(label);
    const isWithin = (at: Vec2): boolean => {
      const [x, y] = inside(at);
      return Math.abs(x - at[0]) < 1 && Math.abs(y - at[1]) < GAP;
    };
    let best =
      beside.find((at) => isWithin(at) && covered(inside(at)) === 0) ??
      beside.find((at) => covered(inside(at)) === 0);
    if (!best) {
      const wish = inside(beside[0] as Vec2);
      const places = grid(label, wish, size);
      best = places.find((at) => covered(at) === 0) ?? leastCovered([wish, ...places], covered);
    }
    const [x, y] = inside(best);
    const box = { x, y, width, height };
    taken.push(box);
    const { line, distance } = between(box, label.about);
    return { box, leader: distance > NEAR ? line : null };
  });
}

function leastCovered(places: readonly Vec2[], covered: (at: Vec2) => number): Vec2 {
  let best = places[0] as Vec2;
  let least = covered(best);
  for (const at of places) {
    const sum = covered(at);
    if (sum < least) {
      best = at;
      least = sum;
    }
  }
  return best;
}
