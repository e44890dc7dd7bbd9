"""Subtraction by presentation states, reckoned by hand from PS3.3 section C.7.6.10.1."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from imaging.errors import UnsupportedError
from imaging.softcopy import read_softcopy
from imaging.softcopy_mask import Mask, subtracted
from tests.dicom import to_bytes
from tests.unit.imaging.test_softcopy import image_file, item, state_for

# Frame n is a ramp of 0 to 11 plus 100 n.
RAMP = np.arange(12, dtype=np.uint16).reshape(3, 4)


def less(mask: Mask, number: int, slope: float = 1.0, intercept: float = 0.0) -> np.ndarray:
    return subtracted(
        mask, number, 6, lambda one: RAMP + np.uint16(100 * one),
        slope=slope, intercept=intercept, modality_lut=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("mask", "number", "expected"),
    [
        pytest.param(Mask("AVG_SUB", (1,)), 5, 400, id="one mask"),
        pytest.param(Mask("AVG_SUB", (1, 2, 3)), 5, 300, id="the mean of three"),
        pytest.param(Mask("AVG_SUB", (5,)), 2, -300, id="below 0"),
        pytest.param(Mask("AVG_SUB", (1,), averaged=3), 3, 300, id="three averaged before"),
        pytest.param(Mask("AVG_SUB", (1,), averaged=9), 6, 500, id="no frames beyond the last"),
        pytest.param(Mask("TID", offset=2), 5, 200, id="the frame two before"),
        pytest.param(Mask("TID", offset=-1), 5, -100, id="the frame behind"),
    ],
)
def test_a_mask_is_taken_off(mask: Mask, number: int, expected: float) -> None:
    np.testing.assert_allclose(less(mask, number), np.full((3, 4), expected), atol=1e-4)


def test_the_rescale_comes_first() -> None:
    np.testing.assert_allclose(less(Mask("AVG_SUB", (1,)), 2, 2.0, -50.0), np.full((3, 4), 200.0))


def test_a_mask_is_moved_down_and_to_the_right() -> None:
    moved = less(Mask("AVG_SUB", (1,), shift=(1.0, 0.0)), 1)
    # The row above is taken off: rows differ by 4; the first one is drawn out.
    np.testing.assert_allclose(moved, np.repeat([[0.0], [4.0], [4.0]], 4, axis=1))
    moved = less(Mask("AVG_SUB", (1,), shift=(0.0, 0.5)), 1)
    np.testing.assert_allclose(moved, np.repeat([[0.0, 0.5, 0.5, 0.5]], 3, axis=0))


def test_frames_that_are_not_there_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="does not have"):
        less(Mask("AVG_SUB", (7,)), 1)


def read(**keywords: Any) -> Any:
    image = image_file(NumberOfFrames=1)
    state = state_for(image, MaskSubtractionSequence=[item(**keywords)])
    return read_softcopy(to_bytes(state)).for_frame(image.SOPInstanceUID, 1)


def test_a_state_says_what_is_subtracted_from_which_frames() -> None:
    state = read(
        MaskOperation="AVG_SUB", MaskFrameNumbers=[1, 2], ApplicableFrameRange=[3, 5, 8, 8],
        ContrastFrameAveraging=2, MaskSubPixelShift=[0.5, -1.5],
    )  # fmt: skip
    assert state.masks == (
        Mask("AVG_SUB", (1, 2), ((3, 5), (8, 8)), averaged=2, shift=(0.5, -1.5)),
    )
    assert [number for number in range(1, 10) if state.mask_of(number)] == [3, 4, 5, 8]
    before = read(MaskOperation="TID", TIDOffset=2)
    assert [number for number in range(1, 5) if before.mask_of(number)] == [3, 4]
    assert read(MaskOperation="NONE").masks == ()


def test_other_kinds_of_subtraction_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="not known"):
        read(MaskOperation="REV_TID")
