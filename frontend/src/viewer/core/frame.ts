export type PixelArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array;

/** The exact pixels of one frame: stored values, or 8-bit RGB with three samples. */
export interface Frame {
  key: string;
  rows: number;
  columns: number;
  samples: 1 | 3;
  data: PixelArray;
  /** Smallest and largest stored value. */
  min: number;
  max: number;
}

const ARRAYS = {
  uint8: Uint8Array,
  int8: Int8Array,
  uint16: Uint16Array,
  int16: Int16Array,
  uint32: Uint32Array,
  int32: Int32Array,
  float32: Float32Array,
  float64: Float64Array,
} as const;

export type Dtype = keyof typeof ARRAYS;

export function isDtype(name: string): name is Dtype {
  return name in ARRAYS;
}

/** A typed view of `bytes` (little endian); copies only where the start is not aligned. */
export function typedPixels(dtype: Dtype, bytes: Uint8Array): PixelArray {
  const Type = ARRAYS[dtype];
  const size = Type.BYTES_PER_ELEMENT;
  const count = Math.floor(bytes.byteLength / size);
  if (bytes.byteOffset % size === 0) {
    return new Type(bytes.buffer as ArrayBuffer, bytes.byteOffset, count);
  }
  return new Type(bytes.slice().buffer as ArrayBuffer, 0, count);
}

export function pixelRange(data: PixelArray): { min: number; max: number } {
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < data.length; i++) {
    const value = data[i] as number;
    if (value < min) {
      min = value;
    }
    if (value > max) {
      max = value;
    }
  }
  return min <= max ? { min, max } : { min: 0, max: 0 };
}
