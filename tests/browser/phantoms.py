"""Studies whose values are a known function of the place in the patient.

The field 2x + 3y + 5z (HU, with LPS millimetres) is linear: whoever samples it between voxels and
slices correctly gets exactly its value, in every direction and however the slices lie.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless

from tests.dicom import make_instance

Field = Callable[[NDArray[np.float64]], NDArray[np.float64]]
Vector = tuple[float, float, float]

SPACE = "1.2.826.0.1.3680043.10.1338.4720"
TILTED = "1.2.826.0.1.3680043.10.1338.4721"
# Of one person alone, for what is written about it and stored in it.
READING = "1.2.826.0.1.3680043.10.1338.4722"
# A level of its own in each slice; one slice's compressed data are none.
BROKEN = "1.2.826.0.1.3680043.10.1338.4727"
BROKEN_SLICES, BROKEN_SLICE = 12, 5
_FRAME_OF_REFERENCE = "1.2.826.0.1.3680043.10.1338.4729"
_AXIAL = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
_CORONAL = ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0))


def field_hu(place: NDArray[np.float64]) -> NDArray[np.float64]:
    """HU at places (..., 3) of the patient."""
    return place @ np.array([2.0, 3.0, 5.0])


def stack(
    study: str,
    number: int,
    positions: Sequence[Vector],
    *,
    axes: tuple[Vector, Vector] = _AXIAL,
    pixel_mm: float = 2.0,
    size: tuple[int, int] = (48, 64),
    values: Field = field_hu,
    **keywords: Any,
) -> list[Dataset]:
    """One series with a slice at each of `positions`; rows and columns are `size`."""
    rows, columns = size
    row, column = (np.array(axis) for axis in axes)
    slices = []
    for index, position in enumerate(positions):
        c, r = np.meshgrid(np.arange(columns), np.arange(rows))
        place = (
            np.array(position) + c[..., None] * pixel_mm * row + r[..., None] * pixel_mm * column
        )
        stored = np.rint(values(place)).astype(np.int16)
        slices.append(
            make_instance(
                stored,
                StudyInstanceUID=study,
                SeriesInstanceUID=f"{study}.{number}",
                SOPInstanceUID=f"{study}.{number}.{index + 1}",
                FrameOfReferenceUID=_FRAME_OF_REFERENCE,
                SeriesNumber=number,
                InstanceNumber=index + 1,
                ImagePositionPatient=[float(value) for value in position],
                ImageOrientationPatient=[*axes[0], *axes[1]],
                PixelSpacing=[pixel_mm, pixel_mm],
                SliceThickness=2,
                RescaleSlope=1,
                RescaleIntercept=0,
                RescaleType="HU",
                WindowCenter=40,
                WindowWidth=800,
                **keywords,
            )
        )
    return slices


def broken() -> list[Dataset]:
    """A scan that grows brighter from slice to slice, with one that cannot be decoded."""
    slices = stack(
        BROKEN,
        1,
        [(-64.0, -48.0, 4.0 * index) for index in range(BROKEN_SLICES)],
        values=lambda place: place[..., 2] * 15 - 200,
        SeriesDescription="One broken slice",
    )
    damaged = slices[BROKEN_SLICE]
    damaged.file_meta.TransferSyntaxUID = JPEG2000Lossless
    damaged.PixelData = encapsulate([b"\xff\x4f\xff\x51" + bytes(200)])
    damaged["PixelData"].VR = "OB"
    return slices


def studies() -> list[Dataset]:
    """The instances of all phantoms."""
    every = [(-64.0, -48.0, float(z)) for z in range(-40, 41, 4)]
    sparse = [(-64.0, -48.0, float(z)) for z in range(-40, 41, 8)]
    coronal = [(-64.0, float(y), 40.0) for y in range(-40, 41, 8)]
    # The table moves along z while the slices lean: each begins 1 mm further back than the last.
    tilt = np.deg2rad(15)
    leaning = ((1.0, 0.0, 0.0), (0.0, float(np.cos(tilt)), float(np.sin(tilt))))
    tilted = [(-64.0, -48.0, float(z)) for z in range(-40, 41, 4)]
    uneven = [(-64.0, -48.0, float(z)) for z in (-40, -36, -32, -20, -16, -12, -8, 0, 12, 20)]
    return [
        *stack(SPACE, 1, every, SeriesDescription="Thin axial"),
        *stack(READING, 1, sparse, PatientName="Reading^Rosa", PatientID="READ1"),
        *stack(SPACE, 2, sparse, SeriesDescription="Thick axial"),
        *stack(SPACE, 3, coronal, axes=_CORONAL, size=(40, 64), SeriesDescription="Coronal"),
        *stack(TILTED, 1, tilted, axes=leaning, SeriesDescription="Leaning gantry"),
        *stack(TILTED, 2, uneven, SeriesDescription="Uneven slices"),
        *broken(),
    ]
