"""Read what an archive must know of a DICOM object, without its pixels."""

import datetime as dt
import re
import sys
from array import array
from dataclasses import dataclass, replace
from typing import Any

from imaging.attributes import WANTED as ATTRIBUTES_WANTED
from imaging.attributes import AttributeSource
from imaging.bytesource import ByteSource, Source, opened
from imaging.dataset import DataSet, scan_data_set
from imaging.display import WANTED as DISPLAY_WANTED
from imaging.display import build_display
from imaging.elements import (
    DOUBLE_PIXEL_DATA,
    FLOAT_PIXEL_DATA,
    HeaderLimits,
    PixelElement,
    Scan,
    Value,
)
from imaging.errors import IdentityError, TruncatedError
from imaging.frametable import (
    FrameTable,
    OffsetTableKind,
    encapsulated_table,
    frame_table_from_bytes,
    frame_table_to_bytes,
    native_table,
)
from imaging.part10 import (
    DEFLATED,
    EXPLICIT_BIG_ENDIAN,
    GE_PRIVATE,
    MEDIA_STORAGE_DIRECTORY,
    VIDEO,
    part10_header,
    zero_preamble,
)
from imaging.uid import require_uid
from imaging.values import SPECIFIC_CHARACTER_SET, parse_date, parse_time

__all__ = [
    "DEFAULT",
    "HeaderLimits",
    "InstanceIndex",
    "frame_table_from_bytes",
    "frame_table_to_bytes",
    "part10_header",
    "read_index",
    "scan_pixel_data",
    "with_data_set_offset",
    "zero_preamble",
]

DEFAULT = HeaderLimits()

# Lossless by definition; .81, .91, .93, .112 and .203 may be either, and LossyImageCompression
# decides.
LOSSY = frozenset(
    f"1.2.840.10008.1.2.4.{number}"
    for number in (50, 51, 53, 55, 100, 101, 102, 103, 104, 105, 106, 107, 108)
)
# UTC offset of a DT value (PS3.5 section 6.2).
_TIME_OF = re.compile(r"[+-].*")
_SHORT = 4096
_LONG = 64 * 1024
_TABLE = 64 * 2**20

_SOP_CLASS, _SOP_INSTANCE = 0x00080016, 0x00080018
_STUDY, _SERIES = 0x0020000D, 0x0020000E
_PATIENT_ID = 0x00100020
_EXTENDED_OFFSETS, _EXTENDED_LENGTHS = 0x7FE00001, 0x7FE00002
_IDENTITY = {
    _SOP_CLASS: "SOP Class UID",
    _SOP_INSTANCE: "SOP Instance UID",
    _STUDY: "Study Instance UID",
    _SERIES: "Series Instance UID",
    _PATIENT_ID: "Patient ID",
}

_TEXT_FIELDS: dict[str, int] = {
    "patient_id": _PATIENT_ID,
    "issuer_of_patient_id": 0x00100021,
    "patient_sex": 0x00100040,
    "patient_age": 0x00101010,
    "accession_number": 0x00080050,
    "study_id": 0x00200010,
    "study_description": 0x00081030,
    "modality": 0x00080060,
    "series_description": 0x0008103E,
    "body_part_examined": 0x00180015,
    "laterality": 0x00200060,
    "protocol_name": 0x00181030,
    "manufacturer": 0x00080070,
    "station_name": 0x00081010,
    "institution_name": 0x00080080,
}
_NAME_FIELDS: dict[str, int] = {
    "patient_name": 0x00100010,
    "referring_physician_name": 0x00080090,
}
_INTEGER_FIELDS: dict[str, int] = {
    "series_number": 0x00200011,
    "instance_number": 0x00200013,
    "acquisition_number": 0x00200012,
}
_US_FIELDS: dict[str, int] = {
    "rows": 0x00280010,
    "columns": 0x00280011,
    "samples_per_pixel": 0x00280002,
    "planar_configuration": 0x00280006,
    "bits_allocated": 0x00280100,
    "bits_stored": 0x00280101,
    "high_bit": 0x00280102,
    "pixel_representation": 0x00280103,
}
_PHOTOMETRIC, _NUMBER_OF_FRAMES, _LOSSY = 0x00280004, 0x00280008, 0x00282110
_IMAGE_TYPE, _FRAME_OF_REFERENCE = 0x00080008, 0x00200052
_BIRTH_DATE = 0x00100030
_STUDY_DATE, _STUDY_TIME = 0x00080020, 0x00080030
_SERIES_DATE, _SERIES_TIME = 0x00080021, 0x00080031
_ACQUISITION_DATE, _ACQUISITION_TIME = 0x00080022, 0x00080032
_ACQUISITION_DATETIME = 0x0008002A
_CONTENT_DATE, _CONTENT_TIME = 0x00080023, 0x00080033

