import type { Frame } from "./frame";
import type { Rescale } from "./stack";
import type { VolumeGeometry } from "./volume";

/** The hottest cubic centimetre: Peak Value Within ROI, PS3.16 CID 7464 (126031, DCM). */

/** Radius in mm of a sphere of 1 cm3. */
export const PEAK_RADIUS_MM = 10 * Math.cbrt(3 / (4 * Math.PI));
/** Parts of a voxel along each side for which it is asked whether they lie in the sphere. */
const PARTS = 5;
/** Slices at more uneven distances than this share of a step make no sphere. */
const UNEVEN_SHARE = 0.05;

interface Share {
  column: number;
  row: number;
  slice: number;
  /** Part of the voxel that lies in the sphere. */
  share: number;
}

/** The voxels about a middle one, and how much of each lies in a sphere of 1 cm3. */
export function sphere(size: readonly [number, number, number]): Share[] {
  const reach = size.map((mm) => Math.ceil(PEAK_RADIUS_MM / mm + 0.5)) as [number, number, number];
  const found: Share[] = [];
  for (let slice = -reach[2]; slice <= reach[2]; slice++) {
    for (let row = -reach[1]; row <= reach[1]; row++) {
      for (let column = -reach[0]; column <= reach[0]; column++) {
        const share = shareOf([column, row, slice], size);
        if (share > 0) {
          found.push({ column, row, slice, share });
        }
      }
    }
  }
  return found;
}

function shareOf(at: readonly number[], size: readonly number[]): number {
  const places = Array.from({ length: PARTS }, (_, index) => (index + 0.5) / PARTS - 0.5);
  const squares = at.map((index, axis) =>
    places.map((place) => ((index + place) * (size[axis] as number)) ** 2),
  ) as [number[], number[], number[]];
  let inside = 0;
  for (const x of squares[0]) {
    for (const y of squares[1]) {
      for (const z of squares[2]) {
        inside += x + y + z <= PEAK_RADIUS_MM ** 2 ? 1 : 0;
      }
    }
  }
  return inside / PARTS ** 3;
}

/** Size of a voxel along columns, rows and slices in mm; null where slices lie unevenly. */
export function voxelSize(geometry: VolumeGeometry): readonly [number, number, number] | null {
  const { locations, pixel } = geometry;
  const step = ((locations.at(-1) as number) - (locations[0] as number)) / (locations.length - 1);
  const isEven = locations.every(
    (place, index) =>
      Math.abs(place - (locations[0] as number) - index * step) <= UNEVEN_SHARE * step,
  );
  return isEven && step > 0 ? [pixel[0], pixel[1], step] : null;
}

/** How far the sphere reaches into neighbouring slices. */
export function sliceReach(size: readonly [number, number, number]): number {
  return Math.max(...sphere(size).map(({ slice }) => slice));
}

/**
 * The highest mean of a cubic centimetre about any of `middles` (offsets of pixels in a slice).
 * `slices` holds the pixels by their distance from that slice. Null where no sphere lies wholly
 * in the pictures that are here.
 */
export function peakValue(
  middles: readonly number[],
  slices: ReadonlyMap<number, { pixels: Frame; rescale: Rescale }>,
  size: readonly [number, number, number],
): number | null {
  const center = slices.get(0)?.pixels;
  const shares = sphere(size);
  if (!center || shares.some(({ slice }) => !slices.has(slice))) {
    return null;
  }
  const { columns, rows } = center;
  const total = shares.reduce((sum, { share }) => sum + share, 0);
  let highest: number | null = null;
  for (const middle of middles) {
    const column = middle % columns;
    const row = (middle - column) / columns;
    let sum = 0;
    for (const part of shares) {
      const c = column + part.column;
      const r = row + part.row;
      const slice = slices.get(part.slice);
      if (c < 0 || r < 0 || c >= columns || r >= rows || !slice) {
        sum = Number.NaN;
        break;
      }
      const { pixels, rescale } = slice;
      const value = pixels.data[r * columns + c] as number;
      sum += (value * rescale.slope + rescale.intercept) * part.share;
    }
    if (!Number.isNaN(sum) && (highest === null || sum / total > highest)) {
      highest = sum / total;
    }
  }
  return highest;
}
