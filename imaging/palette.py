"""Palette colour lookup tables."""

import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imaging.bytesource import Source, opened
from imaging.dataset import DataSet, scan_data_set
from imaging.elements import HeaderLimits, Value
from imaging.errors import DecodeError

_DESCRIPTORS = (0x00281101, 0x00281102, 0x00281103)
_TABLES = (0x00281201, 0x00281202, 0x00281203)
_SEGMENTED = (0x00281221, 0x00281222, 0x00281223)
_PIXEL_REPRESENTATION = 0x00280103
_MOST_ENTRIES = 65536
_TABLE_BYTES = 2 * _MOST_ENTRIES
_WANTED = (
    dict.fromkeys(_DESCRIPTORS, 64)
    | dict.fromkeys((*_TABLES, *_SEGMENTED), _TABLE_BYTES)
    | {_PIXEL_REPRESENTATION: 64}
)
_HEAD = struct.Struct("<iI")


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours of the stored values from `first` on; values outside take the nearest end.

    Parameters
    ----------
    colours : uint8, shape (entries, 3), red, green, blue
    """

    first: int
    colours: NDArray[np.uint8] = field(repr=False)

    def apply(self, stored: NDArray[Any]) -> NDArray[np.uint8]:
        """Return the colours of stored values, shape (rows, columns, 3).

        References
        ----------
        DICOM PS3.3 section C.7.6.3.1.5.
        """
        index = np.clip(stored.astype(np.int64) - self.first, 0, len(self.colours) - 1)
        return self.colours[index]

    def to_bytes(self) -> bytes:
        """Serialise for a cache."""
        return _HEAD.pack(self.first, len(self.colours)) + self.colours.tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Palette":
        """Read what `to_bytes` wrote.

        Raises
        ------
        DecodeError
            If the bytes are damaged.
        """
        if len(data) < _HEAD.size:
            raise DecodeError("The stored palette is damaged. Read it from the object again.")
        first, entries = _HEAD.unpack_from(data)
        if not entries or len(data) != _HEAD.size + 3 * entries:
            raise DecodeError("The stored palette is damaged. Read it from the object again.")
        colours = np.frombuffer(data, np.uint8, offset=_HEAD.size).reshape(entries, 3)
        return cls(first, colours)


def read_palette(source: Source, *, limits: HeaderLimits | None = None) -> Palette | None:
    """Read an object's palette, segmented ones included; None if it has none.

    Raises
    ------
    DecodeError
        If it has one that cannot be read.
    NotDicomError, TruncatedError, LimitError
        See `imaging.header.read_index`.

    References
    ----------
    DICOM PS3.3 sections C.7.6.3.1.5, C.7.6.3.1.6 and C.7.9.2.
    """
    with opened(source) as file:
        data_set = scan_data_set(file, _WANTED, limits=limits or HeaderLimits())
    if _DESCRIPTORS[0] not in data_set.scan.root:
        return None
    channels = [_read_channel(data_set, index) for index in range(3)]
    first = channels[0][0]
    length = max(len(values) for _, values in channels)
    # What the descriptor says of the bits is not believed: some writers announce 16 and store 8,
    # or announce 8 and store them in the high byte.
    shift = 8 if max(values.max() for _, values in channels) > 255 else 0
    colours = np.empty((length, 3), np.uint8)
    for index, (_, values) in enumerate(channels):
        colours[: len(values), index] = values >> shift
        colours[len(values) :, index] = values[-1] >> shift
    return Palette(first, colours)


def _read_channel(data_set: DataSet, index: int) -> tuple[int, NDArray[np.uint16]]:
    """Return the first stored value and the intensities of one colour."""
    root, reader = data_set.scan.root, data_set.reader
    is_signed = reader.integer(root, _PIXEL_REPRESENTATION, b"US") == 1
    descriptor = reader.numbers(root, _DESCRIPTORS[index], b"SS" if is_signed else b"US")
    table, segmented = root.get(_TABLES[index]), root.get(_SEGMENTED[index])
    if len(descriptor) < 3:
        raise _unreadable()
    # 65536 entries do not fit: they are written as 0, or as a negative number under SS.
    entries = int(descriptor[0]) % _MOST_ENTRIES or _MOST_ENTRIES
    first = int(descriptor[1])
    if is_signed and first >= 2**15:
        first -= 2**16
    order = ">" if reader.is_big_endian else "<"
    if isinstance(table, Value) and table.raw:
        words = _words(table.raw, entries, order)
    elif isinstance(segmented, Value) and segmented.raw:
        # Eight-bit tables are segmented in bytes: the standard's own Spring palette is.
        is_narrow = int(descriptor[2]) == 8
        even = segmented.raw[: len(segmented.raw) & ~1]
        words = expand_segments(np.frombuffer(even, "u1" if is_narrow else order + "u2"))
    else:
        raise _unreadable()
    if not len(words):
        raise _unreadable()
    return first, words[:entries]


def _words(raw: bytes, entries: int, order: str) -> NDArray[np.uint16]:
    if len(raw) < 2 * entries:
        # 8-bit entries, two to a word (PS3.3 section C.7.6.3.1.6).
        packed = np.frombuffer(raw[: len(raw) & ~1] or raw, np.uint8)
        if order == ">" and len(packed) > 1:
            packed = packed.reshape(-1, 2)[:, ::-1].reshape(-1)
        return packed.astype(np.uint16)
    return np.frombuffer(raw[: 2 * entries], order + "u2").astype(np.uint16)


def expand_segments(data: NDArray[np.uint16] | NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Expand a segmented palette table.

    Parameters
    ----------
    data : words, or bytes of an 8-bit table: discrete (0), linear (1) and indirect (2) segments

    Returns
    -------
    The table's values, at most 65536.

    Raises
    ------
    DecodeError
        If a segment is cut off, points outside, or the table grows beyond 65536 entries.

    References
    ----------
    DICOM PS3.3 section C.7.9.2.
    """
    values: list[int] = []
    words: list[int] = data.tolist()
    size = data.itemsize
    indirect = 2 + 4 // size  # words of an indirect segment: its offset has four bytes
    # An indirect segment copies segments that stand before it: work through a queue of ranges.
    pending: list[tuple[int, int, bool]] = [(0, -1, False)]
    steps = 0
    while pending:
        at, segments, is_copy = pending.pop()
        while segments != 0 and at + 1 < len(words):
            kind, length = words[at], words[at + 1]
            if kind == 0:
                body = words[at + 2 : at + 2 + length]
                at += 2 + length
                if len(body) < length:
                    raise _unreadable()
                values += body
            elif kind == 1 and at + 2 < len(words) and values:
                start, end = values[-1], words[at + 2]
                values += [start + round((end - start) * i / length) for i in range(1, length + 1)]
                at += 3
            elif kind == 2 and at + indirect <= len(words) and not is_copy:
                parts = words[at + 2 : at + indirect]
                offset = sum(part << 8 * size * power for power, part in enumerate(parts))
                if offset % size:
                    raise _unreadable()
                pending.append((at + indirect, segments - 1, False))
                at, segments, is_copy = offset // size, length, True
                continue
            else:
                raise _unreadable()
            segments -= 1
            steps += 1
            if len(values) > _MOST_ENTRIES or steps > _MOST_ENTRIES:
                raise _unreadable()
    return np.array(values, np.uint16)


def _unreadable() -> DecodeError:
    return DecodeError(
        "The colour table of the picture is damaged. Have the sending system send it again."
    )
