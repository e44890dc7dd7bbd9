"""Display shutters: what of an image is covered."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from imaging.elements import Node
from imaging.overlay import OverlayPlane
from imaging.values import Reader

Mask = NDArray[np.bool_]

_SHAPE, _LEFT, _RIGHT, _UPPER, _LOWER = 0x00181600, 0x00181602, 0x00181604, 0x00181606, 0x00181608
_CENTER, _RADIUS, _VERTICES = 0x00181610, 0x00181612, 0x00181620
_VALUE, _OVERLAY_GROUP, _COLOUR = 0x00181622, 0x00181623, 0x00181624
_NUMBERS = (_LEFT, _RIGHT, _UPPER, _LOWER, _CENTER, _RADIUS)


def shutter_tags() -> dict[int, int]:
    """Return the tags of the module, and how many bytes of each are needed."""
    return dict.fromkeys((_SHAPE, *_NUMBERS, _VALUE, _OVERLAY_GROUP, _COLOUR), 256) | {
        _VERTICES: 2**16
    }


@dataclass(frozen=True, slots=True)
class Shutter:
    """The shapes that an image is seen through; all of them at once.

    Parameters
    ----------
    edges : left and right column, upper and lower row, from 1; these themselves are seen
    circle : row and column of the centre from 1, radius in pixels along a row
    polygon : (row, column) of its corners, from 1
    bitmap : covers where its bits are set
    grey : P-value of what is covered, 0 to 65535
    """

    edges: tuple[int, int, int, int] | None = None
    circle: tuple[int, int, int] | None = None
    polygon: tuple[tuple[int, int], ...] = ()
    bitmap: OverlayPlane | None = field(default=None, repr=False)
    grey: int = 0

    def covered(
        self, shape: tuple[int, int], frame_number: int, *, pixel_height: float = 1.0
    ) -> Mask:
        """Return which pixels of an image are covered, shape (rows, columns).

        References
        ----------
        DICOM PS3.3 sections C.7.6.11 and C.7.6.15.
        """
        rows, columns = shape
        mask = np.zeros(shape, np.bool_)
        row, column = np.ogrid[1 : rows + 1, 1 : columns + 1]
        if self.edges is not None:
            left, right, upper, lower = self.edges
            mask |= (column < left) | (column > right) | (row < upper) | (row > lower)
        if self.circle is not None:
            center_row, center_column, radius = self.circle
            high, wide = (row - center_row) * pixel_height, column - center_column
            mask |= high * high + wide * wide > radius * radius
        if len(self.polygon) > 2:
            canvas = Image.new("1", (columns, rows), 1)
            corners = [(corner[1] - 1, corner[0] - 1) for corner in self.polygon]
            ImageDraw.Draw(canvas).polygon(corners, fill=0, outline=0)
            mask |= np.asarray(canvas)
        if self.bitmap is not None:
            own = self.bitmap.mask(frame_number, shape)
            if own is not None:
                mask |= own
        return mask


def read_shutter(root: Node, reader: Reader, overlays: Iterable[OverlayPlane]) -> Shutter | None:
    """Read the Display Shutter and Bitmap Display Shutter Modules; None if there is none.

    Parameters
    ----------
    overlays : planes of the object
    """
    shapes = reader.texts(root, _SHAPE)
    numbers = {tag: [int(n) for n in reader.numbers(root, tag, b"IS")] for tag in _NUMBERS}
    edges = circle = bitmap = None
    polygon: tuple[tuple[int, int], ...] = ()
    sides = [numbers[tag] for tag in (_LEFT, _RIGHT, _UPPER, _LOWER)]
    if "RECTANGULAR" in shapes and all(sides):
        left, right, upper, lower = (side[0] for side in sides)
        edges = (left, right, upper, lower)
    if "CIRCULAR" in shapes and len(numbers[_CENTER]) == 2 and numbers[_RADIUS]:
        circle = (numbers[_CENTER][0], numbers[_CENTER][1], numbers[_RADIUS][0])
    if "POLYGONAL" in shapes:
        flat = [int(value) for value in reader.numbers(root, _VERTICES, b"IS")]
        polygon = tuple(zip(flat[::2], flat[1::2], strict=False))
    if "BITMAP" in shapes:
        group = reader.integer(root, _OVERLAY_GROUP, b"US")
        bitmap = next((plane for plane in overlays if plane.group == group), None)
    if edges is None and circle is None and len(polygon) < 3 and bitmap is None:
        return None
    return Shutter(edges, circle, polygon, bitmap, reader.integer(root, _VALUE, b"US") or 0)