_WANTED: dict[int, int] = (
    dict(ATTRIBUTES_WANTED)
    | dict(DISPLAY_WANTED)
    | dict.fromkeys(_IDENTITY, _LONG)
    | dict.fromkeys(_TEXT_FIELDS.values(), _LONG)
    | dict.fromkeys(_NAME_FIELDS.values(), _LONG)
    | dict.fromkeys(_INTEGER_FIELDS.values(), _SHORT)
    | dict.fromkeys(_US_FIELDS.values(), _SHORT)
    | dict.fromkeys((_PHOTOMETRIC, _NUMBER_OF_FRAMES, _LOSSY, _FRAME_OF_REFERENCE), _SHORT)
    | dict.fromkeys((_IMAGE_TYPE, _BIRTH_DATE, _STUDY_DATE, _STUDY_TIME), _SHORT)
    | dict.fromkeys((_SERIES_DATE, _SERIES_TIME, _ACQUISITION_DATE, _ACQUISITION_TIME), _SHORT)
    | dict.fromkeys((_ACQUISITION_DATETIME, _CONTENT_DATE, _CONTENT_TIME), _SHORT)
    | {SPECIFIC_CHARACTER_SET: _SHORT, _EXTENDED_OFFSETS: _TABLE, _EXTENDED_LENGTHS: _TABLE}
)


@dataclass(frozen=True, slots=True)
class InstanceIndex:
    """What the archive keeps of one instance; None where the object does not say.

    Texts are Unicode without padding and control characters. `number_of_frames` counts the frames
    that the pixel data really holds (0 without pixel data). `pixel_data_offset` is None for
    deflated data sets, `pixel_data_length` for encapsulated pixel data. `display` holds the
    viewer's facts under their DICOM keywords, `attributes` what only queries ask for. `warnings`
    are sentences about faults that were read around.
    """

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    patient_id: str | None
    issuer_of_patient_id: str | None
    patient_name: str | None
    patient_birth_date: dt.date | None
    patient_sex: str | None
    patient_age: str | None
    study_date: dt.date | None
    study_time: dt.time | None
    accession_number: str | None
    study_id: str | None
    study_description: str | None
    referring_physician_name: str | None
    modality: str | None
    series_number: int | None
    series_description: str | None
    body_part_examined: str | None
    laterality: str | None
    protocol_name: str | None
    series_date: dt.date | None
    series_time: dt.time | None
    frame_of_reference_uid: str | None
    manufacturer: str | None
    station_name: str | None
    institution_name: str | None
    instance_number: int | None
    acquisition_number: int | None
    image_type: tuple[str, ...]
    acquisition_date: dt.date | None
    acquisition_time: dt.time | None
    rows: int | None
    columns: int | None
    number_of_frames: int
    samples_per_pixel: int | None
    photometric_interpretation: str | None
    planar_configuration: int | None
    bits_allocated: int | None
    bits_stored: int | None
    high_bit: int | None
    pixel_representation: int | None
    has_pixels: bool
    data_set_offset: int
    pixel_data_offset: int | None
    pixel_data_length: int | None
    frames: FrameTable | None
    lossy: bool
    display: dict[str, Any]
    attributes: AttributeSource
    warnings: tuple[str, ...] = ()

    @property
    def offset_table_kind(self) -> OffsetTableKind | None:
        """How the frames were found; None without pixel data."""
        return None if self.frames is None else self.frames.kind


