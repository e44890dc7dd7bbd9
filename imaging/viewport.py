"""Which part of a picture is shown, which way round, and how large."""

import math
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imaging.errors import InvalidViewError

LARGEST_SIDE = 8192
# More decimals than a coordinate can have; the text comes from an address.
_LONGEST_NUMBER = 24


@dataclass(frozen=True, slots=True)
class Viewport:
    """The viewport of a rendered resource.

    Parameters
    ----------
    width, height : in pixels; the picture keeps its proportions and touches two of the sides
    left, top : of the region of the picture that is shown, in its pixels from 0
    region_width, region_height : of the region; None: up to the picture's edge
    is_flipped_horizontally, is_flipped_vertically : what is shown

    References
    ----------
    DICOM PS3.18 section 8.3.5.1.3.
    """

    width: int
    height: int
    left: float = 0.0
    top: float = 0.0
    region_width: float | None = None
    region_height: float | None = None
    is_flipped_horizontally: bool = False
    is_flipped_vertically: bool = False

    @property
    def has_region(self) -> bool:
        """Whether less than all of the picture, or its mirror image, is asked for."""
        return self != type(self)(self.width, self.height)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``vw,vh`` or ``vw,vh,sx,sy,sw,sh``; the last four may be empty or left out.

        Raises
        ------
        InvalidViewError
            If it makes no sense.
        """
        parts = [part.strip() for part in text.split(",")]
        if not 2 <= len(parts) <= 6:
            raise InvalidViewError(
                "'viewport' is width,height or width,height,left,top,region width,region height."
            )
        sides = [int(part) if part.isascii() and part.isdigit() else 0 for part in parts[:2]]
        if not all(1 <= side <= LARGEST_SIDE for side in sides):
            raise InvalidViewError(
                f"The first two numbers of 'viewport' are whole, from 1 to {LARGEST_SIDE}."
            )
        numbers = [_number(part) for part in parts[2:]] + [None] * (6 - len(parts))
        left, top, width, height = numbers
        if width == 0 or height == 0:
            raise InvalidViewError("The region of 'viewport' is empty. Its sides are not 0.")
        return cls(
            sides[0],
            sides[1],
            abs(left or 0.0),
            abs(top or 0.0),
            None if width is None else abs(width),
            None if height is None else abs(height),
            is_flipped_horizontally=width is not None and width < 0,
            is_flipped_vertically=height is not None and height < 0,
        )


def _number(text: str) -> float | None:
    try:
        value = float(text[:_LONGEST_NUMBER]) if text else None
    except ValueError:
        value = math.nan
    if value is not None and not math.isfinite(value):
        raise InvalidViewError("The numbers of 'viewport' are decimal numbers.")
    return value


@dataclass(frozen=True, slots=True)
class View:
    """How a picture's pixels come to lie on the result.

    Parameters
    ----------
    left, top, width, height : region of the picture, in its pixels from 0; may reach beyond it
    turns : quarter turns clockwise, then
    is_flipped : left to right
    columns, rows : of the result, 0: one for one
    """

    left: float
    top: float
    width: float
    height: float
    turns: int = 0
    is_flipped: bool = False
    columns: int = 0
    rows: int = 0

    @classmethod
    def whole(cls, shape: tuple[int, ...]) -> Self:
        """Return the view of all of a picture of this shape, one for one."""
        rows, columns = shape[:2]
        return cls(0, 0, columns, rows)

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows of the result."""
        if self.columns:
            return self.columns, self.rows
        sides = max(1, round(self.width)), max(1, round(self.height))
        return sides if self.turns % 2 == 0 else (sides[1], sides[0])

    def fitted(self, columns: int, rows: int, *, pixel_height: float = 1.0) -> Self:
        """Return the view scaled into a rectangle, its pixels shown as wide as high.

        Parameters
        ----------
        pixel_height : height of the picture's pixels over their width
        """
        wide, high = self.width, self.height * pixel_height
        if self.turns % 2:
            wide, high = high, wide
        scale = min(columns / wide, rows / high)
        return replace(
            self,
            columns=min(columns, max(1, round(wide * scale))),
            rows=min(rows, max(1, round(high * scale))),
        )

    def place(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return where points of the picture, shape (n, 2) of column and row, come to lie."""
        x = (points[:, 0] - self.left) / self.width
        y = (points[:, 1] - self.top) / self.height
        for _ in range(self.turns % 4):
            x, y = 1 - y, x
        if self.is_flipped:
            x = 1 - x
        columns, rows = self.size
        return np.stack((x * columns, y * rows), axis=1)

    def apply(self, picture: NDArray[Any], *, fill: int = 0) -> NDArray[Any]:
        """Return what is shown, shape (rows, columns) or (rows, columns, 3).

        Parameters
        ----------
        picture : uint8, shape (rows, columns) or (rows, columns, 3)
        fill : where the region reaches beyond the picture
        """
        rows, columns = picture.shape[:2]
        left, top = self.left, self.top
        right, bottom = left + self.width, top + self.height
        if left < 0 or top < 0 or right > columns or bottom > rows:
            picture, left, top = _padded(picture, (left, top, right, bottom), fill)
        width, height = self.size if self.turns % 2 == 0 else self.size[::-1]
        box = (left, top, left + self.width, top + self.height)
        is_whole = all(side == int(side) for side in box)
        if is_whole and (width, height) == (int(self.width), int(self.height)):
            first, last = int(top), int(top) + height
            shown = picture[first:last, int(left) : int(left) + width]
        else:
            image = Image.fromarray(np.ascontiguousarray(picture))
            shown = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR, box=box))
        if self.turns % 4:
            shown = np.rot90(shown, -self.turns)
        return shown[:, ::-1] if self.is_flipped else shown


def _padded(
    picture: NDArray[Any], box: tuple[float, float, float, float], fill: int
) -> tuple[NDArray[Any], float, float]:
    """Return a picture that holds all of a region, and where the region begins in it."""
    rows, columns = picture.shape[:2]
    left, top = math.floor(box[0]), math.floor(box[1])
    right, bottom = math.ceil(box[2]), math.ceil(box[3])
    if right - left > LARGEST_SIDE or bottom - top > LARGEST_SIDE:
        raise InvalidViewError("The region that is to be shown is too large.")
    canvas = np.full((bottom - top, right - left, *picture.shape[2:]), fill, picture.dtype)
    first_row, last_row = max(top, 0), min(bottom, rows)
    first_column, last_column = max(left, 0), min(right, columns)
    if first_row < last_row and first_column < last_column:
        canvas[first_row - top : last_row - top, first_column - left : last_column - left] = (
            picture[first_row:last_row, first_column:last_column]
        )
    return canvas, box[0] - left, box[1] - top


def view_of(
    shape: tuple[int, ...], viewport: Viewport | None, *, pixel_height: float = 1.0
) -> View:
    """Return the view that a viewport gives on a picture without a presentation state.

    Parameters
    ----------
    shape : (rows, columns) of the picture, and its samples

    Raises
    ------
    InvalidViewError
        If the region lies outside the picture.
    """
    if viewport is None:
        return View.whole(shape)
    rows, columns = shape[:2]
    left, top = viewport.left, viewport.top
    width = columns - left if viewport.region_width is None else viewport.region_width
    height = rows - top if viewport.region_height is None else viewport.region_height
    # What reaches over the edge is cut off; of nothing no picture can be made.
    width, height = min(width, columns - left), min(height, rows - top)
    if width <= 0 or height <= 0:
        raise InvalidViewError(
            f"The region of 'viewport' lies outside the picture of {columns} x {rows} pixels."
        )
    # A vertical flip is half a turn and a horizontal flip.
    is_flipped = viewport.is_flipped_horizontally != viewport.is_flipped_vertically
    view = View(left, top, width, height, 2 * viewport.is_flipped_vertically, is_flipped)
    return view.fitted(viewport.width, viewport.height, pixel_height=pixel_height)
