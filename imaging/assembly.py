"""Make a data set of metadata and bulk data that came apart (PS3.18 10.5).

Large values are never held whole: they pass from where they lie into the data set piece by piece.
"""

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from imaging.elements import PIXEL_DATA
from imaging.errors import ImagingError, UnsupportedError
from imaging.part10 import EXPLICIT_LITTLE_ENDIAN, VIDEO
from imaging.streamfacts import StreamFacts, read_stream

_LONG_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SV", "UN", "UV"})
_BULK_VRS = _LONG_VRS | {"AT", "FD", "FL", "SL", "SS", "UL", "US"}
_MOST_SHORT = 0xFFFE
_MOST_LONG = 0xFFFFFFFE
_HEAD_BYTES = 64 * 1024
OCTETS = "application/octet-stream"
# PS3.18 tables 8.7.3-5: the transfer syntax where the sender names none and the stream itself does
# not tell.
_SYNTAX_OF = {
    "image/dicom-rle": "1.2.840.10008.1.2.5",
    "image/x-dicom-rle": "1.2.840.10008.1.2.5",
    "video/mpeg2": "1.2.840.10008.1.2.4.100",
    "video/mpeg": "1.2.840.10008.1.2.4.100",
    "video/mp4": "1.2.840.10008.1.2.4.102",
}
_STREAMS = frozenset(
    ("image/jpeg", "image/jls", "image/x-jls", "image/jp2", "image/jpx", "image/jphc", "image/jxl")
)
PIXEL_TYPES = frozenset(_SYNTAX_OF) | _STREAMS | {OCTETS}
_COMPRESSED_PREFIX = "1.2.840.10008.1.2.4."
_RLE = "1.2.840.10008.1.2.5"


class AssemblyError(ImagingError):
    """Metadata and bulk data do not make an instance; the message says why."""


@dataclass(frozen=True, slots=True)
class BulkData:
    """One part of bulk data.

    Attributes
    ----------
    media_type : without parameters
    transfer_syntax : that its sender named; empty where it named none
    pieces : yields the content from the start
    """

    media_type: str
    transfer_syntax: str
    size_bytes: int
    pieces: Callable[[], Iterator[bytes]]

    def head(self) -> bytes:
        """Return the first bytes."""
        for piece in self.pieces():
            return piece[:_HEAD_BYTES]
        return b""


@dataclass(frozen=True, slots=True)
class Assembled:
    """A data set in explicit VR little endian, or with encapsulated pixel data."""

    transfer_syntax_uid: str
    pieces: Iterator[bytes]


def assemble(
    data_set: Dataset,
    vrs: Mapping[int, str],
    bulk: Mapping[int, Sequence[BulkData]],
    *,
    transfer_syntax: str = "",
) -> Assembled:
    """Join metadata and bulk data.

    Parameters
    ----------
    data_set : without the elements of `bulk`; what describes the pixels is added where compressed
        pixel data says it itself
    vrs : of the elements of `bulk`, by tag
    bulk : by tag; pixel data of several frames may come in as many parts
    transfer_syntax : that the metadata names; empty where it names none

    Raises
    ------
    AssemblyError, UnsupportedError
        Before the first piece.

    References
    ----------
    DICOM PS3.18 sections 8.7.3.3 and 10.5.2, PS3.5 sections 7.1 and A.4.
    """
    syntax = EXPLICIT_LITTLE_ENDIAN
    pixel_parts = bulk.get(PIXEL_DATA)
    if pixel_parts is not None:
        syntax = _pixel_syntax(pixel_parts, transfer_syntax)
        if syntax != EXPLICIT_LITTLE_ENDIAN:
            _describe(data_set, pixel_parts, syntax)
    plan: list[tuple[int, Callable[[], Iterator[bytes]]]] = []
    for tag, parts in bulk.items():
        if tag == PIXEL_DATA and syntax != EXPLICIT_LITTLE_ENDIAN:
            plan.append((tag, _encapsulated(parts)))
        else:
            vr = _native_vr(data_set) if tag == PIXEL_DATA else vrs[tag]
            plan.append((tag, _native(tag, vr, parts)))
    return Assembled(syntax, _written(data_set, sorted(plan, key=lambda pair: pair[0])))


def _written(
    data_set: Dataset, plan: list[tuple[int, Callable[[], Iterator[bytes]]]]
) -> Iterator[bytes]:
    tags = sorted(data_set.keys())
    at = 0
    for tag, value in plan:
        before = [t for t in tags[at:] if t < tag]
        yield _encode(data_set, before)
        at += len(before)
        yield from value()
    yield _encode(data_set, tags[at:])


def _encode(data_set: Dataset, tags: Sequence[int]) -> bytes:
    if not tags:
        return b""
    some = Dataset()
    some.update({data_set[tag].tag: data_set[tag] for tag in tags})
    out = DicomBytesIO()
    out.is_implicit_VR, out.is_little_endian = False, True
    try:
        write_dataset(out, some, data_set.get("SpecificCharacterSet") or "iso8859")
    except Exception as error:  # pydicom raises anything on values that their VR does not allow
        raise AssemblyError(f"The metadata holds what its type does not allow: {error}.") from error
    return out.getvalue()


