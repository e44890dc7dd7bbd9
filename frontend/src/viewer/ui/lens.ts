import type { Pane } from "../engine/pane";

const SIDE = 180;
const POWER = 3;
/** Above the finger or pointer that holds it. */
const LIFT = 24;

/** Draws what lies under the magnifying glass, three times as large. */
export function drawLens(pane: Pane, canvas: HTMLCanvasElement | null): void {
  const { lens, surface, size } = pane;
  const context = canvas?.getContext("2d");
  if (!canvas || !context || !lens) {
    return;
  }
  const { element } = surface;
  const source = element instanceof HTMLCanvasElement ? element : element.querySelector("canvas");
  const [x, y] = lens;
  const below = y < SIDE + LIFT;
  canvas.style.left = `${Math.min(Math.max(x - SIDE / 2, 0), Math.max(size.width - SIDE, 0))}px`;
  canvas.style.top = `${below ? y + LIFT : y - SIDE - LIFT}px`;
  context.fillStyle = "#000";
  context.fillRect(0, 0, SIDE, SIDE);
  if (source) {
    const ratio = source.width / Math.max(size.width, 1);
    const part = (SIDE / POWER) * ratio;
    context.imageSmoothingEnabled = true;
    context.drawImage(
      source,
      x * ratio - part / 2,
      y * ratio - part / 2,
      part,
      part,
      0,
      0,
      SIDE,
      SIDE,
    );
  }
}
