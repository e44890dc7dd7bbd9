/** How a film goes on at its end. */
export interface FilmManner {
  loops: boolean;
  /** To and fro, instead of from the start again. */
  bounces: boolean;
}

/** The next frame of a film, and its direction; null where it ends. */
export function nextOfFilm(
  index: number,
  count: number,
  direction: 1 | -1,
  { loops, bounces }: FilmManner,
): { index: number; direction: 1 | -1 } | null {
  const next = index + direction;
  if (next >= 0 && next < count) {
    return { index: next, direction };
  }
  if (bounces && (loops || direction === 1)) {
    const back: 1 | -1 = direction === 1 ? -1 : 1;
    return { index: index + back, direction: back };
  }
  return loops ? { index: 0, direction: 1 } : null;
}
