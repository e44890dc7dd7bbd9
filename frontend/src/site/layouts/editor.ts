import { t } from "../../i18n";
import { element } from "../dom";
import { messageOf } from "../http";
import {
  emptyStage,
  type PlaceFacts,
  type Protocol,
  type StageFacts,
  withPlaces,
} from "./protocol";

type Choice = readonly (readonly [string, string])[];

const SIDES: Choice = [
  ["", "any"],
  ["L", "left"],
  ["R", "right"],
  ["B", "both"],
];
const PLACE_SIDES: Choice = SIDES.slice(0, 3);
const COUNTS: Choice = ["1", "2", "3", "4"].map((text) => [text, text] as const);
const FITS: Choice = [
  ["", t("each as large as fits")],
  ["scale", t("all at one scale")],
  ["chest wall", t("breasts back to back")],
];
const SCROLLS: Choice = [
  ["", t("as the person has it")],
  ["off", t("each alone")],
  ["position", t("together by position")],
  ["offset", t("together by offset")],
];
const SHOWN: Choice = [
  ["", t("pictures")],
  ["fused", t("fused")],
  ["mip", "MIP"],
];
const MOST_STAGES = 16;

let nextField = 1;

function labelled(name: string, control: HTMLElement): HTMLElement {
  control.id = `layout-field-${nextField++}`;
  const label = element("label", "", name);
  label.htmlFor = control.id;
  return element("div", "field", label, control);
}

function textField(
  name: string,
  value: string,
  change: (text: string) => void,
  most = 64,
): HTMLElement {
  const input = element("input", "");
  input.value = value;
  input.maxLength = most;
  input.placeholder = "any";
  input.autocomplete = "off";
  input.addEventListener("input", () => change(input.value.trim()));
  return labelled(name, input);
}

function numberField(
  name: string,
  value: number | null,
  [least, most]: readonly [number, number] | readonly [null, null],
  change: (number: number | null) => void,
): HTMLElement {
  const input = element("input", "");
  input.type = "number";
  input.step = least === null ? "any" : "1";
  input.required = least !== null;
  input.min = least === null ? "" : String(least);
  input.max = most === null ? "" : String(most);
  input.value = value === null ? "" : String(value);
  input.addEventListener("input", () => change(input.value === "" ? null : Number(input.value)));
  return labelled(name, input);
}

function choiceField(
  name: string,
  choices: Choice,
  value: string,
  change: (value: string) => void,
): HTMLElement {
  const select = element("select", "");
  for (const [each, text] of choices) {
    select.append(new Option(text, each, false, each === value));
  }
  select.addEventListener("change", () => change(select.value));
  return labelled(name, select);
}

function button(text: string, run: () => void, className = "button button-small"): HTMLElement {
  const made = element("button", className, text);
  made.type = "button";
  made.addEventListener("click", run);
  return made;
}

/** The dialog in which a layout is written: what it is for, and stage by stage what stands where. */
export class LayoutEditor {
  private readonly dialog: HTMLDialogElement;
  private readonly stages = element("div", "layout-stages");
  private readonly failure = element("p", "note note-error");

