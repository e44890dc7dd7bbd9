"""Subtraction of mask frames that presentation states ask for (digital subtraction angiography)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imaging.elements import Node
from imaging.errors import UnsupportedError
from imaging.values import Reader
from imaging.voi import LookupTable, rescale

_MASKS, _OPERATION, _RANGES = 0x00286100, 0x00286101, 0x00286102
_FRAMES, _AVERAGED, _SHIFT, _OFFSET = 0x00286110, 0x00286112, 0x00286114, 0x00286120
_MOST_FRAMES = 256
_LARGEST_SHIFT = 4096

MASK_TAGS: dict[int, int] = {
    _MASKS: 0,
    _OPERATION: 256,
    _RANGES: 4096,
    _FRAMES: 4096,
    _AVERAGED: 64,
    _SHIFT: 64,
    _OFFSET: 64,
}


@dataclass(frozen=True, slots=True)
class Mask:
    """What is subtracted from which frames.

    Parameters
    ----------
    operation : ``AVG_SUB``: the mean of `frame_numbers`; ``TID``: the frame `offset` before
    ranges : first and last numbers of the frames it is for; none: all
    averaged : how many frames from the shown one on are averaged before
    shift : rows and columns by which the mask is moved down and to the right
    """

    operation: str
    frame_numbers: tuple[int, ...] = ()
    ranges: tuple[tuple[int, int], ...] = ()
    averaged: int = 1
    shift: tuple[float, float] = (0.0, 0.0)
    offset: int = 1

    def is_for(self, frame_number: int) -> bool:
        """Whether something is subtracted from a frame."""
        if self.operation == "TID" and frame_number - self.offset < 1:
            return False
        return not self.ranges or any(first <= frame_number <= last for first, last in self.ranges)


def read_masks(root: Node, reader: Reader) -> tuple[Mask, ...]:
    """Read the Mask Module (PS3.3 section C.7.6.10).

    Raises
    ------
    UnsupportedError
        For a kind of subtraction that is not known here.
    """
    items = root.get(_MASKS)
    masks = []
    for item in items if isinstance(items, list) else []:
        operation = reader.text(item, _OPERATION) or "NONE"
        if operation == "NONE":
            continue
        numbers = tuple(int(number) for number in reader.numbers(item, _FRAMES, b"US"))
        if operation not in ("AVG_SUB", "TID") or (operation == "AVG_SUB" and not numbers):
            raise UnsupportedError(
                "The presentation state subtracts frames in a way that is not known here."
            )
        bounds = [int(number) for number in reader.numbers(item, _RANGES, b"US")]
        shift = reader.numbers(item, _SHIFT, b"FL")
        is_shifted = len(shift) == 2 and max(map(abs, shift)) <= _LARGEST_SHIFT
        offset = reader.integer(item, _OFFSET, b"SS")
        masks.append(
            Mask(
                operation,
                numbers[:_MOST_FRAMES],
                tuple(zip(bounds[::2], bounds[1::2], strict=False)),
                min(max(reader.integer(item, _AVERAGED, b"US") or 1, 1), _MOST_FRAMES),
                (shift[0], shift[1]) if is_shifted else (0.0, 0.0),
                1 if offset is None else offset,
            )
        )
    return tuple(masks)


def subtracted(
    mask: Mask,
    frame_number: int,
    frame_count: int,
    read: Callable[[int], NDArray[Any]],
    *,
    slope: float,
    intercept: float,
    modality_lut: LookupTable | None,
) -> NDArray[np.float32]:
    """Return a frame less its mask, in modality values.

    Parameters
    ----------
    frame_number : from 1; `mask` is for it
    read : of a frame number, the exact grey frame
    slope, intercept, modality_lut : of the Modality LUT, which comes first

    Raises
    ------
    UnsupportedError
        If the mask names a frame that the image does not have.

    References
    ----------
    DICOM PS3.3 section C.7.6.10.1; PS3.4 figure N.2-1.
    """
    numbers = mask.frame_numbers
    if mask.operation == "TID":
        numbers = (frame_number - mask.offset,)
    if not all(1 <= number <= frame_count for number in numbers):
        raise UnsupportedError(
            "The presentation state subtracts a frame that the image does not have."
        )

    def mean(wanted: tuple[int, ...]) -> NDArray[np.float64]:
        total: NDArray[np.float64] | None = None
        for number in wanted:
            stored = read(number)
            if modality_lut is not None:
                values = modality_lut.apply(stored).astype(np.float64)
            else:
                values = rescale(stored, slope, intercept).astype(np.float64)
            total = values if total is None else total + values
        if total is None:
            raise UnsupportedError("The presentation state subtracts no frame.")
        return total / len(wanted)

    last = min(frame_number + mask.averaged - 1, frame_count)
    contrast = mean(tuple(range(frame_number, last + 1)))
    return (contrast - _moved(mean(numbers), mask.shift)).astype(np.float32)


def _moved(values: NDArray[np.float64], shift: tuple[float, float]) -> NDArray[np.float64]:
    """Move a picture down and to the right by parts of pixels; its edges are drawn out."""
    for axis, by in enumerate(shift):
        if by:
            length = values.shape[axis]
            place = np.clip(np.arange(length) - by, 0, length - 1)
            low = np.floor(place).astype(np.intp)
            high = np.minimum(low + 1, length - 1)
            share = place - low
            share = share[:, np.newaxis] if axis == 0 else share
            values = np.take(values, low, axis) * (1 - share) + np.take(values, high, axis) * share
    return values
