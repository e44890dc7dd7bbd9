import { html, type TemplateResult } from "lit";
import { type IconName, icon } from "./icons";

/** A button of the tool bar that opens a menu. */
export function menuButton(menu: string, name: string, picture: IconName): TemplateResult {
  return html`<button
    type="button"
    class="tool wide"
    popovertarget=${menu}
    aria-label=${name}
    title=${name}
  >
    ${icon(picture)}
  </button>`;
}

/** Puts an opening menu beside its button, inside the window. */
export function place(event: ToggleEvent): void {
  const menu = event.currentTarget as HTMLElement;
  if (event.newState !== "open") {
    return;
  }
  const opener = document.querySelector(`[popovertarget="${menu.id}"].tool`);
  const box = opener?.getBoundingClientRect();
  if (!box) {
    return;
  }
  const isBelow = box.top < innerHeight / 2;
  const width = Math.min(280, innerWidth - 16);
  menu.style.left = `${Math.max(8, Math.min(box.left, innerWidth - width - 8))}px`;
  menu.style.width = `${width}px`;
  menu.style.top = isBelow ? `${box.bottom + 4}px` : "auto";
  menu.style.bottom = isBelow ? "auto" : `${innerHeight - box.top + 4}px`;
}
