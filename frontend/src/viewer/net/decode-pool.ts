import wasmUrl from "@cornerstonejs/codec-openjph/wasm?url";
import { t } from "../../i18n";
import type { DecodeAnswer, DecodeFailure, DecodeRequest, DecoderCode } from "./decode-messages";

interface Waiting {
  resolve: (answer: DecodeAnswer) => void;
  reject: (error: Error) => void;
  worker: PoolWorker;
}

interface PoolWorker {
  worker: Worker;
  busy: number;
}

/** More workers than this only fight over the memory bus. */
const MOST_WORKERS = 4;

/** A worker script that cannot even load must not be started for ever. */
const MOST_RESTARTS = 8;

async function compile(): Promise<DecoderCode> {
  try {
    return { code: await WebAssembly.compileStreaming(fetch(wasmUrl)) };
  } catch (error) {
    return {
      code: null,
      error: t("The HTJ2K decoder cannot be started: {error}", { error: String(error) }),
    };
  }
}

/** Decodes frames in workers, each in the order in which frames came. */
export class DecodePool {
  private readonly workers: PoolWorker[] = [];
  private readonly waiting = new Map<number, Waiting>();
  private nextId = 1;
  private restarts = 0;
  /** Compiled once for all workers, while they start. */
  private readonly code = compile();

  constructor(size = Math.min(Math.max(navigator.hardwareConcurrency || 2, 1), MOST_WORKERS)) {
    for (let i = 0; i < size; i++) {
      this.start();
    }
  }

  decode(request: Omit<DecodeRequest, "id">): Promise<DecodeAnswer> {
    const id = this.nextId++;
    const [first, ...others] = this.workers;
    if (!first) {
      return Promise.reject(new Error(t("The decoder cannot be started in this browser.")));
    }
    const worker = others.reduce((one, other) => (other.busy < one.busy ? other : one), first);
    worker.busy += 1;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject, worker });
      worker.worker.postMessage({ ...request, id }, [request.body.buffer as ArrayBuffer]);
    });
  }

  private start(): void {
    const worker = new Worker(new URL("./decode.worker.ts", import.meta.url), { type: "module" });
    const entry: PoolWorker = { worker, busy: 0 };
    worker.addEventListener("message", (event: MessageEvent<DecodeAnswer | DecodeFailure>) => {
      this.settle(event.data);
    });
    worker.addEventListener("error", () => this.replace(entry));
    void this.code.then((code) => worker.postMessage(code));
    this.workers.push(entry);
  }

  private settle(answer: DecodeAnswer | DecodeFailure): void {
    const waiting = this.waiting.get(answer.id);
    if (!waiting) {
      return;
    }
    this.waiting.delete(answer.id);
    waiting.worker.busy -= 1;
    if ("error" in answer) {
      waiting.reject(new Error(answer.error));
    } else {
      waiting.resolve(answer);
    }
  }

  /** A worker that died takes its frames with it; they are told, and a new one stands in. */
  private replace(dead: PoolWorker): void {
    dead.worker.terminate();
    this.workers.splice(this.workers.indexOf(dead), 1);
    this.restarts += 1;
    if (this.restarts <= MOST_RESTARTS) {
      this.start();
    }
    for (const [id, waiting] of this.waiting) {
      if (waiting.worker === dead) {
        this.waiting.delete(id);
        waiting.reject(new Error(t("The decoder stopped at this frame.")));
      }
    }
  }
}
