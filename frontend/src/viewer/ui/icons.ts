import { html, type TemplateResult } from "lit";
import { unsafeHTML } from "lit/directives/unsafe-html.js";
import angle from "lucide-static/icons/angle.svg?raw";
import arrowLeft from "lucide-static/icons/arrow-left.svg?raw";
import bounce from "lucide-static/icons/arrow-left-right.svg?raw";
import arrowUpDown from "lucide-static/icons/arrow-up-down.svg?raw";
import arrow from "lucide-static/icons/arrow-up-right.svg?raw";
import mpr from "lucide-static/icons/axis-3d.svg?raw";
import machine from "lucide-static/icons/bot.svg?raw";
import brush from "lucide-static/icons/brush.svg?raw";
import texts from "lucide-static/icons/captions.svg?raw";
import profile from "lucide-static/icons/chart-spline.svg?raw";
import circle from "lucide-static/icons/circle.svg?raw";
import accepted from "lucide-static/icons/circle-check.svg?raw";
import ellipse from "lucide-static/icons/circle-dashed.svg?raw";
import help from "lucide-static/icons/circle-question-mark.svg?raw";
import cine from "lucide-static/icons/clapperboard.svg?raw";
import saved from "lucide-static/icons/cloud-check.svg?raw";
import unsaved from "lucide-static/icons/cloud-off.svg?raw";
import saving from "lucide-static/icons/cloud-upload.svg?raw";
import two from "lucide-static/icons/columns-2.svg?raw";
import contrast from "lucide-static/icons/contrast.svg?raw";
import trueSize from "lucide-static/icons/credit-card.svg?raw";
import probe from "lucide-static/icons/crosshair.svg?raw";
import download from "lucide-static/icons/download.svg?raw";
import invert from "lucide-static/icons/eclipse.svg?raw";
import more from "lucide-static/icons/ellipsis.svg?raw";
import eraser from "lucide-static/icons/eraser.svg?raw";
import fullScreen from "lucide-static/icons/expand.svg?raw";
import document from "lucide-static/icons/file-text.svg?raw";
import flipHorizontal from "lucide-static/icons/flip-horizontal-2.svg?raw";
import flipVertical from "lucide-static/icons/flip-vertical-2.svg?raw";
import crosshair from "lucide-static/icons/focus.svg?raw";
import four from "lucide-static/icons/grid-2x2.svg?raw";
import series from "lucide-static/icons/images.svg?raw";
import keyboard from "lucide-static/icons/keyboard.svg?raw";
import freehand from "lucide-static/icons/lasso.svg?raw";
import segments from "lucide-static/icons/layers.svg?raw";
import pattern from "lucide-static/icons/layout-grid.svg?raw";
import link from "lucide-static/icons/link.svg?raw";
import livewire from "lucide-static/icons/magnet.svg?raw";
import pan from "lucide-static/icons/move.svg?raw";
import bidirectional from "lucide-static/icons/move-diagonal.svg?raw";
import height from "lucide-static/icons/move-vertical.svg?raw";
import report from "lucide-static/icons/notebook-pen.svg?raw";
import colors from "lucide-static/icons/palette.svg?raw";
import dockBottom from "lucide-static/icons/panel-bottom.svg?raw";
import dockRight from "lucide-static/icons/panel-right.svg?raw";
import pause from "lucide-static/icons/pause.svg?raw";
import rename from "lucide-static/icons/pencil.svg?raw";
import play from "lucide-static/icons/play.svg?raw";
import oneToOne from "lucide-static/icons/ratio.svg?raw";
import redo from "lucide-static/icons/redo-2.svg?raw";
import reset from "lucide-static/icons/refresh-ccw.svg?raw";
import repeat from "lucide-static/icons/repeat.svg?raw";
import volume from "lucide-static/icons/rotate-3d.svg?raw";
import rotateLeft from "lucide-static/icons/rotate-ccw-square.svg?raw";
import rotateRight from "lucide-static/icons/rotate-cw-square.svg?raw";
import length from "lucide-static/icons/ruler.svg?raw";
import calibration from "lucide-static/icons/ruler-dimension-line.svg?raw";
import fit from "lucide-static/icons/scan.svg?raw";
import scissors from "lucide-static/icons/scissors.svg?raw";
import magnify from "lucide-static/icons/search.svg?raw";
import settings from "lucide-static/icons/settings.svg?raw";
import presets from "lucide-static/icons/sliders-horizontal.svg?raw";
import spline from "lucide-static/icons/spline.svg?raw";
import one from "lucide-static/icons/square.svg?raw";
import open from "lucide-static/icons/square-arrow-out-up-right.svg?raw";
import rectangle from "lucide-static/icons/square-dashed.svg?raw";
import region from "lucide-static/icons/square-dashed-mouse-pointer.svg?raw";
import stepBack from "lucide-static/icons/step-back.svg?raw";
import stepForward from "lucide-static/icons/step-forward.svg?raw";
import theme from "lucide-static/icons/sun-moon.svg?raw";
import table from "lucide-static/icons/table.svg?raw";
import cobb from "lucide-static/icons/tangent.svg?raw";
import remove from "lucide-static/icons/trash-2.svg?raw";
import warning from "lucide-static/icons/triangle-alert.svg?raw";
import text from "lucide-static/icons/type.svg?raw";
import undo from "lucide-static/icons/undo-2.svg?raw";
import unlink from "lucide-static/icons/unlink.svg?raw";
import close from "lucide-static/icons/x.svg?raw";
import zoom from "lucide-static/icons/zoom-in.svg?raw";

const ICONS = {
  accepted,
  angle,
  arrow,
  arrowLeft,
  arrowUpDown,
  bounce,
  brush,
  cine,
  close,
  colors,
  contrast,
  crosshair,
  document,
  download,
  ellipse,
  eraser,
  fit,
  flipHorizontal,
  flipVertical,
  four,
  fullScreen,
  help,
  invert,
  length,
  link,
  machine,
  one,
  mpr,
  volume,
  oneToOne,
  open,
  pan,
  pause,
  play,
  presets,
  keyboard,
  pattern,
  report,
  dockBottom,
  dockRight,
  probe,
  rectangle,
  redo,
  region,
  remove,
  rename,
  repeat,
  reset,
  rotateLeft,
  rotateRight,
  saved,
  saving,
  scissors,
  segments,
  series,
  settings,
  stepBack,
  stepForward,
  table,
  texts,
  theme,
  trueSize,
  two,
  undo,
  unlink,
  unsaved,
  warning,
  bidirectional,
  cobb,
  height,
  circle,
  freehand,
  spline,
  livewire,
  profile,
  calibration,
  text,
  magnify,
  more,
  zoom,
} as const;

export type IconName = keyof typeof ICONS;

/** The licence comment of the file and its fixed size go; our class gives the size. */
function inline(name: IconName): string {
  return ICONS[name]
    .replace(/<!--[\s\S]*?-->/g, "")
    .replace(/\s(width|height)="24"/g, "")
    .replace(/class="[^"]*"/, 'class="icon"')
    .replace("<svg", '<svg aria-hidden="true" focusable="false"');
}

const cache = new Map<IconName, TemplateResult>();

/** An inlined icon; its button carries the name. */
export function icon(name: IconName): TemplateResult {
  let found = cache.get(name);
  if (!found) {
    found = html`${unsafeHTML(inline(name))}`;
    cache.set(name, found);
  }
  return found;
}
