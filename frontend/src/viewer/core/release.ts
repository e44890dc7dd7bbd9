type Transferable = ArrayBufferLike & { transfer?: (length: number) => ArrayBuffer };

/**
 * Gives the memory of bytes back now. Buffers outside the script's own heap are garbage that
 * collectors notice late: while a large series streams in, hundreds of megabytes of it.
 */
export function release(bytes: Uint8Array): void {
  (bytes.buffer as Transferable).transfer?.(0);
}
