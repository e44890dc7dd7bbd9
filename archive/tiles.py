"""A small picture with words on it, for what has no picture: a report, a PDF, a damaged image."""

from __future__ import annotations

import io
import textwrap

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

SIZE = 256
# The site's dark surface and text colours; a tile stands beside images on black.
_SURFACE = "#1b232b"
_LINE = "#33414d"
_TEXT = "#d5dde5"
_DIM = "#9fb0be"
_MOST_LINES = 3
_LINE_CHARACTERS = 22
REASON_WIDTH = 512
_NARROWEST_REASON = 160


def draw(kind: str, words: str) -> bytes:
    """Return a square PNG that says what an instance is.

    Parameters
    ----------
    kind : short, as ``SR``; drawn large
    words : as ``structured report``; drawn below, in up to three lines
    """
    image = Image.new("RGB", (SIZE, SIZE), _SURFACE)
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 0, SIZE - 1, SIZE - 1), outline=_LINE, width=2)
    large = ImageFont.load_default(size=64 if len(kind) <= 4 else 36)
    small = ImageFont.load_default(size=20)
    pen.text((SIZE / 2, 104), kind[:12], font=large, fill=_TEXT, anchor="mm")
    lines = textwrap.wrap(words, _LINE_CHARACTERS, max_lines=_MOST_LINES, placeholder=" …")
    for number, line in enumerate(lines):
        pen.text((SIZE / 2, 164 + 26 * number), line, font=small, fill=_DIM, anchor="mm")
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


def draw_reason(words: str, width: int = REASON_WIDTH) -> NDArray[np.uint8]:
    """Return an RGB picture, three quarters as high as wide, that says why there is no other.

    Parameters
    ----------
    words : a sentence or two
    width : in pixels, at least 160
    """
    width = min(max(width, _NARROWEST_REASON), 1024)
    height = width * 3 // 4
    size = max(11, width // 26)
    image = Image.new("RGB", (width, height), _SURFACE)
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 0, width - 1, height - 1), outline=_LINE, width=2)
    title, small = ImageFont.load_default(size=round(size * 1.4)), ImageFont.load_default(size=size)
    lines = textwrap.wrap(words, max(12, round(width * 0.86 / (size * 0.52))), max_lines=8)
    step = round(size * 1.4)
    top = (height - step * (len(lines) + 2)) // 2
    pen.text((width / 2, top), "No picture", font=title, fill=_TEXT, anchor="ma")
    for number, line in enumerate(lines, 2):
        pen.text((width / 2, top + step * number), line, font=small, fill=_DIM, anchor="ma")
    return np.asarray(image)
