"""DICOM objects of the demo studies: CT, MR, CR and ultrasound, by their IODs (PS3.3 A.3-A.7)."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    CTImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    UltrasoundMultiFrameImageStorage,
)

from archive.demo import phantom, pictures
from archive.demo.phantom import Orientation

INSTITUTION = "NoctisPro demo"
_NAMESPACE = uuid.UUID("5d0c8a5e-7c1f-4f5e-9a35-0f8f0f3f6f51")

_CT_SLICES, _CT_SPACING_MM, _CT_PIXEL_MM, _CT_SIZE = 160, 1.25, 0.46875, 512
_CT_INTERCEPT = -1024
_MR_SIZE, _MR_PIXEL_MM = 256, 0.9375
_MR_GAP_MM = 6.0


@dataclass(frozen=True, slots=True)
class Person:
    """Nobody: the name says so wherever it is shown."""

    name: str
    identifier: str
    birth_date: str
    sex: str


ANNA = Person("DEMO^ANNA", "DEMO-0001", "19610417", "F")
BRUNO = Person("DEMO^BRUNO", "DEMO-0002", "19480902", "M")
CLARA = Person("DEMO^CLARA", "DEMO-0003", "19790123", "F")


@dataclass(frozen=True, slots=True)
class DemoStudy:
    """One study: what it is called, and how its objects are made when they are wanted."""

    key: str
    person: Person
    description: str
    modality: str
    body_part: str
    days_ago: int
    number_of_objects: int
    make: Callable[[DemoStudy, datetime], Iterator[Dataset]] = field(repr=False)

    @property
    def study_instance_uid(self) -> str:
        """The same at every site: loading again finds what is there."""
        return _uid(self.key)


def _uid(*parts: object) -> str:
    """Return a UID of a name (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid5(_NAMESPACE, '/'.join(map(str, parts))).int}"


def _object(
    study: DemoStudy, now: datetime, sop_class: UID, series: int, number: int, description: str
) -> Dataset:
    """Return an object with everything that does not depend on its pixels."""
    at = now - timedelta(days=study.days_ago)
    day, clock = at.strftime("%Y%m%d"), at.strftime("%H%M%S")
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = sop_class
    ds.SOPInstanceUID = UID(_uid(study.key, series, number))
    ds.file_meta.MediaStorageSOPClassUID = sop_class
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = ds.AcquisitionDate = day
    ds.StudyTime = ds.SeriesTime = ds.ContentTime = ds.AcquisitionTime = clock
    ds.AccessionNumber = f"DEMO{study.key.upper()}"[:16]
    ds.Modality = study.modality
    ds.Manufacturer = "NoctisPro"
    ds.ManufacturerModelName = "Phantom"
    ds.DeviceSerialNumber = "1"
    ds.SoftwareVersions = "1"
    ds.InstitutionName = INSTITUTION
    ds.ReferringPhysicianName = "DEMO^REFERRER"
    ds.StudyDescription = study.description
    ds.SeriesDescription = description
    ds.PatientName = study.person.name
    ds.PatientID = study.person.identifier
    ds.IssuerOfPatientID = "DEMO"
    ds.PatientBirthDate = study.person.birth_date
    ds.PatientSex = study.person.sex
    ds.PatientAge = f"{(int(day) - int(study.person.birth_date)) // 10000:03d}Y"
    ds.PatientComments = "A computed phantom, not a person"
    ds.BodyPartExamined = study.body_part
    ds.StudyInstanceUID = study.study_instance_uid
    ds.SeriesInstanceUID = _uid(study.key, series)
    ds.StudyID = study.key
    ds.SeriesNumber = series
    ds.InstanceNumber = number
    ds.ImageComments = "Computed demonstration image"
    return ds


def _put_pixels(ds: Dataset, pixels: NDArray[np.uint16] | NDArray[np.uint8], bits: int) -> None:
    ds.Rows, ds.Columns = pixels.shape[-2:]
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.BitsAllocated = pixels.dtype.itemsize * 8
    ds.BitsStored = bits
    ds.HighBit = bits - 1
    ds.PixelRepresentation = 0
    ds.PixelData = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()


def _put_frame_of_reference(ds: Dataset, study: DemoStudy) -> None:
    ds.FrameOfReferenceUID = _uid(study.key, "frame of reference")
    ds.PositionReferenceIndicator = ""


