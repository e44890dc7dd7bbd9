import { html, nothing, type TemplateResult } from "lit";
import { keyMap } from "./commands";
import { type IconName, icon } from "./icons";
import { keyWords } from "./key-words";

export interface IconButton {
  name: string;
  icon: IconName;
  /** The product's own key; the tooltip shows the one that the person has in its place. */
  key?: string | null;
  pressed?: boolean | undefined;
  disabled?: boolean;
  /** Why it cannot be used now; a press then says so. */
  refusal?: string | null;
  run: () => void;
}

/** A real button whose accessible name is plain English; the key stands in its tooltip. */
export function iconButton(button: IconButton): TemplateResult {
  const { name, pressed } = button;
  const key = button.key ? keyMap.current(button.key) : null;
  const title = key ? `${name} (${keyWords(key)})` : name;
  return html`<button
    type="button"
    class="tool"
    aria-label=${name}
    aria-pressed=${pressed === undefined ? nothing : String(pressed)}
    aria-keyshortcuts=${key || nothing}
    aria-disabled=${button.refusal ? "true" : nothing}
    title=${button.refusal ? `${title}: ${button.refusal}` : title}
    ?disabled=${button.disabled ?? false}
    @click=${(event: MouseEvent) => press(event, button.run)}
  >
    ${icon(button.icon)}
  </button>`;
}

function press(event: MouseEvent, run: () => void): void {
  leaveFocus(event);
  run();
}

/** A mouse click leaves the focus with the picture, so that Space and arrows go on meaning it. */
export function leaveFocus(event: MouseEvent): void {
  if (event.detail > 0 && event.currentTarget instanceof HTMLElement) {
    event.currentTarget.blur();
  }
}
