import { html, nothing, type TemplateResult } from "lit";
import { t, tn } from "../../i18n";
import type { Segment } from "../core/draft";
import { volumeText } from "../tools/overlays";
import {
  CUT_ACTIONS,
  type CutAction,
  LARGEST_RADIUS,
  PAINT_TOOLS,
  type Painter,
  type PaintTool,
} from "../tools/painter";
import type { Segments } from "../tools/segments";
import type { SeriesDraft } from "../tools/series-draft";
import { iconButton } from "./button";
import { type IconName, icon } from "./icons";

/** The part of the pane in which segments are drawn, named and stored. */

const TOOL_ICONS: Record<PaintTool, IconName> = {
  brush: "brush",
  eraser: "eraser",
  scissors: "scissors",
  rectangle: "rectangle",
};
const STATE_TEXTS = {
  none: "",
  saved: t("Saved"),
  saving: t("Saving"),
  waiting: t("Not saved yet"),
  failed: t("Not saved"),
} as const;

export function drawnHere(segments: Segments): TemplateResult | typeof nothing {
  const { workspace, current } = segments;
  if (!workspace.manifest.user.can_write) {
    return nothing;
  }
  if (!current) {
    return html`<section class="segments-drawing" aria-label=${t("Draw segments")}>
      <p class="empty">${t("Hang a series with pictures into the viewport to draw segments on it.")}</p>
    </section>`;
  }
  const { draft } = current;
  return html`<section class="segments-drawing" aria-label=${t("Draw segments")}>
    <header>
      <h3>${t("Drawn here")}</h3>
      <span class="save-state" data-state=${current.state} role="status" title=${current.message}
        >${STATE_TEXTS[current.state]}</span
      >
    </header>
    ${
      current.state === "failed"
        ? html`<p class="problem" role="alert">${icon("warning")}<span>${current.message}</span></p>`
        : nothing
    }
    ${
      draft.isEmpty
        ? html`<p class="empty">${t("Choose Brush and draw on the picture, or add a segment.")}</p>`
        : html`<ul class="plain-list">
            ${draft.segments.map((segment) => segmentRow(segments, current, segment))}
          </ul>`
    }
    <div class="row-buttons">
      <button
        type="button"
        class="button"
        ?disabled=${!current.isLoaded}
        @click=${() => current.addSegment()}
      >
        ${t("Add segment")}
      </button>
    </div>
    ${tools(segments, current)} ${options(segments.painter)} ${storing(segments, current)}
  </section>`;
}

function segmentRow(segments: Segments, series: SeriesDraft, segment: Segment): TemplateResult {
  const { draft, layer } = series;
  const { number, name, colour, property } = segment;
  const volume = series.volumeOf(number);
  const part = layer.parts.find(({ facts }) => facts.number === number);
  const isActive = draft.active === number;
  return html`<li class="segment-edit" data-active=${String(isActive)}>
    <input
      type="radio"
      name="active-segment"
      aria-label=${t("Draw in {name}", { name })}
      .checked=${isActive}
      @change=${() => draft.activate(number)}
    />
    <input
      type="color"
      aria-label=${t("Colour of {name}", { name })}
      .value=${colour}
      @change=${(event: Event) =>
        series.change(number, { colour: (event.target as HTMLInputElement).value })}
    />
    <input
      type="text"
      maxlength="64"
      aria-label=${t("Name of segment {number}", { number })}
      .value=${name}
      @change=${(event: Event) => rename(series, segment, event.target as HTMLInputElement)}
    />
    <input
      type="checkbox"
      aria-label=${`Show ${name}`}
      .checked=${part?.isShown ?? true}
      @change=${(event: Event) =>
        part && segments.overlays.setShown(layer, part, (event.target as HTMLInputElement).checked)}
    />
    <button
      type="button"
      class="tool"
      aria-label=${`Delete ${name}`}
      title=${`Delete ${name}`}
      @click=${() => draft.remove(number)}
    >
      ${icon("remove")}
    </button>
    <select
      aria-label=${t("What {name} is", { name })}
      @change=${(event: Event) =>
        series.change(number, { property: (event.target as HTMLSelectElement).value })}
    >
      ${
        segment.source?.name
          ? html`<option value="source" ?selected=${property === "source"}>
              ${segment.source.name}
            </option>`
          : nothing
      }
      ${series.properties.map(
        (one) => html`<option value=${one.code} ?selected=${one.code === property}>
          ${one.name}
        </option>`,
      )}
    </select>
    <output class="volume" data-segment=${number} title=${volume.source}
      >${volumeText(volume.millilitres)}</output
    >
  </li>`;
}

function rename(series: SeriesDraft, segment: Segment, input: HTMLInputElement): void {
  const name = input.value.trim();
  if (name) {
    series.change(segment.number, { name });
  } else {
    input.value = segment.name;
  }
}

