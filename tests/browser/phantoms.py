"""Studies whose values are a known function of the place in the patient.

The field 2x + 3y + 5z (HU, with LPS millimetres) is linear: whoever samples it between voxels and
slices correctly gets exactly its value, in every direction and however the slices lie.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, PositronEmissionTomographyImageStorage

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
# One picture by its VOI LUT alone, one with windows and VOI LUTs to choose from.
TABLES = "1.2.826.0.1.3680043.10.1338.4745"
FUSED = "1.2.826.0.1.3680043.10.1338.4723"
# A study that segments are drawn on and stored in.
SEGMENTED = "1.2.826.0.1.3680043.10.1338.4728"
# A study whose segmentations come from elsewhere.
COPIED = "1.2.826.0.1.3680043.10.1338.4751"
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
                **{"FrameOfReferenceUID": _FRAME_OF_REFERENCE, **keywords},
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


def tables() -> list[Dataset]:
    """Two radiographs with VOI LUTs that no window could imitate: a wave, and a saw of 12 bits."""

    def table(first: int, values: NDArray[np.int64], bits: int, name: str) -> Dataset:
        item = Dataset()
        item.add_new("LUTDescriptor", "US", [len(values), first, bits])
        item.LUTExplanation = name
        item.add_new("LUTData", "US", [int(value) for value in values])
        return item

    # Tiles of 5 x 5 pixels, each of one value: smoothing leaves their middles as they are.
    tiles = np.kron((np.arange(256) * 16 + 5).reshape(16, 16), np.ones((5, 5), int))
    tiles = tiles.astype(np.uint16)
    inputs = np.arange(3072)
    wave = table(512, np.rint(127.5 + 127.5 * np.sin(inputs / 300)).astype(np.int64), 8, "WAVE")
    saw = table(0, np.arange(4096) * 3 % 4096, 12, "SAW")
    alone, both = (
        make_instance(
            tiles,
            Modality="DX",
            StudyInstanceUID=TABLES,
            SeriesInstanceUID=f"{TABLES}.{number}",
            SeriesNumber=number,
            SeriesDescription=name,
            PhotometricInterpretation="MONOCHROME2",
            VOILUTSequence=luts,
            **windows,
        )
        for number, name, luts, windows in (
            (1, "Table alone", [wave], {}),
            (
                2,
                "Windows and tables",
                [wave, saw],
                {
                    "WindowCenter": [2048, 1000],
                    "WindowWidth": [4096, 500],
                    "WindowCenterWidthExplanation": ["WIDE", "NARROW"],
                },
            ),
        )
    )
    return [alone, both]


def copied() -> list[Dataset]:
    """The slices of a study that others send segmentations of."""
    places = [(-64.0, -48.0, float(z)) for z in range(-40, 41, 4)]
    return stack(COPIED, 1, places, PatientName="Copy^Cora", PatientID="COPY1")


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
        *stack(SEGMENTED, 1, every, PatientName="Segment^Silvia", PatientID="SEG1"),
        *copied(),
        *stack(SPACE, 2, sparse, SeriesDescription="Thick axial"),
        *stack(SPACE, 3, coronal, axes=_CORONAL, size=(40, 64), SeriesDescription="Coronal"),
        *stack(TILTED, 1, tilted, axes=leaning, SeriesDescription="Leaning gantry"),
        *stack(TILTED, 2, uneven, SeriesDescription="Uneven slices"),
        *broken(),
        *tables(),
    ]


# PET: 370 MBq and a half-life of one hour leave 185 MBq after an hour; 70 kg.
SUV_PER_BQML = 70_000 / 185e6
_MIDDLE = np.array([0.0, 113.0, 760.0])
_PET_MM = 4.0


def activity_bqml(place: NDArray[np.float64]) -> NDArray[np.float64]:
    """Activity at places (..., 3) of the patient; linear, so known between voxels too."""
    return 12_000 + (place - _MIDDLE) @ np.array([60.0, 40.0, 30.0])


def pet_and_ct(ct: Path) -> list[Dataset]:
    """A study of real CT slices, 8 mm apart, and of PET that was made for them.

    Series 1 is the CT, series 2 a PET in its space, series 3 one that lies in another space and
    whose files do not say the dose.
    """
    slices = sorted(
        (pydicom.dcmread(path) for path in ct.iterdir()),
        key=lambda found: float(found.ImagePositionPatient[2]),
    )[::8]
    space = str(slices[0].FrameOfReferenceUID)
    for number, found in enumerate(slices, start=1):
        found.StudyInstanceUID = FUSED
        found.SeriesInstanceUID = f"{FUSED}.1"
        found.SOPInstanceUID = found.file_meta.MediaStorageSOPInstanceUID = f"{FUSED}.1.{number}"
        found.InstanceNumber, found.SeriesNumber = number, 1
        found.SeriesDescription = "CT of the head"
        found.PatientName, found.PatientID = "Phantom^Petra", "PET1"
        found.PatientBirthDate, found.AccessionNumber = "19700101", "PET1"
    return [
        *slices,
        *_pet(2, space, _agent(), SeriesDescription="PET of the head"),
        *_pet(3, f"{FUSED}.9", _agent(dose=None), SeriesDescription="PET elsewhere"),
    ]


def _agent(dose: float | None = 370e6) -> Dataset:
    agent = Dataset()
    agent.RadiopharmaceuticalStartTime = "090000"
    agent.RadionuclideHalfLife = 3600
    if dose is not None:
        agent.RadionuclideTotalDose = dose
    return agent


def _pet(number: int, space: str, agent: Dataset, **keywords: Any) -> list[Dataset]:
    corner = _MIDDLE - _PET_MM * np.array([31.5, 31.5, 13.0])
    positions = [(corner[0], corner[1], corner[2] + _PET_MM * index) for index in range(27)]
    about = {
        "SOPClassUID": PositronEmissionTomographyImageStorage,
        "Modality": "PT",
        "FrameOfReferenceUID": space,
        "PatientName": "Phantom^Petra",
        "PatientID": "PET1",
        "PatientWeight": 70,
        "PatientSize": 1.75,
        "Units": "BQML",
        "CorrectedImage": ["ATTN", "DECY"],
        "DecayCorrection": "START",
        "RadiopharmaceuticalInformationSequence": [agent],
        "SeriesDate": "20260102",
        "SeriesTime": "100000",
        "AcquisitionDate": "20260102",
        "AcquisitionTime": "100000",
        "AccessionNumber": "PET1",
    }
    slices = stack(
        FUSED, number, positions, pixel_mm=_PET_MM, size=(64, 64), values=activity_bqml,
        **about, **keywords,
    )  # fmt: skip
    for found in slices:
        found.SliceThickness = _PET_MM
        for keyword in ("WindowCenter", "WindowWidth", "RescaleType"):
            delattr(found, keyword)
    return slices
