"""What two data sets say differently, for a person who must choose between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from imaging.errors import ImagingError

_LONGEST_VALUE = 160
_MOST = 400


@dataclass(frozen=True, slots=True)
class Difference:
    """One attribute; an empty text stands for one that is not there.

    Attributes
    ----------
    tag : as `(0010,0010)`
    name : of PS3.6, or `Private`
    first, second : the values as text, cut at 160 characters
    """

    tag: str
    name: str
    first: str
    second: str


def differences(first: BinaryIO, second: BinaryIO) -> list[Difference]:
    """Compare the data sets of two Part 10 files up to their pixels.

    Parameters
    ----------
    first, second : at their starts

    Returns
    -------
    list of Difference
        In the order of tags, 400 at most. Sequences are compared as a whole.

    Raises
    ------
    ImagingError
        When one of them cannot be read.

    References
    ----------
    DICOM PS3.6.
    """
    ours, theirs = _read(first), _read(second)
    found = []
    for tag in sorted(set(ours.keys()) | set(theirs.keys())):
        one, other = _element(ours, tag), _element(theirs, tag)
        if one is not None and other is not None and _equal(one, other):
            continue
        named = one or other
        name = named.name if named is not None else ""
        found.append(
            Difference(
                tag=f"({tag >> 16:04X},{tag & 0xFFFF:04X})",
                name="Private" if (tag >> 16) & 1 else name,
                first=_text(one),
                second=_text(other),
            )
        )
        if len(found) == _MOST:
            break
    return found


def _read(file: BinaryIO) -> Dataset:
    try:
        return dcmread(file, stop_before_pixels=True)
    except (
        InvalidDicomError,
        OSError,
        ValueError,
        KeyError,
        EOFError,
        NotImplementedError,
    ) as error:
        raise ImagingError("One of the two files cannot be read in full.") from error


def _element(dataset: Dataset, tag: int) -> DataElement | None:
    """Return an element, None where it is not there; one that cannot be decoded by its bytes."""
    if tag not in dataset:
        return None
    try:
        return dataset[tag]
    except Exception:  # noqa: BLE001 - pydicom raises anything on values that break their VR
        raw = dataset.get_item(tag)
        value = getattr(raw, "value", b"") or b""
        return DataElement(
            tag, "UN", bytes(value) if isinstance(value, (bytes, bytearray)) else b""
        )


def _equal(one: DataElement, other: DataElement) -> bool:
    return one.VR == other.VR and bool(one.value == other.value)


def _text(element: DataElement | None) -> str:
    if element is None:
        return ""
    if element.VR == "SQ":
        count = len(element.value)
        return f"{count} item{'' if count == 1 else 's'}"
    if isinstance(element.value, bytes):
        return f"{len(element.value)} bytes"
    text = str(element.value)
    if not text:
        return "empty"
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"
