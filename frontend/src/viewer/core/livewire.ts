import type { Frame } from "./frame";
import type { Vec2 } from "./manifest";

/** Finds outlines along edges: the cheapest way over a picture, where edges cost little. */

/** Half the side of the square that is searched about a point, in pixels. */
const REACH = 96;
/** What a step costs where there is no edge, against nothing on the strongest one. */
const FLAT_COST = 1;
const LEAST_COST = 0.02;

/** The cheapest ways from one pixel to all pixels near it (Dijkstra's algorithm). */
export class LiveWire {
  private readonly left: number;
  private readonly top: number;
  private readonly width: number;
  private readonly height: number;
  private readonly from: Int32Array;

  constructor(frame: Frame, seed: Vec2) {
    const column = clamp(Math.round(seed[0]), frame.columns);
    const row = clamp(Math.round(seed[1]), frame.rows);
    this.left = Math.max(0, column - REACH);
    this.top = Math.max(0, row - REACH);
    this.width = Math.min(frame.columns, column + REACH + 1) - this.left;
    this.height = Math.min(frame.rows, row + REACH + 1) - this.top;
    const costs = this.edgeCosts(frame);
    this.from = this.search(costs, (row - this.top) * this.width + column - this.left);
  }

  /** The way from the seed to a point, which is kept within the searched square. */
  path(to: Vec2): Vec2[] {
    const column = Math.min(Math.max(Math.round(to[0]) - this.left, 0), this.width - 1);
    const row = Math.min(Math.max(Math.round(to[1]) - this.top, 0), this.height - 1);
    const found: Vec2[] = [];
    for (let at = row * this.width + column; at >= 0; at = this.from[at] as number) {
      found.push([(at % this.width) + this.left, Math.floor(at / this.width) + this.top]);
    }
    return found.reverse();
  }

  private edgeCosts(frame: Frame): Float32Array {
    const { data, columns, rows, samples } = frame;
    const value = (c: number, r: number): number =>
      data[(clamp(r, rows) * columns + clamp(c, columns)) * samples] as number;
    const costs = new Float32Array(this.width * this.height);
    let strongest = 0;
    for (let r = 0; r < this.height; r++) {
      for (let c = 0; c < this.width; c++) {
        const [x, y] = [c + this.left, r + this.top];
        const slope = Math.hypot(
          value(x + 1, y) - value(x - 1, y),
          value(x, y + 1) - value(x, y - 1),
        );
        // Planes reach beyond their volume, where there are no values and no edges.
        const strength = Number.isNaN(slope) ? 0 : slope;
        costs[r * this.width + c] = strength;
        strongest = Math.max(strongest, strength);
      }
    }
    for (let i = 0; i < costs.length; i++) {
      const share = strongest > 0 ? (costs[i] as number) / strongest : 0;
      costs[i] = LEAST_COST + FLAT_COST * (1 - share) ** 2;
    }
    return costs;
  }

  /** Buckets of costs instead of a sorted queue: the square is searched in a few milliseconds. */
  private search(costs: Float32Array, seed: number): Int32Array {
    const { width, height } = this;
    const from = new Int32Array(costs.length).fill(-2);
    const total = new Float32Array(costs.length).fill(Number.POSITIVE_INFINITY);
    const buckets: number[][] = [[seed]];
    const bucketOf = (cost: number): number => Math.floor(cost * 32);
    total[seed] = 0;
    from[seed] = -1;
    const done = new Uint8Array(costs.length);
    for (let bucket = 0; bucket < buckets.length; bucket++) {
      const list = buckets[bucket] ?? [];
      for (let i = 0; i < list.length; i++) {
        const at = list[i] as number;
        if (done[at]) {
          continue;
        }
        done[at] = 1;
        const column = at % width;
        const row = Math.floor(at / width);
        for (let dr = -1; dr <= 1; dr++) {
          for (let dc = -1; dc <= 1; dc++) {
            const [c, r] = [column + dc, row + dr];
            if ((dr === 0 && dc === 0) || c < 0 || r < 0 || c >= width || r >= height) {
              continue;
            }
            const next = r * width + c;
            const step = (costs[next] as number) * (dr !== 0 && dc !== 0 ? Math.SQRT2 : 1);
            const cost = (total[at] as number) + step;
            if (cost < (total[next] as number)) {
              total[next] = cost;
              from[next] = at;
              const into = bucketOf(cost);
              while (buckets.length <= into) {
                buckets.push([]);
              }
              buckets[into]?.push(next);
            }
          }
        }
      }
      buckets[bucket] = [];
    }
    return from;
  }
}

function clamp(value: number, count: number): number {
  return Math.min(Math.max(value, 0), count - 1);
}
