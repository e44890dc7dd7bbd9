"""A stored segmentation as a draft to go on with: the same pixels on the same pictures.

Nothing is written here: what a person makes of the copy becomes a draft of theirs, and stored it is
a new object that names the one it was copied from (`drafts.store_draft`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import numpy as np
from numpy.typing import NDArray

from archive import access
from archive.access import Actor
from archive.errors import InvalidInputError, NotFoundError, TooLargeError
from archive.headers import header_of
from dicom_viewer import derived, drafts, series
from imaging import masks
from imaging.derived import Part
from imaging.errors import ImagingError, UnsupportedError
from imaging.segment_grid import Footprint, places_on
from worklist.models import DicomImage, Series

_UUID_UID = re.compile(r"^2\.25\.([1-9][0-9]{0,38})$")
_TISSUE = "85756007"


@dataclass(frozen=True, slots=True)
class _Drawn:
    """What a segmentation draws, as it goes to the viewer."""

    planes: Sequence[dict[str, Any]]
    runs: NDArray[np.uint32]


def copy_of(actor: Actor, image_id: UUID, numbers: Sequence[int] = ()) -> bytes:
    """Return a stored segmentation as `drafts.draft_of` returns a draft.

    Parameters
    ----------
    numbers : of its segments; empty: all of them

    Returns
    -------
    A head in JSON with ``series_id``, ``segments``, ``frames`` and ``notes``, and runs; each
    segment has a ``source`` that says what it was copied from.

    Raises
    ------
    ForbiddenError, NotFoundError
    InvalidInputError
        When it cannot be edited here, with the reason in words.
    TooLargeError
        When it is more than a draft holds.
    """
    drafts.drawer(actor)
    image = access.image_for(actor.scope, image_id)
    if image.sop_class_uid not in drafts.SEGMENTATION_CLASSES:
        raise NotFoundError("This object is no segmentation.")
    content = derived.drawn_by(actor, image_id)
    sheet = derived.sheet_of(image)
    if sheet.form == "FRACTIONAL":
        raise InvalidInputError(
            "This segmentation is fractional: its pixels say how much, not whether. Only "
            "segmentations of whole pixels are edited here."
        )
    parts = [part for part in sheet.parts if not numbers or part.number in numbers]
    if not parts:
        raise NotFoundError("The segmentation has no such segment.")
    if len(parts) > drafts.MOST_SEGMENTS:
        raise InvalidInputError(
            f"It has {len(parts)} segments; at most {drafts.MOST_SEGMENTS} are edited at once. "
            "Hide those that stay as they are."
        )
    drawn = _unpacked(content)
    target, pictures, places = _laid(image, sheet.frame_of_reference_uid, drawn.planes)
    # Label maps hold places in the list of parts, others the part of each frame.
    values = {part.number: at for at, part in enumerate(sheet.parts, start=1)}
    wanted = [(at, values[part.number], part) for at, part in enumerate(parts, start=1)]
    by_picture: dict[int, list[dict[str, Any]]] = {}
    for plane, place in zip(drawn.planes, places, strict=True):
        by_picture.setdefault(place, []).append(plane)
    frames, pieces, offset = [], [], 0
    for place in sorted(by_picture):
        picture = pictures[place]
        labels = _labels(by_picture[place], drawn.runs, wanted, picture)
        if not labels.any():
            continue
        runs = masks.to_runs(labels)
        frames.append(
            {
                "SOPInstanceUID": picture.sop_instance_uid,
                "frame_number": picture.frame_number,
                "offset": offset,
                "count": len(runs),
            }
        )
        pieces.append(runs.tobytes())
        offset += len(runs)
    segments, notes = _segments(image, parts)
    head = {
        "series_id": str(target.pk), "segments": segments, "frames": frames, "notes": notes,
    }  # fmt: skip
    packed = drafts.packed(head, b"".join(pieces))
    if len(packed) > drafts.MOST_BYTES:
        raise TooLargeError(
            f"These segments need more than {drafts.MOST_BYTES >> 20} MiB, which is what is edited "
            "at once. Hide some of them, and edit the others."
        )
    return packed


def _unpacked(content: bytes) -> _Drawn:
    length = int.from_bytes(content[:4], "little")
    head = json.loads(content[4 : 4 + length])
    return _Drawn(head["planes"], np.frombuffer(content, "<u4", offset=4 + length))


def _laid(
    image: DicomImage, space: str, planes: Sequence[dict[str, Any]]
) -> tuple[Series, list[Footprint], list[int]]:
    """Return the series that the frames lie on, its pictures, and the picture of each frame."""
    study = image.series.study
    frames = [_footprint(plane, plane, plane["frame_number"]) for plane in planes]
    if not frames:
        raise InvalidInputError("Nothing is drawn in this segmentation.")
    named = {frame.sop_instance_uid for frame in frames} - {""}
    owners = {
        row.series_id: row.series
        for row in access.images_named(access.EVERYTHING, study.facility_id, named).values()
        if row.series.study_id == study.pk
    }
    if len(owners) > 1:
        raise InvalidInputError(
            "This segmentation lies on several series at once. Only segments of one series are "
            "edited here."
        )
    candidates = list(owners.values()) or [
        row
        for row in study.series.order_by("series_number", "pk")
        if space and row.frame_of_reference_uid == space and row.pk != image.series_id
    ]
    if not candidates:
        raise InvalidInputError(
            "This segmentation lies in another frame of reference than the pictures of this study, "
            "or its pictures are not here, so nobody can say which pixels it is of."
        )
    reason = ""
    for row in candidates:
        pictures = _pictures(row)
        try:
            if pictures:
                return row, pictures, places_on(frames, pictures)
        except UnsupportedError as error:
            reason = reason or str(error)
    raise InvalidInputError(f"This segmentation cannot be edited. {reason}".strip())


def _pictures(row: Series) -> list[Footprint]:
    documents = series.kept_images(row) or series.describe(row.images.all())
    found = []
    for one in documents:
        if one["transport"] is None:
            continue
        frames = one.get("frames") or []
        for number in range(1, max(one["NumberOfFrames"] or 1, 1) + 1):
            facts = frames[number - 1] if number <= len(frames) else {}
            found.append(_footprint(one, facts, number))
    return found


def _footprint(owner: dict[str, Any], facts: dict[str, Any], frame_number: int | None) -> Footprint:
    def value(keyword: str, count: int) -> tuple[float, ...] | None:
        numbers = facts.get(keyword) or owner.get(keyword)
        return tuple(map(float, numbers)) if numbers and len(numbers) == count else None

    return Footprint(
        rows=owner["Rows"] or 0,
        columns=owner["Columns"] or 0,
        sop_instance_uid=owner["SOPInstanceUID"] or "",
        frame_number=frame_number,
        position=value("ImagePositionPatient", 3),  # type: ignore[arg-type]  # three of them
        orientation=value("ImageOrientationPatient", 6),
        spacing=value("PixelSpacing", 2),  # type: ignore[arg-type]  # two of them
    )


def _labels(
    planes: Sequence[dict[str, Any]],
    runs: NDArray[np.uint32],
    wanted: Sequence[tuple[int, int, Part]],
    picture: Footprint,
) -> NDArray[np.uint8]:
    """Return the labels of one picture; segments that overlap are refused."""
    labels = np.zeros((picture.rows, picture.columns), np.uint8)
    for plane in planes:
        own = runs[plane["offset"] : plane["offset"] + plane["count"]]
        mask = masks.from_runs(own, plane["Rows"], plane["Columns"])
        for number, value, part in wanted:
            if plane["part"] is None:
                is_in = mask == value
            elif plane["part"] == part.number:
                is_in = mask != 0
            else:
                continue
            others = np.unique(labels[is_in & (labels != 0) & (labels != number)]).tolist()
            if others:
                other = next(one for at, _, one in wanted if at == others[0])
                raise InvalidInputError(
                    f"The segments “{other.name}” and “{part.name}” overlap, and what is edited "
                    "here holds one segment a pixel. Hide one of the two, and edit the others."
                )
            labels[is_in] = number
    return labels


def _segments(image: DicomImage, parts: Sequence[Part]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the segments of a draft, and what a person must know of them."""
    # Loads the dictionaries of codes, which only those who edit need.
    from imaging.segment_source import read_sources  # noqa: PLC0415

    try:
        sources = read_sources(header_of(image))
    except ImagingError as error:
        raise InvalidInputError(str(error)) from error
    segments, notes = [], []
    for at, part in enumerate(parts, start=1):
        source = sources[part.number]
        code = source.property_code or ("source" if source.is_coded else _TISSUE)
        if not source.is_coded:
            notes.append(
                f"“{part.name}” does not say in codes what it is. Choose it before you store."
            )
        segments.append(
            {
                "id": str(_identity(source.tracking_uid)),
                "number": at,
                "name": part.name,
                "property": code,
                "colour": part.colour or None,
                "is_semiautomatic": part.algorithm != "MANUAL",
                "source": {
                    "image_id": str(image.pk),
                    "number": part.number,
                    "name": ", ".join(filter(None, (part.type, part.category)))[:200],
                },
            }
        )
    return segments, notes


def _identity(tracking_uid: str) -> UUID:
    """Return the identity under which a finding is tracked, where it has the form of ours."""
    found = _UUID_UID.match(tracking_uid)
    number = int(found[1]) if found else 1 << 128
    return UUID(int=number) if number < 1 << 128 else uuid4()