def _put_plane(
    ds: Dataset, orientation: Orientation, first: NDArray[np.float32], at: float
) -> None:
    """Say where the slice lies (PS3.3 C.7.6.2); `first` holds its first row and column."""
    down, along, across = phantom.AXES[orientation]
    position = [0.0, 0.0, 0.0]
    position[down], position[along], position[across] = float(first[0]), float(first[1]), at
    directions = {
        "axial": [1, 0, 0, 0, 1, 0],
        "sagittal": [0, 1, 0, 0, 0, -1],
        "coronal": [1, 0, 0, 0, 0, -1],
    }
    ds.ImagePositionPatient = [round(value, 4) for value in position]
    ds.ImageOrientationPatient = directions[orientation]
    ds.SliceLocation = round(at, 4)


def _axis(size: int, pixel_mm: float, *, middle_mm: float = 0.0) -> NDArray[np.float32]:
    return ((np.arange(size) - (size - 1) / 2) * pixel_mm + middle_mm).astype(np.float32)


def head_ct(study: DemoStudy, now: datetime) -> Iterator[Dataset]:
    """Yield the slices of a head CT, from the neck up; Hounsfield units with noise of 4 HU."""
    generator = np.random.default_rng(1)
    axis = _axis(_CT_SIZE, _CT_PIXEL_MM)
    for number in range(1, _CT_SLICES + 1):
        at = -95.0 + (number - 1) * _CT_SPACING_MM
        slice_hu = phantom.cut("axial", at, rows_mm=axis, columns_mm=axis, signal="ct_hu")
        slice_hu += 4.0 * generator.standard_normal(slice_hu.shape, dtype=np.float32)
        stored = np.clip(np.rint(slice_hu) - _CT_INTERCEPT, 0, 4095).astype(np.uint16)
        ds = _object(study, now, CTImageStorage, 1, number, "Head 1.25 mm")
        ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        _put_frame_of_reference(ds, study)
        _put_plane(ds, "axial", axis[[0, 0]], at)
        ds.PixelSpacing = [_CT_PIXEL_MM, _CT_PIXEL_MM]
        ds.SliceThickness = ds.SpacingBetweenSlices = _CT_SPACING_MM
        ds.PatientPosition = "HFS"
        ds.PatientOrientation = ["L", "P"]
        ds.KVP = 120
        ds.ConvolutionKernel = "COMPUTED"
        ds.AcquisitionNumber = 1
        ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = _CT_INTERCEPT, 1, "HU"
        ds.WindowCenter, ds.WindowWidth = [40, 500], [80, 2000]
        ds.WindowCenterWidthExplanation = ["BRAIN", "BONE"]
        _put_pixels(ds, stored, bits=12)
        yield ds


@dataclass(frozen=True, slots=True)
class _MrSeries:
    """One way of looking at the head."""

    number: int
    description: str
    signal: Literal["t1", "t2", "flair"]
    orientation: Orientation
    slices: int
    repetition_ms: float
    echo_ms: float
    inversion_ms: float | None
    window: int


_MR_SERIES = (
    _MrSeries(1, "T1 axial", "t1", "axial", 28, 500, 12, None, 1000),
    _MrSeries(2, "T2 axial", "t2", "axial", 28, 4200, 98, None, 1300),
    _MrSeries(3, "FLAIR axial", "flair", "axial", 28, 9000, 110, 2500, 1050),
    _MrSeries(4, "T1 sagittal", "t1", "sagittal", 22, 500, 12, None, 1000),
)


def head_mr(study: DemoStudy, now: datetime) -> Iterator[Dataset]:
    """Yield T1, T2 and FLAIR axial series and a sagittal T1 of the same head."""
    generator = np.random.default_rng(2)
    for series in _MR_SERIES:
        yield from _mr_slices(study, now, series, generator)


