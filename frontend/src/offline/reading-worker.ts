import { type Reading, read } from "./reading";

export interface Asked {
  number: number;
  file: Blob;
}

export interface Told {
  number: number;
  reading?: Reading;
  fault?: string;
}

addEventListener("message", (event: MessageEvent<Asked>) => {
  const { number, file } = event.data;
  read(file).then(
    (reading) => postMessage({ number, reading } satisfies Told),
    (error: unknown) => postMessage({ number, fault: String(error) } satisfies Told),
  );
});
