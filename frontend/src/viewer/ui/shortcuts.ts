import { html, nothing, type TemplateResult } from "lit";
import { t } from "../../i18n";
import { type Command, keyName, keyProblem, readKeys, writeKeys } from "../core/keys";
import { request } from "../net/api";
import { keyMap } from "./commands";
import { ViewerElement } from "./element";
import { icon } from "./icons";
import { keyWords } from "./key-words";

interface Message {
  text: string;
  isError: boolean;
  /** Takes the key from the other command. */
  take?: () => void;
}

/** The dialog in which a person gives commands other keys. */
export class ShortcutsElement extends ViewerElement {
  static override properties = {
    url: { attribute: false },
    listening: { state: true },
    message: { state: true },
  };
  /** Where they are kept; undefined: in this window alone. */
  declare url: string | undefined;
  /** The command that waits for its key. */
  declare listening: string | null;
  declare message: Message | null;

  constructor() {
    super();
    this.listening = null;
    this.message = null;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.until(keyMap.on("change", () => this.requestUpdate()));
  }

  open(): void {
    this.message = null;
    this.listening = null;
    this.querySelector("dialog")?.showModal();
  }

  override render(): TemplateResult {
    const groups = new Map<string, Command[]>();
    for (const command of keyMap.all()) {
      groups.set(command.group, [...(groups.get(command.group) ?? []), command]);
    }
    return html`<dialog
      class="sheet"
      id="shortcuts"
      aria-label=${t("Change the keys")}
      @keydown=${this.press}
      @cancel=${this.stopListening}
    >
      <header>
        <h2>${t("Change the keys")}</h2>
        <form method="dialog">
          <button class="tool" aria-label=${t("Close")} title=${t("Close (Esc)")}>${icon("close")}</button>
        </form>
      </header>
      <p class="dim">
        ${t("Press Change, then the key. Your keys are kept for you on every computer of this site. Tab, Enter and Esc stay as they are.")}
      </p>
      ${this.messageLine()}
      <div class="columns">
        ${[...groups].map(
          ([group, commands]) => html`<section>
            <h3>${group}</h3>
            <ul class="key-rows">
              ${commands.map((command) => this.row(command))}
            </ul>
          </section>`,
        )}
      </div>
      <p class="row key-actions">
        <button type="button" class="button" @click=${this.save}>${icon("download")} ${t("Export")}</button>
        <label class="button file-button"
          >${t("Import")}
          <input type="file" class="visually-hidden" accept="application/json,.json" @change=${this.read} />
        </label>
        <button type="button" class="button" @click=${() => this.change(() => keyMap.reset())}>
          ${icon("reset")} ${t("All as they were")}
        </button>
      </p>
    </dialog>`;
  }

  private messageLine(): TemplateResult {
    const { message } = this;
    return html`<div class="key-message" aria-live="polite" data-error=${String(message?.isError ?? false)}>
      ${message ? html`<span>${message.text}</span>` : nothing}
      ${
        message?.take
          ? html`<button type="button" class="button" @click=${message.take}>${t("Take it")}</button>
              <button
                type="button"
                class="button"
                @click=${() => {
                  this.message = null;
                }}
              >
                ${t("Leave it")}
              </button>`
          : nothing
      }
    </div>`;
  }

  private row({ id, name }: Command): TemplateResult {
    const keys = keyMap.keysOf(id);
    const isListening = this.listening === id;
    const isOwn = id in keyMap.chosen;
    return html`<li data-command=${id}>
      <span class="key-name">${name}</span>
      <span class="key-keys">
        ${
          isListening
            ? html`<span class="key-waiting">${t("Press a key")}</span>`
            : keys.length > 0
              ? keyCaps(keys)
              : html`<span class="dim">${t("no key")}</span>`
        }
      </span>
      ${
        isOwn
          ? html`<button
              type="button"
              class="tool"
              aria-label=${t("{name}: as it was", { name })}
              title=${t("As it was")}
              @click=${() => this.change(() => keyMap.reset(id))}
            >
              ${icon("undo")}
            </button>`
          : nothing
      }
      <button
        type="button"
        class="button small-button"
        aria-label=${t("{name}: change the key", { name })}
        aria-pressed=${String(isListening)}
        @click=${() => {
          this.listening = isListening ? null : id;
          this.message = isListening
            ? null
            : {
                text: t("Press the key for {name}. Esc leaves it as it is.", { name }),
                isError: false,
              };
        }}
      >
        ${t("Change")}
      </button>
    </li>`;
  }

  private press(event: KeyboardEvent): void {
    const id = this.listening;
    if (id === null) {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
    const key = keyName(event);
    if (key === "Escape") {
      this.stopListening(event);
      return;
    }
    const problem = keyProblem(key);
    if (problem) {
      this.message = { text: problem, isError: true };
      return;
    }
    this.listening = null;
    const other = keyMap.clash(id, key);
    if (other) {
      this.message = {
        text: t("{key} is the key of {name}.", { key: keyWords(key), name: other.name }),
        isError: true,
        take: () => this.change(() => keyMap.assign(id, key)),
      };
      return;
    }
    this.change(() => keyMap.assign(id, key));
  }

  private stopListening(event: Event): void {
    if (this.listening !== null) {
      event.preventDefault();
      this.listening = null;
      this.message = null;
    }
  }

  private change(make: () => void): void {
    make();
    this.message = { text: t("Keeping it."), isError: false };
    void this.keep();
  }

  private async keep(): Promise<void> {
    if (!this.url) {
      this.message = { text: t("Kept in this window."), isError: false };
      return;
    }
    try {
      const body = { shortcuts: keyMap.chosen };
      await request(this.url, { method: "PUT", body, keepalive: true });
      this.message = { text: t("Kept."), isError: false };
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.message = { text: t("Kept in this window only. {reason}", { reason }), isError: true };
    }
  }

  private save(): void {
    const link = document.createElement("a");
    const blob = new Blob([writeKeys(keyMap.chosen)], { type: "application/json" });
    link.href = URL.createObjectURL(blob);
    link.download = "viewer-keys.json";
    link.click();
    URL.revokeObjectURL(link.href);
  }

  private async read(event: Event): Promise<void> {
    const input = event.target as HTMLInputElement;
    const text = await input.files?.[0]?.text();
    input.value = "";
    if (text === undefined) {
      return;
    }
    try {
      const chosen = readKeys(text);
      this.change(() => keyMap.load(chosen));
    } catch (error) {
      this.message = { text: (error as Error).message, isError: true };
    }
  }
}

export function keyCaps(names: readonly string[]): TemplateResult[] {
  return names.map((name) => html`<kbd>${keyWords(name)}</kbd> `);
}

customElements.define("noctis-shortcuts", ShortcutsElement);
