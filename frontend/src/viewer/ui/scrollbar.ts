import { html, type PropertyValues, type TemplateResult } from "lit";
import { t } from "../../i18n";
import type { Pane } from "../engine/pane";
import type { Workspace } from "../tools/workspace";
import { ViewerElement } from "./element";

/**
 * The scroll bar of a viewport: where in the stack, which frames are already here (left half), and
 * which were shown in full (right half).
 */
export class ScrollbarElement extends ViewerElement {
  static override properties = {
    workspace: { attribute: false },
    pane: { attribute: false },
    shown: { attribute: false },
  };
  declare workspace: Workspace;
  declare pane: Pane;
  declare shown: number;
  private paintRequest = 0;

  override connectedCallback(): void {
    super.connectedCallback();
    this.until(this.workspace.on("loaded", () => this.requestPaint()));
    this.until(this.workspace.shown.on("change", () => this.requestPaint()));
    const observer = new ResizeObserver(() => this.requestPaint());
    observer.observe(this);
    this.until(() => observer.disconnect());
  }

  override render(): TemplateResult {
    const count = this.pane.stack?.frames.length ?? 0;
    return html`<div
      class="track"
      role="slider"
      tabindex="0"
      aria-label=${t("Image")}
      aria-orientation="vertical"
      aria-valuemin="1"
      aria-valuemax=${count}
      aria-valuenow=${this.pane.index + 1}
      aria-valuetext=${t("Image {index} of {count}", { index: this.pane.index + 1, count })}
      title=${t("Left: which images are here. Right: which were shown in full.")}
      @pointerdown=${this.press}
      @pointermove=${this.drag}
    >
      <canvas></canvas>
      <div class="thumb"></div>
    </div>`;
  }

  protected override updated(changed: PropertyValues): void {
    const count = this.pane.stack?.frames.length ?? 0;
    this.hidden = count < 2;
    const thumb = this.querySelector<HTMLElement>(".thumb");
    if (thumb && count > 1) {
      const share = Math.max(1 / count, 0.04);
      thumb.style.height = `${share * 100}%`;
      thumb.style.top = `${(this.pane.index / (count - 1)) * (1 - share) * 100}%`;
    }
    if (changed.has("pane") || changed.has("shown")) {
      this.requestPaint();
    }
  }

  private press(event: PointerEvent): void {
    (event.currentTarget as HTMLElement).setPointerCapture(event.pointerId);
    this.drag(event);
  }

  private drag(event: PointerEvent): void {
    const track = event.currentTarget as HTMLElement;
    if (track.hasPointerCapture(event.pointerId)) {
      const box = track.getBoundingClientRect();
      const count = this.pane.stack?.frames.length ?? 1;
      this.pane.go(Math.round(((event.clientY - box.top) / box.height) * (count - 1)));
    }
  }

  private requestPaint(): void {
    if (this.paintRequest === 0) {
      this.paintRequest = requestAnimationFrame(() => {
        this.paintRequest = 0;
        this.paint();
      });
    }
  }

  /** One line per screen pixel: bright where all of its frames are here, or were shown. */
  private paint(): void {
    const canvas = this.querySelector("canvas");
    const context = canvas?.getContext("2d");
    const frames = this.pane.stack?.frames ?? [];
    if (!canvas || !context || frames.length < 2) {
      return;
    }
    const height = Math.max(1, Math.round(this.clientHeight));
    if (canvas.height !== height) {
      canvas.width = 2;
      canvas.height = height;
    }
    const loaded = this.workspace.frames;
    const style = getComputedStyle(this);
    const here = style.getPropertyValue("--loaded");
    const failed = style.getPropertyValue("--failed");
    const seen = style.getPropertyValue("--shown");
    const { shown } = this.workspace;
    context.clearRect(0, 0, 2, height);
    for (let y = 0; y < height; y++) {
      const first = Math.floor((y / height) * frames.length);
      const last = Math.max(first + 1, Math.floor(((y + 1) / height) * frames.length));
      const part = frames.slice(first, last);
      if (part.every(({ key }) => shown.has(key))) {
        context.fillStyle = seen;
        context.fillRect(1, y, 1, 1);
      }
      if (part.some(({ key, image }) => image.transport === null || loaded.problem(key))) {
        context.fillStyle = failed;
      } else if (part.every(({ key }) => loaded.has(key))) {
        context.fillStyle = here;
      } else {
        continue;
      }
      context.fillRect(0, y, 1, 1);
    }
  }
}

customElements.define("noctis-scrollbar", ScrollbarElement);
