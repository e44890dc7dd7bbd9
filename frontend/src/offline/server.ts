import { msg, t } from "../i18n";
import { said } from "../sentences";
import type { Item, Receipt } from "./items";

const BASE = "/api/v1/radiology/offline-images";
const SESSION = "/offline/session/";
const STALLED_MS = 60_000;
/** What the server, or what stands before it, says when trying again later is right. */
const LATER = new Set([408, 425, 429, 500, 502, 503, 504, 507]);

export interface Facility {
  code: string;
  name: string;
}

export interface Session {
  user: { id: string; name: string };
  can_upload: boolean;
  facilities: Facility[];
  facility: string;
  csrf_token: string;
}

/** How far the server says an image is. */
export interface Answer {
  image_uuid: string;
  status: "METADATA_UPLOADED" | "BINARY_UPLOADED" | "ACK_RECEIVED";
  safe_to_delete: boolean;
  acknowledged_at?: string;
  receipt?: Receipt;
  warning?: string | null;
}

/** Why a step did not go through. */
export class Failure extends Error {
  constructor(
    readonly kind: "network" | "signed-out" | "old-token" | "later" | "refused",
    message: string,
    readonly status = 0,
    /** Seconds that the server wants to be left alone for. */
    readonly waitS = 0,
  ) {
    super(message);
  }
}

const UNREACHABLE = msg("The server does not answer.");

/** Asks the server, and says in words why it did not do what was asked. */
export class Server {
  session: Session | null = null;

  /** Look who is signed in; null: nobody. */
  async refresh(): Promise<Session | null> {
    try {
      this.session = await this.ask<Session>("GET", SESSION);
    } catch (error) {
      if (!(error instanceof Failure && error.kind === "signed-out")) {
        throw error;
      }
      this.session = null;
    }
    return this.session;
  }

  announce(item: Item): Promise<Answer> {
    const isPicture = item.mime !== "application/dicom";
    return this.ask("POST", `${BASE}/upload-metadata/`, {
      image_uuid: item.id,
      radiology_order_id: item.order || null,
      ...(item.order ? {} : { facility: item.facility }),
      ...(item.deidentify ? { deidentify: true } : {}),
      filename: item.name.split("/").at(-1) || "image",
      file_size: item.size,
      mime_type: item.mime,
      checksum: item.checksum,
      image_metadata: {
        study_uid: item.studyUid,
        series_uid: item.seriesUid,
        image_uid: item.imageUid,
        ...(isPicture ? { instance_number: item.number, series_number: 1 } : {}),
      },
    });
  }

  acknowledge(item: Item): Promise<Answer> {
    return this.ask("POST", `${BASE}/acknowledge/`, { image_uuid: item.id });
  }

  /** How far the server is with an image; null: it does not know it. */
  async state(id: string): Promise<Answer | null> {
    try {
      return await this.ask<Answer>("GET", `${BASE}/${id}/`);
    } catch (error) {
      if (error instanceof Failure && error.status === 404) {
        return null;
      }
      throw error;
    }
  }

  send(item: Item, file: Blob, onProgress: (sent: number) => void): Promise<Answer> {
    const form = new FormData();
    form.append("image_uuid", item.id);
    form.append("file", file, "image");
    const request = new XMLHttpRequest();
    return new Promise((resolve, reject) => {
      let watch: ReturnType<typeof setTimeout> | undefined;
      const listen = () => {
        clearTimeout(watch);
        watch = setTimeout(() => request.abort(), STALLED_MS);
      };
      const unreachable = () => reject(new Failure("network", UNREACHABLE));
      request.upload.addEventListener("progress", (event) => {
        listen();
        onProgress(event.loaded);
      });
      // The server compares, stores and syncs before it answers.
      request.upload.addEventListener("load", listen);
      request.addEventListener("loadend", () => clearTimeout(watch));
      request.addEventListener("error", unreachable);
      request.addEventListener("abort", unreachable);
      request.addEventListener("load", () => {
        try {
          const wait = request.getResponseHeader("Retry-After");
          resolve(answerOf<Answer>(request.status, request.responseText, wait));
        } catch (error) {
          reject(error);
        }
      });
      request.open("POST", `${BASE}/upload-binary/`);
      request.setRequestHeader("Accept", "application/json");
      request.setRequestHeader("X-CSRFToken", this.token());
      request.send(form);
      listen();
    });
  }

  private async ask<T>(method: "GET" | "POST", address: string, body?: unknown): Promise<T> {
    let text: string;
    let response: Response;
    try {
      response = await fetch(address, {
        method,
        credentials: "same-origin",
        cache: "no-store",
        redirect: "error",
        signal: AbortSignal.timeout(STALLED_MS),
        headers: {
          Accept: "application/json",
          ...(method === "POST"
            ? { "Content-Type": "application/json", "X-CSRFToken": this.token() }
            : {}),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      text = await response.text();
    } catch {
      throw new Failure("network", UNREACHABLE);
    }
    return answerOf<T>(response.status, text, response.headers.get("Retry-After"));
  }

  private token(): string {
    // Signing in elsewhere changes it; the cookie has the present one.
    const cookie = /(?:^|; )noctis_csrf=([^;]+)/.exec(document.cookie)?.[1];
    return cookie ?? this.session?.csrf_token ?? "";
  }
}

/** Read an answer; throws with the server's own words when it is none. */
export function answerOf<T>(status: number, text: string, retryAfter: string | null): T {
  let document: Record<string, unknown> = {};
  try {
    const value: unknown = JSON.parse(text);
    document = typeof value === "object" && value !== null ? (value as typeof document) : {};
  } catch {
    // A page of a proxy in between: the status says what there is to say.
  }
  if (status === 200 && Object.keys(document).length > 0) {
    return document as T;
  }
  const detail = document.detail;
  const words =
    typeof detail === "string" && detail
      ? said(detail)
      : t("The server could not take it ({status}).", { status });
  if (status === 200) {
    // A sign-in page of a network in between, which is no answer of ours.
    throw new Failure(
      "later",
      msg("Something else than the archive answers in this network."),
      status,
    );
  }
  if (status === 401) {
    throw new Failure("signed-out", words, status);
  }
  if (status === 403 && words.includes("CSRF")) {
    throw new Failure("old-token", words, status);
  }
  if (LATER.has(status)) {
    throw new Failure("later", words, status, Number(retryAfter) || 0);
  }
  throw new Failure("refused", words, status);
}
