import { t, tn } from "../../i18n";
import { element, icon } from "../dom";
import type { StudyResult } from "./outcome";
import { countText } from "./pace";

const MOST_SHOWN = 50;

/** The studies that files came in for, with the ways on. */
export class StudyList {
  private readonly studies = new Map<string, StudyResult>();

  constructor(
    private readonly section: HTMLElement,
    private readonly list: HTMLElement,
  ) {}

  clear(): void {
    this.studies.clear();
    this.section.hidden = true;
  }

  add(studies: readonly StudyResult[]): void {
    for (const study of studies) {
      this.studies.set(study.id, study);
    }
    if (studies.length > 0) {
      this.section.hidden = false;
      const shown = [...this.studies.values()].slice(-MOST_SHOWN).reverse();
      this.list.replaceChildren(...shown.map(studyRow));
      if (this.studies.size > MOST_SHOWN) {
        const rest = t("… and {MOST_SHOWN} more in the worklist", {
          MOST_SHOWN: countText(this.studies.size - MOST_SHOWN),
        });
        this.list.append(element("li", "dim", rest));
      }
    }
  }
}

function studyRow(study: StudyResult): HTMLElement {
  const page = element("a", "upload-study-name clip", study.patient);
  page.href = study.url;
  const facts = [study.StudyDate ?? t("no date"), imagesOf(study), study.StudyDescription];
  const viewer = element("a", "button button-small", icon("square-arrow-out-up-right"), t("Open"));
  viewer.href = study.viewer_url;
  viewer.setAttribute("aria-label", t("Open {patient} in the viewer", { patient: study.patient }));
  const tags = study.ModalitiesInStudy.map((code) => element("span", "tag tag-modality", code));
  return element(
    "li",
    "upload-study",
    element("div", "upload-study-head", ...tags, page),
    element("span", "dim clip", facts.filter(Boolean).join(" · ")),
    viewer,
  );
}

function imagesOf(study: StudyResult): string {
  const count = study.instance_count;
  return tn("{count} image", "{count} images", count, { count: countText(count) });
}
