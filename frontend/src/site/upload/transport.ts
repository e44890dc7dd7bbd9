import { t } from "../../i18n";
import { said } from "../../sentences";
import type { Answer } from "./outcome";

/** How a request ended when the server did not say what became of the files. */
export type Failure =
  | { kind: "network" }
  | { kind: "aborted" }
  | { kind: "signed-out"; message: string }
  /** Trying again later is right: the store is full, the server restarts. */
  | { kind: "later"; message: string }
  | { kind: "for-good"; message: string };

export type Ending = { answer: Answer } | { failure: Failure };

export interface Part {
  file: Blob;
  name: string;
}

/** Files on their way, by whichever protocol. */
export interface Transfer {
  readonly done: Promise<Ending>;
  abort(): void;
}

/** How long nothing may move before the line counts as broken. */
export const STALLED_MS = 60_000;
const LATER = new Set([408, 425, 429, 500, 502, 503, 504, 507]);

export function csrfToken(): string {
  // Signing in elsewhere changes the token; the cookie has the present one.
  const cookie = /(?:^|; )noctis_csrf=([^;]+)/.exec(document.cookie)?.[1];
  const meta = document.querySelector<HTMLMetaElement>('meta[name="csrf-token"]')?.content;
  return cookie ?? meta ?? "";
}

/** One request on its way. */
export class Sending implements Transfer {
  readonly done: Promise<Ending>;
  private readonly request = new XMLHttpRequest();

  constructor(
    address: string,
    facility: string,
    parts: readonly Part[],
    onProgress: (sent: number) => void,
    onArrived: () => void,
  ) {
    const form = new FormData();
    form.append("facility", facility);
    for (const part of parts) {
      form.append("name", part.name);
    }
    for (const part of parts) {
      form.append("file", part.file, part.name.split("/").at(-1) || "file");
    }
    const request = this.request;
    let watch: ReturnType<typeof setTimeout> | undefined;
    let isStalled = false;
    const listen = () => {
      clearTimeout(watch);
      watch = setTimeout(() => {
        isStalled = true;
        request.abort();
      }, STALLED_MS);
    };
    request.upload.addEventListener("progress", (event) => {
      listen();
      onProgress(event.loaded);
    });
    request.upload.addEventListener("load", () => {
      clearTimeout(watch);
      onArrived();
    });
    this.done = new Promise((resolve) => {
      request.addEventListener("loadend", () => clearTimeout(watch));
      request.addEventListener("load", () => resolve(ending(request)));
      request.addEventListener("error", () => resolve({ failure: { kind: "network" } }));
      request.addEventListener("abort", () =>
        resolve({ failure: { kind: isStalled ? "network" : "aborted" } }),
      );
    });
    request.open("POST", address);
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("X-CSRFToken", csrfToken());
    request.send(form);
    listen();
  }

  abort(): void {
    this.request.abort();
  }
}

function ending(request: XMLHttpRequest): Ending {
  const document = parse(request.responseText);
  if (Array.isArray(document["results"])) {
    const { results, studies } = document as unknown as Answer;
    return { answer: { results, studies: studies ?? [] } };
  }
  return { failure: failureOf(request.status, document["detail"]) };
}

/** What a refusal means for the files; `detail` is the server's sentence, if it said one. */
export function failureOf(status: number, detail: unknown): Failure {
  const message =
    typeof detail === "string"
      ? said(detail)
      : t("The server could not take it ({status}).", { status });
  if (status === 401) {
    return { kind: "signed-out", message };
  }
  if (LATER.has(status)) {
    return { kind: "later", message };
  }
  if (status === 413 && typeof detail !== "string") {
    return { kind: "for-good", message: t("The server takes no files of this size.") };
  }
  return { kind: "for-good", message };
}

export function parse(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {}; // a page of a proxy in between: the status says what there is to say
  }
}
