import { t } from "../../i18n";
import type { Frame } from "../frame";
import { getJson, messageOf } from "../http";
import { localMoment, writeTimes } from "../times";

interface Heard {
  ae_title: string;
  service: "echo" | "store" | "association";
  address: string;
  at: string;
}

interface LiveAnswer {
  now: string;
  heard: Heard[];
  equipment: string;
  calls: string;
}

const POLL_MS = 2_000;
const LONGEST_MS = 10 * 60_000;
const WORDS: Record<Heard["service"], string> = {
  echo: t("Echo"),
  store: t("Image"),
  association: t("Association"),
};

/** The test from the equipment to us: waits for a call and says whose came, or why one was refused. */
export class Listening {
  private readonly box: HTMLElement;
  private since = "";
  private endsAt = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly root: HTMLElement,
    frame: Frame,
  ) {
    this.box = must(root, "[data-listen]");
    must(this.box, '[data-action="listen"]').addEventListener("click", () => this.toggle());
    frame.live.on("caller.seen", (message) => {
      if (message.facility === root.dataset["facility"]) {
        void this.look();
      }
    });
    frame.live.on("caller.refused", () => void this.look());
  }

  private get isOn(): boolean {
    return this.endsAt > 0;
  }

  private toggle(): void {
    if (this.isOn) {
      this.stop(t("Stopped listening."));
      return;
    }
    this.endsAt = Date.now() + LONGEST_MS;
    this.since = "";
    this.say("listening", t("Listening. Send an echo from the equipment now."));
    must(this.box, "[data-listen-button]").textContent = t("Stop listening");
    void this.look();
  }

  private stop(text: string): void {
    this.endsAt = 0;
    clearTimeout(this.timer);
    if (this.box.dataset["state"] === "listening") {
      this.say("idle", text);
    }
    must(this.box, "[data-listen-button]").textContent = t("Listen for your echo");
  }

  private async look(): Promise<void> {
    clearTimeout(this.timer);
    const address = this.root.dataset["liveUrl"] ?? "";
    const question = this.isOn && this.since ? `?since=${encodeURIComponent(this.since)}` : "";
    try {
      const answer = await getJson<LiveAnswer>(address + question);
      if (this.isOn && !this.since) {
        this.since = answer.now;
      } else if (this.isOn) {
        this.hear(answer.heard);
        this.put("calls", answer.calls);
      }
      this.put("equipment", answer.equipment);
    } catch (error) {
      if (this.isOn) {
        this.say("listening", messageOf(error));
      }
    }
    if (!this.isOn) {
      return;
    }
    if (Date.now() > this.endsAt) {
      this.stop(
        t(
          "Nothing called for ten minutes. Check the settings on the equipment, then listen again.",
        ),
      );
    } else {
      this.timer = setTimeout(() => void this.look(), POLL_MS);
    }
  }

  private hear(heard: Heard[]): void {
    const order: Heard["service"][] = ["echo", "store", "association"];
    const best = order.flatMap((service) => heard.filter((call) => call.service === service))[0];
    if (!best) {
      return;
    }
    const at = new Date(best.at);
    const when = `${localMoment(at).slice(-5)}:${String(at.getSeconds()).padStart(2, "0")}`;
    const what = t("{service} from {ae_title} at {address}, {when}.", {
      service: WORDS[best.service],
      ae_title: best.ae_title,
      address: best.address,
      when,
    });
    if (best.service === "association") {
      this.say(
        "listening",
        t("{what} It is admitted; the echo itself has not come yet.", { what }),
      );
    } else {
      this.say("heard", t("{what} The connection works.", { what }));
    }
  }

  private put(part: string, html: string): void {
    const place = must(this.root, `[data-part="${part}"]`);
    // Somebody who is about to press a button there must not lose it.
    if (place.dataset["shown"] !== html && !place.contains(document.activeElement)) {
      place.dataset["shown"] = html;
      const template = document.createElement("template");
      template.innerHTML = html;
      place.replaceChildren(template.content);
      writeTimes(place);
    }
  }

  private say(state: "idle" | "listening" | "heard", text: string): void {
    this.box.dataset["state"] = state;
    const place = must(this.box, "[data-listen-text]");
    if (place.textContent !== text) {
      place.textContent = text;
    }
  }
}

function must(root: ParentNode, selector: string): HTMLElement {
  const found = root.querySelector<HTMLElement>(selector);
  if (!found) {
    throw new Error(`The facility's page lacks ${selector}.`);
  }
  return found;
}
