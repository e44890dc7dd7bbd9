import { answerOf, Failure, STALLED_MS, UNREACHABLE } from "./answers";
import type { Item, Receipt } from "./items";
import { LARGE_BYTES, type Sending, sendPieces, takeBack } from "./pieces";

const BASE = "/api/v1/radiology/offline-images";
const SESSION = "/offline/session/";
/** A large file is read through and written again before the answer. */
const STORING_MS = 10 * 60_000;

export type SendingItem = Pick<Sending, "onProgress" | "onBegun" | "isWanted">;

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

  /** Send a file: a large one in pieces, which `onBegun` remembers to go on with. */
  async send(item: Item, file: Blob, sending: SendingItem): Promise<Answer> {
    const form = new FormData();
    form.append("image_uuid", item.id);
    if (file.size < LARGE_BYTES) {
      form.append("file", file, "image");
      return this.sendWhole(form, sending.onProgress);
    }
    const { facility, upload } = item;
    const token = () => this.token();
    form.append("upload", await sendPieces(file, { ...sending, facility, upload, token }));
    return this.ask("POST", `${BASE}/upload-binary/`, form);
  }

  /** Take back what the server has of a large file that nobody wants to hand in any more. */
  takeBack(item: Item): void {
    if (item.upload) {
      takeBack(item.upload, this.token());
    }
  }

  private sendWhole(form: FormData, onProgress: (sent: number) => void): Promise<Answer> {
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
    const isForm = body instanceof FormData;
    try {
      response = await fetch(address, {
        method,
        credentials: "same-origin",
        cache: "no-store",
        redirect: "error",
        signal: AbortSignal.timeout(isForm ? STORING_MS : STALLED_MS),
        headers: {
          Accept: "application/json",
          ...(method === "POST"
            ? {
                ...(isForm ? {} : { "Content-Type": "application/json" }),
                "X-CSRFToken": this.token(),
              }
            : {}),
        },
        ...(body === undefined ? {} : { body: isForm ? body : JSON.stringify(body) }),
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
