"""Segments while they are drawn: kept for the person who draws them, then written into the study.

A draft belongs to one person and one series. It is saved by itself, so that nothing is lost when
a page is closed; stored as DICOM it becomes an object that everybody sees, and ends.
"""

from __future__ import annotations

import json
import zlib
from typing import Annotated, Any
from uuid import UUID

import numpy as np
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone
from numpy.typing import NDArray
from pydantic import Field, StringConstraints

from archive import access, audit
from archive.access import Actor
from archive.errors import (
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    TooLargeError,
)
from archive.headers import header_of
from dicom_viewer import results
from dicom_viewer.bodies import Body, parse
from dicom_viewer.models import SegmentationDraft, StoredResult
from imaging import masks
from imaging.derived import LABELMAP, SEGMENTATION
from imaging.errors import DecodeError, UnsupportedError
from imaging.segmentation_codes import PROPERTIES
from worklist.models import DicomImage, Series

MOST_BYTES = 4 * 2**20
_MOST_HEAD_BYTES = 256 * 1024
MOST_SEGMENTS = 100
SEGMENTATION_CLASSES = (SEGMENTATION, LABELMAP)
_Uid = Annotated[str, StringConstraints(pattern=r"^[0-9.]{1,64}$")]


class SourceBody(Body):
    """The segment of a stored object that a segment was copied from, and what it is of."""

    image_id: UUID
    number: Annotated[int, Field(ge=0, le=65535)]
    name: Annotated[str, StringConstraints(max_length=200)] = ""


class SegmentBody(Body):
    """A segment as it is named; its property may be that of what it was copied from."""

    id: UUID
    number: Annotated[int, Field(ge=1, le=MOST_SEGMENTS)]
    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)]
    property: Annotated[str, StringConstraints(pattern=r"^([0-9]{1,18}|source)$")]
    colour: Annotated[str, StringConstraints(pattern=r"^#[0-9a-f]{6}$")]
    is_semiautomatic: bool = False
    source: SourceBody | None = None


class DrawnFrameBody(Body):
    """Where the mask of one frame stands among the runs."""

    SOPInstanceUID: _Uid
    frame_number: Annotated[int, Field(ge=1, le=2**31 - 1)] = 1
    offset: Annotated[int, Field(ge=0, le=MOST_BYTES)]
    count: Annotated[int, Field(ge=1, le=MOST_BYTES)]


class DraftBody(Body):
    """A draft: its segments, and the frames that something is drawn on.

    `version` is the one that the person saw; 0 where there was none.
    """

    version: Annotated[int, Field(ge=0, le=2**31 - 1)]
    segments: Annotated[list[SegmentBody], Field(max_length=MOST_SEGMENTS)]
    frames: Annotated[list[DrawnFrameBody], Field(max_length=20_000)]


class StoreBody(Body):
    """Which state of a draft becomes an object, and under what name."""

    version: Annotated[int, Field(ge=1, le=2**31 - 1)]
    description: Annotated[str, StringConstraints(strip_whitespace=True, max_length=64)] = ""


def draft_of(actor: Actor, series_id: UUID) -> bytes:
    """Return what the actor has drawn on a series so far, and what segments may be of.

    Returns
    -------
    A head in JSON and runs, as `save_draft` takes them; version 0 where nothing is drawn.
    """
    series = access.series_for(actor.scope, series_id)
    row = _row(actor, series)
    head: dict[str, Any] = {"version": 0, "segments": [], "frames": []}
    runs = b""
    if row is not None:
        head = {**row.head, "version": row.version, "updated_at": row.updated_at.isoformat()}
        runs = zlib.decompress(bytes(row.runs))
    head["properties"] = [
        {"code": code, "name": one.type.meaning, "category": one.category.meaning}
        for code, one in PROPERTIES.items()
    ]
    return packed(head, runs)


def save_draft(actor: Actor, series_id: UUID, content: bytes) -> int:
    """Keep what the actor has drawn on a series; returns the version that it now has.

    Raises
    ------
    ConflictError
        When it is no longer what they saw: another window of theirs was faster.
    InvalidInputError, TooLargeError
        When the masks do not fit the series; nothing is changed.
    NotFoundError, ForbiddenError
    """
    user_id = drawer(actor)
    series = access.series_for(actor.scope, series_id)
    body, runs = _unpacked(content)
    _check(series, body, runs)
    head = body.model_dump(mode="json", exclude={"version"})
    kept = zlib.compress(runs.tobytes(), 1)
    try:
        with transaction.atomic():
            if body.version == 0:
                SegmentationDraft.objects.create(
                    series=series, user_id=user_id, head=head, runs=kept
                )
                audit.record(actor, "segmentation.draft", series.study, series=str(series.pk))
                return 1
            rows = SegmentationDraft.objects.filter(
                series=series, user_id=user_id, version=body.version
            )
            changed = rows.update(
                head=head, runs=kept, version=F("version") + 1, updated_at=timezone.now()
            )
    except IntegrityError:
        changed = 0
    if not changed:
        raise ConflictError(
            "These segments were changed in another window. Reload the page to go on with those."
        )
    return body.version + 1


