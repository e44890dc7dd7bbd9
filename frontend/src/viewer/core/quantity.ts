import { t } from "../../i18n";
import { frameRescale, frameUnit, type Rescale, type Stack, type StackFrame } from "./stack";
import type { Window } from "./voi";

/** Standardized uptake values of PET: what the server tells of a series (docs/api/viewer.md). */

export type SuvType = "BW" | "LBMJANMA" | "LBMJAMES128" | "BSA" | "IBW";

export const SUV_NAMES: Readonly<Record<SuvType, string>> = {
  BW: t("SUV, body weight"),
  LBMJANMA: t("SUV, lean body mass (Janmahasatian)"),
  LBMJAMES128: t("SUV, lean body mass (James)"),
  BSA: t("SUV, body surface area"),
  IBW: t("SUV, ideal body weight"),
};

export interface UptakeFacts {
  id: string;
  types: readonly { type: SuvType; unit: string; factor: number }[];
  refusals: Partial<Record<SuvType, string>>;
  /** What the factors were made of, in words and in short. */
  source: string;
  origin: string;
}

/** In what the values of a series are told: modality values times `factor`. */
export interface Quantity {
  type: SuvType;
  factor: number;
  unit: string;
  origin: string;
}

/** In what people want the values of each series told; without an entry: as the file says. */
export class Quantities {
  private readonly facts = new Map<string, UptakeFacts>();
  private readonly chosen = new Map<string, Quantity>();

  /** Takes what the server told; body weight is chosen where it can be told. */
  load(seriesUid: string, facts: UptakeFacts): void {
    this.facts.set(seriesUid, facts);
    this.choose(seriesUid, facts.types[0]?.type ?? null);
  }

  factsOf(seriesUid: string): UptakeFacts | null {
    return this.facts.get(seriesUid) ?? null;
  }

  get(seriesUid: string): Quantity | null {
    return this.chosen.get(seriesUid) ?? null;
  }

  /** Null: the file's own values. */
  choose(seriesUid: string, type: SuvType | null): void {
    const facts = this.facts.get(seriesUid);
    const found = facts?.types.find((entry) => entry.type === type);
    if (facts && found) {
      const { factor, unit } = found;
      this.chosen.set(seriesUid, { type: found.type, factor, unit, origin: facts.origin });
    } else {
      this.chosen.delete(seriesUid);
    }
  }
}

/** Of the series of this window's study. */
export const quantities = new Quantities();

/** How the values of a stack are told to people; planes through a series tell them as it does. */
export function quantityOf(stack: Stack | null): Quantity | null {
  return stack && quantities.get(stack.series.SeriesInstanceUID);
}

/** From the pixels of a frame to the values that people read. */
export function toldRescale(stack: Stack, frame: StackFrame): Rescale {
  const { slope, intercept } = frameRescale(frame);
  const factor = quantityOf(stack)?.factor ?? 1;
  return { slope: slope * factor, intercept: intercept * factor };
}

/** The unit of those values. */
export function toldUnit(stack: Stack, frame: StackFrame): string | null {
  return quantityOf(stack)?.unit ?? frameUnit(stack, frame);
}

/** A window of modality values as people read it. */
export function toldWindow(stack: Stack | null, window: Window): Window {
  const factor = quantityOf(stack)?.factor ?? 1;
  return factor === 1
    ? window
    : { ...window, center: window.center * factor, width: window.width * factor };
}

/** A window that a person gave, as modality values. */
export function takenWindow(stack: Stack | null, window: Window): Window {
  const factor = quantityOf(stack)?.factor ?? 1;
  return factor === 1
    ? window
    : { ...window, center: window.center / factor, width: window.width / factor };
}
