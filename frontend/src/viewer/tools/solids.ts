import type { Solids3d } from "../core/reformat";
import { type SolidSegment, segmentCells } from "../core/segment-cells";
import type { Stack } from "../core/stack";
import {
  belongs,
  gridOf,
  HALF,
  type Layer,
  type LayerPart,
  type Overlays,
  rgbOf,
} from "./overlays";
import type { SegmentIn3d, SegmentsIn3d } from "./volume3d";

/** Cells tell so many segments apart. */
const MOST = 255;

interface Solid {
  layer: Layer;
  part: LayerPart;
  segment: () => SolidSegment | null;
}

/** The segments of a study as the 3D view shows them: the visible ones, in their colours. */
export class Solids implements SegmentsIn3d {
  constructor(private readonly overlays: Overlays) {}

  partsOf(stack: Stack): (SegmentIn3d & { part: LayerPart })[] {
    return this.solidsOf(stack).map(({ layer, part }) => ({
      part,
      of: layer.object.image_id ? layer.object.SeriesDescription || layer.object.label : "",
      show: (isShown) => this.overlays.setShown(layer, part, isShown),
    }));
  }

  shownOf(stack: Stack, opacity: number): Solids3d | null {
    const shown = this.solidsOf(stack)
      .filter(({ part }) => part.isShown)
      .slice(0, MOST);
    if (shown.length === 0) {
      return null;
    }
    return {
      key: shown
        .map(({ layer, part }) => `${layer.id} ${layer.version} ${part.facts.number}`)
        .join(),
      tints: shown.map(({ part }) => ({ rgb: rgbOf(part.colour), opacity })),
      cells: (frame) =>
        segmentCells(
          frame,
          // One without a place in the patient covers nothing, and keeps its number.
          shown.map(({ segment }) => segment() ?? NOWHERE),
        ),
    };
  }

  /** Masks alone: outlines, doses and maps have no surface here. */
  private solidsOf(stack: Stack): Solid[] {
    return this.overlays.layers.flatMap((layer) => {
      const { drawn } = layer;
      if (!drawn || drawn.masks.length === 0 || !belongs(layer, stack)) {
        return [];
      }
      const isLabels = drawn.form === "LABELMAP";
      return layer.parts.flatMap((part, at) => {
        // A draft has a part for each number, named or not.
        if (part.facts.name === "") {
          return [];
        }
        const segment = (): SolidSegment | null => {
          const grid = gridOf(drawn, isLabels ? null : part.facts.number);
          const isIn = isLabels
            ? (value: number) => value === at + 1
            : drawn.form === "FRACTIONAL"
              ? (value: number) => value >= HALF
              : (value: number) => value !== 0;
          return grid && { grid, isIn };
        };
        return [{ layer, part, segment }];
      });
    });
  }
}

const NOWHERE: SolidSegment = {
  grid: { row: [1, 0, 0], column: [0, 1, 0], normal: [0, 0, 1], slices: [], reach: 0 },
  isIn: () => false,
};
