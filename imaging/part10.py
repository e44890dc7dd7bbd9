"""The Part 10 file around a data set: preamble, prefix and File Meta Information."""

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO

from imaging.elements import KNOWN_VRS
from imaging.errors import NotDicomError

IMPLEMENTATION_CLASS_UID = "2.25.211863541702638190421567130925084419837"
IMPLEMENTATION_VERSION_NAME = "NOCTIS_PRO"

IMPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2"
EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
EXPLICIT_BIG_ENDIAN = "1.2.840.10008.1.2.2"
# GE's private syntax: an implicit little endian data set whose pixel data alone is big endian.
GE_PRIVATE = "1.2.840.113619.5.2"
DEFLATED = frozenset(
    ("1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205")
)
# One code stream for the whole clip: a frame of it cannot be found without decoding all before it.
# Those that end in .1 may be cut into fragments anywhere.
VIDEO = frozenset(
    (
        *(f"1.2.840.10008.1.2.4.{number}" for number in range(100, 109)),
        *(f"1.2.840.10008.1.2.4.{number}.1" for number in range(100, 107)),
    )
)
MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"

_FIRST_READ = 4096
_LARGEST_META = 64 * 1024


@dataclass(frozen=True, slots=True)
class Container:
    """How the data set is written, and where it begins."""

    data_set_offset: int
    transfer_syntax_uid: str
    sop_class_uid: str = ""
    sop_instance_uid: str = ""


@lru_cache(maxsize=64)
def part10_header(
    *,
    sop_class_uid: str,
    sop_instance_uid: str,
    transfer_syntax_uid: str,
    source_ae_title: str = "",
) -> bytes:
    """Build preamble, prefix and File Meta Information for a data set that came without them.

    Parameters
    ----------
    source_ae_title : of the sender; left out if empty

    Returns
    -------
    128 zero bytes, ``DICM`` and the meta group, explicit VR little endian; the data set follows as
    received.

    References
    ----------
    DICOM PS3.10 section 7.1.
    """
    body = b"".join(
        (
            struct.pack("<HH2sHI", 2, 0x0001, b"OB", 0, 2) + b"\0\1",
            _meta_element(0x0002, b"UI", sop_class_uid),
            _meta_element(0x0003, b"UI", sop_instance_uid),
            _meta_element(0x0010, b"UI", transfer_syntax_uid),
            _meta_element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID),
            _meta_element(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME),
            _meta_element(0x0016, b"AE", source_ae_title) if source_ae_title else b"",
        )
    )
    return bytes(128) + b"DICM" + struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(body)) + body


def _meta_element(element: int, vr: bytes, text: str) -> bytes:
    raw = text.encode("ascii")
    if len(raw) % 2:
        raw += b"\0" if vr == b"UI" else b" "
    return struct.pack("<HH2sH", 2, element, vr, len(raw)) + raw


def zero_preamble(data: bytes) -> bytes:
    """Return the first bytes of a Part 10 file (132 or more) with its preamble zeroed.

    A preamble may hold the head of another file format; served as it is, it could run as a script
    or a program.

    References
    ----------
    DICOM PS3.10 section 7.5.
    """
    return bytes(128) + data[128:] if data[128:132] == b"DICM" else data


def read_container(file: BinaryIO, transfer_syntax: str | None) -> Container:
    """Find the data set and its transfer syntax."""
    file.seek(0)
    head = file.read(_FIRST_READ)
    start = 132 if head[128:132] == b"DICM" else 4 if head[:4] == b"DICM" else 0
    if start == 132 and head[:2] == b"\x08\x00":
        start = 0  # a bare data set whose text happens to read DICM there
    if head[start : start + 2] == b"\x02\x00":
        return _read_meta(file, start, head)
    syntax = transfer_syntax or _guess_syntax(head[start : start + 12])
    return Container(start, syntax)


def _guess_syntax(head: bytes) -> str:
    """Guess how a bare data set is written from its first element, which must be of group 0008."""
    if len(head) >= 8:
        is_explicit = head[4:6] in KNOWN_VRS
        if head[:2] == b"\x08\x00":
            return EXPLICIT_LITTLE_ENDIAN if is_explicit else IMPLICIT_LITTLE_ENDIAN
        if head[:2] == b"\x00\x08" and is_explicit:
            return EXPLICIT_BIG_ENDIAN
    raise NotDicomError(
        "This is not a DICOM file: it has neither the DICM mark nor a DICOM element at its start. "
        "Choose a DICOM file."
    )


def _read_meta(file: BinaryIO, start: int, head: bytes) -> Container:
    """Read the File Meta Information, which is explicit VR little endian and group 0002 alone."""
    parsed = _parse_meta(head[start:])
    if parsed is None:
        file.seek(start)
        parsed = _parse_meta(file.read(_LARGEST_META))
    if parsed is None:
        raise _meta_cut_off()
    values, size = parsed
    group_length = values.get(0x0000, b"")
    if len(group_length) == 4 and struct.unpack("<I", group_length)[0] > file.seek(0, 2):
        raise _meta_cut_off()
    syntax = _meta_uid(values, 0x0010)
    if not syntax:
        raise NotDicomError(
            "The file does not say its transfer syntax, so it cannot be read safely. Export it "
            "again from its source."
        )
    return Container(start + size, syntax, _meta_uid(values, 0x0002), _meta_uid(values, 0x0003))


def _parse_meta(head: bytes) -> tuple[dict[int, bytes], int] | None:
    """Return the values of the meta group and its size, or None if it goes on behind `head`."""
    at = 0
    values: dict[int, bytes] = {}
    is_implicit = len(head) >= 8 and head[4:6] not in KNOWN_VRS
    while head[at : at + 2] == b"\x02\x00":
        if at + 12 > len(head):
            return None
        (element,) = struct.unpack_from("<H", head, at + 2)
        if is_implicit:
            value, length = at + 8, struct.unpack_from("<I", head, at + 4)[0]
        elif head[at + 4 : at + 6] in (b"OB", b"UN", b"OW", b"UT"):
            value, length = at + 12, struct.unpack_from("<I", head, at + 8)[0]
        else:
            value, length = at + 8, struct.unpack_from("<H", head, at + 6)[0]
        at = value + length
        if at + 2 > len(head):
            return None
        values[element] = head[value:at]
    return values, at


def _meta_uid(values: dict[int, bytes], element: int) -> str:
    return values.get(element, b"").strip(b"\0 ").decode("latin-1")


def _meta_cut_off() -> NotDicomError:
    return NotDicomError(
        "The file's own header (group 0002) is cut off or damaged. Export it again from its source."
    )
