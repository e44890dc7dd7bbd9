import { t } from "../../i18n";
import "./layouts.css";
import { toast } from "../dom";
import { messageOf, postJson, sendJson } from "../http";
import { LayoutEditor } from "./editor";
import { copyOf, emptyProtocol, type Protocol, readExport } from "./protocol";

/** The page of layouts: written, copied, taken away, and exchanged as files. */
export function start(): void {
  const options = document.querySelector<HTMLElement>("[data-layout-options]");
  if (options) {
    new LayoutsPage(options.dataset as unknown as Options);
  }
}

interface Options {
  list: string;
  import: string;
  administrator: string;
}

class LayoutsPage {
  private readonly protocols: Protocol[];

  constructor(private readonly options: Options) {
    this.protocols = JSON.parse(document.getElementById("layouts")?.textContent ?? "[]");
    document.addEventListener("click", (event) => {
      const pressed = (event.target as Element).closest<HTMLElement>("[data-layout-action]");
      if (pressed) {
        void this.act(pressed);
      }
    });
  }

  private async act(pressed: HTMLElement): Promise<void> {
    const key = pressed.closest<HTMLElement>("[data-layout]")?.dataset.layout;
    const found = this.protocols.find(({ id, name }) => (id ?? name) === key);
    const action = pressed.dataset.layoutAction;
    if (action === "new") {
      this.edit(emptyProtocol());
    } else if (action === "import") {
      this.importFile();
    } else if (found && action === "copy") {
      this.edit(copyOf(found));
    } else if (found && action === "edit") {
      this.edit(structuredClone(found));
    } else if (found && action === "delete") {
      await this.remove(found);
    }
  }

  private edit(protocol: Protocol): void {
    new LayoutEditor(protocol, this.options.administrator === "true", async (written) => {
      if (written.id) {
        await sendJson("PUT", `${this.options.list}${written.id}/`, written);
      } else {
        await postJson(this.options.list, written);
      }
      location.reload();
    });
  }

  private async remove({ id, name, is_site }: Protocol): Promise<void> {
    const whose = is_site ? t(" It is everybody's.") : "";
    if (!confirm(t("Delete the layout “{name}”?{whose}", { name, whose }))) {
      return;
    }
    try {
      await sendJson("DELETE", `${this.options.list}${id}/`);
      location.reload();
    } catch (error) {
      toast(messageOf(error), "error");
    }
  }

  private importFile(): void {
    const input = document.createElement("input");
    input.type = "file";
    input.accept = "application/json,.json";
    input.addEventListener("change", () => void this.take(input.files?.[0]));
    input.click();
  }

  private async take(file: File | undefined): Promise<void> {
    if (!file) {
      return;
    }
    try {
      const protocols = readExport(await file.text());
      const isSite =
        this.options.administrator === "true" &&
        confirm(t("Import for everybody? “Cancel” keeps them as your own."));
      await postJson(this.options.import, { protocols, is_site: isSite });
      location.reload();
    } catch (error) {
      toast(messageOf(error), "error");
    }
  }
}
