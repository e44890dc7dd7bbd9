"""The directory of a disc: DICOMDIR and the names of the files that it lists."""

import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.fileset import FileSet
from pydicom.uid import UID

from imaging.errors import UnsupportedError
from imaging.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

_CODE = re.compile(r"[^A-Z0-9_ ]")
# Type 1 in directory records, of whatever value (PS3.3 F.5): what stands where a file says nothing.
_NO_DATE, _NO_TIME = "19000101", "000000"
_KEPT = (
    "SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "PatientID", "PatientName",
    "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyID", "StudyDate", "StudyTime",
    "StudyDescription", "AccessionNumber", "SeriesInstanceUID", "SeriesNumber",
    "SeriesDescription", "SeriesDate", "SeriesTime", "Modality", "InstanceNumber", "Rows",
    "Columns", "ContentDate", "ContentTime", "ContentLabel", "ContentDescription",
    "ContentCreatorName", "PresentationCreationDate", "PresentationCreationTime",
    "ConceptNameCodeSequence", "CompletionFlag", "VerificationFlag", "VerifyingObserverSequence",
    "ContentSequence", "ReferencedSeriesSequence", "DocumentTitle", "HL7InstanceIdentifier",
    "MIMETypeOfEncapsulatedDocument", "StructureSetLabel",
    "StructureSetDate", "StructureSetTime", "RTPlanLabel", "RTPlanDate", "RTPlanTime",
    "DoseSummationType", "DataPointRows", "ReferencedImageEvidenceSequence",
    "BlendingSequence", "NumberOfFrames",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Directory:
    """The directory of a disc.

    Attributes
    ----------
    content : the file ``DICOMDIR``
    names : path of each file on the disc by SOP Instance UID, parts parted by ``/``
    left_out : SOP Instance UIDs of what no directory record is made for
    """

    content: bytes
    names: dict[str, str]
    left_out: tuple[str, ...]


def make_directory(headers: Iterable[tuple[Dataset, str]], label: str) -> Directory:
    """Make a DICOMDIR.

    Parameters
    ----------
    headers : of the instances, without their pixels, each with its transfer syntax UID
    label : File-set ID, up to 16 of A-Z, 0-9, space and underscore

    Raises
    ------
    UnsupportedError
        When not one of them can be listed.

    References
    ----------
    DICOM PS3.10 section 8; PS3.3 Annex F.
    """
    left_out = []
    with TemporaryDirectory(prefix="disc-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        files = FileSet()
        files.ID = _CODE.sub("_", label.upper())[:16]
        for number, (header, syntax) in enumerate(headers, start=1):
            try:
                files.add(_listed(header, syntax, number))
            except (ValueError, KeyError, AttributeError, TypeError, IndexError, OSError):
                # pydicom lists an instance before it has written it.
                files.remove([one for one in files if one.SOPInstanceUID == header.SOPInstanceUID])
                left_out.append(str(header.SOPInstanceUID))
        if not len(files):
            raise UnsupportedError("Nothing of this study can be listed in a disc's directory.")
        files.write(folder)
        names = {
            str(one.SOPInstanceUID): Path(one.path).relative_to(folder).as_posix() for one in files
        }
        content = (Path(folder) / "DICOMDIR").read_bytes()
        # pydicom leaves its folder of copies to the garbage collector.
        files._stage["t"].cleanup()
    return Directory(content, names, tuple(left_out))


def _listed(header: Dataset, syntax: str, number: int) -> Dataset:
    """Return what the records are made of; keys that may not be empty get a stand-in."""
    made = Dataset()
    for keyword in _KEPT:
        if keyword in header:
            made[keyword] = header[keyword]
    for keyword, value in (
        ("PatientID", "UNKNOWN"),
        ("StudyID", "1"),
        ("StudyDate", header.get("SeriesDate") or _NO_DATE),
        ("StudyTime", _NO_TIME),
        ("SeriesNumber", 0),
        ("InstanceNumber", number),
        ("Modality", "OT"),
        ("ContentDate", _NO_DATE),
        ("ContentTime", _NO_TIME),
        ("PresentationCreationDate", _NO_DATE),
        ("PresentationCreationTime", _NO_TIME),
        ("ContentLabel", "UNKNOWN"),
        ("CompletionFlag", "PARTIAL"),
        ("VerificationFlag", "UNVERIFIED"),
    ):
        if made.get(keyword) in (None, ""):
            setattr(made, keyword, value)
    for keyword in ("PatientName", "AccessionNumber", "StudyDescription"):
        if keyword not in made:
            setattr(made, keyword, "")
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = UID(syntax)
    made.file_meta.MediaStorageSOPClassUID = header.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    made.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    made.file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    return made