function tools({ painter }: Segments, { draft, isLoaded }: SeriesDraft): TemplateResult {
  return html`<div class="paint-tools" role="toolbar" aria-label=${t("Segment tools")}>
    ${PAINT_TOOLS.map(({ tool, name }) =>
      iconButton({
        name,
        icon: TOOL_ICONS[tool],
        pressed: painter.tool === tool,
        disabled: !isLoaded,
        run: () => painter.setTool(painter.tool === tool ? null : tool),
      }),
    )}
    ${iconButton({
      name: t("Undo segment change"),
      icon: "undo",
      disabled: !draft.canUndo,
      run: () => draft.undo(),
    })}
    ${iconButton({
      name: t("Redo segment change"),
      icon: "redo",
      disabled: !draft.canRedo,
      run: () => draft.redo(),
    })}
  </div>`;
}

function options(painter: Painter): TemplateResult | typeof nothing {
  const { tool, options: now } = painter;
  if (!tool) {
    return nothing;
  }
  const isBrush = tool === "brush" || tool === "eraser";
  const fills = tool === "brush" || (!isBrush && now.action === "fill-inside");
  const numberOf = (event: Event): number => Number((event.target as HTMLInputElement).value);
  return html`<div class="paint-options">
    ${
      isBrush
        ? html`<label
            >${t("Radius {radius} px", { radius: now.radius })}
            <input
              type="range"
              min="1"
              max=${LARGEST_RADIUS}
              .value=${String(now.radius)}
              @input=${(event: Event) => painter.setOptions({ radius: numberOf(event) })}
            />
          </label>`
        : html`<label
              >${t("Scissors")}
              <select
                .value=${now.action}
                @change=${(event: Event) =>
                  painter.setOptions({
                    action: (event.target as HTMLSelectElement).value as CutAction,
                  })}
              >
                ${CUT_ACTIONS.map(({ action, name }) => html`<option value=${action}>${name}</option>`)}
              </select>
            </label>
            <label class="check"
              ><input
                type="checkbox"
                .checked=${now.isAllSlices}
                @change=${(event: Event) =>
                  painter.setOptions({ isAllSlices: (event.target as HTMLInputElement).checked })}
              />${t("All slices")}</label
            >`
    }
    ${
      fills
        ? html`<label class="check"
              ><input
                type="checkbox"
                .checked=${now.isRanged}
                @change=${(event: Event) =>
                  painter.setOptions({ isRanged: (event.target as HTMLInputElement).checked })}
              />${t("Only values from")}</label
            >
            <input
              type="number"
              aria-label=${t("Lowest value")}
              .value=${String(now.low)}
              @change=${(event: Event) => painter.setOptions({ low: numberOf(event) })}
            />
            <span>${t("to")}</span>
            <input
              type="number"
              aria-label=${t("Highest value")}
              .value=${String(now.high)}
              @change=${(event: Event) => painter.setOptions({ high: numberOf(event) })}
            />`
        : nothing
    }
  </div>`;
}

function storing(segments: Segments, series: SeriesDraft): TemplateResult | typeof nothing {
  const { draft } = series;
  if (draft.isEmpty) {
    return nothing;
  }
  const { workspace } = segments;
  const run = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const form = event.target as HTMLFormElement;
    const button = form.querySelector("button");
    const description = (form.elements.namedItem("description") as HTMLInputElement).value.trim();
    button?.toggleAttribute("disabled", true);
    try {
      await series.store(description);
      workspace.notify({
        id: "segments",
        kind: "info",
        text: t("Stored as a DICOM segmentation: a new series of this study."),
      });
      await segments.list();
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      workspace.notify({ id: "segments", kind: "warning", text });
    }
    button?.toggleAttribute("disabled", false);
  };
  return html`<div class="row-buttons">
      <button
        type="button"
        class="button"
        title=${t("Fills the slices between those that the segment is drawn on")}
        ?disabled=${draft.counts(draft.active).size < 2}
        @click=${() => {
          const count = segments.painter.fillBetween(series);
          const text = tn("One slice was filled.", "{count} slices were filled.", count);
          workspace.notify({ id: "segments", kind: "info", text });
        }}
      >
        ${t("Fill between slices")}
      </button>
    </div>
    <form class="store-form" @submit=${run}>
      <label
        >${t("Name of the series")}
        <input name="description" maxlength="64" placeholder=${t("Segmentation")} autocomplete="off" />
      </label>
      <div class="row-buttons">
        <button type="submit" class="button primary" ?disabled=${draft.drawnFrames.length === 0}>
          ${t("Store as DICOM SEG")}
        </button>
        <button type="button" class="button" @click=${() => discard(segments, series)}>
          ${t("Discard")}
        </button>
      </div>
    </form>`;
}

function discard({ workspace }: Segments, series: SeriesDraft): void {
  if (
    !window.confirm(t("Delete all segments that you have drawn on this series and not stored?"))
  ) {
    return;
  }
  series.drop().catch((error: unknown) => {
    const text = error instanceof Error ? error.message : String(error);
    workspace.notify({ id: "segments", kind: "warning", text });
  });
}
