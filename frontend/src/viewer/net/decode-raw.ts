import { type Dtype, type PixelArray, pixelRange, typedPixels } from "../core/frame";

export interface RawFrame {
  body: Uint8Array;
  rows: number;
  columns: number;
  samples: 1 | 3;
  dtype: Dtype;
}

/** Takes over raw pixels; too few of them are an error, surplus padding is left out. */
export function decodeRaw(frame: RawFrame): { data: PixelArray; min: number; max: number } {
  const data = typedPixels(frame.dtype, frame.body);
  const expected = frame.rows * frame.columns * frame.samples;
  if (data.length < expected) {
    throw new Error(`The frame has ${data.length} values instead of ${expected}.`);
  }
  const exact = data.length > expected ? data.subarray(0, expected) : data;
  return { data: exact, ...pixelRange(exact) };
}
