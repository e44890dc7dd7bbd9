import { DetailedError, Upload } from "tus-js-client";
import { msg } from "../i18n";
import { answerOf, Failure, STALLED_MS, UNREACHABLE } from "./answers";

const ENDPOINT = "/api/v1/dicom/uploads";
/** Files of this size and more go in pieces, and go on where a network or a browser ended. */
export const LARGE_BYTES = 8 * 1024 * 1024;
/** An earlier request of ours may still hold the upload, or has gone further than we know. */
const BUSY = new Set([409, 423, 460]);

export interface Sending {
  facility: string;
  /** Where it began before, on this or an earlier page; empty: nowhere. */
  upload: string;
  token(): string;
  onProgress(sent: number): void;
  /** Remembers where it goes on. */
  onBegun(upload: string): void;
  /** Whether anybody still wants it sent. */
  isWanted(): boolean;
}

/** Send a file in pieces (tus 1.0); returns the address of what is complete then. */
export function sendPieces(file: Blob, sending: Sending): Promise<string> {
  return new Promise((resolve, reject) => {
    let watch: ReturnType<typeof setTimeout> | undefined;
    const end = (error: Failure) => {
      clearTimeout(watch);
      reject(error);
    };
    const listen = () => {
      clearTimeout(watch);
      watch = setTimeout(() => {
        void upload.abort();
        end(new Failure("network", UNREACHABLE));
      }, STALLED_MS);
    };
    const upload = new Upload(file, {
      endpoint: ENDPOINT,
      uploadUrl: sending.upload || null,
      chunkSize: LARGE_BYTES,
      // The page waits for the network itself, for all its images together.
      retryDelays: null,
      storeFingerprintForResuming: false,
      // The name of the file may be a patient's: the announcement has it.
      metadata: { filename: "image", facility: sending.facility },
      onBeforeRequest: (request) => {
        request.setHeader("X-CSRFToken", sending.token());
        if (request.getMethod() === "POST") {
          // Not stored by itself: the image's own step does it, which knows what was announced.
          request.setHeader("Upload-Concat", "partial");
        }
      },
      onUploadUrlAvailable: () => {
        if (upload.url && upload.url !== sending.upload) {
          sending.onBegun(upload.url);
        }
      },
      onProgress: (sent) => {
        listen();
        if (sending.isWanted()) {
          sending.onProgress(sent);
        } else {
          void upload.abort(true).catch(() => undefined);
          end(new Failure("refused", msg("It was taken off the list.")));
        }
      },
      onError: (error) => end(failureOf(error)),
      onSuccess: () => {
        clearTimeout(watch);
        resolve(upload.url ?? "");
      },
    });
    listen();
    upload.start();
  });
}

/** Take back what was sent of a file; what cannot be reached expires. */
export function takeBack(upload: string, token: string): void {
  void Upload.terminate(upload, { headers: { "X-CSRFToken": token }, retryDelays: null }).catch(
    () => undefined,
  );
}

function failureOf(error: Error): Failure {
  const answer = error instanceof DetailedError ? error.originalResponse : null;
  const status = answer?.getStatus() ?? 0;
  if (!answer || status === 0) {
    return new Failure("network", UNREACHABLE);
  }
  try {
    answerOf(status, answer.getBody(), answer.getHeader("Retry-After") ?? null);
  } catch (failure) {
    if (failure instanceof Failure) {
      return BUSY.has(status) ? new Failure("later", failure.message, status) : failure;
    }
  }
  return new Failure("later", UNREACHABLE, status);
}
