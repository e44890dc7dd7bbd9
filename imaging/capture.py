"""A JPEG or PNG as a DICOM object that gives the picture back, byte for byte.

A baseline JPEG is the frame itself. Any other picture is decoded, so that every viewer shows it,
and travels along in a private element behind the pixels.
"""

import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEGBaseline8Bit

from imaging import codestream
from imaging.errors import DecodeError, LimitError
from imaging.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
JPEG, PNG = "image/jpeg", "image/png"
# Behind Pixel Data (7FE0,0010), so that nobody who reads a header reads it.
_GROUP = 0x7FE1
_CREATOR = "NOCTIS_PRO CAPTURE"
MOST_PIXELS = 2**26
_MOST_SIDE = 65_535
# What decoding takes at most for a pixel, and how much may be taken for bytes that do not bear it
# out: a picture that anybody made is compressed thirtyfold or so, a bomb a thousandfold.
_PER_PIXEL = 16
_UNFOUNDED_BYTES = 232 * 2**20
_FOUNDED_PER_BYTE = 64
_BASELINE, _MOST_HEAD = 0xC0, 65_536
_END_OF_JPEG = b"\xff\xd9"
_PNG_HEAD, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
_DELIMITER_BYTES = 8
_ORIENTATION = 0x0112


@dataclass(frozen=True, slots=True)
class CaptureFacts:
    """Whose a picture is, and what it shows; texts have DICOM's lengths.

    Attributes
    ----------
    patient : values of the Patient and General Study modules, by keyword
    at : when it was handed in, in the site's zone: the same picture again has the same bytes
    """

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    at: datetime
    patient: Mapping[str, str]
    modality: str = "OT"
    study_date: date | None = None
    study_description: str = ""
    series_number: int | None = None
    series_description: str = ""
    instance_number: int | None = None
    body_part_examined: str = ""
    laterality: str = ""


def media_type_of(head: bytes) -> str:
    """Return `image/jpeg`, `image/png` or nothing, by how a file begins."""
    if head.startswith(b"\xff\xd8\xff"):
        return JPEG
    return PNG if head.startswith(_PNG_HEAD) else ""


def write(picture: bytes, facts: CaptureFacts, *, most_pixels: int = MOST_PIXELS) -> bytes:
    """Write a picture as a Secondary Capture Image.

    Parameters
    ----------
    picture : a whole JPEG or PNG file
    most_pixels : rows times columns

    Returns
    -------
    A Part 10 file, from which :func:`original` gives `picture`.

    Raises
    ------
    DecodeError
        When it is neither, cut off, or cannot be decoded.
    LimitError
        For more than `most_pixels`, or more than its bytes can hold.

    References
    ----------
    DICOM PS3.3 A.8.1, C.8.6.1, C.7.6.1.1.5; PS3.5 7.8.1, 8.2.1, A.4.1.
    """
    made = _begin(facts)
    kind = media_type_of(picture)
    _check_end(picture, kind)
    if kind == JPEG and _is_baseline(picture, most_pixels):
        _frame(made, picture)
        syntax = JPEGBaseline8Bit
    else:
        _native(made, picture, kind, most_pixels)
        syntax = ExplicitVRLittleEndian
    if kind == JPEG:
        made.LossyImageCompression = "01"
        made.LossyImageCompressionMethod = "ISO_10918_1"
        stored = made.Rows * made.Columns * made.SamplesPerPixel
        made.LossyImageCompressionRatio = f"{stored / len(picture):.2f}"
    made.file_meta.TransferSyntaxUID = syntax
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made.save_as(out, enforce_file_format=True)
    return out.getvalue()


def original(
    file: BinaryIO, size_bytes: int, transfer_syntax_uid: str, length: int
) -> bytes | None:
    """Return the picture that a file was made from; None where it was made from none.

    Parameters
    ----------
    file, size_bytes : a stored file that :func:`write` made
    length : of the picture in bytes
    """
    padded = length + length % 2
    # The frame is followed by the sequence's delimiter, the private element by nothing.
    behind = _DELIMITER_BYTES if transfer_syntax_uid == JPEGBaseline8Bit else 0
    start = size_bytes - behind - padded
    if start < 0 or length <= 0:
        return None
    file.seek(start)
    content = file.read(length)
    return content if media_type_of(content) else None


def _begin(facts: CaptureFacts) -> Dataset:
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.MediaStorageSOPClassUID = UID(SECONDARY_CAPTURE)
    made.file_meta.MediaStorageSOPInstanceUID = UID(facts.sop_instance_uid)
    made.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    made.file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    made.SpecificCharacterSet = "ISO_IR 192"
    for keyword, value in facts.patient.items():
        setattr(made, keyword, value)
    day, time = facts.at.strftime("%Y%m%d"), facts.at.strftime("%H%M%S")
    made.SOPClassUID = SECONDARY_CAPTURE
    made.SOPInstanceUID = facts.sop_instance_uid
    made.StudyInstanceUID = facts.study_instance_uid
    made.SeriesInstanceUID = facts.series_instance_uid
    made.StudyDate = (facts.study_date or facts.at).strftime("%Y%m%d")
    made.StudyTime = ""
    made.StudyDescription = facts.study_description
    made.Modality = facts.modality
    made.SeriesNumber = facts.series_number
    made.SeriesDescription = facts.series_description
    made.InstanceNumber = facts.instance_number
    made.BodyPartExamined = facts.body_part_examined
    made.Laterality = facts.laterality
    made.PatientOrientation = None
    made.ConversionType = "DI"
    made.ImageType = ["DERIVED", "SECONDARY"]
    made.DateOfSecondaryCapture = made.ContentDate = day
    made.TimeOfSecondaryCapture = made.ContentTime = time
    return made


