"""Pictures of a whole volume, computed with the processor by following rays.

The same presets, light and framing as the viewer's (`frontend/src/viewer/core/render3d.ts`).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imaging.reformat import corners
from imaging.volume import SampleGrid, Volume

Floats = NDArray[np.float64]

_TABLE = 1024
_ENOUGH = 0.97
# A step that covers less is not seen.
_CLEAR = 0.001
# How often the step that meets a surface is halved: to a sixteenth of its length.
_HALVINGS = 4
# Of a MIP, values below this share of the range are as good as black.
_DARK = 0.05
# How much of the picture's side the sphere about what is seen takes.
_FILLED = 0.96


@dataclass(frozen=True, slots=True)
class Preset:
    """How values become light and matter.

    Attributes
    ----------
    is_mip : highest value along each ray instead
    is_relative : the values of `points` are shares of the volume's range
    points : value, red, green, blue (0 to 255), opacity a millimetre (0 to 1)
    """

    name: str
    points: tuple[tuple[float, float, float, float, float], ...] = ()
    is_mip: bool = False
    is_relative: bool = False


PRESETS: dict[str, Preset] = {
    "bone": Preset(
        "Bone",
        (
            (150, 150, 70, 50, 0),
            (300, 215, 170, 120, 0.15),
            (700, 245, 235, 210, 0.6),
            (2000, 255, 255, 250, 0.9),
        ),
    ),
    "skin": Preset(
        "Skin and bone",
        (
            (-500, 190, 130, 110, 0),
            (-250, 215, 160, 135, 0.12),
            (50, 225, 170, 140, 0.18),
            (300, 245, 230, 205, 0.6),
            (2000, 255, 255, 250, 0.9),
        ),
    ),
    "vessels": Preset(
        "Vessels",
        (
            (120, 120, 0, 0, 0),
            (220, 210, 40, 30, 0.25),
            (400, 250, 190, 150, 0.5),
            (1500, 255, 255, 245, 0.8),
        ),
    ),
    "lung": Preset(
        "Lung",
        (
            (-950, 60, 60, 90, 0),
            (-850, 130, 150, 190, 0.012),
            (-600, 190, 180, 190, 0.03),
            (-300, 230, 150, 140, 0),
        ),
    ),
    "surface": Preset(
        "Surface",
        ((0.12, 120, 90, 80, 0), (0.3, 210, 175, 150, 0.2), (1, 255, 250, 240, 0.7)),
        is_relative=True,
    ),
    "mip": Preset("MIP", is_mip=True, is_relative=True),
}
# Those whose values are Hounsfield units.
OF_CT = frozenset(("bone", "skin", "vessels", "lung"))


def turned(view: int, views: int) -> tuple[float, ...]:
    """Return a camera's directions (right, down) of one of `views` about the body's long axis.

    View 0 is from the front, the feet below; the next ones go round to the patient's left.
    """
    angle = 2 * math.pi * view / views
    return (math.cos(angle), math.sin(angle), 0.0, 0.0, 0.0, -1.0)


class CellGrid:
    """Even cells along the patient's axes.

    Parameters
    ----------
    most_cells : along the longest side
    """

    def __init__(self, volume: Volume, *, most_cells: int) -> None:
        points = corners(volume.geometry)
        low, high = points.min(axis=0), points.max(axis=0)
        self.size_mm = max(float((high - low).max()) / (most_cells - 1), 1e-3)
        nx, ny, nz = (max(2, int(extent / self.size_mm) + 1) for extent in high - low)
        # Axes z, y, x: a plane of the volume is one piece of memory.
        self.cells = np.empty((nz, ny, nx), np.float32)
        right, down = np.array((1.0, 0, 0)), np.array((0, 1.0, 0))
        for z in range(nz):
            origin = low + np.array((0, 0, z * self.size_mm))
            grid = SampleGrid(origin, right, down, self.size_mm, nx, ny)
            self.cells[z] = volume.sample(grid)
        is_known = ~np.isnan(self.cells)
        self.least = float(self.cells[is_known].min()) if is_known.any() else 0.0
        self.greatest = float(self.cells[is_known].max()) if is_known.any() else 1.0
        # Outside of the slices is what is lowest inside: mostly air.
        self.cells[~is_known] = self.least

    @property
    def counts(self) -> Floats:
        """Cells along x, y and z."""
        return np.asarray(self.cells.shape[::-1], np.float64)

    def render(
        self, orientation: tuple[float, ...], preset: Preset, side: int
    ) -> NDArray[np.uint8]:
        """Draw what is seen from one side.

        Parameters
        ----------
        orientation : the picture's direction to the right and downwards, LPS
        side : of the picture in pixels; it holds what is seen however that is turned

        Returns
        -------
        shape (side, side, 3), RGB
        """
        right, down = np.asarray(orientation[:3], float), np.asarray(orientation[3:], float)
        forward = np.cross(right, down)
        middle, radius = self._sphere(preset)
        step = 2 * radius / side
        places = (np.arange(side) + 0.5) * step - radius
        v, u = np.meshgrid(places, places, indexing="ij")
        start = middle + u.reshape(-1, 1) * right + v.reshape(-1, 1) * down - radius * forward
        begin, end = self._span(start, forward, 2 * radius)
        is_hit = begin < end
        out = np.zeros((side * side, 3), np.uint8)
        if is_hit.any():
            rays = start[is_hit], begin[is_hit], end[is_hit]
            follow = self._highest if preset.is_mip else self._follow
            out[is_hit] = np.clip(follow(*rays, forward, preset), 0, 255).astype(np.uint8)
        return out.reshape(side, side, 3)

    def _sphere(self, preset: Preset) -> tuple[Floats, float]:
        """Return the sphere about all cells that are seen: of a head in air the head alone."""
        span = (self.greatest - self.least) or 1.0
        if preset.is_mip:
            is_seen = self.cells > self.least + _DARK * span
        else:
            opacity = self._table(preset, self.size_mm)[:, 3]
            is_seen = opacity[self._entry(self.cells)] > _CLEAR
        z, y, x = np.nonzero(is_seen)
        if not x.size:
            middle = (self.counts - 1) / 2
            return middle, (float(np.linalg.norm(self.counts)) / 2 + 1) / _FILLED
        middle = np.array([(axis.min() + axis.max()) / 2 for axis in (x, y, z)], np.float64)
        square = (x - middle[0]) ** 2 + (y - middle[1]) ** 2 + (z - middle[2]) ** 2
        return middle, (math.sqrt(float(square.max())) + 1) / _FILLED

    def _table(self, preset: Preset, step_mm: float) -> Floats:
        """Return colours and the opacity of a step over the whole range; shape (1024, 4)."""
        span = (self.greatest - self.least) or 1.0
        values = self.least + np.arange(_TABLE) / (_TABLE - 1) * span
        points = np.asarray(preset.points, np.float64)
        places = self.least + points[:, 0] * span if preset.is_relative else points[:, 0]
        table = np.stack([np.interp(values, places, points[:, at]) for at in range(1, 5)], axis=1)
        table[values < places[0], 3] = 0
        table[:, 3] = 1 - (1 - np.minimum(table[:, 3], 0.999)) ** step_mm
        return table

    def _entry(self, values: NDArray[np.floating]) -> NDArray[np.intp]:
        scale = (_TABLE - 1) / ((self.greatest - self.least) or 1.0)
        found: NDArray[np.intp] = np.clip((values - self.least) * scale, 0, _TABLE - 1).astype(
            np.intp
        )
        return found

    def _span(self, start: Floats, forward: Floats, length: float) -> tuple[Floats, Floats]:
        """Return the part of each ray that lies within the cells."""
        begin, end = np.zeros(len(start)), np.full(len(start), length)
        for axis in range(3):
            near, far = -start[:, axis], self.counts[axis] - 1 - start[:, axis]
            if abs(forward[axis]) < 1e-9:
                end[(near > 0) | (far < 0)] = -1
                continue
            one, other = near / forward[axis], far / forward[axis]
            np.maximum(begin, np.minimum(one, other), out=begin)
            np.minimum(end, np.maximum(one, other), out=end)
        return begin, end

    def _follow(
        self, start: Floats, begin: Floats, end: Floats, forward: Floats, preset: Preset
    ) -> Floats:
        table = self._table(preset, self.size_mm)
        opacities = table[:, 3]
        light = np.zeros((len(start), 3))
        alpha = np.zeros(len(start))
        was_clear = np.zeros(len(start), bool)
        t = begin.copy()
        going = np.arange(len(start))
        while going.size:
            at = t[going]
            index = self._entry(self._values(start[going] + at[:, None] * forward))
            is_seen = opacities[index] > _CLEAR
            was_clear[going[~is_seen]] = True
            seen, at, index = going[is_seen], at[is_seen], index[is_seen]
            if seen.size:
                fresh = was_clear[seen]
                if fresh.any():
                    place, found = self._surface(
                        start[seen[fresh]], at[fresh], forward, opacities, index[fresh]
                    )
                    at[fresh], index[fresh] = place, found
                    t[seen[fresh]] = place
                    was_clear[seen] = False
                places = start[seen] + at[:, None] * forward
                share = opacities[index] * (1 - alpha[seen])
                light[seen] += table[index, :3] * (self._light(places, forward) * share)[:, None]
                alpha[seen] += share
            t[going] += 1.0
            going = going[(t[going] <= end[going]) & (alpha[going] < _ENOUGH)]
        return light

    def _surface(
        self,
        start: Floats,
        at: Floats,
        forward: Floats,
        opacities: Floats,
        index: NDArray[np.intp],
    ) -> tuple[Floats, NDArray[np.intp]]:
        """Move to where rays meet a surface: where steps happen to fall would be seen as rings."""
        clear, hit, found = at - 1.0, at.copy(), index.copy()
        for _ in range(_HALVINGS):
            between = (clear + hit) / 2
            entry = self._entry(self._values(start + between[:, None] * forward))
            is_seen = opacities[entry] > _CLEAR
            hit = np.where(is_seen, between, hit)
            found = np.where(is_seen, entry, found)
            clear = np.where(is_seen, clear, between)
        return hit, found

    def _highest(
        self, start: Floats, begin: Floats, end: Floats, forward: Floats, _preset: Preset
    ) -> Floats:
        found = np.full(len(start), self.least)
        t = begin.copy()
        going = np.arange(len(start))
        while going.size:
            values = self._values(start[going] + t[going, None] * forward)
            found[going] = np.maximum(found[going], values)
            t[going] += 1.0
            going = going[t[going] <= end[going]]
        level = (found - self.least) / ((self.greatest - self.least) or 1.0) * 255
        return np.repeat(level[:, None], 3, axis=1)

    def _light(self, places: Floats, forward: Floats) -> Floats:
        """Return how bright surfaces are: a lamp at the eye."""
        slope = np.empty_like(places)
        for axis in range(3):
            away = np.zeros(3)
            away[axis] = 1.0
            slope[:, axis] = self._values(places + away) - self._values(places - away)
        length = np.linalg.norm(slope, axis=1)
        facing = np.abs(slope @ forward) / np.where(length > 0, length, 1.0)
        return np.where(length > 0, 0.3 + 0.7 * facing, 1.0)

    def _values(self, places: Floats) -> Floats:
        """Return values between cells, linear along each axis; `places` in cells, x, y, z."""
        nx, ny, nz = self.cells.shape[::-1]
        clipped = np.clip(places, 0, (nx - 1.001, ny - 1.001, nz - 1.001))
        whole = clipped.astype(np.intp)
        fx, fy, fz = (clipped - whole).T
        flat = self.cells.reshape(-1)
        at = (whole[:, 2] * ny + whole[:, 1]) * nx + whole[:, 0]

        def line(first: NDArray[np.intp]) -> Floats:
            values: Floats = flat[first] * (1 - fx) + flat[first + 1] * fx
            return values

        over = at + nx * ny
        near: Floats = line(at) * (1 - fy) + line(at + nx) * fy
        far: Floats = line(over) * (1 - fy) + line(over + nx) * fy
        found: Floats = near * (1 - fz) + far * fz
        return found
