import { t, tn } from "../../i18n";
import { said } from "../../sentences";
import { element, icon, toast } from "../dom";
import { messageOf, postJson } from "../http";
import { countText } from "./address";

interface Choice {
  id: string;
  name: string;
}

interface Outcome {
  sent: string[];
  not: { id: string; reason: string }[];
}

/** Where the same person sent last: most send to one place. */
const LAST = "noctis.send.destination";

function studies(count: number): string {
  return tn("{count} study", "{count} studies", count, { count: countText(count) });
}

/** What a person is told after sending, and whether it is all good. */
export function outcomeText(outcome: Outcome, where: string): { text: string; isGood: boolean } {
  const sentences = [];
  if (outcome.sent.length) {
    const count = outcome.sent.length;
    sentences.push(
      tn(
        "{count} study is on its way to {where}.",
        "{count} studies are on their way to {where}.",
        count,
        {
          count: countText(count),
          where,
        },
      ),
    );
  }
  const reasons = new Map<string, number>();
  for (const refused of outcome.not) {
    reasons.set(refused.reason, (reasons.get(refused.reason) ?? 0) + 1);
  }
  for (const [reason, count] of reasons) {
    sentences.push(
      t("{studies} not sent: {reason}", { studies: studies(count), reason: said(reason) }),
    );
  }
  return { text: sentences.join(" "), isGood: outcome.not.length === 0 };
}

/** Ask where studies are to be sent, and send them; resolves with whether they were. */
export async function askAndSend(
  ids: string[],
  urls: Record<"destinations" | "send", string>,
): Promise<boolean> {
  let choices: Choice[];
  try {
    const answer = await postJson<{ destinations: Choice[] }>(urls.destinations, { ids });
    choices = answer.destinations;
  } catch (error) {
    toast(messageOf(error), "error");
    return false;
  }
  return new Promise((resolve) => new SendDialog(ids, choices, urls.send, resolve));
}

class SendDialog {
  private readonly select = element("select", "");
  private readonly send = element(
    "button",
    "button button-primary",
    icon("radio-tower"),
    t("Send"),
  );
  private readonly dialog: HTMLDialogElement;
  private readonly back = document.activeElement;
  private wasSent = false;

  constructor(
    private readonly ids: string[],
    choices: Choice[],
    private readonly address: string,
    done: (wasSent: boolean) => void,
  ) {
    const title = element(
      "h2",
      "",
      t("Send {studies} to another system", { studies: studies(ids.length) }),
    );
    title.id = "send-dialog-title";
    const cancel = element("button", "button", choices.length ? t("Cancel") : t("Close"));
    cancel.type = "button";
    const form = element(
      "form",
      "form help",
      title,
      choices.length ? this.field(choices) : this.nowhere(),
      element("div", "button-row", ...(choices.length ? [this.send] : []), cancel),
    );
    this.dialog = element("dialog", "send-dialog", form);
    this.dialog.setAttribute("aria-labelledby", title.id);
    cancel.addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("click", (event) => {
      if (event.target === this.dialog) {
        this.dialog.close();
      }
    });
    this.dialog.addEventListener("close", () => {
      this.dialog.remove();
      if (this.back instanceof HTMLElement && this.back.isConnected) {
        this.back.focus({ preventScroll: true });
      }
      done(this.wasSent);
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.submit();
    });
    document.body.append(this.dialog);
    this.dialog.showModal();
    (choices.length ? this.select : cancel).focus();
  }

  private field(choices: Choice[]): HTMLElement {
    for (const choice of choices) {
      const option = element("option", "", choice.name);
      option.value = choice.id;
      this.select.append(option);
    }
    const last = localStorage.getItem(LAST) ?? "";
    if (choices.some((choice) => choice.id === last)) {
      this.select.value = last;
    }
    this.select.id = "send-dialog-destination";
    // Browsers send a form by Enter from a text field, not from a closed list.
    this.select.addEventListener("keydown", (event) => {
      if (event.key === "Enter") {
        event.preventDefault();
        this.select.form?.requestSubmit();
      }
    });
    const label = element("label", "", t("Destination"));
    label.htmlFor = this.select.id;
    return element("div", "field", label, this.select);
  }

  private nowhere(): HTMLElement {
    const text =
      this.ids.length === 1
        ? t("No destination is registered that you may send this study to.")
        : t("No destination is registered that you may send all of these studies to.");
    return element(
      "p",
      "dim",
      t("{text} An administrator adds one on the page of a facility, or one of the whole site.", {
        text,
      }),
    );
  }

  private async submit(): Promise<void> {
    const where = this.select.selectedOptions[0]?.textContent?.split(" at ")[0] ?? "";
    this.send.disabled = true;
    try {
      const outcome = await postJson<Outcome>(this.address, {
        ids: this.ids,
        destination: this.select.value,
      });
      localStorage.setItem(LAST, this.select.value);
      const { text, isGood } = outcomeText(outcome, where);
      this.wasSent = true;
      this.dialog.close();
      toast(text, isGood ? "info" : "error");
    } catch (error) {
      this.send.disabled = false;
      toast(messageOf(error), "error");
    }
  }
}
