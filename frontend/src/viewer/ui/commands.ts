import { t } from "../../i18n";
import { type Command, KeyMap } from "../core/keys";
import { TOOLS } from "../tools/names";
import { goToUnseen, sayUnseen } from "../tools/shown";
import type { Workspace } from "../tools/workspace";
import { allActions } from "./actions";

/** What only the page as a whole can do. */
export interface PageHooks {
  help: () => void;
  keys: () => void;
  cancel: () => void;
  close: () => void;
  report: () => void;
  insertMeasurement: () => void;
  keyImage: () => void;
  point: () => void;
  segments: () => void;
  machine: () => void;
}

/** Everything that a key does: one list for the keys, the help sheet and the dialog of keys. */
export interface PageCommand extends Command {
  /** Also while a text is being written. */
  inText?: boolean;
  run: (workspace: Workspace, hooks: PageHooks) => void;
}

function toolCommands(): PageCommand[] {
  return TOOLS.map(({ tool, name, key }) => ({
    id: `tool-${tool}`,
    name,
    group: t("Tools"),
    keys: key ? [key] : [],
    run: (workspace) => workspace.setTool(tool),
  }));
}

function presetCommands(): PageCommand[] {
  return Array.from({ length: 9 }, (_, index) => String(index + 1)).map((digit) => ({
    id: `preset-${digit}`,
    name: t("Window preset {digit}", { digit }),
    group: t("Window presets"),
    keys: [digit],
    run: (workspace) => choosePreset(workspace, digit),
  }));
}

const PAGE_COMMANDS: readonly PageCommand[] = [
  {
    id: "point",
    name: t("Point by keys: arrows move, Enter sets, Esc ends"),
    group: t("Measurements"),
    keys: ["Shift+Space"],
    run: (_, hooks) => hooks.point(),
  },
  {
    id: "unseen",
    name: t("How many images were not shown in full yet"),
    group: t("Images"),
    keys: [">"],
    run: sayUnseen,
  },
  {
    id: "nextUnseen",
    name: t("Next image not shown in full yet"),
    group: t("Images"),
    keys: ["<"],
    run: goToUnseen,
  },
  {
    id: "report",
    name: t("Report: write, and back to the picture"),
    group: t("Report"),
    keys: ["F2"],
    inText: true,
    run: (_, hooks) => hooks.report(),
  },
  {
    id: "keyImage",
    name: t("Key image: put the image into the report"),
    group: t("Report"),
    keys: ["k", "F9"],
    inText: true,
    run: (_, hooks) => hooks.keyImage(),
  },
  {
    id: "insertMeasurement",
    name: t("Put the selected measurement into the report"),
    group: t("Report"),
    keys: ["F8"],
    inText: true,
    run: (_, hooks) => hooks.insertMeasurement(),
  },
  {
    id: "segments",
    name: t("Segments and structures"),
    group: t("Segments"),
    keys: ["F4"],
    run: (_, hooks) => hooks.segments(),
  },
  {
    id: "machine",
    name: t("Machine findings"),
    group: t("Segments"),
    keys: ["Shift+F4"],
    run: (_, hooks) => hooks.machine(),
  },
  {
    id: "share",
    name: t("Share the study by a link"),
    group: t("Page"),
    keys: [],
    run: ({ manifest }) => {
      if (manifest.links.share) {
        window.open(manifest.links.share, "_blank", "noopener");
      }
    },
  },
  { id: "help", name: t("Help"), group: t("Page"), keys: ["?"], run: (_, hooks) => hooks.help() },
  {
    id: "keys",
    name: t("Change the keys"),
    group: t("Page"),
    keys: ["Control+,"],
    run: (_, hooks) => hooks.keys(),
  },
];

const COMMANDS = new Map(
  [...toolCommands(), ...allActions(), ...presetCommands(), ...PAGE_COMMANDS].map((command) => [
    command.id,
    command,
  ]),
);

/** The keys as this person has them. */
export const keyMap = new KeyMap([...COMMANDS.values()]);

export function pageCommand(key: string): PageCommand | null {
  return COMMANDS.get(keyMap.commandOf(key)?.id ?? "") ?? null;
}

export function choosePreset(workspace: Workspace, key: string): void {
  const preset = workspace.presets.find((candidate) => candidate.key === key);
  if (preset) {
    applyPreset(workspace, preset);
  }
}

export function applyPreset(
  workspace: Workspace,
  preset: { window: Workspace["presets"][number]["window"] },
): void {
  if (preset.window === "full-range") {
    workspace.active.setFullRange();
  } else {
    workspace.active.setWindow(preset.window);
  }
}
