import { t } from "../../i18n";
import { displayReport } from "./display";
import { evenField, type Pattern, testPattern } from "./pattern";

/** Draws the pattern into the canvas, one device pixel for each of its own. */
function draw(canvas: HTMLCanvasElement, pattern: Pattern): void {
  // Without an alpha channel nothing of the page shines through.
  const context = canvas.getContext("2d", { alpha: false });
  if (!context) {
    return;
  }
  for (const { x, y, width, height, grey } of pattern.rects) {
    context.fillStyle = `rgb(${grey} ${grey} ${grey})`;
    context.fillRect(x, y, width, height);
  }
}

function say(canvas: HTMLCanvasElement, isExact: boolean): void {
  const { facts, warnings } = displayReport({
    width: canvas.width,
    height: canvas.height,
    pixelRatio: devicePixelRatio,
    pinch: visualViewport?.scale ?? 1,
    colorDepth: screen.colorDepth,
    isWideGamut: matchMedia("(color-gamut: p3)").matches,
    isHighRange: matchMedia("(dynamic-range: high)").matches,
    hasForcedColors: matchMedia("(forced-colors: active)").matches,
    screenWidth: screen.width,
    screenHeight: screen.height,
    isExact,
  });
  const list = document.querySelector("[data-display-facts]");
  list?.replaceChildren(
    ...facts.map(([name, value]) => {
      const row = document.createElement("div");
      const term = document.createElement("dt");
      const detail = document.createElement("dd");
      term.textContent = name;
      detail.textContent = value;
      row.append(term, detail);
      return row;
    }),
  );
  document.querySelector("[data-display-warnings]")?.replaceChildren(
    ...warnings.map((warning) => {
      const line = document.createElement("p");
      line.textContent = warning;
      return line;
    }),
  );
}

function patternOf(canvas: HTMLCanvasElement): Pattern {
  const { shown } = canvas.dataset;
  return shown && shown !== "pattern"
    ? evenField(canvas.width, canvas.height, Number(shown))
    : testPattern(canvas.width, canvas.height);
}

/** The canvas has as many pixels as the screen gives it, at every size and zoom. */
function keepExact(canvas: HTMLCanvasElement): void {
  const observer = new ResizeObserver(([entry]) => {
    const told = entry?.devicePixelContentBoxSize?.[0];
    const box = entry?.contentBoxSize[0];
    const width = (box?.inlineSize ?? 1) * devicePixelRatio;
    const height = (box?.blockSize ?? 1) * devicePixelRatio;
    // Where a scale is only simulated, browsers tell the page's pixels as the screen's.
    const isExact =
      told !== undefined &&
      Math.abs(told.inlineSize - width) <= 1 &&
      Math.abs(told.blockSize - height) <= 1;
    canvas.width = Math.max(1, isExact ? told.inlineSize : Math.round(width));
    canvas.height = Math.max(1, isExact ? told.blockSize : Math.round(height));
    draw(canvas, patternOf(canvas));
    say(canvas, isExact);
  });
  try {
    observer.observe(canvas, { box: "device-pixel-content-box" });
  } catch {
    observer.observe(canvas);
  }
}

export function start(): void {
  const canvas = document.querySelector<HTMLCanvasElement>("#test-pattern");
  if (!canvas) {
    return;
  }
  keepExact(canvas);
  for (const button of document.querySelectorAll<HTMLButtonElement>("[data-pattern]")) {
    button.addEventListener("click", () => {
      canvas.dataset.shown = button.dataset.pattern ?? "pattern";
      for (const each of document.querySelectorAll("[data-pattern]")) {
        each.setAttribute("aria-pressed", String(each === button));
      }
      draw(canvas, patternOf(canvas));
    });
  }
  document.querySelector("[data-fill-screen]")?.addEventListener("click", () => {
    canvas.requestFullscreen().catch(() => {
      const line = document.createElement("p");
      line.textContent = t(
        "This browser does not let the pattern fill the screen. Its own menu may.",
      );
      document.querySelector("[data-display-warnings]")?.append(line);
    });
  });
}
