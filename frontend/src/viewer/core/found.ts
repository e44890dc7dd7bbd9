import { t } from "../../i18n";
import { Emitter } from "./emitter";
import { unitText } from "./format";
import type { MachineMark } from "./machine";
import type { Vec2 } from "./manifest";

/** What reports and presentation states drew: docs/api/viewer.md, "Found: what others measured". */
export interface FoundDrawing {
  id: string;
  graphic: "polyline" | "ellipse" | "circle" | "point" | "text";
  SOPInstanceUID: string;
  frame_numbers: readonly number[];
  points: readonly Vec2[];
  is_closed: boolean;
  label: string;
  values: readonly { name: string; number: number; unit: string }[];
}

export interface FoundObject {
  image_id: string;
  kind: "sr" | "gsps";
  SeriesNumber: number | null;
  SeriesDescription: string;
  Manufacturer: string;
  author: string;
  at: string;
  problem: string | null;
  /** Of an object that a program made. */
  machine?: MachineMark | null;
  drawings: readonly FoundDrawing[];
}

/** Measurements that came with the study; nobody changes them here. */
export class FoundList extends Emitter<{ change: undefined }> {
  objects: readonly FoundObject[] = [];
  /** Says which objects are kept off the pictures. */
  hides: (object: FoundObject) => boolean = () => false;
  /** The one a person looks at. */
  selected: string | null = null;

  load(objects: readonly FoundObject[]): void {
    this.objects = objects;
    this.emit("change", undefined);
  }

  select(id: string | null): void {
    this.selected = id;
    this.emit("change", undefined);
  }

  onFrame(sopInstanceUid: string, frameNumber: number): FoundDrawing[] {
    return this.objects.flatMap((object) =>
      (this.hides(object) ? [] : object.drawings).filter(
        (drawing) =>
          drawing.SOPInstanceUID === sopInstanceUid &&
          (drawing.frame_numbers.length === 0 || drawing.frame_numbers.includes(frameNumber)),
      ),
    );
  }
}

/** A number as it came, to four figures: its maker rounds it, not this viewer. */
export function foundValue({ number, unit }: FoundDrawing["values"][number]): string {
  const text = Number(number.toPrecision(4)).toString();
  const shown = unitText(unit);
  return shown === "°" ? `${text}°` : `${text} ${shown}`.trim();
}

/** The lines that stand beside a drawing: its label, then what was measured. */
export function foundLines(drawing: FoundDrawing): string[] {
  const values = drawing.values.slice(0, 4).map((value) => {
    const isPlain = drawing.values.length === 1;
    return isPlain ? foundValue(value) : `${value.name} ${foundValue(value)}`;
  });
  return [drawing.label, ...values].filter(Boolean);
}

/** Who answers for an object: its author, its maker and its day, as far as it says. */
export function originText(object: FoundObject): string {
  const kind = object.kind === "sr" ? t("report") : t("presentation state");
  const who = [object.author.replace(/\^+/g, " ").trim(), object.Manufacturer].filter(Boolean);
  return [who.join(", ") || `Unnamed ${kind}`, object.at].filter(Boolean).join(" · ");
}
