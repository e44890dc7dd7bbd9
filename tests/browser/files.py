"""The stored pictures as pydicom and numpy read them."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray


def file_of(data: Path, name: str) -> pydicom.Dataset:
    return pydicom.dcmread(data / name)


def head_slices(data: Path) -> list[pydicom.Dataset]:
    """The slices of the head phantom in reading order, checked against the reference digests."""
    with (data / "reference_frames.csv").open() as table:
        digests = {row["path"]: row["sha256"] for row in csv.DictReader(table)}
    slices = []
    for path in (data / "ct/head_phantom_1mm").iterdir():
        found = pydicom.dcmread(path)
        digest = hashlib.sha256(found.PixelData[:524288]).hexdigest()
        assert digest == digests[f"ct/head_phantom_1mm/{path.name}"]
        slices.append(found)
    return sorted(slices, key=lambda one: float(one.ImagePositionPatient[2]))


def values_of(found: pydicom.Dataset) -> NDArray[np.float64]:
    """Modality values of an uncompressed picture of one frame."""
    stored = np.frombuffer(found.PixelData, "<u2")[: found.Rows * found.Columns]
    stored = stored.reshape(found.Rows, found.Columns)
    return stored * float(found.RescaleSlope) + float(found.RescaleIntercept)
