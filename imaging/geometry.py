"""Where slices lie in the patient: order, spacing, orientation letters."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

Vector = tuple[float, float, float]

# How far a dot product may stray before directions count as different: 0.1 degrees or so, the
# rounding of 16-character DS values included.
_DIRECTION_TOLERANCE = 1e-3
_UNIT_TOLERANCE = 1e-2


@dataclass(frozen=True, slots=True)
class Stack:
    """Slices in order along their normal.

    Parameters
    ----------
    order : indices of the given slices, from the feet, the right or the front on
    positions_mm : along the normal, in that order
    spacing_mm : median distance of neighbours, 0 for one slice
    is_regular : all neighbours are equally far apart, none twice, so a volume can be made
    gaps : index into `order` of each slice after which at least one is missing
    duplicates : index into `order` of each slice that lies where the one before lies
    """

    order: tuple[int, ...]
    positions_mm: tuple[float, ...]
    spacing_mm: float
    is_regular: bool
    gaps: tuple[int, ...]
    duplicates: tuple[int, ...]


def is_usable_orientation(orientation: Sequence[float] | None) -> bool:
    """Say whether Image Orientation (Patient) is two unit vectors at right angles.

    References
    ----------
    DICOM PS3.3 section C.7.6.2.1.1.
    """
    if orientation is None or len(orientation) != 6 or not all(map(math.isfinite, orientation)):
        return False
    row, column = orientation[:3], orientation[3:]
    return (
        abs(math.hypot(*row) - 1) < _UNIT_TOLERANCE
        and abs(math.hypot(*column) - 1) < _UNIT_TOLERANCE
        and abs(_dot(row, column)) < _UNIT_TOLERANCE
    )


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def normal(orientation: Sequence[float]) -> Vector:
    """Return the normal of a slice: row direction cross column direction, LPS."""
    rx, ry, rz, cx, cy, cz = orientation
    return (ry * cz - rz * cy, rz * cx - rx * cz, rx * cy - ry * cx)


def are_parallel(a: Sequence[float], b: Sequence[float]) -> bool:
    """Say whether two usable orientations show the same plane the same way round."""
    return (
        _dot(a[:3], b[:3]) > 1 - _DIRECTION_TOLERANCE
        and _dot(a[3:], b[3:]) > 1 - _DIRECTION_TOLERANCE
    )


def position_along(position: Sequence[float], direction: Sequence[float]) -> float:
    """Return the distance of a point from the origin along a direction, in mm."""
    return _dot(position, direction)


def sort_slices(
    positions: Sequence[Sequence[float] | None],
    orientations: Sequence[Sequence[float] | None],
    *,
    tolerance_mm: float = 0.01,
) -> Stack | None:
    """Order parallel slices by their position along the normal.

    Parameters
    ----------
    positions : Image Position (Patient) of each slice, LPS, mm
    orientations : Image Orientation (Patient) of each slice
    tolerance_mm : by which neighbouring distances may differ; at least 1 % of the spacing is
        allowed

    Returns
    -------
    None if a slice lacks a usable place or they are not parallel: then only Instance Number orders
    them.

    References
    ----------
    DICOM PS3.3 section C.7.6.2.1.1.
    """
    first = orientations[0] if orientations else None
    if first is None or not is_usable_orientation(first):
        return None
    direction = normal(first)
    distances: list[float] = []
    for position, orientation in zip(positions, orientations, strict=True):
        if (
            position is None
            or len(position) != 3
            or orientation is None
            or not all(map(math.isfinite, position))
            or not is_usable_orientation(orientation)
            or not are_parallel(first, orientation)
        ):
            return None
        distances.append(position_along(position, direction))
    order = sorted(range(len(distances)), key=distances.__getitem__)
    return _measure(tuple(order), tuple(distances[index] for index in order), tolerance_mm)


def _measure(order: tuple[int, ...], along: tuple[float, ...], tolerance_mm: float) -> Stack:
    steps = [after - before for before, after in pairwise(along)]
    duplicates = tuple(index for index, step in enumerate(steps, 1) if step < tolerance_mm)
    lawful = sorted(step for step in steps if step >= tolerance_mm)
    spacing = lawful[len(lawful) // 2] if lawful else 0.0
    allowed = max(tolerance_mm, spacing * 0.01)
    return Stack(
        order=order,
        positions_mm=along,
        spacing_mm=spacing,
        is_regular=len(steps) > 0 and all(abs(step - spacing) <= allowed for step in steps),
        gaps=tuple(index for index, step in enumerate(steps) if step > spacing * 1.5),
        duplicates=duplicates,
    )


def direction_letters(direction: Sequence[float], *, threshold: float = 0.1) -> str:
    """Name a direction in the patient by its letters, the strongest first.

    Parameters
    ----------
    direction : LPS: x to the left, y to the back (posterior), z to the head
    threshold : share of an axis from which on it is named; 0.1 is 6 degrees

    Returns
    -------
    Of L R P A H F, at most three, for example ``"L"`` or ``"PF"``; empty for no direction.

    References
    ----------
    DICOM PS3.3 section C.7.6.1.1.1.
    """
    length = math.hypot(*direction) if all(map(math.isfinite, direction)) else 0.0
    if length < 1e-6:
        return ""
    shares = [
        (abs(part) / length, letters[part < 0])
        for part, letters in zip(direction, ("LR", "PA", "HF"), strict=True)
    ]
    named = sorted((share for share in shares if share[0] >= threshold), key=lambda s: -s[0])
    return "".join(letter for _, letter in named)


_OPPOSITE = str.maketrans("LRPAHF", "RLAPFH")


def opposite_letters(letters: str) -> str:
    """Return the letters of the opposite direction."""
    return letters.translate(_OPPOSITE)


@dataclass(frozen=True, slots=True)
class EdgeLetters:
    """The letters at the four edges of an image; empty where unknown."""

    left: str
    right: str
    top: str
    bottom: str


def edge_letters(
    orientation: Sequence[float] | None, patient_orientation: Sequence[str] | None = None
) -> EdgeLetters:
    """Return what stands at the edges of an image.

    Parameters
    ----------
    orientation : Image Orientation (Patient), preferred if it is usable
    patient_orientation : Patient Orientation: the letters to the right and to the bottom
    """
    if orientation is not None and is_usable_orientation(orientation):
        right, bottom = direction_letters(orientation[:3]), direction_letters(orientation[3:])
    elif patient_orientation and len(patient_orientation) >= 2:
        right, bottom = (
            "".join(letter for letter in text if letter in "LRPAHF")
            for text in patient_orientation[:2]
        )
    else:
        right = bottom = ""
    return EdgeLetters(opposite_letters(right), right, opposite_letters(bottom), bottom)


def pixel_to_patient(
    point: tuple[float, float],
    *,
    position: Sequence[float],
    orientation: Sequence[float],
    pixel_spacing: Sequence[float],
) -> Vector:
    """Return where an image point lies in the patient.

    Parameters
    ----------
    point : (column, row), 0,0 is the centre of the first pixel
    pixel_spacing : (between rows, between columns), mm

    Returns
    -------
    LPS, mm

    References
    ----------
    DICOM PS3.3 equation C.7.6.2.1-1.
    """
    column, row = point
    along_row, along_column = column * pixel_spacing[1], row * pixel_spacing[0]
    x, y, z = (
        position[axis] + orientation[axis] * along_row + orientation[axis + 3] * along_column
        for axis in range(3)
    )
    return (x, y, z)


def patient_to_pixel(
    point_mm: Sequence[float],
    *,
    position: Sequence[float],
    orientation: Sequence[float],
    pixel_spacing: Sequence[float],
) -> Vector:
    """Return where a point of the patient lies on an image, and how far from its plane.

    Parameters
    ----------
    point_mm : LPS
    pixel_spacing : (between rows, between columns), mm

    Returns
    -------
    (column, row, distance in mm along the image's normal)

    References
    ----------
    DICOM PS3.3 equation C.7.6.2.1-1, turned round: rows and columns are at right angles.
    """
    away = [point_mm[axis] - position[axis] for axis in range(3)]
    return (
        _dot(away, orientation[:3]) / pixel_spacing[1],
        _dot(away, orientation[3:]) / pixel_spacing[0],
        _dot(away, normal(orientation)),
    )