def drop_draft(actor: Actor, series_id: UUID) -> None:
    """Give up what the actor has drawn on a series."""
    user_id = drawer(actor)
    series = access.series_for(actor.scope, series_id)
    with transaction.atomic():
        gone, _ = SegmentationDraft.objects.filter(series=series, user_id=user_id).delete()
        if gone:
            audit.record(actor, "segmentation.drop", series.study, series=str(series.pk))


def store_draft(actor: Actor, series_id: UUID, body: StoreBody) -> StoredResult:
    """Write a draft as a DICOM Segmentation: a new series of the study; the draft ends.

    Raises
    ------
    ConflictError
        When the draft has changed since.
    NotFoundError
        When there is none, or an image that is drawn on is gone.
    PermanentError
        When it cannot be written, in words.
    """
    drawer(actor)
    series = access.series_for(actor.scope, series_id)
    row = _row(actor, series)
    if row is None:
        raise NotFoundError("There is no draft of segments on this series.")
    if row.version != body.version:
        raise ConflictError("The segments have changed meanwhile. Reload the page to see them.")
    draft = DraftBody.model_validate({**row.head, "version": row.version})
    runs = np.frombuffer(zlib.decompress(bytes(row.runs)), "<u4")
    images = _check(series, draft, runs)
    labels = {
        (frame.SOPInstanceUID, frame.frame_number): _mask(frame, runs, images)
        for frame in draft.frames
    }
    used = set().union(*(np.unique(mask).tolist() for mask in labels.values())) - {0}
    segments = [one for one in draft.segments if one.number in used]
    if not segments:
        raise InvalidInputError("Nothing is drawn in the segments yet. Draw something first.")
    description = body.description or "Segmentation"

    originals = _originals(actor, series, segments)

    def write(frame: Any) -> bytes:  # noqa: ANN401 - its module loads highdicom
        return _write(segments, labels, images, originals, frame)

    contents = {
        "series_id": str(series.pk),
        "segments": [one.name for one in segments],
        "copied_from": [image.sop_instance_uid for image, _ in originals.values()],
    }
    stored = results.store_object(
        actor,
        series.study,
        results.Job(StoredResult.Kind.SEGMENTATION, contents, write),
        description=description,
    )
    SegmentationDraft.objects.filter(pk=row.pk, version=row.version).delete()
    return stored


def drawer(actor: Actor) -> UUID:
    """Return who draws.

    Raises
    ------
    ForbiddenError
        When the role only looks.
    """
    if not actor.can_annotate or actor.user_id is None:
        raise ForbiddenError(
            "Your role looks at studies and does not draw segments in them. Ask an administrator."
        )
    return actor.user_id


def packed(head: dict[str, Any], runs: bytes) -> bytes:
    """Return the length of a head, the head, and runs behind it at a multiple of four bytes."""
    content = json.dumps(head, separators=(",", ":")).encode()
    content += b" " * (-len(content) % 4)
    return len(content).to_bytes(4, "little") + content + runs


def _write(
    segments: list[SegmentBody],
    labels: dict[tuple[str, int], NDArray[np.uint8]],
    images: dict[str, DicomImage],
    originals: dict[UUID, tuple[DicomImage, Any]],
    frame: Any,  # noqa: ANN401
) -> bytes:
    # They load highdicom and its codes, which only those who write need.
    from imaging.segment_source import read_sources  # noqa: PLC0415
    from imaging.segmentation_write import Segment, write_segmentation  # noqa: PLC0415

    # Numbers without gaps, in the order of the list: the standard asks for it.
    table = np.zeros(256, np.uint8)
    for at, segment in enumerate(segments, start=1):
        table[segment.number] = at
    drawn = {uid for (uid, _), mask in labels.items() if mask.any()}
    headers = [header_of(image) for uid, image in images.items() if uid in drawn]
    read = {image_id: read_sources(header) for image_id, (_, header) in originals.items()}
    copied = {
        one.number: read[one.source.image_id].get(one.source.number)
        for one in segments
        if one.source and one.source.image_id in read
    }
    for one in segments:
        source = copied.get(one.number)
        if one.property == "source" and not (source and source.is_coded):
            raise InvalidInputError(
                f"“{one.name}” does not say in codes what it is. Choose it in the list, and store "
                "again."
            )
    described = [
        Segment(
            number=at,
            name=segment.name,
            property_code=segment.property,
            colour=segment.colour,
            is_semiautomatic=segment.is_semiautomatic,
            tracking_uid=f"2.25.{segment.id.int}",
            source=copied.get(segment.number),
        )
        for at, segment in enumerate(segments, start=1)
    ]
    numbered = {key: table[mask] for key, mask in labels.items() if key[0] in drawn}
    try:
        predecessors = [header for _, header in originals.values()]
        return write_segmentation(described, numbered, headers, frame, predecessors=predecessors)
    except UnsupportedError as error:
        raise InvalidInputError(str(error)) from error


