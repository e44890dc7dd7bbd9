"""Planes through a whole volume: where each of them lies, as the viewer's own planes do."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from imaging.errors import InvalidViewError
from imaging.volume import SampleGrid, VolumeGeometry, VolumePlan

PlaneKind = Literal["axial", "coronal", "sagittal"]

# As radiologists look: from the feet, from the front, from the left side (right, down; LPS).
STRAIGHT: dict[PlaneKind, tuple[float, ...]] = {
    "axial": (1, 0, 0, 0, 1, 0),
    "coronal": (1, 0, 0, 0, 0, -1),
    "sagittal": (0, 1, 0, 0, 0, -1),
}

MOST_PIXELS = 1024
# Planes nearly parallel to the slices are as far apart as those.
_ALONG = 0.9
_UNIT = 1e-2


@dataclass(frozen=True, slots=True)
class PlaneGrid:
    """How parallel planes run through the whole volume.

    Attributes
    ----------
    first : the plane at the lowest place along the normal
    step_mm, count : distance of neighbouring planes, and how many there are
    """

    first: SampleGrid
    normal: NDArray[np.float64]
    step_mm: float
    count: int

    def plane(self, index: int) -> SampleGrid:
        """Return one plane; `index` from 0."""
        first = self.first
        origin = first.origin + index * self.step_mm * self.normal
        return SampleGrid(
            origin, first.right, first.down, first.pixel_mm, first.columns, first.rows
        )


def orientation_of(values: Sequence[float]) -> tuple[float, ...]:
    """Return six direction cosines, made unit vectors at right angles.

    Raises
    ------
    InvalidViewError
        When they are none, or far from it.
    """
    if len(values) != 6 or not all(map(math.isfinite, values)):
        raise InvalidViewError(
            "An oblique plane is given by six numbers: the direction to the right and the one "
            "downwards, each x, y, z in the patient (LPS)."
        )
    right, down = np.asarray(values[:3], np.float64), np.asarray(values[3:], np.float64)
    lengths = float(np.linalg.norm(right)), float(np.linalg.norm(down))
    if any(abs(length - 1) > _UNIT for length in lengths) or abs(float(right @ down)) > _UNIT:
        raise InvalidViewError(
            "The two directions of an oblique plane are of length 1 and at right angles. Correct "
            "the six numbers."
        )
    right /= lengths[0]
    down -= (down @ right) * right
    down /= np.linalg.norm(down)
    return (*(float(value) for value in right), *(float(value) for value in down))


def corners(geometry: VolumeGeometry) -> NDArray[np.float64]:
    """Return the middles of the corner voxels of every slice, LPS, mm; shape (4 x slices, 3)."""
    g = geometry
    return np.concatenate(
        [
            np.outer(g.along_row + across, g.row)
            + np.outer(g.along_column + below, g.column)
            + np.outer(g.locations, g.normal)
            for across in (0.0, (g.columns - 1) * g.pixel_mm[0])
            for below in (0.0, (g.rows - 1) * g.pixel_mm[1])
        ]
    )


def planes_through(
    plan: VolumePlan, orientation: Sequence[float], *, step_mm: float | None = None
) -> PlaneGrid:
    """Return the planes of one orientation that cover a volume.

    Parameters
    ----------
    orientation : direction to the right and downwards, unit vectors, LPS
    step_mm : distance of neighbours; by default that of the slices for planes parallel to them,
        else the width of a pixel
    """
    geometry = plan.geometry
    right, down = np.asarray(orientation[:3], np.float64), np.asarray(orientation[3:], np.float64)
    normal = np.cross(right, down)
    points = corners(geometry)
    left, far_right = _extent(points, right)
    top, bottom = _extent(points, down)
    first, last = _extent(points, normal)
    widest = max(far_right - left, bottom - top)
    pixel = max(min(geometry.pixel_mm), widest / (MOST_PIXELS - 1))
    is_along = abs(float(normal @ geometry.normal)) > _ALONG
    wanted = step_mm or (plan.spacing_mm if is_along else pixel)
    step = max(wanted, (last - first) / (MOST_PIXELS - 1))
    return PlaneGrid(
        first=SampleGrid(
            left * right + top * down + first * normal,
            right,
            down,
            pixel,
            _fill(left, far_right, pixel),
            _fill(top, bottom, pixel),
        ),
        normal=normal,
        step_mm=step,
        count=_fill(first, last, step),
    )


def _extent(points: NDArray[np.float64], axis: NDArray[np.float64]) -> tuple[float, float]:
    places = points @ axis
    return float(places.min()), float(places.max())


def _fill(low: float, high: float, step: float) -> int:
    return math.floor((high - low) / step + 1e-6) + 1
