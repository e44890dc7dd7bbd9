"""What objects that describe images hold beside their pixels: segments, places, who made them."""

import itertools
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from pydicom.dataset import Dataset

from imaging.errors import DecodeError, LimitError

T = TypeVar("T")
Vector = tuple[float, float, float]
Kind = Literal["segmentation", "structures", "dose", "parametric"]

MOST_PARTS = 2000
MOST_PLANES = 20_000
# No place in a patient is further from the origin of a frame of reference.
_MOST_MM = 1e6
_UNIT_TOLERANCE = 1e-2
_SPACES = re.compile(r"\s+")

# What pydicom raises at values that do not fit their VR.
_UNREADABLE = (
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    NotImplementedError,
    EOFError,
    RecursionError,
)

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
LABELMAP = "1.2.840.10008.5.1.4.1.1.66.7"
PARAMETRIC = "1.2.840.10008.5.1.4.1.1.30"
STRUCTURES = "1.2.840.10008.5.1.4.1.1.481.3"
DOSE = "1.2.840.10008.5.1.4.1.1.481.2"
KINDS: dict[str, Kind] = {
    SEGMENTATION: "segmentation",
    LABELMAP: "segmentation",
    PARAMETRIC: "parametric",
    STRUCTURES: "structures",
    DOSE: "dose",
}


@dataclass(frozen=True, slots=True)
class Part:
    """One segment, structure or map of an object.

    Attributes
    ----------
    number : Segment Number or ROI Number; 0 for what has but one part
    category, type : what it is of, as its codes say
    algorithm : as MANUAL; `algorithm_name` as its maker calls it
    colour : #rrggbb, empty where the object recommends none
    """

    number: int
    name: str
    category: str = ""
    type: str = ""
    algorithm: str = ""
    algorithm_name: str = ""
    colour: str = ""


@dataclass(frozen=True, slots=True)
class Plane:
    """Where one frame of an object lies: on which image, and where in the patient.

    Attributes
    ----------
    frame_index : from 0
    part : number of the part that it shows; None where its values say it
    sop_instance_uid, source_frame : the image it was made of, empty and None where it names none
    position, orientation, spacing : LPS in mm as in PS3.3 C.7.6.2.1.1; None where it says none
    slope, intercept : of its values
    """

    frame_index: int
    part: int | None = None
    sop_instance_uid: str = ""
    source_frame: int | None = None
    position: Vector | None = None
    orientation: tuple[float, ...] | None = None
    spacing: tuple[float, float] | None = None
    slope: float = 1.0
    intercept: float = 0.0


@dataclass(frozen=True, slots=True)
class Contour:
    """One outline of a structure.

    Attributes
    ----------
    points_mm : LPS
    is_closed : False for points and open lines
    """

    points_mm: tuple[Vector, ...]
    is_closed: bool
    sop_instance_uid: str = ""
    source_frame: int | None = None


@dataclass(frozen=True, slots=True)
class Derived:
    """An object that describes images, without its pixels.

    Attributes
    ----------
    form : of pixels: BINARY, FRACTIONAL, LABELMAP, or VALUES
    scale : what a pixel value of full membership is, of fractional segmentations
    unit, quantity : of values, as `Gy` and `Dose`
    notes : what readers must know of it
    between_slices : Spacing Between Slices in mm, where the object says it
    """

    kind: Kind
    parts: tuple[Part, ...]
    label: str = ""
    manufacturer: str = ""
    author: str = ""
    at: str = ""
    frame_of_reference_uid: str = ""
    form: Literal["BINARY", "FRACTIONAL", "LABELMAP", "VALUES", "CONTOURS"] = "VALUES"
    scale: float = 1.0
    unit: str = ""
    quantity: str = ""
    planes: tuple[Plane, ...] = ()
    contours: dict[int, tuple[Contour, ...]] = field(default_factory=dict)
    between_slices: float | None = None
    thickness: float | None = None
    notes: tuple[str, ...] = ()


def read(dataset: Dataset, reader: Callable[[Dataset], T]) -> T:
    """Return what `reader` makes of an object.

    Raises
    ------
    DecodeError
        When its values do not fit their places, in words.
    """
    try:
        return reader(dataset)
    except _UNREADABLE as error:
        raise DecodeError(
            "The object's description of its contents is damaged. Have it sent again, or download "
            "it to look at what it holds."
        ) from error


