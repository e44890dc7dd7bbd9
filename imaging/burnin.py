"""Words in the corners of a rendered picture."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Corner = Literal["top left", "top right", "bottom left", "bottom right"]

_SMALLEST, _LARGEST = 9, 40
# Lines of text that a picture's height has room for.
_LINES = 36
_LONGEST_LINE = 96


@lru_cache(maxsize=64)
def font(size: int) -> Any:  # noqa: ANN401 - Pillow gives one of two types
    """Return the font of a size in pixels: DejaVu where the system has it, else Pillow's own.

    Pillow's has Latin letters alone, not even a raised 2.
    """
    try:
        return ImageFont.truetype("DejaVuSans.ttf", size)
    except OSError:
        return ImageFont.load_default(size=size)


def drawable(text: str) -> str:
    """Return a line of text without what would break it up, cut to a sensible length."""
    line = "".join(letter if letter.isprintable() else " " for letter in text).strip()
    return line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 1] + "…"


def burn_in(
    picture: NDArray[np.uint8], corners: Mapping[Corner, Sequence[str]]
) -> NDArray[np.uint8]:
    """Draw lines of text into the corners of a picture, white with a black edge.

    Parameters
    ----------
    picture : shape (rows, columns) or (rows, columns, 3)
    corners : lines of each corner, from top to bottom; empty ones are left out

    Returns
    -------
    A new picture of the same shape.

    References
    ----------
    DICOM PS3.18 section 8.3.5.1.1.
    """
    image = Image.fromarray(np.ascontiguousarray(picture))
    pen = ImageDraw.Draw(image)
    white = 255 if picture.ndim == 2 else (255, 255, 255)
    black = 0 if picture.ndim == 2 else (0, 0, 0)
    size = min(max(min(image.width, image.height) // _LINES, _SMALLEST), _LARGEST)
    margin, step = size // 2, round(size * 1.25)
    for corner, texts in corners.items():
        lines = [line for line in map(drawable, texts) if line]
        vertical, horizontal = corner.split()
        y = margin if vertical == "top" else image.height - margin - step * len(lines)
        for line in lines:
            x = margin if horizontal == "left" else image.width - margin
            pen.text(
                (x, y),
                line,
                font=font(size),
                fill=white,
                stroke_width=max(1, size // 12),
                stroke_fill=black,
                anchor="la" if horizontal == "left" else "ra",
            )
            y += step
    return np.asarray(image)
