"""The first picture in the page itself: shown before any script has run (docs/adr/0105)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Still:
    """A picture that the page carries as an image.

    Attributes
    ----------
    address : a data URI
    is_shown : whether it stands where the viewer will draw it; else the viewer alone takes it
    """

    address: str
    is_shown: bool


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
    return Still(address=address, is_shown=_fills_the_window(document) and _is_square(document))


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
    first = document["first_image"]
    image = next(
        image
        for series in document["series"]
        if series["id"] == first["series_id"]
        for image in series["images"]
        if image["id"] == first["image_id"]
    )
    for name in ("PixelAspectRatio", "PixelSpacing", "ImagerPixelSpacing"):
        down, across = image.get(name) or (1, 1)
        if down != across:
            return False
    return not image.get("frames") and not image.get("SequenceOfUltrasoundRegions")
