"""Masks as runs of equal pixels, and how much of a patient they cover."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imaging.derived import Contour, Derived, Plane, distances
from imaging.errors import DecodeError, LimitError
from imaging.geometry import normal

Runs = NDArray[np.uint32]
MOST_PIXELS = (1 << 24) - 1
_LABEL_BITS = 8


def to_runs(mask: NDArray[Any]) -> Runs:
    """Write a mask as runs.

    Parameters
    ----------
    mask : shape (rows, columns), values 0 to 255

    Returns
    -------
    Of each run, in reading order, its value in the lowest 8 bits and its length above them.

    Raises
    ------
    LimitError
        When the mask has more pixels than a run may be long.
    """
    flat = np.ascontiguousarray(mask).ravel()
    if flat.size > MOST_PIXELS:
        raise LimitError("A frame of the segmentation is too large to be shown. Download it.")
    starts = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1)).astype(np.int64)
    lengths = np.diff(starts, append=flat.size)
    return (flat[starts].astype(np.uint32) | (lengths.astype(np.uint32) << _LABEL_BITS)).astype(
        "<u4"
    )


def from_runs(runs: NDArray[Any], rows: int, columns: int) -> NDArray[np.uint8]:
    """Read a mask that `to_runs` wrote.

    Raises
    ------
    DecodeError
        When the runs are not exactly as many pixels.
    """
    lengths = runs >> _LABEL_BITS
    if int(lengths.sum(dtype=np.int64)) != rows * columns or (lengths == 0).any():
        raise DecodeError("The mask does not fill its image exactly.")
    return np.repeat((runs & 0xFF).astype(np.uint8), lengths).reshape(rows, columns)


@dataclass(frozen=True, slots=True)
class Volume:
    """How much a part covers.

    Attributes
    ----------
    millilitres : None where the object does not say how large its pixels are
    source : where the millimetres come from, in words
    """

    millilitres: float | None
    source: str


def slice_distance(derived: Derived) -> tuple[float | None, str]:
    """Return how thick the slices of an object are taken to be in mm, and who says so."""
    if derived.between_slices and derived.between_slices > 0:
        return derived.between_slices, "Spacing Between Slices"
    found = distances(_locations(derived.planes))
    if found is not None:
        return found, "distance of the slices"
    if derived.thickness and derived.thickness > 0:
        return derived.thickness, "Slice Thickness"
    return None, ""


def volume_of(counts: Iterable[tuple[Plane, float]], derived: Derived) -> Volume:
    """Return the volume of a part.

    Parameters
    ----------
    counts : its planes, with how many pixels of each it covers
    """
    distance, source = slice_distance(derived)
    area = 0.0
    for plane, pixels in counts:
        if not pixels:
            continue
        if plane.spacing is None or distance is None:
            return Volume(None, "The object does not say how large its pixels are.")
        area += pixels * plane.spacing[0] * plane.spacing[1]
    if distance is None:
        return Volume(None, "The object does not say how large its pixels are.")
    return Volume(area * distance / 1000, f"Pixel Spacing x {source} ({distance:g} mm)")


def volume_of_contours(contours: Sequence[Contour]) -> Volume:
    """Return the volume inside closed outlines; what lies inside another one is a hole.

    References
    ----------
    DICOM PS3.3 C.8.8.6.3: an inner outline is excluded.
    """
    closed = [np.array(contour.points_mm) for contour in contours if contour.is_closed]
    if not closed:
        return Volume(None, "Points and open lines enclose nothing.")
    across = _normal_of(closed)
    levels: dict[float, list[NDArray[np.float64]]] = {}
    for points in closed:
        levels.setdefault(round(float(points[0] @ across), 2), []).append(points)
    distance = distances(list(levels))
    if distance is None:
        return Volume(None, "A structure on one slice has an area and no volume.")
    right, down = _axes(across)
    area = 0.0
    for outlines in levels.values():
        flat = [np.stack((points @ right, points @ down), axis=1) for points in outlines]
        for number, outline in enumerate(flat):
            around = sum(_holds(other, outline[0]) for at, other in enumerate(flat) if at != number)
            area += _area(outline) * (-1 if around % 2 else 1)
    return Volume(area * distance / 1000, f"outlines x distance of the slices ({distance:g} mm)")


def _locations(planes: Sequence[Plane]) -> list[float]:
    placed = [plane for plane in planes if plane.position and plane.orientation]
    if not placed:
        return []
    across = np.array(normal(placed[0].orientation or ()))
    return sorted({round(float(np.array(plane.position) @ across), 3) for plane in placed})


def _normal_of(outlines: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the direction across the outlines' planes (Newell's method on the largest)."""
    points = max(outlines, key=len)
    turned = np.roll(points, -1, axis=0)
    across = np.cross(points, turned).sum(axis=0)
    length = float(np.linalg.norm(across))
    if length < 1e-9:
        return np.array([0.0, 0.0, 1.0])
    sign = 1.0 if across[np.argmax(np.abs(across))] > 0 else -1.0
    found: NDArray[np.float64] = across * (sign / length)
    return found


def _axes(across: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    start = np.eye(3)[int(np.argmin(np.abs(across)))]
    right = np.cross(across, start)
    right /= np.linalg.norm(right)
    return right, np.cross(across, right)


def _area(outline: NDArray[np.float64]) -> float:
    x, y = outline[:, 0], outline[:, 1]
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def _holds(outline: NDArray[np.float64], point: NDArray[np.float64]) -> bool:
    x, y = outline[:, 0], outline[:, 1]
    x2, y2 = np.roll(x, -1), np.roll(y, -1)
    crosses = (y > point[1]) != (y2 > point[1])
    if not crosses.any():
        return False
    at = x[crosses] + (point[1] - y[crosses]) * (x2 - x)[crosses] / (y2 - y)[crosses]
    return bool(np.count_nonzero(at > point[0]) % 2)
