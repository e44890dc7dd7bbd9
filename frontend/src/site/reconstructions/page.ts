import { LiveEntries } from "../entries/live";
import type { Frame } from "../frame";

/** Shows the fields of what is chosen, planes or a volume. */
function choose(form: HTMLFormElement, select: HTMLSelectElement): void {
  const kind = select.value === "volume" ? "volume" : "planes";
  for (const field of form.querySelectorAll<HTMLElement>("[data-of]")) {
    const isMeant = field.dataset.of === kind;
    field.hidden = !isMeant;
    for (const input of field.querySelectorAll<HTMLInputElement>("input, select")) {
      input.disabled = !isMeant;
    }
  }
}

export function start(frame: Frame): void {
  const select = document.querySelector<HTMLSelectElement>("[data-plane]");
  if (select?.form) {
    const { form } = select;
    select.addEventListener("change", () => choose(form, select));
    choose(form, select);
  }
  const place = document.querySelector<HTMLElement>("[data-queue]");
  if (place) {
    new LiveEntries(place, frame, "reconstruction.changed");
  }
}
