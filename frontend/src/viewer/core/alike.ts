import { t } from "../../i18n";
import type { Manifest, SeriesFacts } from "./manifest";
import { frameAxes, isDocument, type Stack } from "./stack";
import { cross, dot } from "./vectors";

/** Which series of an older study shows what a series shows, and whether both are of one person. */

function words(series: SeriesFacts): Set<string> {
  return new Set(
    (series.SeriesDescription ?? "")
      .toLowerCase()
      .split(/[^\p{L}\p{N}]+/u)
      .filter(Boolean),
  );
}

function isScout({ images }: SeriesFacts): boolean {
  return images.length > 0 && images.every(({ ImageType }) => ImageType?.includes("LOCALIZER"));
}

/** Whether the slices of two stacks run in the same direction; null: one of them does not say. */
function runAlike(one: Stack, other: Stack): boolean | null {
  const [a, b] = [one, other].map(({ frames }) => frames[0] && frameAxes(frames[0]));
  return a && b ? Math.abs(dot(cross(a.row, a.column), cross(b.row, b.column))) > 0.9 : null;
}

/** The series of another study that is most like one; null where that study has no picture. */
export function mostAlike(stack: Stack | null, candidates: readonly Stack[]): Stack | null {
  const drawable = candidates.filter(({ series }) => !isDocument(series));
  const wanted = stack ? words(stack.series) : new Set<string>();
  const image = stack?.frames[0]?.image;
  const likeness = (other: Stack): number => {
    const shared = [...words(other.series)].filter((word) => wanted.has(word)).length;
    const first = other.frames[0]?.image;
    const isSame = (key: "ImageLaterality" | "ViewPosition"): number =>
      image?.[key] && image[key] === first?.[key] ? 5 : 0;
    return (
      (stack && other.series.Modality === stack.series.Modality ? 20 : 0) +
      (stack && runAlike(stack, other) ? 10 : 0) +
      isSame("ImageLaterality") +
      isSame("ViewPosition") +
      shared -
      (isScout(other.series) ? 50 : 0)
    );
  };
  return [...drawable].sort((one, other) => likeness(other) - likeness(one))[0] ?? null;
}

const IDENTITY = {
  PatientID: t("Patient ID"),
  PatientName: "name",
  PatientBirthDate: t("birth date"),
  PatientSex: "sex",
} as const;

/** What differs between the patients of two studies, in words; empty: one and the same record. */
export function differences(one: Manifest["patient"], other: Manifest["patient"]): string[] {
  const found = Object.entries(IDENTITY).flatMap(([keyword, name]) =>
    one[keyword as keyof typeof IDENTITY] === other[keyword as keyof typeof IDENTITY] ? [] : [name],
  );
  return found.length === 0 && one.id !== other.id ? [t("patient record")] : found;
}
