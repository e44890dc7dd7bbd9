"""On which pictures of a series the frames of a segmentation lie, pixel upon pixel."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imaging.derived import Vector
from imaging.errors import UnsupportedError

# Frames of one grid agree in their corners but for the rounding of files: a tenth of a pixel.
_SHARE_OF_PIXEL = 0.1
_LEAST_TOLERANCE_MM = 0.01


@dataclass(frozen=True, slots=True)
class Footprint:
    """Where a frame lies.

    Attributes
    ----------
    sop_instance_uid, frame_number : of a picture, its own; of a frame of a segmentation, those of
        the picture that it was made of, empty and None where it names none
    position, orientation, spacing : LPS in mm (PS3.3 C.7.6.2.1.1); None where it says none
    """

    rows: int
    columns: int
    sop_instance_uid: str = ""
    frame_number: int | None = None
    position: Vector | None = None
    orientation: tuple[float, ...] | None = None
    spacing: tuple[float, float] | None = None


def places_on(frames: Sequence[Footprint], pictures: Sequence[Footprint]) -> list[int]:
    """Return for each frame the index of the picture that it lies on, pixel upon pixel.

    Parameters
    ----------
    frames : of a segmentation
    pictures : of one series

    Raises
    ------
    UnsupportedError
        When a frame has another size, place or direction than the pictures; in words.
    """
    sizes = {(one.rows, one.columns) for one in pictures}
    for frame in frames:
        if (frame.rows, frame.columns) not in sizes:
            shown = ", ".join(f"{rows} x {columns}" for rows, columns in sorted(sizes))
            raise UnsupportedError(
                f"Its frames have {frame.rows} x {frame.columns} pixels, the pictures {shown}: it "
                "was made on another grid."
            )
    named = {(one.sop_instance_uid, one.frame_number): at for at, one in enumerate(pictures)}
    counts: dict[str, int] = {}
    for one in pictures:
        counts[one.sop_instance_uid] = counts.get(one.sop_instance_uid, 0) + 1
    corners = np.array([_corners(one) for one in pictures])
    found = []
    for frame in frames:
        number = frame.frame_number
        if number is None and counts.get(frame.sop_instance_uid) == 1:
            number = 1
        at = named.get((frame.sop_instance_uid, number))
        if at is None:
            at = _nearest(frame, corners)
        elif not _agree(frame, pictures[at], corners[at]):
            at = None
        if at is None or (pictures[at].rows, pictures[at].columns) != (frame.rows, frame.columns):
            raise UnsupportedError(
                "Its frames do not lie on the pictures pixel upon pixel: they are between them, "
                "moved or turned."
            )
        found.append(at)
    return found


def _corners(one: Footprint) -> NDArray[np.float64]:
    """Return the middles of the first pixel, the last of its row and the last of its column."""
    if one.position is None or one.orientation is None or one.spacing is None:
        return np.full((3, 3), np.nan)
    first = np.array(one.position)
    right = np.array(one.orientation[:3]) * one.spacing[1] * (one.columns - 1)
    down = np.array(one.orientation[3:]) * one.spacing[0] * (one.rows - 1)
    return np.stack((first, first + right, first + down))


def _tolerance(one: Footprint) -> float:
    return max(_LEAST_TOLERANCE_MM, _SHARE_OF_PIXEL * min(one.spacing or (0.0, 0.0)))


def _agree(frame: Footprint, picture: Footprint, corners: NDArray[np.float64]) -> bool:
    """Say whether two places are one; what has no place is told by its name alone."""
    away = np.abs(_corners(frame) - corners)
    return not np.isfinite(away).all() or float(away.max()) <= _tolerance(picture)


def _nearest(frame: Footprint, corners: NDArray[np.float64]) -> int | None:
    away = np.abs(corners - _corners(frame)).max(axis=(1, 2))
    if not np.isfinite(away).any():
        return None
    at = int(np.nanargmin(away))
    return at if away[at] <= _tolerance(frame) else None
