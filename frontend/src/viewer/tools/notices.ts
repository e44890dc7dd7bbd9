import { t } from "../../i18n";
import { personName } from "../core/format";
import { hiddenTexts } from "../core/hidden";
import type { NetworkState } from "../net/frames";
import type { Workspace } from "./workspace";

export interface Notice {
  id: string;
  kind: "info" | "warning" | "error";
  text: string;
  action?: { label: string; run: () => void } | { label: string; href: string };
}

/** What a window says across its top: what went wrong, what pictures lack, whose they are. */
export class Notices {
  /** What happened, until a person has read it. */
  all: readonly Notice[] = [];
  private readonly readWarnings = new Set<string>();

  constructor(private readonly workspace: Workspace) {}

  /** Two patients in one window: said aloud for as long as both are shown. */
  get strangers(): Notice | null {
    const shown = new Map<string, string>();
    for (const { pane } of this.workspace.visible) {
      const found = this.workspace.strangeness(pane);
      if (found.length > 0) {
        const { patient, study } = this.workspace.manifestOf(pane);
        const who = [personName(patient.PatientName), patient.PatientID].filter(Boolean).join(", ");
        shown.set(study.id, `${who} (other ${found.join(", ")})`);
      }
    }
    const { patient } = this.workspace.manifest;
    const own = [personName(patient.PatientName), patient.PatientID].filter(Boolean).join(", ");
    return shown.size === 0
      ? null
      : {
          id: "strangers",
          kind: "error",
          text: t(
            "Two patient records are shown in this window: {own}; and {join}. They were linked as one person.",
            { own, join: [...shown.values()].join("; ") },
          ),
        };
  }

  /** What is wrong with the study and the series on the screen, and what their pictures lack. */
  get warnings(): Notice[] {
    const series = this.workspace.visible.flatMap(({ pane }) => pane.stack?.series ?? []);
    const found = series.flatMap(({ id, SeriesNumber, warning }) =>
      warning
        ? [
            {
              id: `series-${id}`,
              text: `Series ${SeriesNumber ?? t("without number")}: ${warning}`,
            },
          ]
        : [],
    );
    const { warning } = this.workspace.manifest.study;
    const said = this.workspace.manifest.series.some((entry) => entry.warning === warning);
    const all = warning && !said ? [{ id: "study", text: warning }, ...found] : found;
    const unseen = this.workspace.visible.flatMap(({ pane }) => {
      const frame = pane.shownFrame;
      return frame && pane.stack
        ? hiddenTexts(frame).map(({ keyword, text }) => ({
            id: `hidden-${keyword}-${pane.stack?.series.id}`,
            text,
          }))
        : [];
    });
    const distinct = new Map([...all, ...unseen].map((entry) => [entry.id, entry]));
    return [...distinct.values()]
      .filter(({ id }) => !this.readWarnings.has(id))
      .map(({ id, text }) => ({ id, text, kind: "warning" as const }));
  }

  notify(notice: Notice): void {
    this.all = [...this.all.filter(({ id }) => id !== notice.id), notice];
    this.workspace.emit("change", undefined);
  }

  dismiss(id: string): void {
    if (this.warnings.some((warning) => warning.id === id)) {
      this.readWarnings.add(id);
      this.workspace.emit("change", undefined);
    }
    if (this.all.some((notice) => notice.id === id)) {
      this.all = this.all.filter((notice) => notice.id !== id);
      this.workspace.emit("change", undefined);
    }
  }

  onNetwork(state: NetworkState): void {
    if (state.kind === "ok") {
      this.dismiss("network");
    } else if (state.kind === "signed-out") {
      const next = encodeURIComponent(location.pathname);
      this.notify({
        id: "network",
        kind: "error",
        text: t("{message} What is on the screen stays.", { message: state.message }),
        action: { label: t("Sign in"), href: `/accounts/login/?next=${next}` },
      });
    } else {
      const seconds = Math.round(state.retryInMs / 1000);
      this.notify({
        id: "network",
        kind: "warning",
        text: t("{message} Trying again in {seconds} s.", { message: state.message, seconds }),
        action: { label: t("Try now"), run: () => this.workspace.retry() },
      });
    }
  }
}
