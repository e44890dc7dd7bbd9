import { t } from "../../i18n";
/** What browser and system say of the display. */
export interface Display {
  /** Device pixels of the canvas. */
  width: number;
  height: number;
  /** Device pixels for one of the page. */
  pixelRatio: number;
  /** How far fingers have magnified the page. */
  pinch: number;
  colorDepth: number;
  isWideGamut: boolean;
  isHighRange: boolean;
  hasForcedColors: boolean;
  screenWidth: number;
  screenHeight: number;
  /** Whether the canvas' size came from the browser in device pixels, and not by computing. */
  isExact: boolean;
}

export interface DisplayReport {
  facts: [name: string, value: string][];
  warnings: string[];
}

const THIN_SPACE = "\u2009";

/** The facts in words, and what keeps the pattern from being judged. */
export function displayReport(display: Display): DisplayReport {
  const bits = Math.floor(display.colorDepth / 3);
  const facts: [string, string][] = [
    [
      t("Pattern"),
      t("{width} × {height} pixels of the screen", {
        width: display.width,
        height: display.height,
      }),
    ],
    [
      t("Screen"),
      t("{screenWidth} × {screenHeight} pixels of the page", {
        screenWidth: display.screenWidth,
        screenHeight: display.screenHeight,
      }),
    ],
    [
      t("Scale"),
      t("{pixelRatio} (screen pixels for one of the page)", {
        pixelRatio: percent(display.pixelRatio),
      }),
    ],
    [
      t("Depth"),
      t("{colorDepth} bits a pixel, {bits} a colour", { colorDepth: display.colorDepth, bits }),
    ],
    [t("Colours"), display.isWideGamut ? t("wider than sRGB") : "sRGB"],
    [t("Range"), display.isHighRange ? t("high (HDR)") : "standard"],
  ];
  const warnings: string[] = [];
  if (!Number.isInteger(display.pixelRatio)) {
    warnings.push(
      t(
        "The page is shown at {pixelRatio}: the browser's zoom or the system's scale is not a whole number. Press Ctrl 0 (⌘ 0), and set the system to 100 % or 200 %; until then pictures are blurred.",
        { pixelRatio: percent(display.pixelRatio) },
      ),
    );
  } else if (display.pixelRatio > 1) {
    warnings.push(
      t(
        "The page is shown at {pixelRatio}. That is right for a screen of high resolution; on any other one the browser is zoomed: press Ctrl 0 (⌘ 0).",
        { pixelRatio: percent(display.pixelRatio) },
      ),
    );
  }
  if (display.pinch !== 1) {
    warnings.push(
      t("The page is magnified by fingers to {pinch}. Pinch it back before you judge.", {
        pinch: percent(display.pinch),
      }),
    );
  }
  if (!display.isExact) {
    warnings.push(
      t(
        "This browser does not tell the size of the pattern in pixels of the screen. The lines of one pixel may be blurred although the screen is not at fault.",
      ),
    );
  }
  if (bits < 8) {
    warnings.push(
      t(
        'The display has {bits} bits a colour; pictures need 8. Set it to "true colour" in the system\'s settings.',
        { bits },
      ),
    );
  }
  if (display.hasForcedColors) {
    warnings.push(
      t("The system replaces colours (high contrast). Turn that off for reading pictures."),
    );
  }
  return { facts, warnings };
}

function percent(factor: number): string {
  return `${Math.round(factor * 100)}${THIN_SPACE}%`;
}
