"""Pictures whose sizes are told in different ways: regions of ultrasound, pixels that are not
square, a radiograph that was magnified.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    MRImageStorage,
    UltrasoundImageStorage,
)

from tests.dicom import make_instance
from tests.unit.imaging.test_softcopy import item, state_for

SCALES = "1.2.826.0.1.3680043.10.1338.4750"
SIZE = 80
# Of both ultrasound pictures, centimetres a pixel in the tissue above the Doppler curve.
TISSUE_CM = (0.05, 0.02)
ROW_MM, COLUMN_MM = 0.5, 1.0
IMAGER_MM, MAGNIFICATION = 0.2, 1.25
# Of presentation states: a pixel in true size, and how much a magnified one is enlarged.
TRUE_MM, RATIO = 0.5, 4
_PIXELS = (np.add.outer(np.arange(SIZE), np.arange(SIZE)) * 10).astype(np.uint16)
_SECONDS, _CENTIMETRES, _CENTIMETRES_PER_SECOND = 4, 3, 7


def _region(
    box: tuple[int, int, int, int], units: tuple[int, int], deltas: tuple[float, float], kind: int
) -> Dataset:
    region = Dataset()
    (
        region.RegionLocationMinX0,
        region.RegionLocationMinY0,
        region.RegionLocationMaxX1,
        region.RegionLocationMaxY1,
    ) = box
    region.RegionSpatialFormat, region.RegionDataType, region.RegionFlags = kind, kind, 0
    region.PhysicalUnitsXDirection, region.PhysicalUnitsYDirection = units
    region.PhysicalDeltaX, region.PhysicalDeltaY = deltas
    return region


def _ultrasound(number: int, centimetres: float) -> Dataset:
    """Tissue in the upper half, the curve of a spectral Doppler in the lower one."""
    tissue = _region((0, 0, 79, 39), (_CENTIMETRES, _CENTIMETRES), (centimetres, centimetres), 1)
    curve = _region((0, 40, 79, 79), (_SECONDS, _CENTIMETRES_PER_SECOND), (0.01, -2.5), 3)
    return _made(
        1, "Duplex", number=number, Modality="US", SOPClassUID=UltrasoundImageStorage,
        SequenceOfUltrasoundRegions=[tissue, curve],
    )  # fmt: skip


def _made(series: int, name: str, *, number: int = 1, **keywords: Any) -> Dataset:
    return make_instance(
        _PIXELS,
        StudyInstanceUID=SCALES,
        SeriesInstanceUID=f"{SCALES}.{series}",
        SOPInstanceUID=f"{SCALES}.{series}.{number}",
        SeriesNumber=series,
        InstanceNumber=number,
        SeriesDescription=name,
        PatientName="Scale^Sara",
        PatientID="SCALE1",
        **keywords,
    )


def _state(number: int, image: Dataset, name: str, **area: Any) -> Dataset:
    """A presentation state of 40 x 20 pixels of an image, 10 from the left and 30 from above."""
    state = state_for(
        image, SeriesInstanceUID=f"{SCALES}.9.{number}", SOPInstanceUID=f"{SCALES}.9.{number}.1",
        SeriesNumber=90 + number, SeriesDescription=name,
        SoftcopyVOILUTSequence=[item(WindowCenter=500 * number, WindowWidth=1000 * number)],
    )  # fmt: skip
    state.file_meta.MediaStorageSOPInstanceUID = state.SOPInstanceUID
    state.PatientName, state.PatientID = image.PatientName, image.PatientID
    shown = state.DisplayedAreaSelectionSequence[0]
    shown.DisplayedAreaTopLeftHandCorner = [11, 31]
    shown.DisplayedAreaBottomRightHandCorner = [50, 50]
    for keyword, value in area.items():
        setattr(shown, keyword, value)
    if "PresentationPixelSpacing" in shown:
        del shown.PresentationPixelAspectRatio
    return state


def _states(image: Dataset) -> list[Dataset]:
    true_size = _state(
        1, image, "True to scale", PresentationSizeMode="TRUE SIZE",
        PresentationPixelSpacing=[TRUE_MM, TRUE_MM],
    )  # fmt: skip
    magnified = _state(
        2, image, "Enlarged", PresentationSizeMode="MAGNIFY",
        PresentationPixelMagnificationRatio=float(RATIO),
    )  # fmt: skip
    magnified.ShutterShape = "RECTANGULAR"
    magnified.ShutterLeftVerticalEdge, magnified.ShutterRightVerticalEdge = 20, 60
    magnified.ShutterUpperHorizontalEdge, magnified.ShutterLowerHorizontalEdge = 20, 60
    return [true_size, magnified]


def studies() -> list[Dataset]:
    """All of them, in one study."""
    magnified = _made(
        3, "Magnified hand", Modality="CR", SOPClassUID=ComputedRadiographyImageStorage,
        ImagerPixelSpacing=[IMAGER_MM, IMAGER_MM],
        EstimatedRadiographicMagnificationFactor=MAGNIFICATION,
    )  # fmt: skip
    return [
        *(_ultrasound(number, size) for number, size in enumerate(TISSUE_CM, start=1)),
        _made(
            2, "Flat pixels", Modality="MR", SOPClassUID=MRImageStorage,
            PixelSpacing=[ROW_MM, COLUMN_MM],
        ),
        magnified,
        *_states(magnified),
    ]  # fmt: skip
