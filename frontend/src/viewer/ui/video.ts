import { html, nothing, type TemplateResult } from "lit";
import { t } from "../../i18n";
import type { ImageFacts } from "../core/manifest";
import { clock, frameAt, SPEEDS, timeOf, type VideoFacts } from "../core/video";
import type { Player } from "../engine/beside-pane";
import type { Pane } from "../engine/pane";
import { ApiError, requestJson } from "../net/api";
import { ViewerElement } from "./element";
import { icon } from "./icons";
import { keyWords } from "./key-words";

const ASK_AGAIN_MS = 3000;
const NOTCH = 40;
const BROKEN = t(
  "This browser cannot play the video. Try another browser, or download it to open it elsewhere.",
);

/** A video in its viewport: the picture, and a bar with which to play it and to step through it. */
export class VideoElement extends ViewerElement implements Player {
  static override properties = {
    pane: { attribute: false },
    images: { attribute: false },
    chosen: { state: true },
    facts: { state: true },
    failure: { state: true },
    isBeingMade: { state: true },
    index: { state: true },
    isPlaying: { state: true },
    speed: { state: true },
    loops: { state: true },
  };
  declare pane: Pane;
  declare images: readonly ImageFacts[];
  /** The id of the instance that is shown, where there are several. */
  declare chosen: string | null;
  declare facts: VideoFacts | null;
  declare failure: string;
  declare isBeingMade: boolean;
  /** Of the shown frame, from 0. */
  declare index: number;
  declare isPlaying: boolean;
  declare speed: number;
  declare loops: boolean;
  private opened: string | null = null;
  private asking: AbortController | null = null;
  private again = 0;
  /** The frame that was asked for last; the player may still be on its way to it. */
  private wanted: number | null = null;

  constructor() {
    super();
    this.chosen = null;
    this.facts = null;
    this.failure = "";
    this.isBeingMade = false;
    this.index = 0;
    this.isPlaying = false;
    this.speed = 1;
    this.loops = false;
  }

  private get image(): ImageFacts | null {
    return this.images.find(({ id }) => id === this.chosen) ?? this.images[0] ?? null;
  }

  private get media(): HTMLVideoElement | null {
    return this.querySelector("video");
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.pane.setPlayer(this);
    this.until(() => {
      this.pane.dropPlayer(this);
      this.asking?.abort();
      clearTimeout(this.again);
      this.opened = null;
    });
  }

  protected override willUpdate(): void {
    const id = this.image?.id ?? null;
    if (id !== this.opened) {
      this.opened = id;
      this.facts = null;
      this.index = 0;
      this.isPlaying = false;
      this.wanted = null;
      void this.open();
    }
  }

  private async open(): Promise<void> {
    const video = this.image?.video;
    this.asking?.abort();
    clearTimeout(this.again);
    if (!video) {
      return;
    }
    const asking = new AbortController();
    this.asking = asking;
    this.failure = "";
    try {
      const facts = await requestJson<VideoFacts>(video.facts_url, { signal: asking.signal });
      this.isBeingMade = false;
      this.facts = facts;
    } catch (cause) {
      if (asking.signal.aborted) {
        return;
      }
      if (cause instanceof ApiError && cause.status === 503) {
        this.isBeingMade = true;
        this.again = window.setTimeout(() => void this.open(), ASK_AGAIN_MS);
        return;
      }
      this.isBeingMade = false;
      this.failure = cause instanceof Error ? cause.message : BROKEN;
    }
  }

  // What the viewer's keys do -------------------------------------------------------------------

  play(): void {
    if (this.facts && this.index >= this.facts.frame_count - 1) {
      this.go(0);
    }
    this.media?.play().catch((cause: unknown) => {
      // Pausing before the first picture ends the promise as well.
      if (!(cause instanceof DOMException && cause.name === "AbortError")) {
        this.failure = BROKEN;
      }
    });
  }

