import { displayLevel, type Overlay } from "./voi";

/** Below this level (of 255) the overlay fades away, so that where nothing is the picture stays. */
const FADE_LEVEL = 16;

/** Lays an overlay over a painted picture, pixel by pixel. */
export function blend(out: Uint32Array, overlay: Overlay): void {
  const { data, window, colors, opacity } = overlay;
  const weights = Float32Array.from(
    { length: 256 },
    (_, level) => opacity * Math.min(level / FADE_LEVEL, 1),
  );
  for (let i = 0; i < out.length; i++) {
    const value = data[i] as number;
    if (Number.isNaN(value)) {
      continue;
    }
    const level = Math.round(displayLevel(value, window));
    const over = weights[level] as number;
    if (over > 0) {
      out[i] = mixed(out[i] as number, colors[level] as number, over);
    }
  }
}

function mixed(under: number, over: number, share: number): number {
  const part = (shift: number): number => {
    const from = (under >>> shift) & 0xff;
    return Math.round(from + (((over >>> shift) & 0xff) - from) * share) << shift;
  };
  return (0xff000000 | part(16) | part(8) | part(0)) >>> 0;
}
