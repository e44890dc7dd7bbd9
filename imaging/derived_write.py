"""Write what was computed from a series as images of the same study: planes, and pictures in 3D.

Planes are proper CT or MR images with their own place in the patient, so that any viewer measures
and links in them; pictures of a whole volume are secondary captures.
"""

import io
import math
import warnings
from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import UID, ExplicitVRLittleEndian

from imaging.errors import UnsupportedError
from imaging.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from imaging.patient_study import copy_patient_study
from imaging.volume import SampleGrid, Slab, SlabMode

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
# The classic class that planes of a series are written in, by its modality.
_CLASSES = {"CT": CT_IMAGE, "MR": MR_IMAGE}
_MANUFACTURER = "NoctisPro"
_MODEL = "NoctisPro PACS"
# Below every value that is written.
_PADDING = -32768
_GREATEST = 32767
_DIGITS_OF_DS = 16

# Of the source's series and acquisition, where it says them (PS3.3 C.7.3.1, C.7.4.1, C.8.2.1,
# C.8.3.1).
_OF_SOURCE = (
    "BodyPartExamined", "PatientPosition", "Laterality", "ProtocolName", "FrameOfReferenceUID",
    "PositionReferenceIndicator", "AcquisitionDate", "AcquisitionTime", "ContrastBolusAgent",
    "ContrastBolusRoute", "KVP", "RescaleType", "BurnedInAnnotation", "ScanningSequence",
    "SequenceVariant", "ScanOptions", "MRAcquisitionType", "RepetitionTime", "EchoTime",
    "EchoTrainLength", "InversionTime", "MagneticFieldStrength", "ImagedNucleus",
    "AcquisitionNumber",
)  # fmt: skip
_EMPTY_IF_ABSENT = {
    "CT": ("KVP", "AcquisitionNumber", "PositionReferenceIndicator"),
    "MR": (
        "ScanOptions", "MRAcquisitionType", "RepetitionTime", "EchoTime", "EchoTrainLength",
        "PositionReferenceIndicator",
    ),
}  # fmt: skip
# Of MR, type 1: research mode and none where the source has them elsewhere or not at all.
_MR_DEFAULTS = {"ScanningSequence": "RM", "SequenceVariant": "NONE"}
# PS3.16 CID 7203.
_DERIVATIONS: dict[SlabMode | str, tuple[str, str]] = {
    "thin": ("113072", "Multiplanar reformatting"),
    "average": ("113072", "Multiplanar reformatting"),
    "mip": ("113078", "Maximum intensity projection"),
    "minip": ("113079", "Minimum intensity projection"),
    "volume": ("113074", "Volume rendering"),
}
_FLAVOURS: dict[SlabMode, str] = {
    "thin": "MPR", "average": "AVERAGE", "mip": "MIP", "minip": "MINIP",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Derived:
    """Identity of an image that is written.

    Attributes
    ----------
    at : when it was asked for, in the site's zone: the same image again has the same bytes
    description : of how it was made, for people
    """

    sop_instance_uid: str
    series_instance_uid: str
    series_number: int
    instance_number: int
    series_description: str
    at: datetime
    description: str


@dataclass(frozen=True, slots=True)
class Plane:
    """Where a plane lies.

    Attributes
    ----------
    step_mm : to the next one
    """

    grid: SampleGrid
    step_mm: float
    slab: Slab


@dataclass(frozen=True, slots=True)
class Scale:
    """How modality values become 16-bit stored values: value = stored x slope + intercept."""

    slope: float
    intercept: float

    @classmethod
    def for_range(cls, least: float, greatest: float, *, is_whole: bool) -> "Scale":
        """Return a scale that keeps whole values as they are where they fit.

        Parameters
        ----------
        is_whole : every value of the source is a whole number
        """
        if is_whole and least > _PADDING and greatest <= _GREATEST:
            return cls(1.0, 0.0)
        span = greatest - least
        slope = float(f"{max(span / 65000, 1e-9):.9g}")
        return cls(slope, float(f"{(least + greatest) / 2:.9g}"))


def may_write_planes(modality: str) -> bool:
    """Whether planes of a series of this modality can be stored as images of it."""
    return modality in _CLASSES


def write_plane(
    values: NDArray[np.float32],
    plane: Plane,
    source: Dataset,
    references: Sequence[tuple[str, str]],
    scale: Scale,
    derived: Derived,
    *,
    window: tuple[float, float] | None = None,
) -> bytes:
    """Write one plane as a CT or MR image.

    Parameters
    ----------
    values : shape (rows, columns), modality values, NaN outside of the volume
    source : header of one of the slices
    references : SOP class and instance UID of the slices that it was made from
    window : center and width that it is shown with

    Returns
    -------
    A Part 10 file.

    Raises
    ------
    UnsupportedError
        When the series is neither CT nor MR.

    References
    ----------
    DICOM PS3.3 A.3, A.4, C.7.6.1, C.7.6.2, C.8.2.1, C.8.3.1; PS3.16 CID 7203.
    """
    modality = str(source.get("Modality", ""))
    grid, slab, step_mm = plane.grid, plane.slab, plane.step_mm
    if modality not in _CLASSES:
        raise UnsupportedError(
            "Planes of CT and MR series can be stored as images. Ask for pictures of this one."
        )
    made = _begin(source, _CLASSES[modality], modality, derived)
    made.ImageType = ["DERIVED", "SECONDARY", "REFORMATTED", _FLAVOURS[slab.mode]]
    for keyword in _OF_SOURCE:
        if keyword in source:
            made[keyword] = deepcopy(source[keyword])
    for keyword in _EMPTY_IF_ABSENT[modality]:
        if keyword not in made:
            setattr(made, keyword, None)
    if modality == "MR":
        for keyword, value in _MR_DEFAULTS.items():
            if not made.get(keyword):
                setattr(made, keyword, value)
    made.PatientPosition = str(source.get("PatientPosition", ""))
    # Type 2C, for paired body parts.
    made.Laterality = str(source.get("Laterality", ""))
    _derivation(made, slab.mode, references, derived)
    made.ImagePositionPatient = [_number(value) for value in grid.position]
    made.ImageOrientationPatient = [_number(float(v)) for v in (*grid.right, *grid.down)]
    made.PixelSpacing = [_number(grid.pixel_mm)] * 2
    made.SliceThickness = _number(step_mm if slab.mode == "thin" else slab.thickness_mm)
    made.SpacingBetweenSlices = _number(step_mm)
    _grey(made, values, scale, modality)
    if window is not None:
        made.WindowCenter, made.WindowWidth = (_number(value) for value in window)
    return _finish(made)


def write_picture(
    picture: NDArray[np.uint8],
    source: Dataset,
    references: Sequence[tuple[str, str]],
    derived: Derived,
) -> bytes:
    """Write a picture of a whole volume as a secondary capture.

    Parameters
    ----------
    picture : shape (rows, columns, 3), RGB
    source, references : see :func:`write_plane`

    References
    ----------
    DICOM PS3.3 A.8.1, C.8.6.1, C.8.6.2; PS3.16 CID 7203.
    """
    made = _begin(source, SECONDARY_CAPTURE, "OT", derived)
    made.ImageType = ["DERIVED", "SECONDARY", "VOLUME"]
    made.ConversionType = "WSD"
    made.BurnedInAnnotation = "NO"
    made.PatientOrientation = None
    for keyword in ("BodyPartExamined", "Laterality"):
        if keyword in source:
            made[keyword] = deepcopy(source[keyword])
    _derivation(made, "volume", references, derived)
    made.Rows, made.Columns = picture.shape[:2]
    made.SamplesPerPixel = 3
    made.PhotometricInterpretation = "RGB"
    made.PlanarConfiguration = 0
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit = 7
    made.PixelRepresentation = 0
    made.PixelData = _even(np.ascontiguousarray(picture).tobytes())
    return _finish(made)


def _begin(source: Dataset, sop_class_uid: str, modality: str, derived: Derived) -> Dataset:
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = UID(sop_class_uid)
    made.file_meta.MediaStorageSOPInstanceUID = UID(derived.sop_instance_uid)
    made.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    made.file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    copy_patient_study(made, source)
    made.SOPClassUID = sop_class_uid
    made.SOPInstanceUID = derived.sop_instance_uid
    made.SeriesInstanceUID = derived.series_instance_uid
    made.SeriesNumber = derived.series_number
    made.InstanceNumber = derived.instance_number
    made.SeriesDescription = derived.series_description[:64]
    made.Modality = modality
    made.Manufacturer = _MANUFACTURER
    made.ManufacturerModelName = _MODEL
    made.SoftwareVersions = IMPLEMENTATION_VERSION_NAME
    date, time = derived.at.strftime("%Y%m%d"), derived.at.strftime("%H%M%S")
    made.SeriesDate = made.ContentDate = made.InstanceCreationDate = date
    made.SeriesTime = made.ContentTime = made.InstanceCreationTime = time
    lossy = str(source.get("LossyImageCompression", ""))
    if lossy == "01":
        # What was lost once stays lost (PS3.3 C.7.6.1.1.5).
        made.LossyImageCompression = lossy
        for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
            if keyword in source:
                made[keyword] = deepcopy(source[keyword])
    return made


def _derivation(
    made: Dataset, what: SlabMode | str, references: Iterable[tuple[str, str]], derived: Derived
) -> None:
    """Say how it was made, and from what (PS3.3 C.7.6.1.1.3, C.7.6.1.1.4)."""
    code = Dataset()
    code.CodeValue, code.CodeMeaning = _DERIVATIONS[what]
    code.CodingSchemeDesignator = "DCM"
    made.DerivationCodeSequence = Items([code])
    made.DerivationDescription = derived.description[:1024]
    purpose = Dataset()
    purpose.CodeValue = "121322"
    purpose.CodingSchemeDesignator = "DCM"
    purpose.CodeMeaning = "Source image for image processing operation"
    sources = []
    for sop_class_uid, sop_instance_uid in references:
        item = Dataset()
        item.ReferencedSOPClassUID = sop_class_uid
        item.ReferencedSOPInstanceUID = sop_instance_uid
        item.PurposeOfReferenceCodeSequence = Items([deepcopy(purpose)])
        sources.append(item)
    made.SourceImageSequence = Items(sources)


def _grey(made: Dataset, values: NDArray[np.float32], scale: Scale, modality: str) -> None:
    is_known = ~np.isnan(values)
    stored = np.full(values.shape, _PADDING, np.int16)
    wanted = np.rint((values[is_known].astype(np.float64) - scale.intercept) / scale.slope)
    stored[is_known] = np.clip(wanted, _PADDING + 1, _GREATEST).astype(np.int16)
    made.Rows, made.Columns = values.shape
    made.SamplesPerPixel = 1
    made.PhotometricInterpretation = "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = 16
    made.HighBit = 15
    made.PixelRepresentation = 1
    made.add_new(0x00280120, "SS", _PADDING)
    is_identity = scale.slope == 1 and scale.intercept == 0
    if modality == "CT" or not is_identity:
        made.RescaleIntercept = _number(scale.intercept)
        made.RescaleSlope = _number(scale.slope)
        if not made.get("RescaleType"):
            made.RescaleType = "HU" if modality == "CT" else "US"
    made.PixelData = _even(stored.astype("<i2").tobytes())


def _even(content: bytes) -> bytes:
    return content + b"\0" * (len(content) % 2)


def _number(value: float) -> str:
    """Write a decimal string of at most 16 letters (PS3.5 6.2)."""
    if not math.isfinite(value):
        raise UnsupportedError("The place of a plane is not a number. It cannot be stored.")
    value = 0.0 if abs(value) < 1e-12 else value
    for digits in range(15, 0, -1):
        text = f"{value:.{digits}g}"
        if len(text) <= _DIGITS_OF_DS:
            return text
    return f"{value:.1e}"


def _finish(made: Dataset) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        out = io.BytesIO()
        made.save_as(out, enforce_file_format=True)
    return out.getvalue()
