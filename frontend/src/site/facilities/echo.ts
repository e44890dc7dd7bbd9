import { t } from "../../i18n";
import { said } from "../../sentences";
import { getJson, messageOf, postJson } from "../http";

interface EchoAnswer {
  is_pending: boolean;
  at: string | null;
  is_success: boolean;
  message: string;
}

const LOOK_MS = 400;
const WORKER_LATE_MS = 15_000;
const LONGEST_MS = 90_000;

/** The test from us to registered equipment: a worker calls it, the page waits for what it found. */
export function offerEcho(row: HTMLElement): void {
  const button = row.querySelector<HTMLButtonElement>('[data-action="echo"]');
  const text = row.querySelector<HTMLElement>("[data-echo-text]");
  const address = row.dataset["echo"] ?? "";
  const say = (state: string, words: string) => {
    row.dataset["state"] = state;
    if (text && text.textContent !== words) {
      text.textContent = words;
    }
  };
  button?.addEventListener("click", async () => {
    button.disabled = true;
    say("listening", t("Calling …"));
    try {
      const before = await getJson<EchoAnswer>(address);
      await postJson(address, {});
      const answer = await result(address, before.at, () =>
        say("listening", t("No worker has taken it yet. Does the worker run?")),
      );
      say(answer.is_success ? "heard" : "failed", said(answer.message));
    } catch (error) {
      say("failed", messageOf(error));
    } finally {
      button.disabled = false;
    }
  });
}

async function result(
  address: string,
  before: string | null,
  onLate: () => void,
): Promise<EchoAnswer> {
  const began = Date.now();
  for (;;) {
    const answer = await getJson<EchoAnswer>(address);
    if (!answer.is_pending && answer.at !== before) {
      return answer;
    }
    const waited = Date.now() - began;
    if (waited > LONGEST_MS) {
      throw new Error(
        t("The echo was not sent: no worker took it. Start the worker, then try again."),
      );
    }
    if (waited > WORKER_LATE_MS) {
      onLate();
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}
