/// <reference lib="webworker" />
import openJph, { type HTJ2KDecoder } from "@cornerstonejs/codec-openjph";
import type { DecodeAnswer, DecodeRequest, WorkerMessage } from "./decode-messages";
import { decodeRaw } from "./decode-raw";

declare const self: DedicatedWorkerGlobalScope;

let setDecoder: (decoder: Promise<HTJ2KDecoder>) => void = () => {};
const decoder = new Promise<HTJ2KDecoder>((resolve) => {
  setDecoder = resolve;
});

/** Starts the decoder from code that the page has compiled once for all workers. */
async function startDecoder(code: WebAssembly.Module): Promise<HTJ2KDecoder> {
  const module = await openJph({
    instantiateWasm: (imports, done) => {
      WebAssembly.instantiate(code, imports).then(done);
      return {};
    },
  });
  return new module.HTJ2KDecoder();
}

/** Decodes one HTJ2K code stream; colour comes out as interleaved 8-bit RGB. */
async function decodeJph(request: DecodeRequest): Promise<Uint8Array> {
  const jph = await decoder;
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
  return { id: request.id, ...decodeRaw({ ...request, body: bytes }) };
}

self.addEventListener("message", (event: MessageEvent<WorkerMessage>) => {
  const message = event.data;
  if ("code" in message) {
    setDecoder(
      message.code ? startDecoder(message.code) : Promise.reject(new Error(message.error)),
    );
    return;
  }
  decode(message).then(
    (answer) => self.postMessage(answer, [answer.data.buffer]),
    (error: unknown) =>
      self.postMessage({
        id: message.id,
        error: error instanceof Error ? error.message : "The code stream cannot be decoded.",
      }),
  );
});