def text(item: Dataset | None, keyword: str, most: int = 256) -> str:
    """Return a value as one line of text; empty where there is none."""
    value = item.get(keyword) if item is not None else None
    return _SPACES.sub(" ", str(value)).strip()[:most] if value is not None else ""


def items(item: Dataset | None, keyword: str, most: int = MOST_PLANES) -> list[Dataset]:
    """Return the items of a sequence.

    Raises
    ------
    LimitError
        When there are more than `most`.
    """
    value = item.get(keyword) if item is not None else None
    if not value:
        return []
    if isinstance(value, str | bytes) or len(value) > most:
        raise LimitError(
            f"The object lists more than {most} of one thing. It is too large to be shown; "
            "download it."
        )
    return list(value)


def first(item: Dataset | None, keyword: str) -> Dataset | None:
    """Return the first item of a sequence, if there is one."""
    found = items(item, keyword)
    return found[0] if found else None


def number(item: Dataset | None, keyword: str) -> float | None:
    """Return a finite number, or None."""
    value = item.get(keyword) if item is not None else None
    if value is None or value == "":
        return None
    if isinstance(value, list | tuple) or type(value).__name__ == "MultiValue":
        value = value[0]
    found = float(value)
    return found if math.isfinite(found) else None


def numbers(item: Dataset | None, keyword: str, count: int) -> tuple[float, ...] | None:
    """Return `count` finite numbers of a sane size, or None."""
    value = item.get(keyword) if item is not None else None
    if value is None or isinstance(value, str | bytes | int | float) or len(value) != count:
        return None
    found = tuple(float(one) for one in value)
    return found if all(math.isfinite(one) and abs(one) <= _MOST_MM for one in found) else None


def meaning(item: Dataset | None, keyword: str) -> str:
    """Return what a code means."""
    return text(first(item, keyword), "CodeMeaning", 64)


def orientation_of(value: tuple[float, ...] | None) -> tuple[float, ...] | None:
    """Return a usable Image Orientation (Patient), else None."""
    if value is None or len(value) != 6:
        return None
    row, column = value[:3], value[3:]
    is_unit = all(abs(math.hypot(*axis) - 1) < _UNIT_TOLERANCE for axis in (row, column))
    across = sum(a * b for a, b in zip(row, column, strict=True))
    return value if is_unit and abs(across) < _UNIT_TOLERANCE else None


def vector(value: tuple[float, ...] | None) -> Vector | None:
    """Return three numbers as a point."""
    return (value[0], value[1], value[2]) if value is not None else None


def spacing_of(value: tuple[float, ...] | None) -> tuple[float, float] | None:
    """Return a usable Pixel Spacing, else None."""
    return (value[0], value[1]) if value is not None and min(value) > 1e-6 else None


def moment(item: Dataset, day: str, clock: str) -> str:
    """Return a date and time as `2026-11-21 13:05`, as far as the object says them."""
    days, clocks = text(item, day, 16), text(item, clock, 16)
    if not re.fullmatch(r"\d{8}", days):
        return ""
    shown = f"{days[:4]}-{days[4:6]}-{days[6:]}"
    return f"{shown} {clocks[:2]}:{clocks[2:4]}" if re.match(r"\d{4}", clocks) else shown


def hex_colour(rgb: Iterable[float]) -> str:
    """Return a colour as #rrggbb."""
    return "#" + "".join(f"{min(max(round(value), 0), 255):02x}" for value in rgb)


def maker(dataset: Dataset) -> str:
    """Return who built the equipment, and its model."""
    manufacturer = text(dataset, "Manufacturer", 64)
    model = text(dataset, "ManufacturerModelName", 64)
    return model if model.startswith(manufacturer) else f"{manufacturer} {model}".strip()


def distances(places: Sequence[float]) -> float | None:
    """Return the usual distance of neighbouring places in mm; None below two of them."""
    order = sorted(places)
    gaps = sorted(b - a for a, b in itertools.pairwise(order) if b - a > 1e-3)
    return gaps[len(gaps) // 2] if gaps else None


def as_floats(value: Any) -> list[float]:  # noqa: ANN401 - a value of pydicom
    """Return all numbers of a value."""
    if value is None or isinstance(value, str | bytes):
        return []
    if isinstance(value, int | float):
        return [float(value)]
    return [float(one) for one in value]