def read_index(
    source: Source,
    *,
    limits: HeaderLimits = DEFAULT,
    transfer_syntax: str | None = None,
    require_identity: bool = True,
) -> InstanceIndex:
    """Read the index of a Part 10 file, with or without preamble and meta, or of a data set.

    Pixel data is found and its extent checked, but not read.

    Parameters
    ----------
    source : a path, an open seekable file, or the bytes
    transfer_syntax : of a bare data set, as negotiated; else it is guessed among the three
        uncompressed ones
    require_identity : refuse an object without lawful UIDs; if not set they may be empty or
        unlawful

    Raises
    ------
    NotDicomError, TruncatedError
        If the bytes are not a DICOM object, are cut off, or cannot be followed.
    IdentityError, InvalidUIDError
        If a UID is missing, unlawful, or said in two ways.
    LimitError
        If the object exceeds the limits.

    References
    ----------
    DICOM PS3.10 section 7, PS3.5 sections 6, 7 and A.
    """
    with opened(source) as file:
        data_set = scan_data_set(file, _WANTED, limits=limits, transfer_syntax=transfer_syntax)
        if require_identity:
            _check_identity(data_set)
        return _build_index(data_set)


def scan_pixel_data(
    source: Source, *, limits: HeaderLimits = DEFAULT, transfer_syntax: str | None = None
) -> FrameTable | None:
    """Return where the frames of an object lie, or None if it has no pixel data.

    See `read_index` for parameters and errors.
    """
    index = read_index(
        source, limits=limits, transfer_syntax=transfer_syntax, require_identity=False
    )
    return index.frames


def with_data_set_offset(index: InstanceIndex, data_set_offset: int) -> InstanceIndex:
    """Return the index for the same data set behind another Part 10 header.

    Parameters
    ----------
    data_set_offset : where the data set begins now, for example ``len(part10_header(...))``
    """
    delta = data_set_offset - index.data_set_offset
    offset = index.pixel_data_offset
    return replace(
        index,
        data_set_offset=data_set_offset,
        pixel_data_offset=None if offset is None else offset + delta,
        frames=None if index.frames is None else index.frames.shifted(delta),
    )


def _check_identity(data_set: DataSet) -> None:
    container, reader = data_set.container, data_set.reader
    root, repeated = data_set.scan.root, data_set.scan.repeated
    if container.sop_class_uid == MEDIA_STORAGE_DIRECTORY:
        raise IdentityError(
            "This is a DICOMDIR, the index of a disc, not an image. Import the folder that it lies "
            "in."
        )
    for tag, what in _IDENTITY.items():
        if tag in repeated:
            raise IdentityError(
                f"The object holds {what} twice with different values, so nobody can tell whose it "
                "is. Have the sending system correct it."
            )
        if tag != _PATIENT_ID:
            require_uid(reader.uid(root, tag), what)
    written = container.sop_instance_uid
    if written and written != reader.uid(root, _SOP_INSTANCE):
        raise IdentityError(
            "The file's header and its data set name two different SOP Instance UIDs. Export it "
            "again from its source."
        )


