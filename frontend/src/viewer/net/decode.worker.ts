/// <reference lib="webworker" />
import openJph, { type HTJ2KDecoder } from "@cornerstonejs/codec-openjph";
import wasmUrl from "@cornerstonejs/codec-openjph/wasm?url";
import { pixelRange, typedPixels } from "../core/frame";
import type { DecodeAnswer, DecodeRequest } from "./decode-messages";

declare const self: DedicatedWorkerGlobalScope;

let decoder: Promise<HTJ2KDecoder> | null = null;

function getDecoder(): Promise<HTJ2KDecoder> {
  decoder ??= openJph({ locateFile: () => wasmUrl }).then((module) => new module.HTJ2KDecoder());
  return decoder;
}

/** Decodes one HTJ2K code stream; colour comes out as interleaved 8-bit RGB. */
async function decodeJph(request: DecodeRequest): Promise<Uint8Array> {
  const jph = await getDecoder();
  jph.getEncodedBuffer(request.body.byteLength).set(request.body);
  jph.decode();
  const info = jph.getFrameInfo();
  if (info.width !== request.columns || info.height !== request.rows) {
    throw new Error(
      `The code stream holds ${info.width} x ${info.height} pixels, not the ones announced.`,
    );
  }
  // The decoder's buffer lives in its own memory and is overwritten by the next frame.
  const samples = new Uint8Array(jph.getDecodedBuffer());
  const count = request.rows * request.columns * request.samples;
  return samples.byteLength === count && request.dtype.endsWith("16")
    ? widen(samples, info.isSigned)
    : samples;
}

/** Code streams of 8 significant bits decode to bytes although the frame's type is 16 bits wide. */
function widen(samples: Uint8Array, isSigned: boolean): Uint8Array {
  const wide = isSigned
    ? Int16Array.from(new Int8Array(samples.buffer as ArrayBuffer))
    : Uint16Array.from(samples);
  return new Uint8Array(wide.buffer);
}

async function decode(request: DecodeRequest): Promise<DecodeAnswer> {
  const bytes = request.isJph ? await decodeJph(request) : request.body;
  const data = typedPixels(request.dtype, bytes);
  const expected = request.rows * request.columns * request.samples;
  if (data.length < expected) {
    throw new Error(`The frame has ${data.length} values instead of ${expected}.`);
  }
  return { id: request.id, data, ...pixelRange(data) };
}

self.addEventListener("message", (event: MessageEvent<DecodeRequest | "warm">) => {
  const request = event.data;
  if (request === "warm") {
    getDecoder().catch(() => {
      // Asked again with the first frame, whose answer then carries the reason.
      decoder = null;
    });
    return;
  }
  decode(request).then(
    (answer) => self.postMessage(answer, [answer.data.buffer]),
    (error: unknown) =>
      self.postMessage({
        id: request.id,
        error: error instanceof Error ? error.message : "The code stream cannot be decoded.",
      }),
  );
});
