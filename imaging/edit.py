"""A copy of an object with other values: a new object that says what it was made from."""

import io
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, BinaryIO

from pydicom import dcmread
from pydicom.config import RAISE
from pydicom.datadict import dictionary_VM, dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.errors import InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.uid import UID

from imaging.errors import ImagingError, NotDicomError
from imaging.part10 import (
    EXPLICIT_BIG_ENDIAN,
    EXPLICIT_LITTLE_ENDIAN,
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    IMPLICIT_LITTLE_ENDIAN,
)
from imaging.uid import is_valid_uid

NewUid = Callable[[str], str]
Value = str | int | float | list[str | int | float] | None

# Whose the object is: with another person it belongs to another study.
IDENTITY = frozenset(("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate"))
_PLACES = ("StudyInstanceUID", "SeriesInstanceUID")
_REFERENCES = frozenset((*_PLACES, "ReferencedSOPInstanceUID"))
# Said by the object's class or its pixels: another value would make them unreadable.
_FIXED = frozenset(
    ("SOPClassUID", "SOPInstanceUID", "SpecificCharacterSet", "Modality", "NumberOfFrames")
)
_FIXED_GROUPS = frozenset((0x0000, 0x0002, 0x0028, 0x5400, 0x7FE0, 0xFFFE))
_BINARY = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "UN", "SQ", "AT"))
_WHOLE = frozenset(("US", "SS", "UL", "SL", "UV", "SV", "IS"))
_FRACTIONS = frozenset(("FL", "FD", "DS"))
_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, IndexError, NotImplementedError)
# Also from pixel data that is not there any more: what pydicom raises where a file ends.
_CUT_OFF = (EOFError, OSError, InvalidDicomError)


class EditError(ImagingError):
    """A value cannot be set; the message names the attribute."""


@dataclass(frozen=True, slots=True)
class Edited:
    """The new file, and what it is called."""

    content: bytes
    sop_instance_uid: str
    study_instance_uid: str
    has_new_identity: bool


