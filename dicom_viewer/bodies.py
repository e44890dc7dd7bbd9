"""Bodies of requests as the viewer sends them: docs/api/viewer.md."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NoReturn, Self, TypeVar
from uuid import UUID

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    StringConstraints,
    ValidationError,
    model_validator,
)

from archive.errors import InvalidInputError, TooLargeError
from imaging.uid import is_valid_uid

B = TypeVar("B", bound="Body")

MOST_BYTES = 256 * 1024
# With pictures from the screen among them.
MOST_SHEET_BYTES = 4 * 1024**2
# Pixels and millimetres beyond this are no place in any picture or patient.
_Coordinate = Annotated[FiniteFloat, Field(ge=-1e6, le=1e6)]
_Cosine = Annotated[FiniteFloat, Field(ge=-1.001, le=1.001)]
_Number = Annotated[FiniteFloat, Field(ge=-1e15, le=1e15)]
_Uid = Annotated[str, StringConstraints(pattern=r"^[0-9.]{1,64}$")]
_Code = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9_ ]{0,16}$")]
_Codes = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9_, ]{0,64}$")]
_Short = Annotated[str, StringConstraints(max_length=16)]
_Letters = Annotated[str, StringConstraints(pattern=r"^[LRAPHF]{0,3}$")]
_Side = Annotated[FiniteFloat, Field(gt=0, le=1e6)]
_FrameNumber = Annotated[int, Field(ge=1, le=2**31 - 1)]

# Outlines have as many points as their shape needs.
OUTLINE = range(3, 2001)
# How many points a kind has; ellipse and rectangle are told by two corners or by four points.
POINT_COUNTS: dict[str, Sequence[int]] = {
    "length": (2,),
    "angle": (3,),
    "ellipse": (2, 4),
    "rectangle": (2, 4),
    "probe": (1,),
    "arrow": (1, 2),
    "text": (1,),
    # Both axes, two ends each.
    "bidirectional": (4,),
    # Two lines, two ends each.
    "cobb": (4,),
    "height": (2,),
    # The middle and a point of the edge.
    "circle": (2,),
    "profile": (2,),
    "calibration": (2,),
    # The corners of an outline; of a spline the points that it runs through.
    "freehand": OUTLINE,
    "spline": OUTLINE,
    "livewire": OUTLINE,
}


class Body(BaseModel):
    """What is not named here, such as what the server itself adds to its answers, is ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class StatisticsBody(Body):
    """What the pixels of a region hold."""

    mean: _Number
    sd: _Number
    min: _Number
    max: _Number
    # The mean of the hottest cubic centimetre (PS3.16 CID 7464, Peak Value Within ROI).
    peak: _Number | None = None
    area: _Number | None = None
    area_unit: _Short | None = None
    unit: _Short | None = None
    count: Annotated[int, Field(ge=0, le=2**40)]


class DrawingBody(Body):
    """One measurement or annotation."""

    id: UUID | None = None
    kind: Literal[
        "length", "angle", "ellipse", "rectangle", "probe", "arrow", "text", "bidirectional",
        "cobb", "height", "circle", "profile", "calibration", "freehand", "spline", "livewire",
    ]  # fmt: skip
    SeriesInstanceUID: _Uid
    SOPInstanceUID: _Uid
    frame_number: _FrameNumber = 1
    FrameOfReferenceUID: _Uid | None = None
    points: list[tuple[_Coordinate, _Coordinate]]
    points_mm: list[tuple[_Coordinate, _Coordinate, _Coordinate]] | None = None
    plane: Annotated[list[_Cosine], Field(min_length=6, max_length=6)] | None = None
    label: Annotated[str, StringConstraints(max_length=1024)] = ""
    value: _Number | None = None
    second_value: _Number | None = None
    unit: _Short | None = None
    unit_source: Annotated[str, StringConstraints(max_length=64)] = "none"
    statistics: StatisticsBody | None = None
    version: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None

    @model_validator(mode="after")
    def _agree(self) -> Self:
        counts = POINT_COUNTS[self.kind]
        if len(self.points) not in counts:
            wanted = (
                f"{counts[0]} to {counts[-1]}"
                if isinstance(counts, range)
                else " or ".join(map(str, counts))
            )
            raise ValueError(f"a drawing of the kind {self.kind} has {wanted} points")
        if self.points_mm is not None and len(self.points_mm) != len(self.points):
            raise ValueError("points_mm has as many points as points, or is null")
        if self.plane is not None and self.points_mm is None:
            raise ValueError("a drawing in a reformatted plane needs points_mm")
        for name in ("SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
            uid = getattr(self, name)
            if uid is not None and not is_valid_uid(uid):
                raise ValueError(f"{name} is no UID")
        return self


class PresetBody(Body):
    """A window by name."""

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)]
    Modality: Annotated[str, StringConstraints(pattern=r"^[A-Z0-9_ ]{0,16}$")] = ""
    window_center: _Number
    window_width: Annotated[FiniteFloat, Field(gt=0, le=1e15)]
    key: Annotated[str, StringConstraints(pattern=r"^[1-9]$")] | None = None


class KeyImageBody(Body):
    """An image, or one frame of it, that matters."""

    SOPInstanceUID: _Uid
    frame_number: _FrameNumber = 1


