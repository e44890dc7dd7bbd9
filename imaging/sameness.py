"""Whether two objects say the same in other words.

A sender may write lengths of sequences and items, or delimit them; dcmtk writes them anew whenever
it sends. The bytes differ then, and not one element.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

# Objects are compared in memory, their pixels apart: of larger headers equal bytes alone are equal.
MOST_HEADER_BYTES = 4 * 1024**2
_CHUNK_BYTES = 1024**2


def are_same_elements(
    one: BinaryIO, one_pixels: int | None, other: BinaryIO, other_pixels: int | None
) -> bool:
    """Compare two Part 10 files of one transfer syntax, element by element.

    Group lengths, and how lengths are written, say nothing. Pixel data, with whatever stands behind
    it, is compared byte by byte.

    Parameters
    ----------
    one, other : files that the header scanner has read to their ends: nesting and sizes are bounded
    one_pixels, other_pixels : offset of the value of Pixel Data; None where there is none

    References
    ----------
    DICOM PS3.5 sections 7.2 and 7.5.2.
    """
    if (one_pixels is None) != (other_pixels is None):
        return False
    for file, pixels in ((one, one_pixels), (other, other_pixels)):
        if (file.seek(0, 2) if pixels is None else pixels) > MOST_HEADER_BYTES:
            return False
    if (
        one_pixels is not None
        and other_pixels is not None
        and not are_same_bytes(one, one_pixels, other, other_pixels)
    ):
        return False
    try:
        return _plain(_read(one)) == _plain(_read(other))
    except Exception:  # noqa: BLE001 - pydicom raises anything on values that it cannot read
        return False


def are_same_bytes(one: BinaryIO, one_offset: int, other: BinaryIO, other_offset: int) -> bool:
    """Whether two files have the same bytes from an offset each to their ends."""
    one.seek(one_offset)
    other.seek(other_offset)
    while True:
        ours, theirs = one.read(_CHUNK_BYTES), other.read(_CHUNK_BYTES)
        if ours != theirs:
            return False
        if not ours:
            return True


def _read(file: BinaryIO) -> Dataset:
    file.seek(0)
    return dcmread(file, stop_before_pixels=True)


def _plain(data_set: Dataset) -> list[tuple[int, str, object]]:
    """Return tags, types and values, sequences as lists of the same."""
    return [
        (
            int(element.tag),
            element.VR,
            [_plain(item) for item in element.value] if element.VR == "SQ" else element.value,
        )
        for element in _elements(data_set)
    ]


def _elements(data_set: Dataset) -> Iterator[DataElement]:
    for element in data_set:
        if element.tag.element != 0:
            yield element
