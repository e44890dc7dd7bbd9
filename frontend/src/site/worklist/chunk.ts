/**
 * A page of the list. While it is far from the window its rows are kept as text: ten thousand rows
 * would otherwise be two hundred thousand nodes.
 */
export class Chunk {
  private text = "";
  private height = 0;

  constructor(
    readonly box: HTMLElement,
    readonly ids: string[],
  ) {}

  get isAwake(): boolean {
    return this.text === "";
  }

  get rows(): HTMLElement[] {
    return this.isAwake ? [...this.box.querySelectorAll<HTMLElement>(".row")] : [];
  }

  /** Put the rows away; the box keeps their place. */
  sleep(): void {
    if (this.isAwake && this.ids.length) {
      this.height = this.box.offsetHeight;
      for (const picture of this.box.querySelectorAll("img[data-src]")) {
        picture.removeAttribute("src");
      }
      this.text = this.box.innerHTML;
      this.box.style.height = `${this.height}px`;
      this.box.replaceChildren();
    }
  }

  /** Bring the rows back; returns whether they were away. */
  wake(): boolean {
    if (this.isAwake) {
      return false;
    }
    this.box.innerHTML = this.text;
    this.text = "";
    this.box.style.height = "";
    return true;
  }
}
