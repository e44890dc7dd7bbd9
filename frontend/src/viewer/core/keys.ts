import { t } from "../../i18n";
import { Emitter } from "./emitter";

/** Something that a key does. */
export interface Command {
  id: string;
  name: string;
  group: string;
  /** The keys it has unless a person chose others. */
  keys: readonly string[];
}

/** A person's own keys by command; an empty list takes a command's keys away. */
export type ChosenKeys = Readonly<Record<string, readonly string[]>>;

const MOST_KEYS = 4;

/** Keys that mean the same everywhere on the page, and without which it cannot be used by keys. */
const FIXED: Readonly<Record<string, string>> = {
  Tab: t("moves between the controls of the page"),
  "Shift+Tab": t("moves between the controls of the page"),
  Enter: t("presses the control in focus and ends outlines"),
  Escape: t("gives up what is under way"),
};

/** Why a key cannot be chosen, in words; null when it can. */
export function keyProblem(key: string): string | null {
  const parts = key.split("+").filter(Boolean);
  const last = key.endsWith("+") ? "+" : (parts.at(-1) ?? "");
  if (/^(Control|Shift|Alt|Meta|AltGraph|Dead|Unidentified|Process)$/.test(last)) {
    return t("Press a key together with it.");
  }
  const use = FIXED[key];
  return use ? t("This key {use} and stays that.", { use }) : null;
}

/** A key with its modifiers as commands have it: "Control+z", "Shift+ArrowUp", "m", "+". */
export function keyName(
  event: Pick<KeyboardEvent, "key" | "ctrlKey" | "metaKey" | "shiftKey" | "altKey">,
): string {
  const key = event.key === " " ? "Space" : event.key;
  const isLetter = key.length === 1;
  const parts: string[] = [];
  if (event.ctrlKey || event.metaKey) {
    parts.push("Control");
  }
  // A sign such as "?" or "+" already has the shift in it; only letters under Control differ by it.
  if (event.shiftKey && (!isLetter || event.ctrlKey || event.metaKey)) {
    parts.push("Shift");
  }
  if (event.altKey) {
    parts.push("Alt");
  }
  parts.push(isLetter ? key.toLowerCase() : key);
  return parts.join("+");
}

interface Events {
  change: undefined;
}

/** Which key does what: each command's own keys, or those that the person chose. */
export class KeyMap extends Emitter<Events> {
  private readonly commands: ReadonlyMap<string, Command>;
  private own: Record<string, readonly string[]> = {};
  private byKey = new Map<string, string>();

  constructor(commands: readonly Command[]) {
    super();
    this.commands = new Map(commands.map((command) => [command.id, command]));
    this.index();
  }

  all(): Command[] {
    return [...this.commands.values()];
  }

  /** What differs from the product's own keys. */
  get chosen(): ChosenKeys {
    return this.own;
  }

  /** Takes over a person's keys; commands and keys that are unknown here are left out. */
  load(chosen: ChosenKeys): void {
    this.own = {};
    for (const [id, keys] of Object.entries(chosen)) {
      if (this.commands.has(id)) {
        this.own[id] = keys.filter((key) => keyProblem(key) === null).slice(0, MOST_KEYS);
      }
    }
    this.changed();
  }

  keysOf(id: string): readonly string[] {
    return this.own[id] ?? this.commands.get(id)?.keys ?? [];
  }

  /** The key that the command with this default key has now; null: none any more. */
  current(defaultKey: string): string | null {
    for (const { id, keys } of this.commands.values()) {
      if (keys.includes(defaultKey)) {
        return this.keysOf(id)[0] ?? null;
      }
    }
    return defaultKey;
  }

  commandOf(key: string): Command | null {
    const id = this.byKey.get(key);
    return id === undefined ? null : (this.commands.get(id) ?? null);
  }

  /** The other command that has this key. */
  clash(id: string, key: string): Command | null {
    const found = this.commandOf(key);
    return found && found.id !== id ? found : null;
  }

  /** Gives a command this key instead of its others; whoever had it loses it. */
  assign(id: string, key: string): void {
    const other = this.clash(id, key);
    if (other) {
      this.set(
        other.id,
        this.keysOf(other.id).filter((each) => each !== key),
      );
    }
    this.set(id, [key]);
    this.changed();
  }

  /** The product's own keys again; of one command, or of all. */
  reset(id?: string): void {
    if (id === undefined) {
      this.own = {};
    } else {
      delete this.own[id];
      for (const key of this.keysOf(id)) {
        const other = this.clash(id, key);
        if (other && this.own[other.id]) {
          this.set(
            other.id,
            this.keysOf(other.id).filter((each) => each !== key),
          );
        }
      }
    }
    this.changed();
  }

  private set(id: string, keys: readonly string[]): void {
    const usual = this.commands.get(id)?.keys ?? [];
    if (keys.length === usual.length && keys.every((key, at) => key === usual[at])) {
      delete this.own[id];
    } else {
      this.own[id] = keys;
    }
  }

  private changed(): void {
    this.index();
    this.emit("change", undefined);
  }

  private index(): void {
    this.byKey = new Map();
    // What a person chose stands before what the product has.
    const ordered = [...this.commands.keys()].sort(
      (a, b) => Number(b in this.own) - Number(a in this.own),
    );
    for (const id of ordered) {
      for (const key of this.keysOf(id)) {
        if (!this.byKey.has(key)) {
          this.byKey.set(key, id);
        }
      }
    }
  }
}

/** The file that takes a person's keys to another site. */
export function writeKeys(chosen: ChosenKeys): string {
  return `${JSON.stringify({ kind: "noctispro-keys", shortcuts: chosen }, null, 2)}\n`;
}

/** Reads such a file; throws an error in words when it is none. */
export function readKeys(text: string): ChosenKeys {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error(t("This file is not JSON. Choose one that was exported here."));
  }
  const { kind, shortcuts } = (value ?? {}) as { kind?: unknown; shortcuts?: unknown };
  if (kind !== "noctispro-keys" || typeof shortcuts !== "object" || shortcuts === null) {
    throw new Error(t("This file holds no keys. Choose one that was exported here."));
  }
  const chosen: Record<string, string[]> = {};
  for (const [id, keys] of Object.entries(shortcuts)) {
    if (!Array.isArray(keys) || !keys.every((key) => typeof key === "string" && key.length <= 40)) {
      throw new Error(t("The keys of “{id}” in this file cannot be read.", { id }));
    }
    chosen[id] = keys;
  }
  return chosen;
}
