"""Which frames of an instance somebody wants: the keys of a retrieval at the FRAME level."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from uuid import UUID

from imaging.elements import Node, Value
from imaging.errors import ImagingError
from imaging.part10 import IMPLEMENTATION_CLASS_UID

SIMPLE_LIST, CALCULATED_LIST, TIME_RANGE = 0x00081161, 0x00081162, 0x00081163


class Problem(Enum):
    """Why frames cannot be cut out."""

    INVALID = "the keys contradict themselves"
    NO_SUCH_FRAMES = "there are no such frames"
    WRONG_KIND = "the object has no frames to choose from"
    NOT_TIMED = "the frames have no times"
    CANNOT = "the result would not be valid"


class FrameCutError(ImagingError):
    """Frames cannot be cut out of an object.

    Attributes
    ----------
    problem : for the caller's status
    """

    def __init__(self, problem: Problem, message: str) -> None:
        super().__init__(message)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class FrameSelection:
    """Which frames are wanted: one of the keys of PS3.4 table Y.6-2.

    Attributes
    ----------
    tag : Simple Frame List, Calculated Frame List or Time Range
    value : as sent, little endian
    """

    tag: int
    value: bytes

    def frame_indexes(self, frame_count: int) -> tuple[int, ...]:
        """Return the chosen frames of an object, from 0.

        Raises
        ------
        FrameCutError
            When the list breaks the rules, or names no frame that is there.

        References
        ----------
        DICOM PS3.4 sections Y.3.2.1.1 and Y.3.2.1.2.
        """
        if not self.value or len(self.value) % 4:
            raise FrameCutError(Problem.INVALID, "The list of frames is empty or cut off.")
        numbers = [number for (number,) in struct.iter_unpack("<I", self.value)]
        if self.tag == CALCULATED_LIST:
            found = _calculated(numbers, frame_count)
        else:
            if numbers[0] < 1 or any(b <= a for a, b in pairwise(numbers)):
                raise FrameCutError(
                    Problem.INVALID, "Frame numbers begin with 1, and each is above the one before."
                )
            found = [number - 1 for number in numbers if number <= frame_count]
        if not found:
            raise FrameCutError(
                Problem.NO_SUCH_FRAMES, f"The instance has {frame_count} frames, and none of these."
            )
        return tuple(found)

    def new_uid(self, source_uid: str) -> str:
        """Return the SOP Instance UID of what is cut: another for other frames, each time the same.

        References
        ----------
        DICOM PS3.5 section B.2.
        """
        about = f"{IMPLEMENTATION_CLASS_UID} {source_uid} {self.tag:08X} ".encode() + self.value
        digest = hashlib.sha256(about).digest()[:16]
        return f"2.25.{UUID(bytes=digest, version=5).int}"


def select(found: Node) -> FrameSelection:
    """Return the frames that an identifier chooses.

    Raises
    ------
    FrameCutError
        Unless it has exactly one of the three keys.
    """
    keys = [
        FrameSelection(tag, value.raw)
        for tag in (SIMPLE_LIST, CALCULATED_LIST, TIME_RANGE)
        if isinstance(value := found.get(tag), Value)
    ]
    if len(keys) != 1:
        raise FrameCutError(
            Problem.INVALID,
            "Choose frames by one key: a Simple Frame List, or a Calculated Frame List.",
        )
    return keys[0]


def _calculated(numbers: Sequence[int], frame_count: int) -> list[int]:
    if len(numbers) % 3:
        raise FrameCutError(Problem.INVALID, "A Calculated Frame List is made of triplets.")
    found: list[int] = []
    least = 1
    for first, last, step in zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True):
        if first < least or last < first or step < 1:
            raise FrameCutError(
                Problem.INVALID,
                "A triplet is first frame, last frame and step, behind the triplet before.",
            )
        least = last + 1
        found += range(first - 1, min(last, frame_count), step)
    return found
