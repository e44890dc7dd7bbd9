import type { ImageFacts, SeriesFacts } from "./manifest";

/** What the server says of the video that it gives. */
export interface VideoFacts {
  frame_count: number;
  frame_rate: number;
  Rows: number;
  Columns: number;
  /** When the first one is shown. */
  start_s: number;
  duration_s: number;
  /** When each frame is shown, where they do not all last equally long. */
  times_s: readonly number[] | null;
  stored_codec: string;
  is_converted: boolean;
}

export const SPEEDS = [0.1, 0.25, 0.5, 1, 2, 4] as const;

/** Rounding of times in a player is below this. */
const SLACK_S = 0.0005;

export function videosOf(series: SeriesFacts): ImageFacts[] {
  return series.images.filter((image) => image.video);
}

/** The place, from 0, of the frame that a player shows at a time. */
export function frameAt(time: number, facts: VideoFacts): number {
  const last = facts.frame_count - 1;
  const since = time - facts.start_s;
  if (!facts.times_s) {
    return Math.min(Math.max(Math.floor((since + SLACK_S) * facts.frame_rate), 0), last);
  }
  let low = 0;
  let high = last;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if ((facts.times_s[middle] ?? 0) <= since + SLACK_S) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

/** A time at which a player shows a frame: its middle, because players round. */
export function timeOf(index: number, facts: VideoFacts): number {
  if (!facts.times_s) {
    return facts.start_s + (index + 0.5) / facts.frame_rate;
  }
  const start = facts.times_s[index] ?? 0;
  const end = facts.times_s[index + 1] ?? Math.max(facts.duration_s, start);
  return facts.start_s + (start + end) / 2;
}

/** A time as people read it: 1:02.3. */
export function clock(seconds: number): string {
  const tenths = Math.round(seconds * 10);
  const minutes = Math.floor(tenths / 600);
  return `${minutes}:${((tenths % 600) / 10).toFixed(1).padStart(4, "0")}`;
}
