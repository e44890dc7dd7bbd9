/** Lines of one value through a grid of values, and the colours that values are given. */

/** Straight pieces [x1, y1, x2, y2, ...] where the values pass `level` (marching squares). */
export function isoline(
  values: Float32Array,
  columns: number,
  rows: number,
  level: number,
): number[] {
  const pieces: number[] = [];
  const value = (x: number, y: number): number => values[y * columns + x] as number;
  for (let y = 0; y + 1 < rows; y++) {
    for (let x = 0; x + 1 < columns; x++) {
      const a = value(x, y);
      const b = value(x + 1, y);
      const c = value(x + 1, y + 1);
      const d = value(x, y + 1);
      const sum = a + b + c + d;
      if (Number.isNaN(sum)) {
        continue;
      }
      const code =
        (a >= level ? 1 : 0) | (b >= level ? 2 : 0) | (c >= level ? 4 : 0) | (d >= level ? 8 : 0);
      if (code === 0 || code === 15) {
        continue;
      }
      const top = [x + (level - a) / (b - a), y] as const;
      const right = [x + 1, y + (level - b) / (c - b)] as const;
      const bottom = [x + (level - d) / (c - d), y + 1] as const;
      const left = [x, y + (level - a) / (d - a)] as const;
      const add = (p: readonly [number, number], q: readonly [number, number]): void => {
        pieces.push(p[0], p[1], q[0], q[1]);
      };
      switch (code) {
        case 1:
        case 14:
          add(left, top);
          break;
        case 2:
        case 13:
          add(top, right);
          break;
        case 3:
        case 12:
          add(left, right);
          break;
        case 4:
        case 11:
          add(right, bottom);
          break;
        case 6:
        case 9:
          add(top, bottom);
          break;
        case 7:
        case 8:
          add(left, bottom);
          break;
        default: {
          // A saddle: its middle says which corners belong together.
          const isJoined = sum / 4 >= level;
          if ((code === 5) === isJoined) {
            add(left, bottom);
            add(top, right);
          } else {
            add(left, top);
            add(right, bottom);
          }
        }
      }
    }
  }
  return pieces;
}

type Rgb = readonly [number, number, number];

/** Of doses: from blue over green to red, as planning systems paint them. */
const DOSE: readonly Rgb[] = [
  [0, 0, 160],
  [0, 90, 255],
  [0, 220, 220],
  [60, 210, 60],
  [250, 240, 40],
  [255, 140, 0],
  [230, 20, 20],
];
/** Of other values: even in lightness (viridis). */
const PLAIN: readonly Rgb[] = [
  [68, 1, 84],
  [72, 40, 120],
  [62, 74, 137],
  [49, 104, 142],
  [38, 130, 142],
  [31, 158, 137],
  [53, 183, 121],
  [109, 205, 89],
  [180, 222, 44],
  [253, 231, 37],
];

export function colourAt(kind: "dose" | "parametric", share: number): Rgb {
  const table = kind === "dose" ? DOSE : PLAIN;
  const at = Math.min(Math.max(share, 0), 1) * (table.length - 1);
  const low = Math.min(Math.floor(at), table.length - 2);
  const [a, b] = [table[low] as Rgb, table[low + 1] as Rgb];
  const part = (index: 0 | 1 | 2): number =>
    Math.round(a[index] + (b[index] - a[index]) * (at - low));
  return [part(0), part(1), part(2)];
}

/** The colours of a bar from the lowest value to the highest, as CSS names them. */
export function barOf(kind: "dose" | "parametric", count: number): string[] {
  return Array.from(
    { length: count },
    (_, at) => `rgb(${colourAt(kind, at / (count - 1)).join(" ")})`,
  );
}

/** Shares of the greatest dose at which lines are drawn, the highest first. */
export const DOSE_LEVELS = [0.95, 0.8, 0.5, 0.3, 0.1] as const;