def _native_vr(data_set: Dataset) -> str:
    """Return the VR of uncompressed pixel data (PS3.5 A.2)."""
    return "OW" if int(data_set.get("BitsAllocated") or 8) > 8 else "OB"


def _native(tag: int, vr: str, parts: Sequence[BulkData]) -> Callable[[], Iterator[bytes]]:
    if vr not in _BULK_VRS:
        raise AssemblyError(f"A value of type {vr} cannot be bulk data.")
    length = sum(part.size_bytes for part in parts)
    padding = length % 2
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode("ascii")
    if length + padding > (_MOST_LONG if vr in _LONG_VRS else _MOST_SHORT):
        raise AssemblyError(f"The value of ({tag >> 16:04X},{tag & 0xFFFF:04X}) is too long.")
    if vr in _LONG_VRS:
        head += struct.pack("<HI", 0, length + padding)
    else:
        head += struct.pack("<H", length + padding)

    def written() -> Iterator[bytes]:
        yield head
        for part in parts:
            yield from part.pieces()
        if padding:
            yield b"\0"

    return written


def _encapsulated(parts: Sequence[BulkData]) -> Callable[[], Iterator[bytes]]:
    """Return pixel data with one fragment for each frame and an empty offset table."""
    for part in parts:
        if part.size_bytes + part.size_bytes % 2 > _MOST_LONG:
            raise AssemblyError("A frame of the picture is too long.")

    def written() -> Iterator[bytes]:
        yield struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF)
        yield struct.pack("<HHI", 0xFFFE, 0xE000, 0)
        for part in parts:
            yield struct.pack("<HHI", 0xFFFE, 0xE000, part.size_bytes + part.size_bytes % 2)
            yield from part.pieces()
            if part.size_bytes % 2:
                yield b"\0"
        yield struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)

    return written


def _pixel_syntax(parts: Sequence[BulkData], named: str) -> str:
    """Return the transfer syntax that pixel data of these parts makes."""
    kinds = {part.media_type for part in parts}
    if len(kinds) > 1:
        raise AssemblyError("The frames of one picture came in several media types.")
    kind = kinds.pop()
    if kind not in PIXEL_TYPES:
        raise UnsupportedError(
            f"Pixel data cannot come as {kind[:60]}. Send it uncompressed as {OCTETS}, or as "
            "image/jpeg, image/jls, image/jp2, image/jphc, image/dicom-rle or video."
        )
    syntax = parts[0].transfer_syntax or named
    if kind == OCTETS:
        if _is_compressed(parts[0].transfer_syntax):
            raise UnsupportedError(f"Compressed pixel data does not come as {OCTETS}.")
        if parts[0].transfer_syntax == "1.2.840.10008.1.2.2":
            raise UnsupportedError("Uncompressed bulk data is in little endian byte order.")
        return EXPLICIT_LITTLE_ENDIAN
    if kind in _SYNTAX_OF:
        return syntax if _is_compressed(syntax) else _SYNTAX_OF[kind]
    facts = read_stream(parts[0].head())
    if facts is None:
        raise AssemblyError(f"The pixel data is not {kind}: its code stream is not recognised.")
    return syntax if syntax in facts.syntaxes else facts.syntaxes[0]


def _is_compressed(syntax: str) -> bool:
    return syntax.startswith(_COMPRESSED_PREFIX) or syntax == _RLE


def _describe(data_set: Dataset, parts: Sequence[BulkData], syntax: str) -> None:
    """Add what the code stream says of the picture where the metadata says nothing."""
    frames = int(data_set.get("NumberOfFrames") or 1)
    if syntax not in VIDEO and frames != len(parts):
        raise AssemblyError(
            f"The picture has {frames} frames, and {len(parts)} parts of pixel data came: each "
            "frame is a part of its own."
        )
    facts = read_stream(parts[0].head())
    if facts is None:
        return
    for keyword, value in _macro(facts).items():
        if data_set.get(keyword) in (None, ""):
            setattr(data_set, keyword, value)
    for keyword, told in (("Rows", facts.rows), ("Columns", facts.columns)):
        if int(data_set.get(keyword)) != told:
            raise AssemblyError(
                f"{keyword} of the metadata ({data_set.get(keyword)}) is not that of the picture "
                f"({told})."
            )


def _macro(facts: StreamFacts) -> dict[str, int | str]:
    """Return the Image Pixel Description Macro of a code stream (PS3.3 table C.7-11c)."""
    allocated = 8 if facts.bits <= 8 else 16 if facts.bits <= 16 else 32
    macro: dict[str, int | str] = {
        "Rows": facts.rows,
        "Columns": facts.columns,
        "SamplesPerPixel": facts.samples,
        "PhotometricInterpretation": facts.photometric,
        "BitsAllocated": allocated,
        "BitsStored": facts.bits,
        "HighBit": facts.bits - 1,
        "PixelRepresentation": int(facts.is_signed),
    }
    if facts.samples > 1:
        macro["PlanarConfiguration"] = 0
    if facts.is_lossy:
        macro["LossyImageCompression"] = "01"
    return macro
