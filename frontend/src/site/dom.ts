/** An icon of the page's sprite. */
export function icon(name: string): SVGSVGElement {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(space, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** An element with a class and content; texts are set as text, never as markup. */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  className: string,
  ...content: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  if (className) {
    made.className = className;
  }
  made.append(...content);
  return made;
}

/** Whether a key press belongs to a field that is being written in. */
export function isWriting(event: KeyboardEvent): boolean {
  const target = event.target;
  if (!(target instanceof HTMLElement)) {
    return false;
  }
  const isBox = target instanceof HTMLInputElement && ["checkbox", "radio"].includes(target.type);
  return (
    target.isContentEditable ||
    (!isBox && target.matches("input, textarea, select, [role=textbox]"))
  );
}

/** Whether something open above the page takes the keys. */
export function isCovered(): boolean {
  return document.querySelector("dialog[open], [popover]:popover-open") !== null;
}

/** Show a short message at the edge of the page. */
export function toast(text: string, kind: "info" | "error" = "info"): void {
  const place = document.querySelector<HTMLElement>("[data-toasts]");
  if (!place) {
    return;
  }
  const box = element("div", `toast toast-${kind}`, element("span", "", text));
  place.append(box);
  setTimeout(() => box.remove(), kind === "error" ? 8000 : 4000);
}
