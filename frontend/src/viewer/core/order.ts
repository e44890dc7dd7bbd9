/**
 * The order in which the frames of a series are wanted, seen from the frame on the screen: three in
 * the direction of reading, one behind, then a growing ring, so that a change of direction costs little.
 */
export function prefetchOrder(count: number, center: number, direction: 1 | -1): number[] {
  const order: number[] = [];
  const taken = new Uint8Array(count);
  const take = (index: number): void => {
    if (index >= 0 && index < count && taken[index] === 0) {
      taken[index] = 1;
      order.push(index);
    }
  };
  take(center);
  for (let step = 1; step <= 3; step++) {
    take(center + step * direction);
  }
  take(center - direction);
  for (let ring = 1; order.length < count; ring++) {
    // Twice as far ahead as behind: people keep going more often than they turn.
    take(center + (2 * ring + 2) * direction);
    take(center + (2 * ring + 3) * direction);
    take(center - (ring + 1) * direction);
    if (ring > count) {
      for (let index = 0; index < count; index++) {
        take(index);
      }
    }
  }
  return order;
}

/** How many frames to ask for in one request: few for the first picture, many later, bytes bounded. */
export function batchSize(bytesPerFrame: number, isFirst: boolean): number {
  if (isFirst) {
    return 1;
  }
  const targetBytes = 8 * 1024 * 1024;
  return Math.min(Math.max(Math.floor(targetBytes / Math.max(bytesPerFrame, 1)), 1), 32);
}

/** Every 8th, then every 4th, every 2nd and all others: a volume is whole early, then finer. */
export function interleavedOrder(count: number): number[] {
  const order: number[] = [];
  for (const [start, step] of [
    [0, 8],
    [4, 8],
    [2, 4],
    [1, 2],
  ] as const) {
    for (let index = start; index < count; index += step) {
      order.push(index);
    }
  }
  return order;
}
