"""A CT scan that compresses like a real one: structures, and noise whose neighbours are alike."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import generate_uid

from tests.dicom import make_instance, to_bytes

SIDE = 512
PIXEL_MM = 0.7
_NOISES = 8
_DISTINCT = 300
_AIR, _OUTSIDE, _INTERCEPT = -1000.0, -1024.0, -1024


class _Body:
    """Slices of one body, made when they are asked for and kept."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(7)
        white = self._random.standard_normal((_NOISES, SIDE, SIDE), dtype=np.float32)
        smooth = white + np.roll(white, 1, 1)
        smooth += np.roll(smooth, 1, 2)
        self._noises = smooth / smooth.std()
        self._made: dict[int, NDArray[np.uint16]] = {}

    def stored(self, index: int) -> NDArray[np.uint16]:
        """Return stored values; a longer body is the same one again."""
        place = index % _DISTINCT
        if place not in self._made:
            self._made[place] = self._make(place)
        return self._made[place]

    def _make(self, index: int) -> NDArray[np.uint16]:
        along = index / _DISTINCT
        line = np.linspace(-1, 1, SIDE, dtype=np.float32)
        rows, columns = line[:, None], line[None, :]
        swell = 1 + 0.05 * np.sin(along * 9)
        radius = (rows / (0.58 * swell)) ** 2 + (columns / (0.8 * swell)) ** 2
        value = np.where(radius < 1, 40 + 25 * np.sin(columns * 11 + along * 20), np.float32(_AIR))
        value[(radius < 1) & (radius > 0.86)] = -95
        for side in (-0.42, 0.42):
            lung = (rows / 0.3) ** 2 + ((columns - side) / (0.1 + 0.2 * along)) ** 2 < 1
            np.copyto(value, -850 + 90 * np.sin(rows * 40 + along * 60), where=lung)
        spine = ((rows - 0.36) / 0.1) ** 2 + (columns / 0.1) ** 2 < 1
        value[spine] = 350 + 250 * np.sin(along * 200)
        moved = tuple(self._random.integers(0, SIDE, 2))
        noise = np.roll(self._noises[index % _NOISES], moved, (0, 1))
        value += noise * np.where(radius < 1, np.float32(5.5), np.float32(2))
        value[rows**2 + columns**2 > 1] = _OUTSIDE
        return np.clip(np.rint(value) - _INTERCEPT, 0, 4095).astype(np.uint16)


_body = lru_cache(maxsize=1)(_Body)


def ct_scan(count: int, description: str) -> Iterator[bytes]:
    """Make the files of one study of one series of `count` slices, a millimetre apart."""
    study, series, space = generate_uid(), generate_uid(), generate_uid()
    half = SIDE * PIXEL_MM / 2
    for index in range(count):
        yield to_bytes(
            make_instance(
                _body().stored(index),
                BitsStored=12,
                HighBit=11,
                RescaleSlope=1,
                RescaleIntercept=_INTERCEPT,
                RescaleType="HU",
                WindowCenter=40,
                WindowWidth=400,
                StudyInstanceUID=study,
                SeriesInstanceUID=series,
                FrameOfReferenceUID=space,
                PatientID=f"SCAN{count}",
                AccessionNumber=f"SCAN{count}",
                StudyDescription=description,
                SeriesDescription=description,
                InstanceNumber=index + 1,
                PixelSpacing=[PIXEL_MM, PIXEL_MM],
                SliceThickness=1,
                ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
                ImagePositionPatient=[-half, -half, float(index)],
            )
        )
