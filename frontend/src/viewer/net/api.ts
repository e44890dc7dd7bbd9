import { t } from "../../i18n";
import { said } from "../../sentences";
/** Why a request failed, in words for the person, with what programs need beside them. */
export class ApiError extends Error {
  constructor(
    message: string,
    /** HTTP status; 0 when no answer came. */
    readonly status: number,
    /** The answer's JSON, where it had one. */
    readonly body: unknown = null,
  ) {
    super(message);
    this.name = "ApiError";
  }

  /** True when trying again may help. */
  get isTransient(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

export interface RequestOptions {
  method?: "GET" | "POST" | "PUT" | "DELETE";
  body?: unknown;
  /** Bytes in the place of a JSON body. */
  content?: Uint8Array<ArrayBuffer>;
  signal?: AbortSignal;
  /** Lets the request outlive the page. */
  keepalive?: boolean;
  /** How soon beside other requests. */
  priority?: RequestPriority;
}

function csrfToken(): string {
  return document.querySelector<HTMLMetaElement>('meta[name="csrf-token"]')?.content ?? "";
}

function sentence(status: number, body: unknown): string {
  const detail = (body as { detail?: unknown } | null)?.detail;
  if (typeof detail === "string" && detail) {
    return said(detail);
  }
  if (status === 401) {
    return t("Your session is over. Sign in again to go on.");
  }
  if (status === 403) {
    return t("You may not do this with this study.");
  }
  if (status === 404) {
    return t("The server no longer has this.");
  }
  if (status >= 500) {
    return t("The server could not do it ({status}).", { status });
  }
  return t("The server refused the request ({status}).", { status });
}

/** Sends a request with the session's cookie; throws `ApiError` unless the answer is a success. */
export async function request(url: string, options: RequestOptions = {}): Promise<Response> {
  const method = options.method ?? "GET";
  const headers: Record<string, string> = {};
  if (method !== "GET") {
    headers["X-CSRFToken"] = csrfToken();
  }
  if (options.body !== undefined) {
    headers["Content-Type"] = "application/json";
  } else if (options.content) {
    headers["Content-Type"] = "application/octet-stream";
  }
  let response: Response;
  try {
    response = await fetch(url, {
      method,
      headers,
      credentials: "same-origin",
      ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
      ...(options.content ? { body: options.content } : {}),
      ...(options.signal ? { signal: options.signal } : {}),
      ...(options.keepalive ? { keepalive: true } : {}),
      ...(options.priority ? { priority: options.priority } : {}),
    });
  } catch (cause) {
    if (options.signal?.aborted) {
      throw cause;
    }
    throw new ApiError(t("The network does not answer."), 0);
  }
  if (response.redirected && new URL(response.url).pathname.startsWith("/accounts/login")) {
    throw new ApiError(t("Your session is over. Sign in again to go on."), 401);
  }
  if (!response.ok) {
    const body: unknown = await response.json().catch(() => null);
    throw new ApiError(sentence(response.status, body), response.status, body);
  }
  return response;
}

export async function requestJson<T>(url: string, options: RequestOptions = {}): Promise<T> {
  const response = await request(url, options);
  return (await response.json()) as T;
}
