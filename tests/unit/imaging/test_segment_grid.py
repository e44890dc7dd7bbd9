"""Frames of a segmentation find the pictures that they lie on, or say why they do not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from imaging.errors import UnsupportedError
from imaging.segment_grid import Footprint, places_on

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def picture(number: int) -> Footprint:
    return Footprint(20, 30, f"1.2.{number}", 1, (5.0, 6.0, 2.5 * number), AXIAL, (0.5, 0.75))


PICTURES = [picture(number) for number in (1, 2, 3, 4)]


def frame(number: int, **changes: object) -> Footprint:
    return replace(picture(number), frame_number=None, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "frames",
    [
        [frame(3), frame(1)],
        [frame(3, sop_instance_uid=""), frame(1, sop_instance_uid="")],
        [frame(3, position=None), frame(1, orientation=None, spacing=None)],
        # As files round: a hundredth of a pixel.
        [frame(3, position=(5.004, 5.996, 7.504)), frame(1, spacing=(0.5001, 0.75))],
    ],
    ids=["by name and place", "by place", "by name", "rounded"],
)
def test_frames_lie_on_their_pictures(frames: list[Footprint]) -> None:
    assert places_on(frames, PICTURES) == [2, 0]


def test_frames_of_one_file_are_told_apart_by_number_or_place() -> None:
    pictures = [replace(one, sop_instance_uid="1.9", frame_number=n + 1)
                for n, one in enumerate(PICTURES)]  # fmt: skip
    named = replace(pictures[2], position=None)
    placed = replace(pictures[1], frame_number=None)
    assert places_on([named, placed], pictures) == [2, 1]
    with pytest.raises(UnsupportedError, match="pixel upon pixel"):
        places_on([replace(named, frame_number=None)], pictures)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rows": 40}, "40 x 30 pixels, the pictures 20 x 30"),
        ({"position": (5.0, 6.0, 6.25)}, "pixel upon pixel"),
        ({"position": (5.1, 6.0, 7.5)}, "pixel upon pixel"),
        ({"spacing": (0.51, 0.75)}, "pixel upon pixel"),
        ({"orientation": (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0)}, "pixel upon pixel"),
        ({"position": None, "sop_instance_uid": "1.7"}, "pixel upon pixel"),
    ],
    ids=["size", "between slices", "a fifth of a pixel", "spacing", "mirrored", "nowhere"],
)
@pytest.mark.parametrize("name", ["1.2.3", ""], ids=["named", "unnamed"])
def test_other_grids_are_refused_in_words(
    changes: dict[str, object], words: str, name: str
) -> None:
    one = frame(3, **{"sop_instance_uid": name, **changes})
    with pytest.raises(UnsupportedError, match=words):
        places_on([one], PICTURES)
