"""Where each frame lies in an object: found once when it arrives, one read a frame ever after."""

import struct
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Literal, NamedTuple

from imaging.elements import DOUBLE_PIXEL_DATA, FLOAT_PIXEL_DATA, PixelElement
from imaging.errors import DecodeError

OffsetTableKind = Literal["native", "basic", "extended", "scanned"]
SampleKind = Literal["integer", "float", "double"]

_KINDS: tuple[OffsetTableKind, ...] = ("native", "basic", "extended", "scanned")
_SAMPLES: tuple[SampleKind, ...] = ("integer", "float", "double")
_VERSION = 1
# Fragments that are looked into one by one; 100,000 take 0.3 s.
_MOST_SCANNED = 200_000
# version, kind, sample kind, flags, frames, bits a frame, offset, length
_HEAD = struct.Struct("<BBBBQQQQ")
_IS_INFLATED, _IS_BIG_ENDIAN, _IS_WORDS, _IS_GROUPED = 1, 2, 4, 8
_FRAME_STARTS = (
    b"\xff\xd8\xff",
    b"\xff\x4f\xff\x51",
    b"\x00\x00\x00\x0cjP  ",
    b"\xff\x0a",
    b"\x00\x00\x00\x0cJXL ",
)


class Fragment(NamedTuple):
    """A run of bytes in the file, or in the inflated data set."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class FrameTable:
    """The place of every frame.

    Parameters
    ----------
    kind : ``"native"`` (computed), ``"basic"`` or ``"extended"`` offset table, ``"scanned"`` from
        the fragments
    frame_count : frames that the pixel data really holds
    sample_kind : which of the three pixel data elements it is
    is_inflated : offsets count in the inflated data set (PS3.5 section A.5)
    is_big_endian, is_words : byte order of native samples; 8-bit samples in OW words swap too
    offset, length : of the value, native pixel data only
    frame_bits : bits from one native frame to the next
    fragment_offsets, fragment_lengths : encapsulated pixel data only
    starts : index of each frame's first fragment, and one past the last; None: one fragment a frame
    """

    kind: OffsetTableKind
    frame_count: int
    sample_kind: SampleKind = "integer"
    is_inflated: bool = False
    is_big_endian: bool = False
    is_words: bool = False
    offset: int = 0
    length: int = 0
    frame_bits: int = 0
    fragment_offsets: Sequence[int] = field(default=(), repr=False)
    fragment_lengths: Sequence[int] = field(default=(), repr=False)
    starts: Sequence[int] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return self.frame_count

    def fragments(self, frame_index: int) -> tuple[Fragment, ...]:
        """Return where one frame's bytes lie, in order.

        A native frame of 1-bit samples may begin inside the first byte: at bit ``frame_index *
        frame_bits % 8``.

        Raises
        ------
        DecodeError
            If there is no such frame.
        """
        if not 0 <= frame_index < self.frame_count:
            raise DecodeError(
                f"The object has no frame {frame_index + 1}: its pixel data holds "
                f"{self.frame_count}."
            )
        if self.kind == "native":
            first = frame_index * self.frame_bits // 8
            last = ((frame_index + 1) * self.frame_bits + 7) // 8
            return (Fragment(self.offset + first, min(last, self.length) - first),)
        first, last = frame_index, frame_index + 1
        if self.starts is not None:
            first, last = self.starts[frame_index], self.starts[frame_index + 1]
        return tuple(
            Fragment(self.fragment_offsets[at], self.fragment_lengths[at])
            for at in range(first, last)
        )

    def shifted(self, delta: int) -> "FrameTable":
        """Return the table for the same data set behind a header that is `delta` bytes longer."""
        if self.is_inflated or not delta:
            return self
        return replace(
            self,
            offset=self.offset + delta if self.kind == "native" else 0,
            fragment_offsets=array("Q", [offset + delta for offset in self.fragment_offsets]),
        )


def native_table(
    pixels: PixelElement,
    *,
    frame_count: int,
    frame_bits: int,
    is_inflated: bool,
    is_big_endian: bool,
) -> FrameTable:
    """Build the table of native pixel data.

    Parameters
    ----------
    frame_count : Number of Frames, at least 1; the table holds fewer if the bytes do not suffice
    frame_bits : bits of one frame; 0 if the header does not tell
    """
    length = pixels.length or 0
    frame_count = min(frame_count, length * 8 // frame_bits) if frame_bits else 0
    return FrameTable(
        kind="native",
        frame_count=frame_count,
        sample_kind=sample_kind(pixels.tag),
        is_inflated=is_inflated,
        is_big_endian=is_big_endian,
        is_words=pixels.vr == b"OW" or not pixels.vr,
        offset=pixels.offset,
        length=length,
        frame_bits=frame_bits,
    )


def sample_kind(tag: int) -> SampleKind:
    """Return what samples a pixel data element holds (PS3.3 section C.7.6.24, C.7.6.25)."""
    if tag == FLOAT_PIXEL_DATA:
        return "float"
    return "double" if tag == DOUBLE_PIXEL_DATA else "integer"


def encapsulated_table(
    pixels: PixelElement,
    *,
    frame_count: int,
    extended: tuple[Sequence[int], Sequence[int]] | None,
    peek: Callable[[int, int], bytes],
    is_inflated: bool,
) -> FrameTable:
    """Assign fragments to frames.

    Parameters
    ----------
    frame_count : Number of Frames, at least 1
    extended : values of Extended Offset Table and its lengths, if the object has them
    peek : reads bytes at an offset; used only where neither counts nor tables decide

    Returns
    -------
    A table of at most `frame_count` frames; fewer if the fragments hold fewer, none if they cannot
    be told apart.

    References
    ----------
    DICOM PS3.5 section A.4, PS3.3 section C.7.6.3.1.8.
    """
    offsets, lengths = pixels.fragment_offsets, pixels.fragment_lengths
    kind: OffsetTableKind = "scanned"
    starts: list[int] | None = None
    if not offsets:
        frame_count = 0
    elif extended is not None and _is_sound_extended(extended, pixels, frame_count):
        kind = "extended"
        lengths = array("Q", extended[1][:frame_count])
        offsets = array("Q", [pixels.first_item + at + 8 for at in extended[0][:frame_count]])
    elif frame_count == 1:
        kind = "basic" if len(pixels.offset_table) == 4 else "scanned"
        starts = None if len(offsets) == 1 else [0, len(offsets)]
    else:
        starts = _basic_starts(pixels, frame_count)
        if starts is not None:
            kind = "basic"
        elif len(offsets) == frame_count:
            starts = None
        else:
            starts = _scanned_starts(pixels, frame_count, peek)
            frame_count = len(starts) - 1
        if starts is not None and len(starts) == len(offsets) + 1:
            starts = None
    return FrameTable(
        kind=kind,
        frame_count=frame_count,
        sample_kind=sample_kind(pixels.tag),
        is_inflated=is_inflated,
        fragment_offsets=offsets,
        fragment_lengths=lengths,
        starts=None if starts is None else array("Q", starts),
    )


def _is_sound_extended(
    extended: tuple[Sequence[int], Sequence[int]], pixels: PixelElement, frame_count: int
) -> bool:
    """Check the extended table against the fragments that are there."""
    offsets, lengths = extended
    if len(offsets) < frame_count or len(lengths) < frame_count:
        return False
    for offset, length in zip(offsets[:frame_count], lengths[:frame_count], strict=True):
        at = _fragment_at(pixels, offset)
        # The length may leave out the padding byte of an odd code stream.
        if at is None or pixels.fragment_lengths[at] - length not in (0, 1):
            return False
    return True


def _fragment_at(pixels: PixelElement, table_offset: int) -> int | None:
    """Return the index of the fragment whose item tag an offset table points at."""
    offset = pixels.first_item + table_offset + 8
    at = bisect_left(pixels.fragment_offsets, offset)
    is_there = at < len(pixels.fragment_offsets) and pixels.fragment_offsets[at] == offset
    return at if is_there else None


def _basic_starts(pixels: PixelElement, frame_count: int) -> list[int] | None:
    """Read the Basic Offset Table; None unless each entry is the start of a fragment, in order."""
    if len(pixels.offset_table) != 4 * frame_count:
        return None
    starts: list[int] = []
    for (offset,) in struct.iter_unpack("<I", pixels.offset_table):
        at = _fragment_at(pixels, offset)
        if at is None or at <= (starts[-1] if starts else -1):
            return None
        starts.append(at)
    return [*starts, len(pixels.fragment_offsets)] if starts[0] == 0 else None


def _scanned_starts(
    pixels: PixelElement, frame_count: int, peek: Callable[[int, int], bytes]
) -> list[int]:
    """Tell frames apart by the marker that opens, or else closes, a code stream."""
    count = len(pixels.fragment_offsets)
    if count < frame_count:
        return list(range(count + 1))
    if count > _MOST_SCANNED:
        return [0]
    places = list(zip(pixels.fragment_offsets, pixels.fragment_lengths, strict=True))
    starts = [
        at
        for at, (offset, length) in enumerate(places)
        if peek(offset, min(length, 8)).startswith(_FRAME_STARTS)
    ]
    if len(starts) == frame_count and starts[0] == 0:
        return [*starts, count]
    closed = [
        at + 1
        for at, (offset, length) in enumerate(places)
        if b"\xff\xd9" in peek(offset + max(0, length - 4), min(length, 4))
    ]
    if len(closed) == frame_count and closed[-1] == count:
        return [0, *closed]
    return [0]


def frame_table_to_bytes(table: FrameTable) -> bytes:
    """Serialise a table for a database column; 36 bytes for native pixel data."""
    flags = (
        _IS_INFLATED * table.is_inflated
        | _IS_BIG_ENDIAN * table.is_big_endian
        | _IS_WORDS * table.is_words
        | _IS_GROUPED * (table.starts is not None)
    )
    head = _HEAD.pack(
        _VERSION,
        _KINDS.index(table.kind),
        _SAMPLES.index(table.sample_kind),
        flags,
        table.frame_count,
        table.frame_bits,
        table.offset,
        table.length,
    )
    if table.kind == "native":
        return head
    counts = (
        []
        if table.starts is None
        else [b - a for a, b in zip(table.starts, table.starts[1:], strict=False)]
    )
    gaps = list(table.fragment_offsets[:1])
    gaps += [
        b - a for a, b in zip(table.fragment_offsets, table.fragment_offsets[1:], strict=False)
    ]
    count = len(table.fragment_lengths)
    body = struct.pack(
        f"<Q{count}q{count}Q{len(counts)}Q", count, *gaps, *table.fragment_lengths, *counts
    )
    return head + zlib.compress(body, 1)


def frame_table_from_bytes(data: bytes | memoryview) -> FrameTable:
    """Read what `frame_table_to_bytes` wrote.

    Raises
    ------
    DecodeError
        If the bytes are damaged or of another version.
    """
    data = bytes(data)
    try:
        version, kind, samples, flags, frame_count, frame_bits, offset, length = _HEAD.unpack_from(
            data
        )
        if version != _VERSION:
            raise DecodeError(
                "The table of frames was written by another version. Index the object again."
            )
        fragment_offsets: Sequence[int] = ()
        fragment_lengths: Sequence[int] = ()
        starts: Sequence[int] | None = None
        if _KINDS[kind] != "native":
            body = zlib.decompress(data[_HEAD.size :])
            (count,) = struct.unpack_from("<Q", body)
            fragment_offsets = array("Q", accumulate(struct.unpack_from(f"<{count}q", body, 8)))
            fragment_lengths = array("Q", struct.unpack_from(f"<{count}Q", body, 8 + 8 * count))
            if flags & _IS_GROUPED:
                counts = struct.unpack_from(f"<{frame_count}Q", body, 8 + 16 * count)
                starts = array("Q", accumulate(counts, initial=0))
        return FrameTable(
            kind=_KINDS[kind],
            frame_count=frame_count,
            sample_kind=_SAMPLES[samples],
            is_inflated=bool(flags & _IS_INFLATED),
            is_big_endian=bool(flags & _IS_BIG_ENDIAN),
            is_words=bool(flags & _IS_WORDS),
            offset=offset,
            length=length,
            frame_bits=frame_bits,
            fragment_offsets=fragment_offsets,
            fragment_lengths=fragment_lengths,
            starts=starts,
        )
    except (struct.error, zlib.error, IndexError, MemoryError) as error:
        raise DecodeError("The table of frames is damaged. Index the object again.") from error
