// Writes templates/_icons.html: the icons of the server's pages as one inline sprite.
// Run `npm run icons` after a change to this list; the result is committed, so that templates need
// no build. The drawings are Lucide's (ISC licence).
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const ICONS = [
  "activity",
  "arrow-down",
  "arrow-up",
  "ban",
  "bell",
  "bookmark-plus",
  "building-2",
  "check",
  "chevron-down",
  "chevron-right",
  "circle",
  "circle-alert",
  "circle-check",
  "circle-dot",
  "circle-question-mark",
  "circle-x",
  "clock",
  "columns-3",
  "command",
  "copy",
  "download",
  "eye",
  "eye-off",
  "external-link",
  "file",
  "file-text",
  "folder-open",
  "funnel",
  "funnel-x",
  "hard-drive",
  "history",
  "images",
  "inbox",
  "info",
  "key-round",
  "list",
  "log-out",
  "menu",
  "monitor",
  "moon",
  "panel-right",
  "pencil",
  "plus",
  "printer",
  "radio-tower",
  "refresh-ccw",
  "rotate-ccw",
  "search",
  "settings",
  "shield",
  "square-arrow-out-up-right",
  "sun",
  "trash-2",
  "triangle-alert",
  "upload",
  "user",
  "users",
  "wifi-off",
  "x",
];

const source = new URL("../node_modules/lucide-static/icons/", import.meta.url);
const target = fileURLToPath(new URL("../../templates/_icons.html", import.meta.url));

function symbol(name) {
  const file = readFileSync(new URL(`${name}.svg`, source), "utf8");
  const shapes = file
    .replace(/<!--[\s\S]*?-->/g, "")
    .replace(/<svg[\s\S]*?>/, "")
    .replace("</svg>", "")
    .replace(/\s+/g, " ")
    .trim();
  return `  <symbol id="i-${name}" viewBox="0 0 24 24">${shapes}</symbol>`;
}

const lines = [
  "{# Written by frontend/scripts/sprite.mjs from Lucide (ISC licence). #}",
  '<svg class="sprite" aria-hidden="true" focusable="false">',
  ...ICONS.map(symbol),
  "</svg>",
  "",
];
writeFileSync(target, lines.join("\n"));
