"""Bodies of what readers keep: reports, what was shown, keys (docs/api/viewer.md)."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from dicom_viewer.bodies import Body

_Uid = Annotated[str, StringConstraints(pattern=r"^[0-9.]{1,64}$")]
_FrameNumber = Annotated[int, Field(ge=1, le=2**31 - 1)]
_Version = Annotated[int, Field(ge=0, le=2**31 - 1)]
_Mark = Annotated[str, StringConstraints(pattern=r"^[A-Z][0-9]{1,4}$")]
_Words = Annotated[str, StringConstraints(max_length=300)]

MOST_CHARACTERS = 60_000
# A day: longer than any window stays open on one picture.
_MOST_MS = 86_400_000


class MeasurementReferenceBody(Body):
    """A mark in a text that stands for a measurement, with the words that were written for it."""

    mark: _Mark
    kind: Literal["measurement"]
    measurement_id: UUID
    version: _Version = 0
    words: _Words


class ImageReferenceBody(Body):
    """A mark in a text that stands for an image."""

    mark: _Mark
    kind: Literal["image"]
    SOPInstanceUID: _Uid
    frame_number: _FrameNumber = 1
    words: _Words


class ReportBody(Body):
    """A draft of a report."""

    revision_id: UUID
    base_version: _Version
    text: Annotated[str, StringConstraints(max_length=MOST_CHARACTERS)]
    references: Annotated[
        list[Annotated[MeasurementReferenceBody | ImageReferenceBody, Field(discriminator="kind")]],
        Field(max_length=500),
    ] = []


class ShownBody(Body):
    """What a window showed exactly: image, frame number, milliseconds in all so far."""

    viewing_id: UUID
    shown: Annotated[
        list[tuple[UUID, _FrameNumber, Annotated[int, Field(ge=1, le=_MOST_MS)]]],
        Field(max_length=2000),
    ]


_Key = Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=r"^\S+$")]
_CommandId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,39}$")]


class ShortcutsBody(Body):
    """The keys that a person chose otherwise, by command; an empty list takes its keys away."""

    shortcuts: Annotated[
        dict[_CommandId, Annotated[list[_Key], Field(max_length=4)]], Field(max_length=200)
    ]
