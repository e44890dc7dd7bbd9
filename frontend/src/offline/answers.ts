import { msg, t } from "../i18n";
import { said } from "../sentences";

export const STALLED_MS = 60_000;
/** What the server, or what stands before it, says when trying again later is right. */
const LATER = new Set([408, 425, 429, 500, 502, 503, 504, 507]);

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

export const UNREACHABLE = msg("The server does not answer.");

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
