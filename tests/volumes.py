"""Volumes with known values: slices wherever a test wants them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from imaging.volume import Slice, Volume, VolumePlan, plan_volume
from tests.dicom import make_instance

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
# Two axes turned by angles that are no round ones.
OBLIQUE = (0.8, 0.6, 0.0, -0.36, 0.48, 0.8)


def planned(
    positions: Sequence[Sequence[float]],
    voxels: np.ndarray,
    *,
    orientation: Sequence[float] = AXIAL,
    spacing: tuple[float, float] = (0.9, 0.7),
    slope: float = 1.0,
    intercept: float = 0.0,
) -> tuple[VolumePlan, Volume]:
    """A volume of `voxels[slice, row, column]` whose slices begin at `positions`."""
    slices = [
        Slice(
            rows=voxels.shape[1],
            columns=voxels.shape[2],
            samples=1,
            position=position,
            orientation=orientation,
            pixel_spacing=spacing,
            slope=slope,
            intercept=intercept,
            dtype=voxels.dtype.name,
        )
        for position in positions
    ]
    plan = plan_volume(slices)
    return plan, Volume(plan.geometry, voxels[list(plan.order)])


def noise(count: int, rows: int, columns: int, *, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(-900, 1800, (count, rows, columns)).astype(np.int16)


def stacked(places: Sequence[float], voxels: np.ndarray, **keywords: Any) -> list[Dataset]:
    """One series of CT files: `voxels[slice]` at each z."""
    common = {
        "StudyInstanceUID": generate_uid(),
        "SeriesInstanceUID": generate_uid(),
        "FrameOfReferenceUID": generate_uid(),
        "SeriesDescription": "Thorax",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "ImageOrientationPatient": list(AXIAL),
        "PixelSpacing": [1.0, 1.0],
        "RescaleSlope": 1,
        "RescaleIntercept": 0,
        "PatientPosition": "HFS",
        "KVP": 120,
    }
    return [
        make_instance(
            pixels,
            **{
                **common,
                "InstanceNumber": number,
                "ImagePositionPatient": [-10.0, -20.0, place],
                **keywords,
            },
        )
        for number, (place, pixels) in enumerate(zip(places, voxels, strict=True), 1)
    ]