  constructor(
    private readonly protocol: Protocol,
    private readonly mayBeSite: boolean,
    private readonly save: (protocol: Protocol) => Promise<void>,
  ) {
    this.failure.setAttribute("role", "alert");
    this.failure.hidden = true;
    const form = element("form", "form layout-form", this.head(), this.stages, this.failure);
    form.append(this.foot());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.submit();
    });
    this.dialog = element("dialog", "layout-dialog", form);
    this.dialog.setAttribute("aria-labelledby", "layout-editor-title");
    this.dialog.addEventListener("close", () => this.dialog.remove());
    this.drawStages();
    document.body.append(this.dialog);
    this.dialog.showModal();
  }

  private head(): HTMLElement {
    const { protocol } = this;
    const title = element("h2", "", protocol.id ? t("Edit the layout") : t("New layout"));
    title.id = "layout-editor-title";
    const name = textField(t("Name"), protocol.name, (text) => {
      protocol.name = text;
    });
    const input = name.querySelector("input") as HTMLInputElement;
    input.required = true;
    input.placeholder = "";
    const code = (key: "Modality" | "ViewPosition") => (text: string) => {
      protocol[key] = text.toUpperCase();
    };
    const words = (key: "BodyPartExamined" | "StudyDescription") => (text: string) => {
      protocol[key] = text;
    };
    const grid = element(
      "div",
      "layout-fields",
      name,
      textField(t("Modality"), protocol.Modality, code("Modality"), 16),
      textField(t("Body part"), protocol.BodyPartExamined, words("BodyPartExamined")),
      textField(t("Described with"), protocol.StudyDescription, words("StudyDescription"), 255),
      choiceField(t("Side"), SIDES, protocol.Laterality, (side) => {
        protocol.Laterality = side;
      }),
      textField(t("View"), protocol.ViewPosition, code("ViewPosition"), 16),
      numberField(t("Priors, at least"), protocol.priors, [0, 8], (count) => {
        protocol.priors = count ?? 0;
      }),
      numberField(t("Order (low is first)"), protocol.priority, [0, 32000], (order) => {
        protocol.priority = order ?? 100;
      }),
      choiceField(
        t("In use"),
        [
          ["1", "yes"],
          ["", "no"],
        ],
        protocol.is_active ? "1" : "",
        (use) => {
          protocol.is_active = use === "1";
        },
      ),
    );
    if (this.mayBeSite && !protocol.id) {
      const whose: Choice = [
        ["", "me"],
        ["1", "everybody"],
      ];
      grid.append(
        choiceField(t("For"), whose, protocol.is_site ? "1" : "", (value) => {
          protocol.is_site = value === "1";
        }),
      );
    }
    return element("div", "", title, grid);
  }

  private foot(): HTMLElement {
    const keep = element("button", "button button-primary", t("Keep"));
    keep.type = "submit";
    return element(
      "div",
      "layout-foot",
      button(t("Add a stage"), () => this.addStage()),
      button(t("Cancel"), () => this.dialog.close(), "button"),
      keep,
    );
  }

  private addStage(): void {
    if (this.protocol.stages.length < MOST_STAGES) {
      this.protocol.stages.push(emptyStage());
      this.drawStages();
    }
  }

  private drawStages(): void {
    const { protocol } = this;
    protocol.stages = protocol.stages.map(withPlaces);
    this.stages.replaceChildren(...protocol.stages.map((stage, at) => this.stage(stage, at)));
  }

  private stage(stage: StageFacts, at: number): HTMLElement {
    const grid = (key: "rows" | "columns") => (text: string) => {
      stage[key] = Number(text);
      this.drawStages();
    };
    const legend = element("legend", "", `Stage ${at + 1}`);
    const fields = element(
      "div",
      "layout-fields",
      textField(t("Name"), stage.name, (text) => {
        stage.name = text;
      }),
      choiceField(t("Rows"), COUNTS, String(stage.rows), grid("rows")),
      choiceField(t("Columns"), COUNTS, String(stage.columns), grid("columns")),
      choiceField(t("Pictures"), FITS, stage.fit, (fit) => {
        stage.fit = fit;
      }),
      choiceField(t("Scrolling"), SCROLLS, stage.links?.scroll ?? "", (scroll) => {
        stage.links = scroll ? { window: false, view: false, ...stage.links, scroll } : null;
      }),
    );
    const places = element("ol", "layout-places");
    for (const place of stage.places) {
      places.append(element("li", "", this.place(place)));
    }
    const made = element("fieldset", "", legend, fields, places);
    if (this.protocol.stages.length > 1) {
      made.append(
        button(t("Remove this stage"), () => {
          this.protocol.stages.splice(at, 1);
          this.drawStages();
        }),
      );
    }
    return made;
  }

  private place(place: PlaceFacts): HTMLElement {
    const studies: Choice = Array.from(
      { length: 9 },
      (_, prior) =>
        [String(prior), prior === 0 ? t("this study") : t("prior {prior}", { prior })] as const,
    );
    return element(
      "div",
      "layout-fields",
      choiceField(t("Of"), studies, String(place.prior), (prior) => {
        place.prior = Number(prior);
      }),
      textField(
        t("Modality"),
        place.Modality,
        (text) => {
          place.Modality = text.toUpperCase();
        },
        16,
      ),
      textField(
        t("Described with"),
        place.SeriesDescription,
        (text) => {
          place.SeriesDescription = text;
        },
        255,
      ),
      choiceField(t("Side"), PLACE_SIDES, place.Laterality, (side) => {
        place.Laterality = side;
      }),
      textField(t("View"), place.ViewPosition, (text) => {
        place.ViewPosition = text.toUpperCase();
      }),
      choiceField(t("Shown"), SHOWN, place.show ?? "", (show) => {
        place.show = show as NonNullable<PlaceFacts["show"]>;
      }),
      numberField(t("Window width"), place.window_width, [null, null], (width) => {
        place.window_width = width;
      }),
      numberField(t("Window level"), place.window_center, [null, null], (center) => {
        place.window_center = center;
      }),
    );
  }

  private async submit(): Promise<void> {
    try {
      await this.save(this.protocol);
      this.dialog.close();
    } catch (error) {
      this.failure.hidden = false;
      this.failure.textContent = messageOf(error);
      this.failure.scrollIntoView({ block: "nearest" });
    }
  }
}
