"""Documents that travel inside a DICOM object."""

from dataclasses import dataclass

from imaging.bytesource import Source, opened
from imaging.dataset import scan_data_set
from imaging.elements import HeaderLimits, Value
from imaging.errors import DecodeError, LimitError, UnsupportedError

MOST_BYTES = 200 * 2**20
_PDF = "application/pdf"
# Readers look for the mark within so many bytes (ISO 32000-1 annex H, note 13).
_PDF_MARK, _PDF_WITHIN = b"%PDF-", 1024

_DOCUMENT, _TYPE, _LENGTH, _TITLE = 0x00420011, 0x00420012, 0x00420015, 0x00420010


@dataclass(frozen=True, slots=True)
class Document:
    """The document, its media type as written, and its title."""

    content: bytes
    media_type: str
    title: str


def read_pdf(source: Source, *, most_bytes: int = MOST_BYTES) -> Document:
    """Return the PDF that an object carries.

    Raises
    ------
    UnsupportedError
        When the object carries no document, or one of another kind.
    DecodeError
        When what it carries as PDF is none.
    LimitError
        When the document is longer than `most_bytes`.
    NotDicomError, TruncatedError
        See `imaging.header.read_index`.

    References
    ----------
    DICOM PS3.3 C.24.2.
    """
    # One byte more tells a document that fits from one that was cut.
    wanted = {_DOCUMENT: most_bytes + 1, _TYPE: 256, _LENGTH: 16, _TITLE: 4096}
    limits = HeaderLimits(
        header_bytes=most_bytes + 16 * 2**20, inflated_bytes=most_bytes + 16 * 2**20
    )
    with opened(source) as file:
        data_set = scan_data_set(file, wanted, limits=limits)
    root, reader = data_set.scan.root, data_set.reader
    value = root.get(_DOCUMENT)
    media_type = (reader.text(root, _TYPE) or "").lower()
    if not isinstance(value, Value):
        raise UnsupportedError("The object carries no document.")
    if media_type not in {"", _PDF}:
        raise UnsupportedError(
            f"The document is of the type {media_type[:64]}. Download the file to open it "
            "elsewhere."
        )
    if len(value.raw) > most_bytes:
        raise LimitError(
            f"The document is longer than {most_bytes // 2**20} MiB. Download the file to open it "
            "elsewhere."
        )
    length = reader.integer(root, _LENGTH, b"UL")
    content = value.raw
    if length is not None and 0 < len(content) - length <= 1:
        content = content[:length]
    elif len(content) % 2 == 0:
        content = content.removesuffix(b"\0")
    if _PDF_MARK not in content[:_PDF_WITHIN]:
        raise DecodeError(
            "The document says it is a PDF and is none. Ask its sender for the original."
        )
    return Document(content, _PDF, reader.text(root, _TITLE) or "")
