"""Where slices lie: order, spacing, letters; expected values by hand or by rotation matrices."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from imaging.geometry import (
    EdgeLetters,
    direction_letters,
    edge_letters,
    is_usable_orientation,
    normal,
    opposite_letters,
    pixel_to_patient,
    sort_slices,
)
from imaging.header import read_index

AXIAL = [1, 0, 0, 0, 1, 0]
CORONAL = [1, 0, 0, 0, 0, -1]
SAGITTAL = [0, 1, 0, 0, 0, -1]


def tilted(degrees: float) -> list[float]:
    """Axial slices of a gantry that leans."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return [1, 0, 0, 0, c, s]


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [(AXIAL, (0, 0, 1)), (CORONAL, (0, 1, 0)), (SAGITTAL, (-1, 0, 0))],
)
def test_normals(orientation: list[float], expected: tuple[float, float, float]) -> None:
    assert normal(orientation) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("orientation", "is_usable"),
    [
        (AXIAL, True),
        (tilted(17), True),
        ([0.999, 0.005, 0, 0, 1, 0], True),
        ([0, 0, 0, 0, 0, 0], False),
        ([1, 0, 0, 1, 0, 0], False),
        ([1, 0, 0, 0, 2, 0], False),
        ([1, 0, 0, 0, math.nan, 0], False),
        ([1, 0, 0], False),
        (None, False),
    ],
)
def test_usable_orientations(orientation: list[float] | None, is_usable: bool) -> None:
    assert is_usable_orientation(orientation) is is_usable


def test_slices_are_sorted_by_position_not_by_number() -> None:
    stack = sort_slices([[0, 0, z] for z in (5, -10, 0, -5)], [AXIAL] * 4)
    assert stack is not None
    assert stack.order == (1, 3, 2, 0)
    assert stack.positions_mm == (-10, -5, 0, 5)
    assert stack.spacing_mm == 5
    assert stack.is_regular
    assert stack.gaps == ()


def test_spacing_is_measured_along_the_normal() -> None:
    """A leaning gantry: the table moves 5 mm, the slices are 5 mm x cos 30 apart."""
    stack = sort_slices([[0, 0, z] for z in range(0, 50, 5)], [tilted(30)] * 10)
    assert stack is not None
    assert stack.spacing_mm == pytest.approx(5 * math.cos(math.radians(30)))
    assert stack.is_regular


def test_a_missing_slice_is_found() -> None:
    stack = sort_slices([[0, 0, z] for z in (0, 1, 2, 4, 5)], [AXIAL] * 5)
    assert stack is not None
    assert not stack.is_regular
    assert stack.gaps == (2,)
    assert stack.spacing_mm == 1


def test_doubled_slices_are_found() -> None:
    stack = sort_slices([[0, 0, z] for z in (0, 1, 1, 2)], [AXIAL] * 4)
    assert stack is not None
    assert not stack.is_regular
    assert stack.duplicates == (2,)
    assert stack.spacing_mm == 1


def test_rounding_of_positions_is_regular() -> None:
    stack = sort_slices([[0, 0, round(z * 0.6333333, 2)] for z in range(30)], [AXIAL] * 30)
    assert stack is not None
    assert stack.is_regular


@pytest.mark.parametrize(
    ("positions", "orientations"),
    [
        ([[0, 0, 0], None], [AXIAL, AXIAL]),
        ([[0, 0, 0], [0, 0, 1]], [AXIAL, None]),
        ([[0, 0, 0], [0, 0, 1]], [AXIAL, CORONAL]),
        ([[0, 0, 0], [0, 0, 1]], [AXIAL, [-1, 0, 0, 0, -1, 0]]),
        ([[0, 0, 0], [0, 0, math.inf]], [AXIAL, AXIAL]),
        ([[0, 0, 0], [0, 1]], [AXIAL, AXIAL]),
        ([[0, 0, 0]], [[0, 0, 0, 0, 0, 0]]),
        ([], []),
    ],
    ids=["no position", "no orientation", "planes", "turned", "inf", "short", "zero", "none"],
)
def test_slices_without_an_order(
    positions: list[list[float] | None], orientations: list[list[float] | None]
) -> None:
    assert sort_slices(positions, orientations) is None


def test_one_slice_is_no_volume() -> None:
    stack = sort_slices([[0, 0, 7]], [AXIAL])
    assert stack is not None
    assert stack.positions_mm == (7,)
    assert not stack.is_regular


def test_the_phantom_is_a_regular_volume(data: Path) -> None:
    """88 contiguous 1 mm slices, as their README says."""
    with (data / "manifest.csv").open(newline="") as file:
        names = [r["path"] for r in csv.DictReader(file) if "head_phantom_1mm" in r["path"]]
    displays = [read_index(data / name).display for name in names]
    stack = sort_slices(
        [display["ImagePositionPatient"] for display in displays],
        [display["ImageOrientationPatient"] for display in displays],
    )
    assert stack is not None
    assert len(stack.order) == 88
    assert stack.spacing_mm == pytest.approx(1, abs=0.01)
    assert stack.is_regular


@pytest.mark.parametrize(
    ("direction", "letters"),
    [
        ((1, 0, 0), "L"),
        ((-1, 0, 0), "R"),
        ((0, 1, 0), "P"),
        ((0, -1, 0), "A"),
        ((0, 0, 1), "H"),
        ((0, 0, -1), "F"),
        ((0, 0.9, -0.5), "PF"),
        ((0.5, 0, 0.9), "HL"),
        ((1, 1.5, -2), "FPL"),
        ((100, 1, 0), "L"),
        ((0, 0, 0), ""),
        ((math.nan, 0, 0), ""),
    ],
)
def test_letters(direction: tuple[float, float, float], letters: str) -> None:
    assert direction_letters(direction) == letters


def test_opposites() -> None:
    assert opposite_letters("LPH") == "RAF"
    assert opposite_letters("FAR") == "HPL"


@pytest.mark.parametrize(
    ("orientation", "patient_orientation", "expected"),
    [
        (AXIAL, None, EdgeLetters("R", "L", "A", "P")),
        (CORONAL, None, EdgeLetters("R", "L", "H", "F")),
        (SAGITTAL, None, EdgeLetters("A", "P", "H", "F")),
        (tilted(20), ["X", "Y"], EdgeLetters("R", "L", "AF", "PH")),
        (None, ["P", "F"], EdgeLetters("A", "P", "H", "F")),
        (None, ["A\\", "FR"], EdgeLetters("P", "A", "HL", "FR")),
        ([0] * 6, None, EdgeLetters("", "", "", "")),
        (None, ["L"], EdgeLetters("", "", "", "")),
    ],
)
def test_edges(
    orientation: list[float] | None,
    patient_orientation: list[str] | None,
    expected: EdgeLetters,
) -> None:
    assert edge_letters(orientation, patient_orientation) == expected


def test_image_points_in_the_patient() -> None:
    """Columns run along the row direction by the second spacing, rows by the first."""
    point = pixel_to_patient(
        (10, 20), position=[-5, 7, 100], orientation=CORONAL, pixel_spacing=[0.5, 2]
    )
    assert point == pytest.approx((-5 + 10 * 2, 7, 100 - 20 * 0.5))
