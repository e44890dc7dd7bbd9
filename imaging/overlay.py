"""Overlay planes: graphics of one bit a pixel, beside the picture or in its unused bits."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from imaging.bytesource import Source, opened
from imaging.dataset import DataSet, scan_data_set
from imaging.elements import HeaderLimits, Value

Mask = NDArray[np.bool_]

_GROUPS = range(0x6000, 0x6020, 2)
_ROWS, _COLUMNS, _FRAMES, _TYPE, _ORIGIN, _FIRST_FRAME = 0x10, 0x11, 0x15, 0x40, 0x50, 0x51
_BITS_ALLOCATED, _BIT_POSITION, _ACTIVATION_LAYER, _DATA = 0x100, 0x102, 0x1001, 0x3000
_ELEMENTS = (
    _ROWS,
    _COLUMNS,
    _FRAMES,
    _TYPE,
    _ORIGIN,
    _FIRST_FRAME,
    _BITS_ALLOCATED,
    _BIT_POSITION,
    _ACTIVATION_LAYER,
)
# Graphics beyond this are no graphics; one plane of a 8192 x 8192 picture takes 8 MiB.
_MOST_BYTES = 32 * 2**20
_WANTED = {group << 16 | element: 256 for group in _GROUPS for element in _ELEMENTS} | {
    group << 16 | _DATA: _MOST_BYTES for group in _GROUPS
}


@dataclass(frozen=True, slots=True)
class OverlayPlane:
    """One plane of an object.

    Parameters
    ----------
    group : 0x6000 to 0x601E
    rows, columns : of the plane
    top, left : its first pixel in the picture, (1, 1) is the picture's first; may lie outside
    kind : G: graphics, R: a region of interest
    frame_count : of a plane that has a bitmap for each frame; None: one bitmap for all frames
    first_frame : number of the frame that the first bitmap is for
    bits : packed, the least significant bit first; None: in the pixel cells, at `bit_position`
    layer : graphic layer that a presentation state shows it in; empty: none
    """

    group: int
    rows: int
    columns: int
    top: int = 1
    left: int = 1
    kind: Literal["G", "R"] = "G"
    frame_count: int | None = None
    first_frame: int = 1
    bits: bytes | None = field(default=None, repr=False)
    bit_position: int = 0
    layer: str = ""

    def bitmap(self, frame_number: int, cells: Callable[[], NDArray[Any]] | None) -> Mask | None:
        """Return the plane's own bitmap for a frame, shape (rows, columns); None if it has none.

        Parameters
        ----------
        frame_number : of the picture, from 1
        cells : returns the frame's pixel cells with all their bits; needed where `bits` is None
        """
        if self.bits is None:
            if cells is None:
                return None
            values = cells()
            if values.ndim != 2 or values.dtype.kind not in "iu":
                return None
            unsigned = values.view(f"u{values.dtype.itemsize}")
            if self.bit_position >= 8 * values.dtype.itemsize:
                return None
            return (unsigned >> self.bit_position & 1).astype(np.bool_)
        index = 0
        if self.frame_count is not None:
            index = frame_number - self.first_frame
            if not 0 <= index < self.frame_count:
                return None
        count = self.rows * self.columns
        first = index * count
        octets = np.frombuffer(self.bits, np.uint8)[first // 8 : (first + count + 7) // 8]
        unpacked = np.unpackbits(octets, bitorder="little")[first % 8 :][:count]
        if len(unpacked) < count:
            return None
        return unpacked.reshape(self.rows, self.columns).astype(np.bool_)

    def mask(
        self,
        frame_number: int,
        shape: tuple[int, int],
        cells: Callable[[], NDArray[Any]] | None = None,
    ) -> Mask | None:
        """Return which pixels of a frame the plane covers; None if none.

        Parameters
        ----------
        shape : (rows, columns) of the frame
        frame_number, cells : see `bitmap`
        """
        bitmap = self.bitmap(frame_number, cells)
        if bitmap is None or not bitmap.any():
            return None
        rows, columns = shape
        top, left = self.top - 1, self.left - 1
        bottom, right = min(rows, top + bitmap.shape[0]), min(columns, left + bitmap.shape[1])
        first_row, first_column = max(top, 0), max(left, 0)
        if first_row >= bottom or first_column >= right:
            return None
        mask = np.zeros(shape, np.bool_)
        mask[first_row:bottom, first_column:right] = bitmap[
            first_row - top : bottom - top, first_column - left : right - left
        ]
        return mask


def read_overlays(
    source: Source, *, limits: HeaderLimits | None = None
) -> tuple[OverlayPlane, ...]:
    """Read an object's overlay planes; a plane that makes no sense counts as absent.

    Raises
    ------
    NotDicomError, TruncatedError, LimitError
        See `imaging.header.read_index`.

    References
    ----------
    DICOM PS3.3 sections C.9.2 and C.9.3; PS3.5 section 8.1.2.
    """
    with opened(source) as file:
        data_set = scan_data_set(file, _WANTED, limits=limits or HeaderLimits())
    planes = (_read_plane(data_set, group) for group in _GROUPS)
    return tuple(plane for plane in planes if plane is not None)


def _read_plane(data_set: DataSet, group: int) -> OverlayPlane | None:
    root, reader = data_set.scan.root, data_set.reader
    base = group << 16
    rows = reader.integer(root, base | _ROWS, b"US")
    columns = reader.integer(root, base | _COLUMNS, b"US")
    if not rows or not columns:
        return None
    origin = [int(value) for value in reader.numbers(root, base | _ORIGIN, b"SS")]
    # A frame count of 0 or less is a writer's way to say nothing.
    frames = reader.integer(root, base | _FRAMES)
    data = root.get(base | _DATA)
    bits = None
    if isinstance(data, Value) and data.raw:
        bits = data.raw
        if reader.is_big_endian and data.vr != b"OB":
            bits = np.frombuffer(bits[: len(bits) & ~1], ">u2").astype("<u2").tobytes()
        if 8 * len(bits) < rows * columns:
            return None
    position = reader.integer(root, base | _BIT_POSITION, b"US") or 0
    if bits is None and (reader.integer(root, base | _BITS_ALLOCATED, b"US") or 1) == 1:
        return None
    return OverlayPlane(
        group=group,
        rows=rows,
        columns=columns,
        top=origin[0] if len(origin) == 2 else 1,
        left=origin[1] if len(origin) == 2 else 1,
        kind="R" if (reader.text(root, base | _TYPE) or "").startswith("R") else "G",
        frame_count=frames if frames and frames > 0 else None,
        first_frame=reader.integer(root, base | _FIRST_FRAME, b"US") or 1,
        bits=bits,
        bit_position=position,
        layer=reader.text(root, base | _ACTIVATION_LAYER) or "",
    )
