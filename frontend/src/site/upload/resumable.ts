import { DetailedError, Upload } from "tus-js-client";
import type { Answer } from "./outcome";
import {
  csrfToken,
  type Ending,
  failureOf,
  type Part,
  parse,
  STALLED_MS,
  type Transfer,
} from "./transport";

const ENDPOINT = "/api/v1/dicom/uploads";
const PIECE_BYTES = 8 * 1024 * 1024;
const FIRST_LOOK_MS = 300;
const LONGEST_LOOK_MS = 3_000;
/** An earlier request of ours may still hold the upload, or has gone further than we know. */
const BUSY = new Set([409, 423, 460]);

/** Where uploads that broke off go on, as long as the page is open. */
const begun = new WeakMap<Blob, string>();

/** One large file on its way, in pieces: after a lost connection it goes on where it was. */
export class ResumableSending implements Transfer {
  readonly done: Promise<Ending>;
  private readonly upload: Upload;
  private finish: (ending: Ending) => void = () => {};
  private isOver = false;
  private watch: ReturnType<typeof setTimeout> | undefined;

  /** `results` is the address below which the server says what became of uploads. */
  constructor(
    private readonly results: string,
    facility: string,
    private readonly part: Part,
    onProgress: (sent: number) => void,
    private readonly onArrived: () => void,
  ) {
    this.done = new Promise((resolve) => {
      this.finish = resolve;
    });
    this.upload = new Upload(part.file, {
      endpoint: ENDPOINT,
      uploadUrl: begun.get(part.file) ?? null,
      chunkSize: PIECE_BYTES,
      // The page waits for the network itself, for all its files together.
      retryDelays: null,
      // File names hold names of patients; nothing of them stays in the browser.
      storeFingerprintForResuming: false,
      metadata: { filename: part.name, facility },
      onBeforeRequest: (request) => request.setHeader("X-CSRFToken", csrfToken()),
      onUploadUrlAvailable: () => {
        if (this.upload.url) {
          begun.set(part.file, this.upload.url);
        }
      },
      onProgress: (sent) => {
        this.listen();
        onProgress(sent);
      },
      onError: (error) => this.end({ failure: this.failureOf(error) }),
      onSuccess: () => void this.wait(),
    });
    this.listen();
    this.upload.start();
  }

  abort(): void {
    begun.delete(this.part.file);
    // Taken back at the server as well; where that cannot be reached it expires.
    void this.upload.abort(true).catch(() => undefined);
    this.end({ failure: { kind: "aborted" } });
  }

  private end(ending: Ending): void {
    this.isOver = true;
    clearTimeout(this.watch);
    this.finish(ending);
  }

  private listen(): void {
    clearTimeout(this.watch);
    this.watch = setTimeout(() => {
      void this.upload.abort();
      this.end({ failure: { kind: "network" } });
    }, STALLED_MS);
  }

  private failureOf(error: Error): Exclude<Ending, { answer: Answer }>["failure"] {
    const answer = error instanceof DetailedError ? error.originalResponse : null;
    const status = answer?.getStatus() ?? 0;
    if (!answer || status === 0) {
      return { kind: "network" };
    }
    const { detail } = parse(answer.getBody());
    if (BUSY.has(status)) {
      return { kind: "later", message: typeof detail === "string" ? detail : "" };
    }
    return failureOf(status, detail);
  }

  /** All bytes are with the server, which stores them as a job of its own. */
  private async wait(): Promise<void> {
    clearTimeout(this.watch);
    this.onArrived();
    const address = `${this.results}${this.upload.url?.split("/").at(-1) ?? ""}/`;
    for (
      let pauseMs = FIRST_LOOK_MS;
      !this.isOver;
      pauseMs = Math.min(pauseMs * 1.5, LONGEST_LOOK_MS)
    ) {
      const found = await look(address);
      if (found) {
        if ("answer" in found) {
          begun.delete(this.part.file);
        }
        this.end(found);
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }
}

/** What became of an upload; null while it is being stored. */
async function look(address: string): Promise<Ending | null> {
  let answer: Response;
  try {
    answer = await fetch(address, { headers: { Accept: "application/json" } });
  } catch {
    return { failure: { kind: "network" } };
  }
  const document = parse(await answer.text());
  if (!answer.ok) {
    return { failure: failureOf(answer.status, document["detail"]) };
  }
  const { state, results, studies } = document as unknown as Answer & { state: string };
  return state === "stored" || state === "failed" ? { answer: { results, studies } } : null;
}
