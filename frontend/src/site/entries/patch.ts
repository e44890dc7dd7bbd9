/** A table's rows, or a list of anything else. */
const ROWS = "tbody, [data-rows]";

/**
 * Bring a list up to date without moving what one reads or taking away what has the focus: rows are
 * known by `data-entry`, and one whose `data-version` is the same stays the element that it is.
 */
export function patchRows(place: HTMLElement, found: DocumentFragment): void {
  const shown = place.querySelector<HTMLElement>(ROWS);
  const fresh = found.querySelector<HTMLElement>(ROWS);
  const focus = focusWithin(place);
  const anchor = anchorOf(place);
  const top = anchor?.getBoundingClientRect().top ?? 0;
  if (shown && fresh) {
    place.querySelector("nav")?.replaceWith(...partOf(found, "nav"));
    patchBody(shown, fresh);
  } else {
    place.replaceChildren(found);
  }
  restore(place, focus);
  const now = anchor && rowOf(place, anchor.dataset.entry ?? "");
  if (now) {
    scrollerOf(place).scrollTop += now.getBoundingClientRect().top - top;
  }
}

interface Focus {
  entry: string;
  /** What distinguishes a control among those of its row, or a tab among its like. */
  address: string;
}

function patchBody(shown: HTMLElement, fresh: HTMLElement): void {
  const wanted = [...fresh.querySelectorAll<HTMLElement>("[data-entry]")];
  const entries = new Set(wanted.map((row) => row.dataset.entry));
  const known = new Map<string | undefined, HTMLElement>();
  for (const row of shown.querySelectorAll<HTMLElement>("[data-entry]")) {
    if (entries.has(row.dataset.entry)) {
      known.set(row.dataset.entry, row);
    } else {
      row.remove();
    }
  }
  let at: Element | null = shown.firstElementChild;
  for (const row of wanted) {
    const old = known.get(row.dataset.entry);
    const kept = old && old.dataset.version === row.dataset.version ? old : row;
    if (old && kept === row) {
      at = at === old ? row : at;
      old.replaceWith(row);
    }
    // A row that stays where it is must not be taken out: it would lose the focus.
    if (at === kept) {
      at = kept.nextElementSibling;
    } else {
      shown.insertBefore(kept, at);
    }
  }
}

function partOf(found: DocumentFragment, selector: string): Element[] {
  const part = found.querySelector(selector);
  return part ? [part] : [];
}

function focusWithin(place: HTMLElement): Focus | null {
  const active = document.activeElement;
  if (!(active instanceof HTMLElement) || !place.contains(active)) {
    return null;
  }
  const entry = active.closest<HTMLElement>("[data-entry]")?.dataset.entry ?? "";
  return { entry, address: addressOf(active) };
}

function addressOf(control: HTMLElement): string {
  return control instanceof HTMLAnchorElement
    ? control.href
    : (control.closest("form")?.action ?? "");
}

/** The same control has the focus again; where it is gone, another one of its row. */
function restore(place: HTMLElement, focus: Focus | null): void {
  if (!focus || place.contains(document.activeElement)) {
    return;
  }
  const within = focus.entry ? rowOf(place, focus.entry) : place.querySelector<HTMLElement>("nav");
  const controls = [...(within?.querySelectorAll<HTMLElement>("a, button") ?? [])];
  const same = controls.find((control) => addressOf(control) === focus.address);
  (same ?? controls.at(-1))?.focus({ preventScroll: true });
}

function rowOf(place: HTMLElement, entry: string): HTMLElement | null {
  const rows = place.querySelectorAll<HTMLElement>("[data-entry]");
  return [...rows].find((row) => row.dataset.entry === entry) ?? null;
}

/** The row that is to stay where it is: the one with the focus, else the first that one sees. */
function anchorOf(place: HTMLElement): HTMLElement | null {
  const focused = document.activeElement?.closest<HTMLElement>("[data-entry]");
  if (focused && place.contains(focused)) {
    return focused;
  }
  const scroller = scrollerOf(place);
  if (scroller.scrollTop === 0) {
    return null; // at the top, the newest entry is what one wants to see
  }
  const rows = place.querySelectorAll<HTMLElement>("[data-entry]");
  return [...rows].find((row) => row.getBoundingClientRect().bottom > 0) ?? null;
}

/** What scrolls: the page's main part, or the window. */
function scrollerOf(place: HTMLElement): Element {
  const main = place.closest("main");
  const scrolls = main && main.scrollHeight > main.clientHeight && main.scrollTop > 0;
  return scrolls ? main : (document.scrollingElement ?? document.documentElement);
}
