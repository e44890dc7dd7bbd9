import { LitElement } from "lit";

/** Base of the viewer's elements: plain (light) DOM, so that one stylesheet and the labels reach all. */
export abstract class ViewerElement extends LitElement {
  private readonly stops: (() => void)[] = [];

  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  /** Keeps a listener for as long as the element is in the page. */
  protected until(stop: () => void): void {
    this.stops.push(stop);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    for (const stop of this.stops.splice(0)) {
      stop();
    }
  }
}