def _check_end(picture: bytes, kind: str) -> None:
    if not kind:
        raise DecodeError("This is neither a JPEG nor a PNG. Send one of them, or DICOM.")
    end = _END_OF_JPEG if kind == JPEG else _PNG_END
    if end not in picture[-_MOST_HEAD:]:
        raise DecodeError("The picture is cut off: its end is missing. Send it again.")


def _is_baseline(picture: bytes, most_pixels: int) -> bool:
    """Whether a JPEG is what DICOM's baseline syntax holds, upright and grey or three colours."""
    found = codestream.inspect(picture)
    if found is None or found.samples not in {1, 3}:
        return False
    # Behind the end mark, telephones write a second picture; the frame would not end with the mark.
    if not picture.endswith(_END_OF_JPEG):
        return False
    if not _begins_baseline(picture):
        return False
    _check_size(found.rows, found.columns, most_pixels)
    try:
        with Image.open(io.BytesIO(picture), formats=("JPEG",)) as image:
            return int(image.getexif().get(_ORIENTATION, 1)) in {0, 1}
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _unreadable() from error


def _begins_baseline(picture: bytes) -> bool:
    """Whether the first frame header is SOF0 with 8 bits (ISO/IEC 10918-1 B.2.2)."""
    at = 2
    while at + 4 < len(picture) and picture[at] == 0xFF:
        marker = picture[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            return marker == _BASELINE and picture[at + 4] == 8
        at += 2 + int.from_bytes(picture[at + 2 : at + 4])
    return False


def _frame(made: Dataset, picture: bytes) -> None:
    found = codestream.inspect(picture)
    assert found is not None  # noqa: S101 - asked before
    _describe(made, found.rows, found.columns, found.samples, 8)
    if found.samples == 3:
        made.PhotometricInterpretation = "RGB" if found.is_ybr is False else "YBR_FULL_422"
    made.PixelData = encapsulate([picture], has_bot=False)
    made["PixelData"].is_undefined_length = True
    made["PixelData"].VR = "OB"


def _native(made: Dataset, picture: bytes, kind: str, most_pixels: int) -> None:
    pixels = _decode(picture, most_pixels)
    rows, columns = pixels.shape[:2]
    samples = 1 if pixels.ndim == 2 else 3
    _describe(made, rows, columns, samples, pixels.dtype.itemsize * 8)
    content = pixels.tobytes()
    made.PixelData = content + b"\0" * (len(content) % 2)
    made["PixelData"].VR = "OW" if pixels.dtype.itemsize == 2 else "OB"
    block = made.private_block(_GROUP, _CREATOR, create=True)
    block.add_new(0x01, "LO", kind)
    block.add_new(0x02, "OB", picture + b"\0" * (len(picture) % 2))


def _describe(made: Dataset, rows: int, columns: int, samples: int, bits: int) -> None:
    made.Rows, made.Columns = rows, columns
    made.SamplesPerPixel = samples
    made.PhotometricInterpretation = "MONOCHROME2" if samples == 1 else "RGB"
    if samples == 3:
        made.PlanarConfiguration = 0
    made.BitsAllocated = made.BitsStored = bits
    made.HighBit = bits - 1
    made.PixelRepresentation = 0


def _decode(picture: bytes, most_pixels: int) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return what a viewer is to show: grey with 8 or 16 bits, or RGB; clear parts become black."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(picture), formats=("JPEG", "PNG")) as opened:
                _check_size(opened.height, opened.width, most_pixels)
                _check_founded(opened.height * opened.width, len(picture))
                image = ImageOps.exif_transpose(opened)
                if image.mode.startswith("I"):
                    return np.ascontiguousarray(np.asarray(image).astype("<u2"))
                if image.mode in {"1", "L"}:
                    return np.ascontiguousarray(np.asarray(image.convert("L")))
                if image.mode in {"LA", "PA", "RGBA"} or "transparency" in image.info:
                    over = image.convert("RGBA")
                    black = Image.new("RGBA", over.size, (0, 0, 0, 255))
                    image = Image.alpha_composite(black, over)
                return np.ascontiguousarray(np.asarray(image.convert("RGB")))
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError) as error:
        raise _unreadable() from error
    except Image.DecompressionBombError as error:
        raise LimitError("The picture has too many pixels. Send a smaller one.") from error


def _check_size(rows: int, columns: int, most_pixels: int) -> None:
    is_lawful = 0 < rows <= _MOST_SIDE and 0 < columns <= _MOST_SIDE
    if not is_lawful or rows * columns > most_pixels:
        raise LimitError(
            f"The picture has {columns} x {rows} pixels; this archive takes up to {most_pixels}. "
            "Send a smaller one."
        )


def _check_founded(pixels: int, size_bytes: int) -> None:
    if pixels * _PER_PIXEL > max(_UNFOUNDED_BYTES, size_bytes * _FOUNDED_PER_BYTE):
        raise LimitError(
            "The picture claims to be larger than its compressed data can hold. Save it new in "
            "another program."
        )


def _unreadable() -> DecodeError:
    return DecodeError("The picture cannot be decoded. Open it in another program and save it new.")
