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
    locateFile: (name: string) => string;
  }): Promise<OpenJph>;
}

declare module "@cornerstonejs/codec-openjph/wasm?url" {
  const url: string;
  export default url;
}
