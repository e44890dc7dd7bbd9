import { expect, test } from "vitest";
import { answerOf, Failure } from "../../src/offline/answers";

function failure(status: number, body: unknown = {}, wait: string | null = null): Failure {
  try {
    answerOf(status, typeof body === "string" ? body : JSON.stringify(body), wait);
  } catch (error) {
    if (error instanceof Failure) {
      return error;
    }
  }
  throw new Error("It was taken.");
}

test("an answer of the archive is taken", () => {
  expect(answerOf(200, '{"status": "ACK_RECEIVED"}', null)).toEqual({ status: "ACK_RECEIVED" });
});

test.each([
  [401, {}, "signed-out"],
  [403, { detail: "The request came without the site's CSRF token" }, "old-token"],
  [403, { detail: "Your role does not allow uploads." }, "refused"],
  [409, {}, "refused"],
  [422, {}, "refused"],
  [429, {}, "later"],
  [500, "<html>", "later"],
  [503, {}, "later"],
  [507, {}, "later"],
  // A hotel's sign-in page is no acknowledgement.
  [200, "<html>Welcome to our network</html>", "later"],
])("%i %j is %s", (status, body, kind) => {
  expect(failure(status, body).kind).toBe(kind);
});

test("the server's own words and its wish to be left alone are kept", () => {
  const found = failure(429, { detail: "Wait 7 s and go on more slowly." }, "7");
  expect([found.message, found.waitS]).toEqual(["Wait 7 s and go on more slowly.", 7]);
});