  stop(): void {
    this.media?.pause();
  }

  step(by: number): boolean {
    const from = this.wanted ?? this.index;
    const last = (this.facts?.frame_count ?? 1) - 1;
    if (by < 0 ? from <= 0 : from >= last) {
      return false;
    }
    this.go(from + by);
    return true;
  }

  go(index: number): void {
    const { facts, media } = this;
    if (!facts || !media) {
      return;
    }
    media.pause();
    const next = Math.min(Math.max(Math.round(index), 0), facts.frame_count - 1);
    this.wanted = next;
    this.index = next;
    media.currentTime = timeOf(next, facts);
  }

  // The player ------------------------------------------------------------------------------------

  private follow(media: HTMLVideoElement): void {
    const shown = (_: number, { mediaTime }: VideoFrameCallbackMetadata): void => {
      if (!media.isConnected) {
        return;
      }
      this.noteTime(mediaTime);
      media.requestVideoFrameCallback(shown);
    };
    media.requestVideoFrameCallback(shown);
  }

  private noteTime(time: number): void {
    if (this.facts && this.wanted === null) {
      this.index = frameAt(time, this.facts);
    }
  }

  private started(event: Event): void {
    const media = event.target as HTMLVideoElement;
    media.playbackRate = this.speed;
    if ("requestVideoFrameCallback" in media) {
      this.follow(media);
    }
  }

  private arrived(event: Event): void {
    this.wanted = null;
    if (this.facts) {
      this.index = frameAt((event.target as HTMLVideoElement).currentTime, this.facts);
    }
  }

  /** A busy browser may leave the last frames out: what stands there at the end is the last one. */
  private finished(): void {
    if (this.facts) {
      this.go(this.facts.frame_count - 1);
    }
  }

  private setPlaying(isPlaying: boolean): void {
    this.isPlaying = isPlaying;
    this.pane.setCine({ isPlaying });
  }

  private setSpeed(speed: number): void {
    this.speed = speed;
    if (this.media) {
      this.media.playbackRate = speed;
    }
  }

  private wheel(event: WheelEvent): void {
    if (!event.ctrlKey && Math.abs(event.deltaY) >= NOTCH) {
      event.preventDefault();
      this.pane.step(event.deltaY > 0 ? 1 : -1);
    }
  }

  // What is drawn -----------------------------------------------------------------------------------

  override render(): TemplateResult | typeof nothing {
    const { image } = this;
    if (!image?.video) {
      return nothing;
    }
    return html`<section
      class="video"
      aria-label=${t("Video")}
      data-state=${this.failure ? "error" : this.facts ? "ready" : "loading"}
      data-frame-number=${this.index + 1}
      @wheel=${this.wheel}
    >
      ${this.failure ? this.reason(image) : this.facts ? this.player(image) : this.waiting()}
      ${this.facts && !this.failure ? this.bar(this.facts, image) : nothing}
    </section>`;
  }

  private waiting(): TemplateResult {
    return html`<p class="video-note" role="status">
      ${
        this.isBeingMade
          ? t("The video is being made ready for this browser. It opens by itself.")
          : t("Opening the video…")
      }
    </p>`;
  }

  private reason(image: ImageFacts): TemplateResult {
    return html`<div class="panel" role="alert">
      ${icon("warning")}
      <h2>${t("The video cannot be shown")}</h2>
      <p>${this.failure}</p>
      <p class="row">
        <button type="button" class="button" @click=${() => void this.retry()}>
          ${icon("reset")} ${t("Try again")}
        </button>
        <a class="button" href=${image.video?.original_url ?? ""} download=${image.SOPInstanceUID}
          >${icon("download")} ${t("Video")}</a
        >
        <a class="button" href=${image.file_url} download=${`${image.SOPInstanceUID}.dcm`}
          >${icon("download")} ${t("DICOM file")}</a
        >
      </p>
    </div>`;
  }

