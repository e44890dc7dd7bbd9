declare module "@cornerstonejs/codec-openjph" {
  export interface HTJ2KDecoder {
    getEncodedBuffer(length: number): Uint8Array;
    getDecodedBuffer(): Uint8Array;
    decode(): void;
    getFrameInfo(): {
      width: number;
      height: number;
      bitsPerSample: number;
      componentCount: number;
      isSigned: boolean;
    };
  }
  interface OpenJph {
    HTJ2KDecoder: new () => HTJ2KDecoder;
  }
  export default function openJph(options: {
    /** Emscripten's hook for code compiled elsewhere: calls `done` with the instance. */
    instantiateWasm: (
      imports: WebAssembly.Imports,
      done: (instance: WebAssembly.Instance) => void,
    ) => object;
  }): Promise<OpenJph>;
}

declare module "@cornerstonejs/codec-openjph/wasm?url" {
  const url: string;
  export default url;
}
