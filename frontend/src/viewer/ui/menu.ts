import { html, nothing, type TemplateResult } from "lit";
import { type IconButton, leaveFocus } from "./button";
import { keyMap } from "./commands";
import { type IconName, icon } from "./icons";
import { keyWords } from "./key-words";

/** A button of the tool bar that opens a menu. */
export function menuButton(menu: string, name: string, picture: IconName): TemplateResult {
  return html`<button
    type="button"
    class="tool wide"
    popovertarget=${menu}
    aria-label=${name}
    title=${name}
    @click=${leaveFocus}
  >
    ${icon(picture)}
  </button>`;
}

/** A menu of what a tool bar has no room for: the names, keys and states that buttons have. */
export function buttonMenu(
  menu: string,
  name: string,
  items: readonly IconButton[],
): TemplateResult {
  return html`<div id=${menu} class="menu" popover role="group" aria-label=${name} @beforetoggle=${place}>
    ${items
      .map((item) => ({ ...item, key: item.key ? keyMap.current(item.key) : null }))
      .map(
        (item) => html`<button
        type="button"
        class="menu-item"
        popovertarget=${menu}
        popovertargetaction="hide"
        aria-label=${item.name}
        aria-pressed=${item.pressed === undefined ? nothing : String(item.pressed)}
        aria-keyshortcuts=${item.key || nothing}
        ?disabled=${item.disabled ?? false}
        @click=${item.run}
      >
        ${icon(item.icon)}<span>${item.name}</span
        >${item.pressed ? html`<span class="check" aria-hidden="true">✓</span>` : nothing}<kbd
          >${item.key ? keyWords(item.key) : ""}</kbd
        >
      </button>`,
      )}
  </div>`;
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
