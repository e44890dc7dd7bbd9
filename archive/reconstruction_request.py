"""What somebody asks the worker to compute, checked, and in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

from archive.errors import InvalidInputError
from archive.reconstruction_rows import ReconstructionOutput
from imaging.errors import ImagingError
from imaging.raycast import PRESETS
from imaging.reformat import STRAIGHT, orientation_of
from imaging.volume import Slab, SlabMode

VOLUME = "volume"
OBLIQUE = "oblique"
PLANES = (*STRAIGHT, OBLIQUE, VOLUME)
MODES: dict[SlabMode, str] = {"thin": "", "mip": "MIP", "minip": "MinIP", "average": "average"}
SIDES = (256, 512, 768)
MOST_VIEWS = 36
_THICKEST_MM = 500.0
_LEAST_STEP_MM = 0.1
_KNOWN = frozenset(
    (
        "plane", "orientation", "mode", "thickness_mm", "step_mm", "window_center", "window_width",
        "preset", "views", "side", "output",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """What is computed.

    Attributes
    ----------
    plane : axial, coronal, sagittal, oblique, or volume for pictures in 3D
    orientation : of planes: directions to the right and downwards, LPS; empty for a volume
    mode, thickness_mm : of planes: thin, or which value of a slab is taken
    step_mm : of planes: distance of neighbours; None: as fine as the series
    window_center, window_width : of pictures of planes; None: the series' own
    preset, views, side : of a volume: how values look, from how many sides, and the pixels a side
    """

    plane: str
    orientation: tuple[float, ...] = ()
    mode: SlabMode = "thin"
    thickness_mm: float = 0.0
    step_mm: float | None = None
    window_center: float | None = None
    window_width: float | None = None
    preset: str = ""
    views: int = 1
    side: int = 512
    output: str = ReconstructionOutput.PNG.value

    @property
    def is_volume(self) -> bool:
        """Whether pictures of the whole volume are wanted, not planes."""
        return self.plane == VOLUME

    @property
    def slab(self) -> Slab:
        """The planes' slab."""
        return Slab(self.mode, self.thickness_mm)

    @property
    def words(self) -> str:
        """What it makes, for people."""
        if self.is_volume:
            views = "one view" if self.views == 1 else f"{self.views} views"
            return f"3D, {PRESETS[self.preset].name}, {views}"
        name = "Oblique" if self.plane == OBLIQUE else self.plane.capitalize()
        if self.mode == "thin":
            return f"{name} planes"
        return f"{name} planes, {MODES[self.mode]} of {self.thickness_mm:g} mm"

    def as_parameters(self) -> dict[str, Any]:
        """Return it as JSON; see :func:`of_parameters`."""
        return {**asdict(self), "orientation": list(self.orientation)}


def of_parameters(parameters: Mapping[str, Any]) -> Request:
    """Return what `Request.as_parameters` gave."""
    return Request(**{**parameters, "orientation": tuple(parameters["orientation"])})


def read_request(said: Mapping[str, Any]) -> Request:
    """Check what somebody asks for.

    Raises
    ------
    InvalidInputError
        With a sentence that says what to send instead.
    """
    unknown = sorted(set(said) - _KNOWN)
    if unknown:
        raise InvalidInputError(
            f"'{unknown[0]}' is not known here. What can be said: {', '.join(sorted(_KNOWN))}."
        )
    plane = _choice(said, "plane", PLANES, default=None)
    output = _choice(said, "output", ReconstructionOutput.values, default="png")
    if plane == VOLUME:
        return Request(
            plane=plane,
            preset=_choice(said, "preset", tuple(PRESETS), default="surface"),
            views=_whole(said, "views", 1, MOST_VIEWS, default=1),
            side=int(_choice(said, "side", tuple(map(str, SIDES)), default="512")),
            output=output,
        )
    mode = cast("SlabMode", _choice(said, "mode", tuple(MODES), default="thin"))
    thickness = _number(said, "thickness_mm", 0.0, _THICKEST_MM)
    if mode != "thin" and not thickness:
        raise InvalidInputError("A slab needs its thickness: give 'thickness_mm', for example 10.")
    center = _number(said, "window_center", -1e6, 1e6)
    width = _number(said, "window_width", 1.0, 1e6)
    if (center is None) != (width is None):
        raise InvalidInputError("Give both 'window_center' and 'window_width', or none of them.")
    return Request(
        plane=plane,
        orientation=_orientation(plane, said.get("orientation")),
        mode=mode,
        thickness_mm=thickness or 0.0 if mode != "thin" else 0.0,
        step_mm=_number(said, "step_mm", _LEAST_STEP_MM, _THICKEST_MM),
        window_center=center,
        window_width=width,
        output=output,
    )


def _orientation(plane: str, said: object) -> tuple[float, ...]:
    if plane in STRAIGHT:
        if said:
            raise InvalidInputError("'orientation' is for the plane 'oblique' alone. Leave it out.")
        return STRAIGHT[plane]
    try:
        values = [float(value) for value in said] if isinstance(said, list | tuple) else []
        return orientation_of(values)
    except (TypeError, ValueError):
        raise InvalidInputError("'orientation' is a list of six numbers.") from None
    except ImagingError as error:
        raise InvalidInputError(str(error)) from error


def _choice(
    said: Mapping[str, Any], name: str, choices: tuple[str, ...] | list[str], *, default: str | None
) -> str:
    value = said.get(name)
    text = default if value in (None, "") else str(value)
    if text is None or text not in choices:
        raise InvalidInputError(f"'{name}' is one of {', '.join(choices)}.")
    return text


def _number(said: Mapping[str, Any], name: str, least: float, most: float) -> float | None:
    value = said.get(name)
    if value in (None, ""):
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(cast("Any", value))
    except (TypeError, ValueError):
        number = math.nan
    if not least <= number <= most:
        raise InvalidInputError(f"'{name}' is a number from {least:g} to {most:g}.")
    return number


def _whole(said: Mapping[str, Any], name: str, least: int, most: int, *, default: int) -> int:
    number = _number(said, name, least, most)
    if number is None:
        return default
    if number != int(number):
        raise InvalidInputError(f"'{name}' is a whole number from {least} to {most}.")
    return int(number)