def edit(source: BinaryIO, values: Mapping[str, Value], new_uid: NewUid, at: datetime) -> Edited:
    """Return a copy of a Part 10 file with other values of top-level attributes.

    The copy has a SOP Instance UID of its own. Where the person becomes another one, study and
    series are new too, and what the object refers to is named by its new UIDs, so that files of a
    study that are changed alike stay together. Original Attributes Sequence keeps what it was.

    Parameters
    ----------
    values : by keyword; None takes an attribute away
    new_uid : makes a lawful UID of an old one; the same for the same
    at : when it is changed, with a zone

    Raises
    ------
    EditError
        For an attribute that is unknown, not to be changed, or a value its VR does not take.
    NotDicomError
        When the file cannot be read.

    References
    ----------
    DICOM PS3.3 C.12.1.1.9 (Original Attributes), PS3.5 6.2 (Value Representation).
    """
    elements = {keyword: _element(keyword, value) for keyword, value in values.items()}
    if not elements:
        raise EditError("Name at least one attribute to change.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            # Bare data sets, without a header of their own, are taken too.
            dataset = dcmread(source, force=True)
            dataset.decode()
        except (*_CUT_OFF, *_UNREADABLE) as error:
            raise NotDicomError("The file is not DICOM, or it is damaged.") from error
        return _edited(dataset, elements, new_uid, at)


def _element(keyword: str, value: Any) -> DataElement | None:  # noqa: ANN401 - checked here
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise EditError(f"{keyword[:64]!r} is no attribute of DICOM; write keywords of PS3.6.")
    vr = dictionary_VR(tag)
    if keyword in _FIXED or tag >> 16 in _FIXED_GROUPS or vr in _BINARY or " or " in vr:
        raise EditError(f"{keyword} is not changed: it says how the object is built.")
    if value is None:
        if keyword in _PLACES:
            raise EditError(f"{keyword} is never empty.")
        return None
    many = value if isinstance(value, list) else [value]
    if len(many) > 1 and dictionary_VM(tag) == "1":
        raise EditError(f"{keyword} has one value.")
    cast = [_cast(keyword, vr, one) for one in many]
    if vr == "UI" and not all(is_valid_uid(str(one)) for one in cast):
        raise EditError(f"{keyword} is no lawful UID (PS3.5 9.1).")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return DataElement(tag, vr, cast if len(cast) > 1 else cast[0], validation_mode=RAISE)
    except (*_UNREADABLE, UserWarning, OverflowError) as error:
        raise EditError(f"{keyword} does not take this value: {error}".rstrip(".") + ".") from error


def _cast(keyword: str, vr: str, value: Any) -> str | int | float:  # noqa: ANN401 - checked here
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise EditError(f"{keyword} takes text, a number, a list of these, or null.")
    try:
        if vr in _WHOLE:
            return int(value)
        if vr in _FRACTIONS:
            return str(value) if vr == "DS" else float(value)
    except (ValueError, OverflowError) as error:
        raise EditError(f"{keyword} takes numbers.") from error
    text = str(value)
    if "\\" in text or any(not c.isprintable() and c not in "\r\n\t\f" for c in text):
        raise EditError(f"{keyword} holds a backslash or a control character.")
    return text


def _edited(
    dataset: FileDataset,
    elements: Mapping[str, DataElement | None],
    new_uid: NewUid,
    at: datetime,
) -> Edited:
    originals = Dataset()
    try:
        is_other = any(
            _differs(dataset, keyword, elements[keyword]) for keyword in IDENTITY & set(elements)
        )
        wanted: dict[str, DataElement | None] = dict(elements)
        for keyword in ("SOPInstanceUID", *(_PLACES if is_other else ())):
            if keyword not in wanted:
                old = str(dataset.get(keyword) or "")
                if not is_valid_uid(old):
                    raise NotDicomError(f"The file has no lawful {keyword}.")
                wanted[keyword] = DataElement(tag_for_keyword(keyword) or 0, "UI", new_uid(old))
        if is_other:
            _rename_references(dataset, new_uid)
        for keyword, element in wanted.items():
            _keep(originals, dataset, keyword)
            if element is None:
                dataset.pop(keyword, None)
            else:
                dataset.add(element)
        _remember(dataset, originals, at)
        return _written(dataset, is_other=is_other)
    except (*_UNREADABLE, *_CUT_OFF) as error:
        raise EditError("The object cannot be written anew: its header is damaged.") from error


def _differs(dataset: Dataset, keyword: str, element: DataElement | None) -> bool:
    return str(dataset.get(keyword) or "") != str(element.value if element is not None else "")


def _keep(originals: Dataset, dataset: Dataset, keyword: str) -> None:
    """Keep a value; one that was not there is kept as empty (PS3.3 C.12.1.1.9)."""
    if keyword in dataset:
        originals.add(dataset[keyword])
    else:
        tag = tag_for_keyword(keyword) or 0
        originals.add(DataElement(tag, dictionary_VR(tag), None))


def _remember(dataset: Dataset, originals: Dataset, at: datetime) -> None:
    item = Dataset()
    item.ModifiedAttributesSequence = Sequence([originals])
    item.AttributeModificationDateTime = at.astimezone(UTC).strftime("%Y%m%d%H%M%S+0000")
    item.ModifyingSystem = IMPLEMENTATION_VERSION_NAME
    item.SourceOfPreviousValues = ""
    item.ReasonForTheAttributeModification = "CORRECT"
    earlier = list(dataset.get("OriginalAttributesSequence") or [])
    dataset.OriginalAttributesSequence = Sequence([*earlier, item])


def _rename_references(dataset: Dataset, new_uid: NewUid) -> None:
    """Name what the object refers to by its new UIDs, but for what was kept of earlier changes."""
    for element in dataset:
        if element.VR != "SQ" or element.keyword == "OriginalAttributesSequence":
            continue
        for item in element.value or []:
            for inner in item:
                if inner.keyword in _REFERENCES and inner.value:
                    if isinstance(inner.value, MultiValue):
                        inner.value = [new_uid(str(one)) for one in inner.value]
                    else:
                        inner.value = new_uid(str(inner.value))
            _rename_references(item, new_uid)


def _written(dataset: FileDataset, *, is_other: bool) -> Edited:
    # Everything was decoded: all text is written in UTF-8, in which every name has its letters.
    dataset.SpecificCharacterSet = "ISO_IR 192"
    is_implicit, is_little = dataset.original_encoding
    meta = dataset.file_meta
    if "TransferSyntaxUID" not in meta:
        bare = IMPLICIT_LITTLE_ENDIAN if is_implicit else EXPLICIT_LITTLE_ENDIAN
        meta.TransferSyntaxUID = UID(bare if is_little else EXPLICIT_BIG_ENDIAN)
    meta.MediaStorageSOPClassUID = UID(dataset.SOPClassUID)
    meta.MediaStorageSOPInstanceUID = UID(dataset.SOPInstanceUID)
    meta.FileMetaInformationGroupLength = 0  # written as what it is
    meta.FileMetaInformationVersion = b"\0\1"
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    dataset.preamble = bytes(128)
    out = io.BytesIO()
    # Written as it was read, also where the library does not know the syntax of the pixels.
    dataset.save_as(
        out,
        implicit_vr=bool(is_implicit),
        little_endian=bool(is_little),
        force_encoding=True,
    )
    return Edited(
        out.getvalue(),
        str(dataset.SOPInstanceUID),
        str(dataset.StudyInstanceUID),
        has_new_identity=is_other,
    )
