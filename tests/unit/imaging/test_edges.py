"""Letters of the patient's sides at the edges of turned and mirrored pictures."""

from __future__ import annotations

import pytest

from imaging.edges import directions, edge_letters

AXIAL = [1, 0, 0, 0, 1, 0]
CORONAL = [1, 0, 0, 0, 0, -1]


@pytest.mark.parametrize(
    ("axes", "orientation", "edges"),
    [
        (AXIAL, (1, 0, 0, 1), ("R", "A", "L", "P")),
        (AXIAL, (-1, 0, 0, 1), ("L", "A", "R", "P")),
        (AXIAL, (1, 0, 0, -1), ("R", "P", "L", "A")),
        # A quarter turn to the right: what was above comes to the right.
        (AXIAL, (0, -1, 1, 0), ("P", "R", "A", "L")),
        (CORONAL, (1, 0, 0, 1), ("R", "H", "L", "F")),
    ],
    ids=["axial", "mirrored", "upside down", "turned right", "coronal"],
)
def test_of_axes(
    axes: list[float], orientation: tuple[int, int, int, int], edges: tuple[str, ...]
) -> None:
    assert edge_letters(axes, None, orientation) == edges


def test_of_words() -> None:
    assert edge_letters(None, ["P", "F"], (1, 0, 0, 1)) == ("A", "H", "P", "F")
    assert edge_letters(None, ["P", "F"], (-1, 0, 0, 1)) == ("P", "H", "A", "F")
    assert edge_letters(None, ["P", ""], (0, 1, 1, 0)) == ("", "A", "", "P")


def test_where_nobody_knows() -> None:
    assert edge_letters(None, None, (1, 0, 0, 1)) is None
    assert edge_letters(None, ["", ""], (1, 0, 0, 1)) is None


def test_slanted_directions_have_several_letters() -> None:
    assert directions((0.6, -0.8, 0)) == "AL"
    assert directions((0.99, 0.1, 0.1)) == "L"
