"""Viewports and views: sizes by arithmetic, flips and turns by numpy, points by their pixels."""

from __future__ import annotations

import numpy as np
import pytest

from imaging.errors import InvalidViewError
from imaging.viewport import View, Viewport, view_of

PICTURE = np.random.default_rng(3).integers(0, 256, (40, 60)).astype(np.uint8)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("100,50", Viewport(100, 50)),
        (" 100 , 50 ", Viewport(100, 50)),
        ("100,50,1.5,2,30,20", Viewport(100, 50, 1.5, 2, 30, 20)),
        ("100,50,,,-30,", Viewport(100, 50, 0, 0, 30, None, is_flipped_horizontally=True)),
        ("100,50,10", Viewport(100, 50, 10)),
        ("9,9,0,0,5,-5", Viewport(9, 9, 0, 0, 5, 5, is_flipped_vertically=True)),
    ],
)
def test_a_viewport_is_read(text: str, expected: Viewport) -> None:
    assert Viewport.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "100", "0,5", "5,-5", "5.5,5", "9999,5", "5,5,a", "5,5,nan", "5,5,inf"),
        *("1,2,3,4,5,6,7", "5,5,0,0,0,5", "٥,5", "5,5,1e999"),
    ],
)
def test_a_viewport_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(InvalidViewError, match="viewport"):
        Viewport.parse(text)


@pytest.mark.parametrize(
    ("viewport", "pixel_height", "size"),
    [
        ("30,30", 1.0, (30, 20)),
        ("600,100", 1.0, (150, 100)),
        ("600,600", 1.0, (600, 400)),
        ("60,60", 1.5, (60, 60)),
        ("64,64,10,10,20,10", 1.0, (64, 32)),
        ("1,1", 1.0, (1, 1)),
    ],
)
def test_a_picture_keeps_its_proportions(
    viewport: str, pixel_height: float, size: tuple[int, int]
) -> None:
    view = view_of(PICTURE.shape, Viewport.parse(viewport), pixel_height=pixel_height)
    assert view.size == size
    assert view.apply(PICTURE).shape == size[::-1]


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ("", PICTURE),
        (",0,0,-60,40", PICTURE[:, ::-1]),
        (",0,0,60,-40", PICTURE[::-1]),
        (",0,0,-60,-40", PICTURE[::-1, ::-1]),
    ],
    ids=["as it is", "left to right", "upside down", "both"],
)
def test_flips_are_exact_where_nothing_is_scaled(region: str, expected: np.ndarray) -> None:
    view = view_of(PICTURE.shape, Viewport.parse(f"60,40{region}"))
    np.testing.assert_array_equal(view.apply(PICTURE), expected)


def test_a_region_is_cut_out_and_ends_at_the_edge() -> None:
    view = view_of(PICTURE.shape, Viewport.parse("20,10,40,30,100,100"))
    np.testing.assert_array_equal(view.apply(PICTURE), PICTURE[30:40, 40:60])
    with pytest.raises(InvalidViewError, match="60 x 40"):
        view_of(PICTURE.shape, Viewport.parse("20,10,60,0"))


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("is_flipped", [False, True])
def test_turns_then_flips(turns: int, is_flipped: bool) -> None:
    view = View(0, 0, 60, 40, turns, is_flipped)
    expected = np.rot90(PICTURE, -turns)
    if is_flipped:
        expected = np.fliplr(expected)
    shown = view.apply(PICTURE)
    np.testing.assert_array_equal(shown, expected)
    assert view.size == (shown.shape[1], shown.shape[0])


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("is_flipped", [False, True])
def test_points_go_where_their_pixels_go(turns: int, is_flipped: bool) -> None:
    picture = np.zeros((40, 60), np.uint8)
    picture[7, 21] = 255
    view = View(5, 2, 50, 30, turns, is_flipped)
    row, column = np.argwhere(view.apply(picture))[0]
    (point,) = view.place(np.array([[21.5, 7.5]]))
    np.testing.assert_allclose(point, (column + 0.5, row + 0.5))


def test_beyond_the_picture_there_is_black() -> None:
    view = View(-3, -2, 66, 44)
    shown = view.apply(PICTURE)
    np.testing.assert_array_equal(shown[2:42, 3:63], PICTURE)
    assert not shown[:2].any()
    assert not shown[:, 63:].any()
    with pytest.raises(InvalidViewError, match="too large"):
        View(-9000, 0, 9060, 40).apply(PICTURE)
