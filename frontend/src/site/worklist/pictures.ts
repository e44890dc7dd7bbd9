/** Rows this far outside the window get their picture too. */
const MARGIN_PX = 300;
const REST_MS = 90;

/**
 * Loads the pictures of rows once the list rests: whoever flies over a thousand rows asks the
 * server for the twenty where they stop.
 */
export class Pictures {
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly scroll: HTMLElement) {
    scroll.addEventListener("scroll", () => this.showSoon(), { passive: true });
    new ResizeObserver(() => this.showSoon()).observe(scroll);
  }

  showSoon(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.show(), REST_MS);
  }

  private show(): void {
    const view = this.scroll.getBoundingClientRect();
    const waiting = this.scroll.querySelectorAll<HTMLImageElement>("img[data-src]:not([src])");
    for (const picture of waiting) {
      const place = (picture.closest(".row") ?? picture).getBoundingClientRect();
      if (place.bottom > view.top - MARGIN_PX && place.top < view.bottom + MARGIN_PX) {
        picture.src = picture.dataset.src ?? "";
      }
    }
  }
}