def _originals(
    actor: Actor, series: Series, segments: list[SegmentBody]
) -> dict[UUID, tuple[DicomImage, Any]]:
    """Return what segments were copied from, as far as it is still there."""
    found = {}
    for image_id in dict.fromkeys(one.source.image_id for one in segments if one.source):
        try:
            image = access.image_for(actor.scope, image_id)
        except NotFoundError:
            continue
        is_here = image.series.study_id == series.study_id
        if is_here and image.sop_class_uid in SEGMENTATION_CLASSES:
            found[image_id] = (image, header_of(image))
    for one in segments:
        if one.property == "source" and one.source and one.source.image_id not in found:
            raise InvalidInputError(
                f"The segmentation that “{one.name}” was copied from is no longer in the study. "
                "Choose in the list what the segment is, and store again."
            )
    return found


def _row(actor: Actor, series: Series) -> SegmentationDraft | None:
    if actor.user_id is None:
        return None
    return SegmentationDraft.objects.filter(series=series, user_id=actor.user_id).first()


def _unpacked(content: bytes) -> tuple[DraftBody, NDArray[np.uint32]]:
    if len(content) > MOST_BYTES:
        raise TooLargeError(
            f"The segments need more than {MOST_BYTES >> 20} MiB. Store these, and draw the rest "
            "in another segmentation."
        )
    length = int.from_bytes(content[:4], "little")
    if len(content) < 4 or length % 4 or length > len(content) - 4 or len(content) % 4:
        raise InvalidInputError("The body is no head with runs behind it.")
    if length > _MOST_HEAD_BYTES:
        # `parse` refuses it in words of its own.
        raise TooLargeError("The list of segments and frames is too long.")
    body = parse(DraftBody, content[4 : 4 + length])
    return body, np.frombuffer(content, "<u4", offset=4 + length)


def _check(series: Series, body: DraftBody, runs: NDArray[np.uint32]) -> dict[str, DicomImage]:
    """Refuse masks that do not fit the series; returns its drawn images in reading order."""
    numbers = [segment.number for segment in body.segments]
    if len(set(numbers)) != len(numbers):
        raise InvalidInputError("Two segments have the same number.")
    if not all(
        segment.property in PROPERTIES or (segment.property == "source" and segment.source)
        for segment in body.segments
    ):
        raise InvalidInputError("A segment is of something that is not in the list.")
    keys = {(frame.SOPInstanceUID, frame.frame_number) for frame in body.frames}
    if len(keys) != len(body.frames):
        raise InvalidInputError("A frame is drawn on twice.")
    named = {uid for uid, _ in keys}
    images = {
        image.sop_instance_uid: image
        for image in series.images.order_by("instance_number", "pk")
        if image.sop_instance_uid in named
    }
    allowed = np.zeros(256, bool)
    allowed[[0, *numbers]] = True
    for frame in body.frames:
        if frame.SOPInstanceUID not in images:
            raise NotFoundError("The series has no image with this SOP Instance UID.")
        mask = _mask(frame, runs, images)
        if not allowed[mask].all():
            raise InvalidInputError("A mask holds a segment that is not in the list.")
    return images


def _mask(
    frame: DrawnFrameBody, runs: NDArray[np.uint32], images: dict[str, DicomImage]
) -> NDArray[np.uint8]:
    image = images[frame.SOPInstanceUID]
    if frame.frame_number > max(image.number_of_frames, 1):
        raise NotFoundError(f"The image has no frame {frame.frame_number}.")
    own = runs[frame.offset : frame.offset + frame.count]
    if len(own) != frame.count:
        raise InvalidInputError("The body ends before all masks are there.")
    try:
        return masks.from_runs(own, image.rows or 0, image.columns or 0)
    except DecodeError as error:
        raise InvalidInputError(str(error)) from error
