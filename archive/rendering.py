"""How a frame is asked for: one vocabulary for our own addresses and for DICOMweb's.

The parameters of a rendered resource have the names of PS3.18 section 8.3.5 (``window``,
``viewport``, ``quality``, ``annotation``, ``iccprofile``); beside them stand our own (``wc``,
``ww``, ``width``, ``invert``, ``overlays``).
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from archive.errors import InvalidInputError
from imaging.errors import InvalidViewError
from imaging.icc import PROFILE_NAMES, ProfileName
from imaging.viewport import Viewport
from imaging.voi import Window, WindowFunction

LARGEST_WIDTH = 4096
Annotation = Literal["patient", "technique"]
ANNOTATIONS: tuple[Annotation, ...] = get_args(Annotation)

_FUNCTIONS: dict[str, WindowFunction] = {
    "linear": "LINEAR",
    "linear-exact": "LINEAR_EXACT",
    "linear_exact": "LINEAR_EXACT",
    "sigmoid": "SIGMOID",
}
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off", ""}


class Form(enum.StrEnum):
    """How a frame leaves."""

    PNG = "png"
    JPEG = "jpg"
    WEBP = "webp"
    GIF = "gif"
    HTJ2K = "jphc"
    RAW = "raw"
    RG16 = "rg16"


CONTENT_TYPES = {
    Form.PNG: "image/png",
    Form.JPEG: "image/jpeg",
    Form.WEBP: "image/webp",
    Form.GIF: "image/gif",
    Form.HTJ2K: "image/jphc",
    Form.RAW: "application/octet-stream",
    Form.RG16: "image/png",
}
# Drawn for people, with a window and all that belongs to it; the other forms are exact.
DRAWN = frozenset((Form.PNG, Form.JPEG, Form.WEBP, Form.GIF))


@dataclass(frozen=True, slots=True)
class Rendering:
    """What is asked for.

    Parameters
    ----------
    window_center, window_width : in modality values; None: the file's own window, else one chosen
        from the pixels. Drawn forms only, as are all that follow.
    window_function : None: the file's own
    voi_lut : which of the object's own VOI LUTs stands in the place of a window, from 0
    width : of the picture in pixels; None: the frame's own
    viewport : in place of `width`
    invert : reverse black and white
    quality : of a JPEG or WebP, 1 to 100
    overlays : draw the object's overlay planes
    annotations : groups of words that are drawn into the corners
    icc_profile : colour space of a colour picture, and whether its profile goes along
    pixels_per_mm : of the screen, for presentation states that ask for true size

    References
    ----------
    DICOM PS3.18 section 8.3.5.
    """

    form: Form
    window_center: float | None = None
    window_width: float | None = None
    width: int | None = None
    invert: bool = False
    quality: int = 85
    window_function: WindowFunction | None = None
    viewport: Viewport | None = None
    overlays: bool = True
    annotations: tuple[Annotation, ...] = ()
    icc_profile: ProfileName = "no"
    voi_lut: int | None = None
    pixels_per_mm: float | None = None

    def __post_init__(self) -> None:
        """Refuse what makes no picture."""
        if (self.window_center is None) != (self.window_width is None):
            raise InvalidInputError("Give 'wc' and 'ww' together, or neither.")
        if self.window_width is not None and (
            Window.of(self.window_center, self.window_width, self.window_function or "LINEAR_EXACT")
            is None
        ):
            raise InvalidInputError("'ww' is a number above 0, 'wc' any number.")
        if self.voi_lut is not None and self.window_width is not None:
            raise InvalidInputError("Give a window or a VOI LUT, not both.")
        if self.width is not None and not 1 <= self.width <= LARGEST_WIDTH:
            raise InvalidInputError(f"'width' is a number from 1 to {LARGEST_WIDTH}.")
        if self.width is not None and self.viewport is not None:
            raise InvalidInputError("Give 'width' or 'viewport', not both.")
        if self.pixels_per_mm is not None and not 0.1 <= self.pixels_per_mm <= 100:
            raise InvalidInputError("'pixels_per_mm' is a number from 0.1 to 100.")
        if not 1 <= self.quality <= 100:
            raise InvalidInputError("'quality' is a number from 1 to 100.")

    @property
    def is_drawn(self) -> bool:
        """Whether a picture for people is asked for, rather than exact values."""
        return self.form in DRAWN


def rendering_of(form: str, parameters: Mapping[str, str]) -> Rendering:
    """Read what is asked for; parameters that a form does not have are of no effect on it.

    Parameters
    ----------
    form : a value of `Form`
    parameters : of the address; unknown ones are passed over

    Raises
    ------
    InvalidInputError
        For a value that cannot be used; the message names the parameter.
    """
    chosen = Form(form)
    if chosen is Form.PNG and (mode := parameters.get("mode")):
        if mode != Form.RG16:
            raise InvalidInputError("'mode' is rg16, or is left out.")
        chosen = Form.RG16
    if chosen not in DRAWN:
        return Rendering(chosen)
    quality = None
    if chosen in (Form.JPEG, Form.WEBP):
        quality = _whole(parameters, "quality")
    center, width, function = _number(parameters, "wc"), _number(parameters, "ww"), None
    if text := parameters.get("window", ""):
        if center is not None or width is not None:
            raise InvalidInputError("Give 'window', or 'wc' and 'ww', not both.")
        center, width, function = _window(text)
    try:
        viewport = Viewport.parse(text) if (text := parameters.get("viewport", "")) else None
    except InvalidViewError as error:
        raise InvalidInputError(str(error)) from error
    return Rendering(
        form=chosen,
        window_center=center,
        window_width=width,
        window_function=function,
        width=_whole(parameters, "width"),
        viewport=viewport,
        invert=_flag(parameters, "invert"),
        quality=85 if quality is None else quality,
        overlays=_flag(parameters, "overlays", default="1"),
        annotations=_annotations(parameters.get("annotation", "")),
        icc_profile=_profile(parameters.get("iccprofile", "")),
        pixels_per_mm=_number(parameters, "pixels_per_mm"),
    )


def _window(text: str) -> tuple[float, float, WindowFunction]:
    """Read ``center,width,function`` (PS3.18 section 8.3.5.1.4); the function may be left out."""
    center, _, rest = text.partition(",")
    width, _, name = rest.partition(",")
    function = _FUNCTIONS.get(name.strip().lower() or "linear")
    if function is None:
        raise InvalidInputError(
            "The third part of 'window' is linear, linear-exact or sigmoid, or is left out."
        )
    try:
        values = float(center), float(width)
    except ValueError:
        raise InvalidInputError("'window' is a centre, a width and a function.") from None
    if Window.of(*values, function) is None:
        raise InvalidInputError(
            "'window' has a centre of any value and a width above 0, at least 1 if linear."
        )
    return *values, function


def _annotations(text: str) -> tuple[Annotation, ...]:
    wanted = {part.strip().lower() for part in text.split(",") if part.strip()}
    if not wanted <= set(ANNOTATIONS):
        raise InvalidInputError(f"'annotation' is {' or '.join(ANNOTATIONS)}, or both.")
    return tuple(name for name in ANNOTATIONS if name in wanted)


def _profile(text: str) -> ProfileName:
    for name in PROFILE_NAMES:
        if name == (text.lower() or "no"):
            return name
    raise InvalidInputError(f"'iccprofile' is one of {', '.join(PROFILE_NAMES)}.")


def _number(parameters: Mapping[str, str], name: str) -> float | None:
    text = parameters.get(name, "")
    try:
        return float(text) if text else None
    except ValueError:
        raise InvalidInputError(f"'{name}' is a number.") from None


def _whole(parameters: Mapping[str, str], name: str) -> int | None:
    text = parameters.get(name, "")
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise InvalidInputError(f"'{name}' is a whole number.")
    return int(text)


def _flag(parameters: Mapping[str, str], name: str, *, default: str = "") -> bool:
    text = parameters.get(name, default).lower()
    if text not in _TRUE | _FALSE:
        raise InvalidInputError(f"'{name}' is 1 or 0.")
    return text in _TRUE