def _build_index(data_set: DataSet) -> InstanceIndex:
    container, source, reader = data_set.container, data_set.source, data_set.reader
    scan = data_set.scan
    root, pixels = scan.root, scan.pixels
    facts = {name: reader.integer(root, tag, b"US") for name, tag in _US_FIELDS.items()}
    photometric = reader.text(root, _PHOTOMETRIC)
    warnings = list(scan.warnings)
    frames: FrameTable | None = None
    frame_count = 0
    syntax = container.transfer_syntax_uid
    if pixels is not None and (pixels.length or pixels.fragment_offsets):
        declared = max(reader.integer(root, _NUMBER_OF_FRAMES) or 1, 1)
        frame_count = declared
        if syntax not in VIDEO:
            bits = _frame_bits(facts, photometric, pixels, declared)
            frames = _frame_table(source, scan, pixels, declared, bits, syntax)
            frame_count = max(frames.frame_count, 1)
        if frames is not None and frames.frame_count < declared:
            warnings.append(
                f"The object announces {declared} frames, but its pixel data holds "
                f"{frames.frame_count}."
            )
        if not pixels.is_closed:
            # Whole fragments, one for each frame: then only the closing mark can be missing.
            if len(pixels.fragment_offsets) != declared:
                raise TruncatedError(
                    "The picture is cut off: its compressed pixel data has no end. Send it again."
                )
            warnings.append("The compressed pixel data is not closed.")
    acquisition = reader.text(root, _ACQUISITION_DATETIME) or ""
    is_deflated = syntax in DEFLATED
    values: dict[str, Any] = dict(facts)
    values |= {name: reader.text(root, tag) for name, tag in _TEXT_FIELDS.items()}
    values |= {name: reader.name(root, tag) for name, tag in _NAME_FIELDS.items()}
    values |= {name: reader.integer(root, tag) for name, tag in _INTEGER_FIELDS.items()}
    return InstanceIndex(
        sop_class_uid=reader.uid(root, _SOP_CLASS),
        sop_instance_uid=reader.uid(root, _SOP_INSTANCE),
        study_instance_uid=reader.uid(root, _STUDY),
        series_instance_uid=reader.uid(root, _SERIES),
        transfer_syntax_uid=syntax,
        patient_birth_date=reader.date(root, _BIRTH_DATE),
        study_date=reader.date(root, _STUDY_DATE),
        study_time=reader.time(root, _STUDY_TIME),
        series_date=reader.date(root, _SERIES_DATE),
        series_time=reader.time(root, _SERIES_TIME),
        frame_of_reference_uid=reader.uid(root, _FRAME_OF_REFERENCE) or None,
        image_type=tuple(reader.texts(root, _IMAGE_TYPE)),
        acquisition_date=reader.date(root, _ACQUISITION_DATE)
        or parse_date(acquisition[:8])
        or reader.date(root, _CONTENT_DATE),
        acquisition_time=reader.time(root, _ACQUISITION_TIME)
        or parse_time(_TIME_OF.sub("", acquisition[8:]))
        or reader.time(root, _CONTENT_TIME),
        number_of_frames=frame_count,
        photometric_interpretation=photometric,
        has_pixels=frame_count > 0,
        data_set_offset=container.data_set_offset,
        pixel_data_offset=None if pixels is None or is_deflated else pixels.offset,
        pixel_data_length=None if pixels is None else pixels.length,
        frames=frames,
        lossy=syntax in LOSSY or reader.text(root, _LOSSY) == "01",
        display=build_display(
            root,
            reader,
            frame_count=frame_count,
            is_signed=facts["pixel_representation"] == 1,
            bits_allocated=facts["bits_allocated"],
        ),
        attributes=AttributeSource(root, reader),
        warnings=tuple(warnings),
        **values,
    )


def _frame_bits(
    facts: dict[str, int | None],
    photometric: str | None,
    pixels: PixelElement,
    frame_count: int,
) -> int:
    """Return the bits of one native frame, 0 if the header does not tell (PS3.5 section 8.1)."""
    rows, columns = facts["rows"] or 0, facts["columns"] or 0
    sample_bits = {FLOAT_PIXEL_DATA: 32, DOUBLE_PIXEL_DATA: 64}.get(pixels.tag)
    if sample_bits is None:
        sample_bits = facts["bits_allocated"] or 0
    samples = facts["samples_per_pixel"] or 1
    plane_bits = rows * columns * sample_bits
    if photometric in ("YBR_FULL_422", "YBR_PARTIAL_422") and samples == 3:
        # Two pixels share their chroma; but some writers only say so and store all three samples.
        is_full = (pixels.length or 0) * 8 >= plane_bits * 3 * frame_count
        samples = 3 if is_full else 2
    return plane_bits * samples


def _frame_table(
    source: ByteSource,
    scan: Scan,
    pixels: PixelElement,
    frame_count: int,
    frame_bits: int,
    syntax: str,
) -> FrameTable:
    is_inflated = syntax in DEFLATED
    if pixels.length is not None:
        return native_table(
            pixels,
            frame_count=frame_count,
            frame_bits=frame_bits,
            is_inflated=is_inflated,
            is_big_endian=syntax in (EXPLICIT_BIG_ENDIAN, GE_PRIVATE),
        )
    extended = None
    tables = (scan.root.get(_EXTENDED_OFFSETS), scan.root.get(_EXTENDED_LENGTHS))
    if isinstance(tables[0], Value) and isinstance(tables[1], Value):
        extended = (_uint64(tables[0].raw), _uint64(tables[1].raw))
    return encapsulated_table(
        pixels,
        frame_count=frame_count,
        extended=extended,
        peek=source.peek,
        is_inflated=is_inflated,
    )


def _uint64(raw: bytes) -> "array[int]":
    numbers = array("Q", raw[: len(raw) // 8 * 8])
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
