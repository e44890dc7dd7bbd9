import { html, type TemplateResult } from "lit";
import { t } from "../../i18n";
import type { LinkState, ScrollLink } from "../tools/links";
import type { Workspace } from "../tools/workspace";
import { menuButton, place } from "./menu";

export function linkButton(workspace: Workspace): TemplateResult {
  const { scroll, window, view } = workspace.links.state;
  const isLinked = scroll !== "off" || window || view;
  return menuButton("link-menu", t("Link viewports"), isLinked ? "link" : "unlink");
}

const SCROLLS: readonly { scroll: ScrollLink; name: string }[] = [
  { scroll: "off", name: t("Scroll each alone") },
  { scroll: "position", name: t("Scroll together by position") },
  { scroll: "offset", name: t("Scroll together by offset") },
];

const SWITCHES: readonly { name: string; of: "window" | "view" | "referenceLines" }[] = [
  { name: t("Window/Level together"), of: "window" },
  { name: t("Zoom and pan together"), of: "view" },
  { name: t("Reference lines"), of: "referenceLines" },
];

/** What viewports do together. */
export function linkMenu(workspace: Workspace): TemplateResult {
  const { links } = workspace;
  const item = (
    role: "menuitemradio" | "menuitemcheckbox",
    name: string,
    checked: boolean,
    change: Partial<LinkState>,
  ): TemplateResult => html`<button
    type="button"
    class="menu-item"
    role=${role}
    aria-checked=${String(checked)}
    @click=${() => links.set(change)}
  >
    <span class="check" aria-hidden="true">${checked ? "✓" : ""}</span><span>${name}</span>
  </button>`;
  return html`<div id="link-menu" class="menu" popover role="menu" aria-label=${t("Link viewports")} @beforetoggle=${place}>
    ${SCROLLS.map(({ scroll, name }) =>
      item("menuitemradio", name, links.state.scroll === scroll, { scroll }),
    )}
    ${SWITCHES.map(({ name, of }) =>
      item("menuitemcheckbox", name, links.state[of], { [of]: !links.state[of] }),
    )}
  </div>`;
}
