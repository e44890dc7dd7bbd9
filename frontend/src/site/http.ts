import { t } from "../i18n";
import { said } from "../sentences";
/** A request that the server refused; `message` is its sentence for people. */
export class RefusedError extends Error {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

const OFFLINE = t("The server does not answer. Check the network; the page tries again by itself.");

async function send(address: string, options: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(address, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") {
      throw error;
    }
    throw new RefusedError(OFFLINE, 0);
  }
  const isSignInPage = response.redirected && new URL(response.url).pathname.includes("/login/");
  if (isSignInPage || response.status === 401) {
    leaveForSignIn();
    throw new RefusedError(t("You are signed out. Sign in again."), 401);
  }
  if (!response.ok) {
    throw new RefusedError(await reason(response), response.status);
  }
  return response;
}

async function reason(response: Response): Promise<string> {
  if (response.headers.get("Content-Type")?.includes("json")) {
    const problem = (await response.json()) as { detail?: string };
    if (problem.detail) {
      return said(problem.detail);
    }
  }
  return t("The server could not answer ({status}). Try again.", { status: response.status });
}

/** Signing in leads back to this page. */
export function leaveForSignIn(): void {
  const here = location.pathname + location.search;
  location.assign(`/accounts/login/?next=${encodeURIComponent(here)}`);
}

/** A fragment of a page. */
export async function getFragment(
  address: string,
  signal?: AbortSignal,
): Promise<DocumentFragment> {
  const response = await send(address, {
    headers: { Accept: "text/html", "X-Requested-With": "fetch" },
    ...(signal ? { signal } : {}),
  });
  const template = document.createElement("template");
  template.innerHTML = await response.text();
  return template.content;
}

export async function getJson<T>(address: string, signal?: AbortSignal): Promise<T> {
  const response = await send(address, {
    headers: { Accept: "application/json" },
    ...(signal ? { signal } : {}),
  });
  return (await response.json()) as T;
}

export function postJson<T>(address: string, body: unknown): Promise<T> {
  return post<T>(address, JSON.stringify(body), "application/json");
}

/** Replaces or takes away; what the server answers is not needed. */
export async function sendJson(
  method: "PUT" | "DELETE",
  address: string,
  body?: unknown,
): Promise<void> {
  const token = document.querySelector<HTMLMetaElement>('meta[name="csrf-token"]')?.content ?? "";
  await send(address, {
    method,
    headers: { "Content-Type": "application/json", "X-CSRFToken": token },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

/** What a form would send, without leaving the page. */
export function postForm<T>(form: HTMLFormElement): Promise<T> {
  const pairs = [...new FormData(form)].map(([name, value]) => [name, String(value)]);
  return post<T>(
    form.action,
    new URLSearchParams(pairs).toString(),
    "application/x-www-form-urlencoded",
  );
}

async function post<T>(address: string, body: string, type: string): Promise<T> {
  const token = document.querySelector<HTMLMetaElement>('meta[name="csrf-token"]')?.content ?? "";
  const response = await send(address, {
    method: "POST",
    headers: { Accept: "application/json", "Content-Type": type, "X-CSRFToken": token },
    body,
  });
  return (await response.json()) as T;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}
