"""What a file is by its first bytes: for telling people why it is not a DICOM object."""

from __future__ import annotations

import enum
from typing import Final

HEAD_BYTES: Final = 4096

_PREAMBLE_BYTES = 128
# A bare data set begins with group 0008, in either byte order, or with the meta group 0002.
_BARE_DATA_SET = (b"\x08\x00", b"\x00\x08", b"\x02\x00", b"DICM")
_ZIP_LOCAL_FILE = b"PK\x03\x04"
_ZIP_EMPTY = b"PK\x05\x06"
# Office documents are zip archives whose first member has one of these names.
_OFFICE_FIRST_MEMBERS = (b"[Content_Types].xml", b"_rels/", b"mimetypeapplication/vnd.")

_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"GIF8", "GIF"),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (0, b"\x00\x00\x00\x0cjP  ", "JPEG 2000 picture"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000 picture"),
    # BMP: four reserved zeros, then where the pixels begin: it depends on the header and palette.
    (6, b"\x00\x00\x00\x00\x36\x00\x00\x00", "BMP"),
    (6, b"\x00\x00\x00\x00\x36\x04\x00\x00", "BMP"),
    (6, b"\x00\x00\x00\x00\x7a\x00\x00\x00", "BMP"),
    (6, b"\x00\x00\x00\x00\x8a\x00\x00\x00", "BMP"),
    (8, b"WEBP", "WebP"),
    (8, b"AVI ", "AVI video"),
    (8, b"WAVE", "WAV sound"),
    (4, b"ftyp", "video"),
    (0, b"\x1a\x45\xdf\xa3", "video"),
    (0, b"\x00\x00\x01\xba", "video"),
    (0, b"%PDF-", "PDF"),
    (0, b"{\\rtf", "RTF document"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Office document"),
    (0, b"MZ", "program"),
    (0, b"\x7fELF", "program"),
    (0, b"\xca\xfe\xba\xbe", "program"),
    (0, b"\xcf\xfa\xed\xfe", "program"),
    (0, b"SQLite format 3\x00", "database"),
    (0, b"NRRD0", "NRRD"),
    (344, b"n+1\x00", "NIfTI"),
    (344, b"ni1\x00", "NIfTI"),
    (0, b"MSH|", "HL7 message"),
)
_ARCHIVE_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x1f\x8b", "gzip archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "7-Zip archive"),
    (0, b"Rar!\x1a\x07", "RAR archive"),
    (0, b"BZh", "bzip2 archive"),
    (0, b"\xfd7zXZ\x00", "xz archive"),
    (0, b"\x28\xb5\x2f\xfd", "Zstandard archive"),
    (257, b"ustar", "tar archive"),
)


class Kind(enum.Enum):
    """What an uploaded file may be."""

    MAYBE_DICOM = "maybe DICOM"
    ZIP = "zip archive"
    OTHER_ARCHIVE = "archive that is not opened"
    SOMETHING_ELSE = "something else"


def recognise(head: bytes) -> tuple[Kind, str]:
    """Tell what begins with `head`.

    Parameters
    ----------
    head : the first `HEAD_BYTES` bytes, fewer where the file is shorter

    Returns
    -------
    the kind, and a name for people such as `PNG`; empty where the bytes may be DICOM. A file with
    the DICM mark is DICOM whatever its preamble says (PS3.10 7.1: dual-format files).
    """
    if not head:
        return Kind.SOMETHING_ELSE, "empty file"
    is_marked = head[_PREAMBLE_BYTES : _PREAMBLE_BYTES + 4] == b"DICM"
    if is_marked or head.startswith(_BARE_DATA_SET):
        return Kind.MAYBE_DICOM, ""
    if head.startswith((_ZIP_LOCAL_FILE, _ZIP_EMPTY)):
        if head[30:80].startswith(_OFFICE_FIRST_MEMBERS):
            return Kind.SOMETHING_ELSE, "Office document"
        return Kind.ZIP, "zip archive"
    if name := _by_magic(head, _ARCHIVE_MAGIC):
        return Kind.OTHER_ARCHIVE, name
    name = _by_magic(head, _MAGIC) or _text_kind(head)
    return (Kind.SOMETHING_ELSE, name) if name else (Kind.MAYBE_DICOM, "")


def _by_magic(head: bytes, table: tuple[tuple[int, bytes, str], ...]) -> str:
    for offset, magic, name in table:
        if head[offset : offset + len(magic)] == magic:
            return name
    return ""


def _text_kind(head: bytes) -> str:
    """Name a text; empty for bytes that are none. A DICOM data set always holds NUL bytes."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "text"
    if any(byte < 0x20 and byte not in b"\t\n\r\f\x1b" for byte in head):
        return ""
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        # The head may end inside a character.
        if error.start < len(head) - 4:
            return ""
        text = head[: error.start].decode("utf-8")
    start = text.lstrip("\ufeff \t\r\n")[:256].lower()
    if start.startswith(("<!doctype html", "<html")):
        return "HTML"
    if start.startswith("<svg") or ("<svg" in start and start.startswith("<?xml")):
        return "SVG"
    if start.startswith("<?xml"):
        return "XML"
    if start.startswith(("{", "[")):
        return "JSON or text"
    return "text"