  private retry(): Promise<void> {
    this.facts = null;
    return this.open();
  }

  private player(image: ImageFacts): TemplateResult {
    return html`<video
      src=${image.video?.url ?? ""}
      preload="auto"
      playsinline
      tabindex="-1"
      .loop=${this.loops}
      @loadedmetadata=${this.started}
      @play=${() => this.setPlaying(true)}
      @pause=${() => this.setPlaying(false)}
      @ended=${this.finished}
      @timeupdate=${(event: Event) => this.noteTime((event.target as HTMLVideoElement).currentTime)}
      @seeked=${this.arrived}
      @click=${() => (this.isPlaying ? this.stop() : this.play())}
      @error=${() => {
        this.failure = BROKEN;
      }}
    ></video>`;
  }

  private bar(facts: VideoFacts, image: ImageFacts): TemplateResult {
    const number = this.index + 1;
    return html`<div class="video-bar" role="group" aria-label=${t("Player")}>
      <input
        type="range"
        min="1"
        max=${facts.frame_count}
        .value=${String(number)}
        aria-label=${t("Frame")}
        aria-valuetext=${t("Frame {number} of {frame_count}", { number, frame_count: facts.frame_count })}
        @input=${(event: Event) => this.go(Number((event.target as HTMLInputElement).value) - 1)}
      />
      <div class="video-buttons">
        ${this.button(this.isPlaying ? t("Pause") : t("Play"), "C", this.isPlaying ? "pause" : "play", () => (this.isPlaying ? this.stop() : this.play()))}
        ${this.button(t("Previous frame"), keyWords("ArrowUp"), "stepBack", () => this.step(-1))}
        ${this.button(t("Next frame"), keyWords("ArrowDown"), "stepForward", () => this.step(1))}
        <span class="video-count"
          ><output>${t("Frame {number} / {frame_count}", { number, frame_count: facts.frame_count })}</output>
          <span>${clock(this.index / facts.frame_rate)} / ${clock(facts.duration_s)}</span></span
        >
        <select
          aria-label=${t("Speed")}
          title=${t("Speed")}
          @change=${(event: Event) => this.setSpeed(Number((event.target as HTMLSelectElement).value))}
        >
          ${SPEEDS.map(
            (speed) =>
              html`<option value=${speed} ?selected=${speed === this.speed}>${speed}×</option>`,
          )}
        </select>
        <button
          type="button"
          class="tool"
          aria-label=${t("Loop")}
          aria-pressed=${String(this.loops)}
          title=${t("Loop")}
          @click=${() => {
            this.loops = !this.loops;
          }}
        >
          ${icon("repeat")}
        </button>
        ${this.images.length > 1 ? this.choice() : nothing}
        <a
          class="tool"
          href=${image.file_url}
          download=${`${image.SOPInstanceUID}.dcm`}
          aria-label=${t("Download the DICOM file")}
          title=${t("Download the DICOM file")}
          >${icon("download")}</a
        >
      </div>
    </div>`;
  }

  private button(
    name: string,
    key: string,
    picture: "play" | "pause" | "stepBack" | "stepForward",
    run: () => void,
  ): TemplateResult {
    return html`<button
      type="button"
      class="tool"
      aria-label=${name}
      title=${`${name} (${key})`}
      @click=${run}
    >
      ${icon(picture)}
    </button>`;
  }

  private choice(): TemplateResult {
    return html`<select
      aria-label=${t("Which video of the series")}
      @change=${(event: Event) => {
        this.chosen = (event.target as HTMLSelectElement).value;
      }}
    >
      ${this.images.map(
        (image, place) =>
          html`<option value=${image.id} ?selected=${image === this.image}>
            ${t("{place} of {length}", { place: place + 1, length: this.images.length })}
          </option>`,
      )}
    </select>`;
  }
}

customElements.define("noctis-video", VideoElement);
