import { t } from "../i18n";
import type { SiteConfig } from "./config";
import { element, toast } from "./dom";
import { getJson, isAbort, messageOf } from "./http";
import { setTheme } from "./theme";

interface FoundStudy {
  patient: string;
  patient_id: string;
  accession: string;
  date: string;
  modalities: string[];
  description: string;
  page: string;
  viewer: string;
}

interface Command {
  name: string;
  hint: string;
  run: () => void;
}

const PAUSE_MS = 120;

/** Commands whose name has every word of `text`, in any order. */
export function matching<T extends { name: string }>(commands: readonly T[], text: string): T[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return commands.filter((command) =>
    words.every((word) => command.name.toLowerCase().includes(word)),
  );
}

/** Ctrl/Cmd+K: any page, action or study by typing. */
export class Palette {
  private readonly dialog = element("dialog", "palette");
  private readonly input = element("input", "palette-input");
  private readonly list = element("div", "palette-list");
  private shown: Command[] = [];
  private chosen = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private request: AbortController | null = null;

  constructor(
    private readonly config: SiteConfig,
    private readonly extra: Command[],
  ) {
    this.dialog.setAttribute("aria-label", t("Commands"));
    this.input.type = "text";
    this.input.placeholder = t("Go to a page, open a study, change something");
    this.input.spellcheck = false;
    this.input.autocomplete = "off";
    this.input.setAttribute("role", "combobox");
    this.input.setAttribute("aria-expanded", "true");
    this.input.setAttribute("aria-controls", "palette-list");
    this.input.setAttribute("aria-label", t("Command"));
    this.list.id = "palette-list";
    this.list.setAttribute("role", "listbox");
    const foot = element("div", "palette-foot", t("↑↓ choose · Enter run · Esc close"));
    this.dialog.append(this.input, this.list, foot);
    document.body.append(this.dialog);
    this.input.addEventListener("input", () => this.update());
    this.dialog.addEventListener("keydown", (event) => this.onKey(event));
    this.dialog.addEventListener("click", (event) => this.onClick(event));
  }

  open(): void {
    if (this.dialog.open) {
      return;
    }
    this.input.value = "";
    this.dialog.showModal();
    this.update();
  }

  private commands(): Command[] {
    const go = this.config.pages.map((page) => ({
      name: t("Go to {name}", { name: page.name }),
      hint: t("Page"),
      run: () => location.assign(page.url),
    }));
    const themes = (["dark", "light", "auto"] as const).map((theme) => ({
      name:
        theme === "auto"
          ? t("Theme as the system")
          : theme === "dark"
            ? t("Theme dark")
            : t("Theme light"),
      hint: t("Theme"),
      run: () =>
        void setTheme(theme, this.config).catch((error: unknown) =>
          toast(messageOf(error), "error"),
        ),
    }));
    return [...go, ...this.extra, ...themes];
  }

  private update(): void {
    const text = this.input.value.trim();
    this.show(matching(this.commands(), text));
    clearTimeout(this.timer);
    this.request?.abort();
    if (text.length >= 2) {
      this.timer = setTimeout(() => void this.find(text), PAUSE_MS);
    }
  }

  private async find(text: string): Promise<void> {
    this.request = new AbortController();
    const address = `${this.config.urls.find}?q=${encodeURIComponent(text)}`;
    try {
      const found = await getJson<{ studies: FoundStudy[] }>(address, this.request.signal);
      const studies = found.studies.map((study) => ({
        name: [study.patient, study.patient_id, study.date, study.description]
          .filter(Boolean)
          .join(" · "),
        hint: study.modalities.join(" ") || t("Study"),
        run: () => location.assign(study.viewer),
      }));
      const all = {
        name: t("Search the worklist for “{text}”", { text }),
        hint: t("Search"),
        run: () => location.assign(`${this.config.urls.studies}?q=${encodeURIComponent(text)}`),
      };
      this.show([...studies, ...matching(this.commands(), text), all]);
    } catch (error) {
      if (!isAbort(error)) {
        this.show([{ name: messageOf(error), hint: t("Error"), run: () => undefined }]);
      }
    }
  }

  private show(commands: Command[]): void {
    this.shown = commands;
    this.chosen = 0;
    const rows = commands.map((command, index) => {
      const row = element(
        "div",
        "palette-item",
        element("span", "clip", command.name),
        element("span", "dim", command.hint),
      );
      row.id = `palette-${index}`;
      row.dataset.index = String(index);
      row.setAttribute("role", "option");
      return row;
    });
    const nothing = element("p", "palette-item", element("span", "", t("Nothing is called so.")));
    this.list.replaceChildren(...(rows.length ? rows : [nothing]));
    this.mark();
  }

  private mark(): void {
    for (const row of this.list.querySelectorAll<HTMLElement>("[role=option]")) {
      const isChosen = row.dataset.index === String(this.chosen);
      row.setAttribute("aria-selected", String(isChosen));
      if (isChosen) {
        this.input.setAttribute("aria-activedescendant", row.id);
        row.scrollIntoView({ block: "nearest" });
      }
    }
  }

  private onKey(event: KeyboardEvent): void {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step !== undefined && this.shown.length) {
      event.preventDefault();
      this.chosen = (this.chosen + step + this.shown.length) % this.shown.length;
      this.mark();
    } else if (event.key === "Enter") {
      event.preventDefault();
      this.run(this.chosen);
    }
  }

  private onClick(event: MouseEvent): void {
    if (event.target === this.dialog) {
      this.dialog.close();
      return;
    }
    const row = (event.target as Element).closest<HTMLElement>("[data-index]");
    if (row) {
      this.run(Number(row.dataset.index));
    }
  }

  private run(index: number): void {
    const command = this.shown[index];
    if (command) {
      this.dialog.close();
      command.run();
    }
  }
}
