"""The first picture in the page itself: shown before any script has run (docs/adr/0105, 0127)."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from django.utils.safestring import SafeString

# In the page, so that the picture is painted before the style sheet has come. What stands behind a
# comma counts until then: the values of tokens.css.
STYLE = SafeString("""
html { background: var(--surface-1, #0f1418); }
html[data-theme="light"] { background: var(--surface-1, #fff); }
@media (prefers-color-scheme: light) {
  html[data-theme="auto"] { background: var(--surface-1, #fff); }
}
body { margin: 0; }
.still {
  position: fixed;
  z-index: 1;
  inset: var(--bar-height, 2.75rem) 0.75rem 0 8.5rem;
  background: var(--image-background, #000);
  pointer-events: none;
}
.still img { width: 100%; height: 100%; object-fit: contain; }
.still .titles {
  position: absolute;
  inset: 0.5rem auto auto 0.5rem;
  margin: 0;
  color: var(--overlay-text, #d5dde5);
  font-family: system-ui, sans-serif;
}
.still .titles span { display: block; }
@media (max-width: 760px) { .still { inset: var(--bar-height, 2.75rem) 1rem 3.25rem 0; } }
""")
# What the Content-Security-Policy calls it: this text and no other.
STYLE_SOURCE = f"'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'"

# Of exact values, uncompressed: the viewer's LARGEST_FIRST_RAW (net/frames.ts).
_LARGEST_RAW_BYTES = 1.5 * 1024**2


@dataclass(frozen=True, slots=True)
class Still:
    """A picture that the page carries as an image.

    Attributes
    ----------
    address : a data URI
    is_shown : whether it stands where the viewer will draw it; else the viewer alone takes it
    exact : where the viewer will fetch the exact frame; empty where it may fetch another first
    """

    address: str
    is_shown: bool
    exact: str = ""


def take(document: dict[str, Any]) -> Still | None:
    """Take the first picture out of a manifest, so that the page holds its bytes once.

    It is shown at once only where the viewer will begin with nothing else: one viewport, at this
    image, neither turned nor zoomed nor windowed, with square pixels.
    """
    first = document["first_image"]
    if first is None or not first["preview"]:
        return None
    address = first["preview"]
    first["preview"] = None
    is_shown = _fills_the_window(document) and _is_square(document)
    return Still(
        address=address,
        is_shown=is_shown,
        exact=_exact(_image_of(document)) if is_shown else "",
    )


def is_on_a_slow_line(headers: Mapping[str, str]) -> bool:
    """Whether the browser says that each byte counts (client hints `ECT` and `Save-Data`).

    The viewer then begins with compressed values.
    """
    return headers.get("Save-Data") == "on" or headers.get("ECT", "4g") != "4g"


def _exact(image: Mapping[str, Any]) -> str:
    """Return where the uncompressed exact frame is, if that is how the viewer wants the first."""
    if not image.get("frame_url"):
        return ""
    size = math.prod(
        (
            image.get("Rows") or 512,
            image.get("Columns") or 512,
            image.get("SamplesPerPixel") or 1,
            max(1, math.ceil((image.get("BitsAllocated") or 16) / 8)),
        )
    )
    if image.get("transport") == "jphc" and size > _LARGEST_RAW_BYTES:
        return ""
    return f"{image['frame_url'].replace('{n}', '1')}.raw?v={quote(image['digest'], safe='')}"


def _image_of(document: dict[str, Any]) -> dict[str, Any]:
    first = document["first_image"]
    found: dict[str, Any] = next(
        image
        for series in document["series"]
        if series["id"] == first["series_id"]
        for image in series["images"]
        if image["id"] == first["image_id"]
    )
    return found


def _fills_the_window(document: dict[str, Any]) -> bool:
    first, session, hanging = (document[name] for name in ("first_image", "session", "hanging"))
    if session:
        kept = session.get("viewport") or {}
        return bool(
            session.get("image_id") == first["image_id"]
            and session.get("frame_number") == first["frame_number"]
            and kept.get("layout", "1x1") == "1x1"
            and first["series_id"] not in (kept.get("series") or {})
        )
    if hanging is None:
        return True
    stage = hanging["stages"][0]
    places = stage["viewports"]
    return bool(
        stage["rows"] * stage["columns"] == 1
        and places[0]
        and places[0]["image"] == first["image_id"]
        and places[0]["window_center"] is None
        and not stage["fit"]
    )


def _is_square(document: dict[str, Any]) -> bool:
    """Whether pixels are as wide as high, as the viewer will draw them."""
    image = _image_of(document)
    for name in ("PixelAspectRatio", "PixelSpacing", "ImagerPixelSpacing"):
        down, across = image.get(name) or (1, 1)
        if down != across:
            return False
    return not image.get("frames") and not image.get("SequenceOfUltrasoundRegions")