def _mr_slices(
    study: DemoStudy, now: datetime, series: _MrSeries, generator: np.random.Generator
) -> Iterator[Dataset]:
    is_axial = series.orientation == "axial"
    columns = _axis(_MR_SIZE, _MR_PIXEL_MM)
    rows = columns if is_axial else _axis(_MR_SIZE, _MR_PIXEL_MM, middle_mm=-8.0)[::-1]
    start = -76.0 if is_axial else -(series.slices - 1) * _MR_GAP_MM / 2
    # The coil is nearer to the back of the head: the picture is brighter there.
    coil = 1 + 0.12 * np.linspace(-1, 1, _MR_SIZE, dtype=np.float32)
    shading = coil[:, None] if is_axial else coil[None, :]
    for number in range(1, series.slices + 1):
        at = start + (number - 1) * _MR_GAP_MM
        tissue = phantom.cut(
            series.orientation, at, rows_mm=rows, columns_mm=columns, signal=series.signal
        )
        noise = generator.standard_normal((2, *tissue.shape), dtype=np.float32) * 9
        # The magnitude of a complex signal: Rice's noise.
        picture = np.hypot(tissue * shading + noise[0], noise[1])
        ds = _object(study, now, MRImageStorage, series.number, number, series.description)
        ds.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
        _put_frame_of_reference(ds, study)
        _put_plane(ds, series.orientation, np.array([rows[0], columns[0]]), at)
        ds.PixelSpacing = [_MR_PIXEL_MM, _MR_PIXEL_MM]
        ds.SliceThickness, ds.SpacingBetweenSlices = 5, _MR_GAP_MM
        ds.PatientPosition = "HFS"
        ds.ScanningSequence = ["SE", "IR"] if series.inversion_ms else "SE"
        ds.SequenceVariant = "NONE"
        ds.ScanOptions = ""
        ds.MRAcquisitionType = "2D"
        ds.RepetitionTime, ds.EchoTime = series.repetition_ms, series.echo_ms
        if series.inversion_ms:
            ds.InversionTime = series.inversion_ms
        ds.EchoTrainLength = 1
        ds.MagneticFieldStrength = 1.5
        ds.AcquisitionNumber = 1
        ds.WindowCenter, ds.WindowWidth = series.window // 2, series.window
        _put_pixels(ds, np.clip(np.rint(picture), 0, 4095).astype(np.uint16), bits=12)
        yield ds


def chest_cr(study: DemoStudy, now: datetime) -> Iterator[Dataset]:
    """Yield a posterior-anterior chest; its millimetres are those of the plate."""
    pixels = pictures.chest(np.random.default_rng(3))
    ds = _object(study, now, ComputedRadiographyImageStorage, 1, 1, "Chest PA")
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.PatientOrientation = ["L", "F"]
    ds.ViewPosition = "PA"
    ds.KVP = 110
    ds.PlateID = "1"
    ds.DistanceSourceToDetector = 1800
    ds.ImagerPixelSpacing = [pictures.CHEST_PIXEL_MM, pictures.CHEST_PIXEL_MM]
    ds.AcquisitionNumber = 1
    low, high = (int(value) for value in np.percentile(pixels, (0.5, 97)))
    ds.WindowCenter, ds.WindowWidth = (low + high) // 2, high - low
    _put_pixels(ds, pixels, bits=12)
    ds.PhotometricInterpretation = "MONOCHROME1"
    ds.PresentationLUTShape = "INVERSE"
    yield ds


def heart_us(study: DemoStudy, now: datetime) -> Iterator[Dataset]:
    """Yield a cine loop with a calibrated region (PS3.3 C.8.5.5)."""
    pixels = pictures.cine(np.random.default_rng(4))
    ds = _object(study, now, UltrasoundMultiFrameImageStorage, 1, 1, "Four chamber view")
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    _put_frame_of_reference(ds, study)
    ds.PatientOrientation = ""
    ds.NumberOfFrames = pictures.CINE_FRAMES
    ds.FrameTime = pictures.CINE_FRAME_TIME_MS
    ds.FrameIncrementPointer = 0x00181063
    ds.RecommendedDisplayFrameRate = ds.CineRate = round(1000 / pictures.CINE_FRAME_TIME_MS)
    ds.LossyImageCompression = "00"
    region = Dataset()
    left, top, right, bottom = pictures.CINE_SECTOR
    region.RegionSpatialFormat = 1
    region.RegionDataType = 1
    region.RegionFlags = 0
    region.RegionLocationMinX0, region.RegionLocationMinY0 = left, top
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = right, bottom
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
    region.PhysicalDeltaX = region.PhysicalDeltaY = float(pictures.CINE_PIXEL_CM)
    ds.SequenceOfUltrasoundRegions = [region]
    _put_pixels(ds, pixels, bits=8)
    yield ds


STUDIES: tuple[DemoStudy, ...] = (
    DemoStudy("chest", BRUNO, "Chest PA", "CR", "CHEST", 1, 1, chest_cr),
    DemoStudy("heart", CLARA, "Echocardiography", "US", "HEART", 2, 1, heart_us),
    DemoStudy("headmr", ANNA, "MR head", "MR", "HEAD", 34, 3 * 28 + 22, head_mr),
    DemoStudy("headct", ANNA, "CT head without contrast", "CT", "HEAD", 0, _CT_SLICES, head_ct),
)
