import { html, nothing, type TemplateResult } from "lit";
import { t } from "../../i18n";
import type { Workspace } from "../tools/workspace";
import { leaveFocus } from "./button";
import { keyMap } from "./commands";
import { icon } from "./icons";
import { keyWords } from "./key-words";

/** The button of the machine findings' pane, with the number of those that nobody looked at. */
export function machineToggle(
  { machine }: Workspace,
  isShown: boolean,
  run: () => void,
): TemplateResult {
  const { openCount } = machine;
  const name = t("Machine findings");
  const key = keyMap.current("Shift+F4");
  const said = openCount > 0 ? t("{name}, {openCount} not reviewed", { name, openCount }) : name;
  return html`<button
    type="button"
    class="tool has-badge"
    aria-label=${name}
    aria-description=${openCount > 0 ? t("{openCount} not reviewed", { openCount }) : nothing}
    aria-pressed=${String(isShown)}
    title=${key ? `${said} (${keyWords(key)})` : said}
    @click=${(event: MouseEvent) => {
      leaveFocus(event);
      run();
    }}
  >
    ${icon("machine")}
    ${openCount > 0 ? html`<span class="machine-badge" aria-hidden="true">${openCount}</span>` : nothing}
  </button>`;
}
