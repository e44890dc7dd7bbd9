"""A volume made of parallel slices, sampled anywhere between its voxels.

The same geometry and interpolation as the viewer's (`frontend/src/viewer/core/voxels.ts`), so that
a plane drawn by the worker has the values of the one a reader sees: bilinear in two slices, linear
between them, each slice at its own place. Tilted and unevenly spaced stacks keep their geometry.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from imaging.errors import UnsupportedError
from imaging.geometry import Vector

SlabMode = Literal["thin", "mip", "minip", "average"]

FEWEST_SLICES = 3
# Differences below these are the rounding of files.
_SAME_DIRECTION = 1e-3
_SAME_PLACE_MM = 1e-2
_SAME_SIZE = 1e-4
_TILT_DEG = 0.5
_UNEVEN_SHARE = 0.05
# A neighbour further away than so many usual distances: what was between them is missing.
_MISSING_SHARE = 1.5
# Most planes that a slab is put together from.
MOST_LAYERS = 48
# Points that are sampled at once: their temporary arrays stay below 32 MiB.
_POINTS_AT_ONCE = 131_072


@dataclass(frozen=True, slots=True)
class Slice:
    """What planning needs to know of one frame; None where the file does not say it.

    Attributes
    ----------
    position, orientation : Image Position and Orientation (Patient), LPS, mm
    pixel_spacing : between rows, between columns, mm
    slope, intercept : of the rescale to modality values
    dtype : of the stored values, as numpy names it
    """

    rows: int
    columns: int
    samples: int
    position: Sequence[float] | None
    orientation: Sequence[float] | None
    pixel_spacing: Sequence[float] | None
    slope: float
    intercept: float
    dtype: str


@dataclass(frozen=True, slots=True)
class VolumeGeometry:
    """Where the voxels lie.

    Attributes
    ----------
    row, column, normal : unit vectors, LPS
    pixel_mm : width and height of a pixel
    locations : of each slice along the normal, ascending, mm
    along_row, along_column : of each slice's first pixel, mm
    slopes, intercepts : of each slice's rescale
    """

    columns: int
    rows: int
    pixel_mm: tuple[float, float]
    row: NDArray[np.float64]
    column: NDArray[np.float64]
    normal: NDArray[np.float64]
    locations: NDArray[np.float64]
    along_row: NDArray[np.float64]
    along_column: NDArray[np.float64]
    slopes: NDArray[np.float64]
    intercepts: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class VolumePlan:
    """How a series makes a volume.

    Attributes
    ----------
    order : indices of the given slices in the order of their places
    spacing_mm : usual distance of neighbours
    missing : how many slices seem to be missing between the first and the last
    notes : what whoever looks at the volume must know, in sentences
    """

    geometry: VolumeGeometry
    order: tuple[int, ...]
    spacing_mm: float
    missing: int
    notes: tuple[str, ...]


def plan_volume(slices: Sequence[Slice]) -> VolumePlan:
    """Read how slices make a volume.

    Raises
    ------
    UnsupportedError
        With a sentence that says why they make none.

    References
    ----------
    DICOM PS3.3 section C.7.6.2.1.1.
    """
    _check(slices)
    first = slices[0]
    orientation = np.asarray(first.orientation, np.float64)
    row, column = _unit(orientation[:3]), _unit(orientation[3:])
    normal = _unit(np.cross(row, column))
    size = first.pixel_spacing or (0.0, 0.0)
    if not all(_is_like(one, first, row, column) for one in slices):
        raise UnsupportedError(
            "The pictures of this series differ in direction, size, kind or pixel spacing, so they "
            "make no volume."
        )
    positions = np.asarray([one.position for one in slices], np.float64)
    order = np.argsort(positions @ normal, kind="stable")
    placed = positions[order]
    locations = placed @ normal
    gaps = np.diff(locations)
    if (gaps < _SAME_PLACE_MM).any():
        raise UnsupportedError(
            "Several pictures of this series lie at the same place (phases, echoes or directions). "
            "Reformatting needs one picture a place."
        )
    usual = float(np.sort(gaps)[len(gaps) // 2])
    missing = int(sum(round(gap / usual) - 1 for gap in gaps if gap > _MISSING_SHARE * usual))
    return VolumePlan(
        geometry=VolumeGeometry(
            columns=first.columns,
            rows=first.rows,
            pixel_mm=(float(size[1]), float(size[0])),
            row=row,
            column=column,
            normal=normal,
            locations=locations,
            along_row=placed @ row,
            along_column=placed @ column,
            slopes=np.asarray([slices[index].slope for index in order], np.float64),
            intercepts=np.asarray([slices[index].intercept for index in order], np.float64),
        ),
        order=tuple(int(index) for index in order),
        spacing_mm=usual,
        missing=missing,
        notes=tuple(_notes(placed, gaps, usual, normal, missing)),
    )


def _check(slices: Sequence[Slice]) -> None:
    if len(slices) < FEWEST_SLICES:
        count = "one image" if len(slices) == 1 else f"{len(slices)} images"
        raise UnsupportedError(
            f"This series has {count}. Reformatting needs at least {FEWEST_SLICES} slices."
        )
    if any(one.samples != 1 for one in slices):
        raise UnsupportedError("This series is in colour. Only grey pictures can be reformatted.")
    if not all(map(_is_placed, slices)):
        raise UnsupportedError(
            "The files of this series do not say where their pictures lie in the patient, so they "
            "cannot be reformatted."
        )


def _is_placed(one: Slice) -> bool:
    values = (*(one.position or ()), *(one.orientation or ()), *(one.pixel_spacing or ()))
    if len(values) != 11 or not all(map(math.isfinite, values)):
        return False
    directions = np.asarray(one.orientation, np.float64)
    across = np.cross(directions[:3], directions[3:])
    # Directions that are (nearly) the same, or none, span no plane.
    return float(np.linalg.norm(across)) > 0.5 and min(one.pixel_spacing or (0,)) > 0


def _is_like(
    one: Slice, first: Slice, row: NDArray[np.float64], column: NDArray[np.float64]
) -> bool:
    directions = np.asarray(one.orientation, np.float64)
    sizes = zip(one.pixel_spacing or (), first.pixel_spacing or (), strict=True)
    return (
        abs(float(_unit(directions[:3]) @ row) - 1) < _SAME_DIRECTION
        and abs(float(_unit(directions[3:]) @ column) - 1) < _SAME_DIRECTION
        and all(abs(a - b) < _SAME_SIZE for a, b in sizes)
        and (one.rows, one.columns, one.dtype) == (first.rows, first.columns, first.dtype)
    )


def _notes(
    placed: NDArray[np.float64],
    gaps: NDArray[np.float64],
    usual: float,
    normal: NDArray[np.float64],
    missing: int,
) -> list[str]:
    notes = []
    along = _unit(placed[-1] - placed[0])
    tilt = math.degrees(math.acos(min(1.0, abs(float(along @ normal)))))
    if tilt > _TILT_DEG:
        notes.append(
            f"The gantry was tilted by {_number(tilt)}°. The reformatted pictures are straightened "
            "by each slice's own position."
        )
    if missing:
        what = "One slice seems" if missing == 1 else f"{missing} slices seem"
        notes.append(
            f"{what} to be missing. What lies there is estimated from its neighbours; look at the "
            "original pictures before you trust a detail."
        )
    narrowest, widest = float(gaps.min()), float(gaps.max())
    if widest - narrowest > _UNEVEN_SHARE * usual:
        notes.append(
            f"The slices are unevenly spaced ({_number(narrowest)} to {_number(widest)} mm). "
            "Between them values are estimated; look at the original pictures before you trust a "
            "detail."
        )
    return notes


def _number(value: float) -> str:
    return f"{round(value, 1):g}"


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = vector / np.linalg.norm(vector)
    return found


@dataclass(frozen=True, slots=True)
class SampleGrid:
    """Points in the patient on which a volume is sampled.

    Attributes
    ----------
    origin : of the first point, LPS, mm
    right, down : unit vectors along a line of points and from line to line
    pixel_mm : distance of neighbours
    """

    origin: NDArray[np.float64]
    right: NDArray[np.float64]
    down: NDArray[np.float64]
    pixel_mm: float
    columns: int
    rows: int

    @property
    def position(self) -> Vector:
        """The first point as Image Position (Patient)."""
        x, y, z = (float(value) for value in self.origin)
        return (x, y, z)


@dataclass(frozen=True, slots=True)
class Slab:
    """How thick what is sampled is, and which value of its depth is taken."""

    mode: SlabMode = "thin"
    thickness_mm: float = 0.0


class Volume:
    """Voxels with their places.

    Parameters
    ----------
    voxels : shape (slices, rows, columns), stored values in the order of the geometry's locations;
        may be memory-mapped, pages of it are read as they are needed
    """

    def __init__(self, geometry: VolumeGeometry, voxels: NDArray[Any]) -> None:
        self.geometry = geometry
        self._voxels = voxels

    def sample(self, grid: SampleGrid, slab: Slab | None = None) -> NDArray[np.float32]:
        """Sample a plane or a slab.

        Returns
        -------
        shape (rows, columns), modality values; NaN outside of the volume
        """
        if slab is None or slab.mode == "thin" or slab.thickness_mm <= 0:
            return self._plane(grid)
        finest = min(*self.geometry.pixel_mm, grid.pixel_mm)
        wanted = math.floor(slab.thickness_mm / finest + 0.5) + 1
        layers = min(max(wanted, 2), MOST_LAYERS)
        normal = np.cross(grid.right, grid.down)
        out = np.full((grid.rows, grid.columns), np.nan, np.float32)
        counts = np.zeros(out.shape, np.uint16)
        for index in range(layers):
            off = (index / (layers - 1) - 0.5) * slab.thickness_mm
            layer = self._plane(_moved(grid, off * normal))
            if slab.mode == "mip":
                np.fmax(out, layer, out=out)
            elif slab.mode == "minip":
                np.fmin(out, layer, out=out)
            else:
                is_there = ~np.isnan(layer)
                counts += is_there
                out = np.where(is_there, np.where(np.isnan(out), layer, out + layer), out)
        if slab.mode == "average":
            out = np.where(counts > 0, out / np.maximum(counts, 1), np.float32(np.nan))
        return out.astype(np.float32, copy=False)

    def _plane(self, grid: SampleGrid) -> NDArray[np.float32]:
        out = np.empty((grid.rows, grid.columns), np.float32)
        lines = max(1, _POINTS_AT_ONCE // max(grid.columns, 1))
        for first in range(0, grid.rows, lines):
            last = min(first + lines, grid.rows)
            out[first:last] = self._lines(grid, first, last)
        return out

    def _lines(self, grid: SampleGrid, first: int, last: int) -> NDArray[np.float64]:
        g = self.geometry
        across = np.arange(grid.columns, dtype=np.float64)[None, :] * grid.pixel_mm
        below = np.arange(first, last, dtype=np.float64)[:, None] * grid.pixel_mm

        def along(axis: NDArray[np.float64]) -> NDArray[np.float64]:
            found: NDArray[np.float64] = (
                grid.origin @ axis + across * (grid.right @ axis) + below * (grid.down @ axis)
            )
            return found

        location = along(g.normal)
        lower = np.clip(
            np.searchsorted(g.locations, location, side="right") - 1, 0, len(g.locations) - 2
        )
        upper = lower + 1
        from_mm, to_mm = g.locations[lower], g.locations[upper]
        share = np.clip((location - from_mm) / (to_mm - from_mm), 0.0, 1.0)
        # A leaning stack's slices begin elsewhere each: the place within them runs along.
        begin_row = g.along_row[lower] * (1 - share) + g.along_row[upper] * share
        begin_column = g.along_column[lower] * (1 - share) + g.along_column[upper] * share
        column = (along(g.row) - begin_row) / g.pixel_mm[0]
        row = (along(g.column) - begin_column) / g.pixel_mm[1]
        lowest, highest = g.locations[0], g.locations[-1]
        margin = (highest - lowest) / (len(g.locations) - 1) / 2
        is_inside = (
            (location >= lowest - margin)
            & (location <= highest + margin)
            & (column >= -0.5)
            & (row >= -0.5)
            & (column <= g.columns - 0.5)
            & (row <= g.rows - 0.5)
        )
        value = self._in_slice(lower, column, row) * (1 - share)
        value += self._in_slice(upper, column, row) * share
        value[~is_inside] = np.nan
        return value

    def _in_slice(
        self, k: NDArray[np.intp], column: NDArray[np.float64], row: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        g = self.geometry
        c = np.clip(column, 0, g.columns - 1)
        r = np.clip(row, 0, g.rows - 1)
        c0 = np.minimum(np.floor(c), max(g.columns - 2, 0)).astype(np.intp)
        r0 = np.minimum(np.floor(r), max(g.rows - 2, 0)).astype(np.intp)
        fc, fr = c - c0, r - r0
        c1, r1 = c0 + (g.columns > 1), r0 + (g.rows > 1)
        voxels = self._voxels
        top = voxels[k, r0, c0] * (1 - fc) + voxels[k, r0, c1] * fc
        bottom = voxels[k, r1, c0] * (1 - fc) + voxels[k, r1, c1] * fc
        found: NDArray[np.float64] = (top * (1 - fr) + bottom * fr) * g.slopes[k] + g.intercepts[k]
        return found


def _moved(grid: SampleGrid, by: NDArray[np.float64]) -> SampleGrid:
    return SampleGrid(
        grid.origin + by, grid.right, grid.down, grid.pixel_mm, grid.columns, grid.rows
    )