class ResultsBody(Body):
    """What is to be written into the study."""

    kinds: Annotated[list[Literal["sr", "gsps", "ko"]], Field(min_length=1, max_length=3)]
    key_images: Annotated[list[KeyImageBody], Field(max_length=2000)] = []
    description: Annotated[str, StringConstraints(max_length=1024)] = ""


class PictureBody(Body):
    """A picture on paper, as it is on the screen."""

    image_id: UUID
    frame_number: _FrameNumber = 1
    window_center: _Number | None = None
    window_width: Annotated[FiniteFloat, Field(gt=0, le=1e15)] | None = None
    window_function: Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"] | None = None
    voi_lut: Annotated[int, Field(ge=0, le=255)] | None = None
    invert: bool = False
    orientation: tuple[int, int, int, int] = (1, 0, 0, 1)
    # Left, top, width and height of what is seen, in pixels of the picture; None: all of it.
    region: tuple[_Coordinate, _Coordinate, _Side, _Side] | None = None
    # A PNG in base64, of what no file holds and only the browser draws: planes, 3D, colours.
    drawn: Annotated[str, StringConstraints(max_length=MOST_SHEET_BYTES)] | None = None
    caption: Annotated[str, StringConstraints(max_length=128)] = ""
    # Of a drawn one, letters of the patient's sides: left, upper, right and lower edge.
    edges: tuple[_Letters, _Letters, _Letters, _Letters] | None = None


class SheetBody(Body):
    """Pictures for paper."""

    pictures: Annotated[list[PictureBody], Field(min_length=1, max_length=240)]
    form: Literal["pdf", "png", "jpg"] = "pdf"
    rows: Annotated[int, Field(ge=1, le=8)] = 1
    columns: Annotated[int, Field(ge=1, le=8)] = 1
    paper: Literal["A3", "A4", "letter"] = "A4"
    is_landscape: bool = False
    is_true_size: bool = False
    with_drawings: bool = True


class PlaceBody(Body):
    """What stands in one viewport; what is empty fits everything."""

    prior: Annotated[int, Field(ge=0, le=8)] = 0
    Modality: _Code = ""
    SeriesDescription: Annotated[str, StringConstraints(max_length=255)] = ""
    Laterality: Annotated[str, StringConstraints(pattern=r"^[LRB]?$")] = ""
    ViewPosition: _Codes = ""
    window_center: _Number | None = None
    window_width: Annotated[FiniteFloat, Field(gt=0, le=1e15)] | None = None
    show: Literal["", "fused", "mip"] = ""


class LinksBody(Body):
    """What the viewports of a stage do together."""

    scroll: Literal["off", "position", "offset"] = "off"
    window: bool = False
    view: bool = False


class StageBody(Body):
    """One layout of a hanging protocol."""

    name: Annotated[str, StringConstraints(max_length=64)] = ""
    rows: Annotated[int, Field(ge=1, le=4)] = 1
    columns: Annotated[int, Field(ge=1, le=4)] = 1
    fit: Literal["", "scale", "chest wall"] = ""
    links: LinksBody | None = None
    least: Annotated[int, Field(ge=1, le=16)] = 1
    places: Annotated[list[PlaceBody], Field(max_length=16)] = []


class HangingBody(Body):
    """A hanging protocol."""

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)]
    priority: Annotated[int, Field(ge=0, le=32000)] = 100
    is_site: bool = False
    is_active: bool = True
    Modality: _Code = ""
    BodyPartExamined: Annotated[str, StringConstraints(max_length=64)] = ""
    StudyDescription: Annotated[str, StringConstraints(max_length=255)] = ""
    Laterality: Annotated[str, StringConstraints(pattern=r"^[LRB]?$")] = ""
    ViewPosition: _Code = ""
    priors: Annotated[int, Field(ge=0, le=8)] = 0
    stages: Annotated[list[StageBody], Field(min_length=1, max_length=16)]


class HangingSetBody(Body):
    """Hanging protocols from another site or person."""

    protocols: Annotated[list[HangingBody], Field(min_length=1, max_length=200)]
    is_site: bool = False


class LikeThisBody(Body):
    """A layout that studies like one are to have."""

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)]
    stages: Annotated[list[StageBody], Field(min_length=1, max_length=16)]


class SessionBody(Body):
    """Where reading stopped."""

    series_id: UUID
    image_id: UUID
    frame_number: _FrameNumber = 1
    viewport: dict[str, Any] | None = None


def parse(kind: type[B], content: bytes, *, most_bytes: int = MOST_BYTES) -> B:
    """Read a request's body.

    Raises
    ------
    TooLargeError
        Past `most_bytes`.
    InvalidInputError
        When it is not JSON, or not of this kind; the message names the first field at fault.
    """
    if len(content) > most_bytes:
        raise TooLargeError(f"The body is longer than {most_bytes} bytes.")
    try:
        value = json.loads(content, parse_constant=_refuse_constant)
        # Databases take neither NUL nor half a surrogate pair.
        text = json.dumps(value, ensure_ascii=False)
        text.encode()
    except (ValueError, RecursionError):
        raise InvalidInputError("The body is not JSON in UTF-8.") from None
    if "\\u0000" in text:
        raise InvalidInputError("The body holds a NUL character. Leave it out.")
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, fault["loc"])) or "body"
        raise InvalidInputError(f"The request cannot be used: {place}: {fault['msg']}.") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
