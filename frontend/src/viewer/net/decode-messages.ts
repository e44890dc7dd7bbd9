import type { Dtype, PixelArray } from "../core/frame";

export interface DecodeRequest {
  id: number;
  isJph: boolean;
  body: Uint8Array;
  rows: number;
  columns: number;
  samples: 1 | 3;
  dtype: Dtype;
}

export interface DecodeAnswer {
  id: number;
  data: PixelArray;
  min: number;
  max: number;
}

export interface DecodeFailure {
  id: number;
  error: string;
}

/** The decoder's compiled code, sent once, before any frame needs it; or why there is none. */
export type DecoderCode = { code: WebAssembly.Module } | { code: null; error: string };

export type WorkerMessage = DecodeRequest | DecoderCode;
