"""What belongs to a study and is drawn over its pictures: segments, structures, doses, maps.

Objects of any maker are shown with their origin and never changed. The list of them is read from
headers alone; what one of them draws is read when somebody wants to see it.
"""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import numpy as np
from cachetools import LRUCache
from django.urls import reverse
from numpy.typing import NDArray

from archive import access, audit, decoding, retrieve, stores
from archive.access import Actor
from archive.errors import ArchiveError, NotFoundError, UndecodableError
from blobs import BlobMissingError
from dicom_viewer import machine
from imaging import dicomjson, masks, radiotherapy, segmentation
from imaging.derived import KINDS, Derived, Part, Plane
from imaging.errors import ImagingError
from imaging.masks import Volume
from worklist.models import DicomImage, Study

logger = logging.getLogger(__name__)

_MOST_OBJECTS = 100
_MOST_HEADER_BYTES = 64 * 2**20
MOST_PIXELS = 2**30
_MOST_ANSWER_BYTES = 96 * 2**20
_KEPT_BYTES = 64 * 2**20

_READERS: dict[str, Callable[[Any], Derived]] = {
    "segmentation": segmentation.read_segmentation,
    "parametric": segmentation.read_parametric,
    "structures": radiotherapy.read_structures,
    "dose": radiotherapy.read_dose,
}

_sheets: LRUCache[str, Derived] = LRUCache(64)
_drawn: LRUCache[str, bytes] = LRUCache(_KEPT_BYTES, getsizeof=len)
_lock = threading.Lock()


def derived_on(actor: Actor, study_id: UUID) -> dict[str, Any]:
    """Return which objects of a study describe its images.

    Returns
    -------
    ``objects``, each with its origin and ``parts``; one that cannot be read has a ``problem`` in
    words.

    Raises
    ------
    NotFoundError, ForbiddenError
    """
    study = access.study_for(actor.scope, study_id)
    audit.record(actor, "study.derived", study)
    rows = _candidates(study)
    made = machine.marks_of(study)
    if actor.link_id is not None:
        # What programs found is for people who judge it, not for guests.
        rows = [row for row in rows if row.pk not in made]
    return {
        "objects": [
            {**_document(row), "machine": made.get(row.pk)} for row in rows[:_MOST_OBJECTS]
        ],
        "is_cut": len(rows) > _MOST_OBJECTS,
    }


def drawn_by(actor: Actor, image_id: UUID) -> bytes:
    """Return what one object draws: docs/api/viewer.md, "Segments and structures".

    Raises
    ------
    NotFoundError, ForbiddenError
        NotFoundError also for objects that draw nothing over pictures.
    UndecodableError
        When it cannot be read, or is too large; in words.
    """
    image = access.image_for(actor.scope, image_id)
    if image.sop_class_uid not in KINDS:
        raise NotFoundError("This object draws nothing over pictures.")
    audit.record(actor, "image.read", image.series.study, image=str(image.pk), how="derived")
    with _lock:
        kept = _drawn.get(image.sha256)
    if kept is not None:
        return kept
    try:
        content = _draw(image, sheet_of(image))
    except ImagingError as error:
        raise UndecodableError(str(error)) from error
    with _lock:
        if len(content) <= _KEPT_BYTES:
            _drawn[image.sha256] = content
    return content


def sheet_of(image: DicomImage) -> Derived:
    """Return the description of an object, read once.

    Raises
    ------
    UndecodableError
    """
    with _lock:
        kept = _sheets.get(image.sha256)
    if kept is not None:
        return kept
    end = image.pixel_data_offset or image.size_bytes
    if end > _MOST_HEADER_BYTES:
        raise UndecodableError("The object's description is too long to be read. Download it.")
    try:
        with stores.instances().open(image.storage_key) as handle:
            dataset = dicomjson.read(io.BytesIO(handle.read(end)), is_whole=True)
        sheet = _READERS[KINDS[image.sop_class_uid]](dataset)
    except (ImagingError, BlobMissingError) as error:
        raise UndecodableError(str(error)) from error
    with _lock:
        _sheets[image.sha256] = sheet
    return sheet


def _candidates(study: Study) -> list[DicomImage]:
    return [
        image
        for series in study.series.order_by("series_number", "pk")
        for image in series.images.select_related("series")
        .filter(sop_class_uid__in=list(KINDS))
        .order_by("instance_number", "pk")
    ]


def _document(image: DicomImage) -> dict[str, Any]:
    document: dict[str, Any] = {
        "image_id": str(image.pk),
        "kind": KINDS[image.sop_class_uid],
        "SeriesInstanceUID": image.series.series_instance_uid,
        "SeriesNumber": image.series.series_number,
        "SeriesDescription": image.series.series_description,
        "url": reverse("dicom_viewer:derived-image", args=[image.pk]),
        "FrameOfReferenceUID": image.series.frame_of_reference_uid or None,
        "problem": None,
        "label": "",
        "Manufacturer": "",
        "author": "",
        "at": "",
        "notes": [],
        "parts": [],
    }
    try:
        sheet = sheet_of(image)
    except ArchiveError as error:
        logger.info("Nothing is drawn of %s: %s", image.sop_instance_uid, error)
        return {**document, "problem": str(error)}
    return {
        **document,
        "FrameOfReferenceUID": sheet.frame_of_reference_uid or None,
        "label": sheet.label,
        "Manufacturer": sheet.manufacturer,
        "author": sheet.author,
        "at": sheet.at,
        "notes": list(sheet.notes),
        "parts": [_part_document(part) for part in sheet.parts],
    }


def _part_document(part: Part) -> dict[str, Any]:
    return {
        "number": part.number,
        "name": part.name,
        "category": part.category,
        "type": part.type,
        "algorithm": part.algorithm,
        "algorithm_name": part.algorithm_name,
        "colour": part.colour or None,
    }


def _draw(image: DicomImage, sheet: Derived) -> bytes:
    if sheet.kind == "structures":
        return _contours(sheet)
    if sheet.form == "VALUES":
        return _values(image, sheet)
    return _masks(image, sheet)


class _Frames:
    """The decoded frames of an object, within bounds."""

    def __init__(self, image: DicomImage, count: int) -> None:
        facts = retrieve.facts_of(image)
        if facts.rows * facts.columns * count > MOST_PIXELS:
            raise UndecodableError(
                "The object has more pixels than are shown at once "
                f"({MOST_PIXELS >> 20} million). Download it."
            )
        if facts.samples_per_pixel != 1:
            raise UndecodableError("The object is in colour, which nothing over a picture is.")
        self._image = image
        # Label maps may be shown in colours of their own; what counts are the labels.
        self._facts = replace(facts, photometric_interpretation="MONOCHROME2")
        self.rows, self.columns = facts.rows, facts.columns

    def of(self, index: int) -> NDArray[Any]:
        if index >= max(self._image.number_of_frames, 1):
            raise UndecodableError(f"The object describes a frame {index + 1} that it has not.")
        return decoding.decode_exact(self._image, self._facts, index)


def _masks(image: DicomImage, sheet: Derived) -> bytes:
    frames = _Frames(image, len(sheet.planes))
    places = {part.number: at for at, part in enumerate(sheet.parts)}
    if sheet.form == "LABELMAP" and len(places) > 255:
        raise UndecodableError("The label map has more than 255 labels. Download it.")
    counts: dict[int, list[tuple[Plane, float]]] = {part.number: [] for part in sheet.parts}
    planes, pieces, offset = [], [], 0
    for plane in sheet.planes:
        pixels = frames.of(plane.frame_index)
        if sheet.form == "LABELMAP":
            pixels = _labels(pixels, places, plane, counts)
        elif sheet.form == "FRACTIONAL":
            share = np.clip(pixels / sheet.scale, 0, 1)
            counts[plane.part or 0].append((plane, float(share.sum())))
            pixels = np.rint(share * 255).astype(np.uint8)
        else:
            pixels = (pixels != 0).astype(np.uint8)
            counts[plane.part or 0].append((plane, float(np.count_nonzero(pixels))))
        if not pixels.any():
            continue
        runs = masks.to_runs(pixels)
        planes.append({**_place(plane, frames), "offset": offset, "count": len(runs)})
        pieces.append(runs.tobytes())
        offset += len(runs)
        _check_size(offset * 4)
    parts = [_measured(part, masks.volume_of(counts[part.number], sheet)) for part in sheet.parts]
    head = {**_head(sheet), "parts": parts, "planes": planes}
    return _packed(head, pieces)


def _labels(
    pixels: NDArray[Any],
    places: dict[int, int],
    plane: Plane,
    counts: dict[int, list[tuple[Plane, float]]],
) -> NDArray[np.uint8]:
    """Return labels as places in the list of parts, from 1."""
    found = np.zeros(pixels.shape, np.uint8)
    labels, numbers = np.unique(pixels, return_counts=True)
    for label, count in zip(labels.tolist(), numbers.tolist(), strict=True):
        if label in places:
            found[pixels == label] = places[label] + 1
            counts[label].append((plane, float(count)))
        elif label != 0:
            raise UndecodableError(
                f"The label map holds the label {label}, which it does not describe. Have it made "
                "again."
            )
    return found


def _values(image: DicomImage, sheet: Derived) -> bytes:
    frames = _Frames(image, len(sheet.planes))
    _check_size(frames.rows * frames.columns * len(sheet.planes) * 4)
    planes, pieces, offset = [], [], 0
    low, high = np.inf, -np.inf
    for plane in sheet.planes:
        stored = frames.of(plane.frame_index).astype(np.float64)
        values = (stored * plane.slope + plane.intercept).astype(np.float32)
        usable = values[np.isfinite(values)]
        if usable.size:
            low, high = min(low, float(usable.min())), max(high, float(usable.max()))
        planes.append({**_place(plane, frames), "offset": offset, "count": values.size})
        pieces.append(values.astype("<f4").tobytes())
        offset += values.size
    head = {
        **_head(sheet),
        "parts": [{"number": part.number} for part in sheet.parts],
        "planes": planes,
        "unit": sheet.unit,
        "quantity": sheet.quantity,
        "min": low if np.isfinite(low) else 0.0,
        "max": high if np.isfinite(high) else 0.0,
    }
    return _packed(head, pieces)


def _contours(sheet: Derived) -> bytes:
    parts, pieces, offset = [], [], 0
    for part in sheet.parts:
        outlines = []
        for contour in sheet.contours.get(part.number, ()):
            points = np.array(contour.points_mm, "<f4")
            outlines.append(
                {
                    "offset": offset,
                    "count": len(points),
                    "is_closed": contour.is_closed,
                    "SOPInstanceUID": contour.sop_instance_uid or None,
                    "frame_number": contour.source_frame,
                }
            )
            pieces.append(points.tobytes())
            offset += points.size
        _check_size(offset * 4)
        volume = masks.volume_of_contours(sheet.contours.get(part.number, ()))
        parts.append({**_measured(part, volume), "contours": outlines})
    return _packed({**_head(sheet), "parts": parts, "planes": []}, pieces)


def _head(sheet: Derived) -> dict[str, Any]:
    return {
        "kind": sheet.kind,
        "form": sheet.form,
        "slice_distance_mm": masks.slice_distance(sheet)[0],
    }


def _measured(part: Part, volume: Volume) -> dict[str, Any]:
    return {
        "number": part.number,
        "volume_ml": volume.millilitres,
        "volume_source": volume.source,
    }


def _place(plane: Plane, frames: _Frames) -> dict[str, Any]:
    return {
        "part": plane.part,
        "SOPInstanceUID": plane.sop_instance_uid or None,
        "frame_number": plane.source_frame,
        "ImagePositionPatient": plane.position,
        "ImageOrientationPatient": plane.orientation,
        "PixelSpacing": plane.spacing,
        "Rows": frames.rows,
        "Columns": frames.columns,
    }


def _check_size(size_bytes: int) -> None:
    if size_bytes > _MOST_ANSWER_BYTES:
        raise UndecodableError(
            "The object is too large to be drawn over pictures here "
            f"(more than {_MOST_ANSWER_BYTES >> 20} MiB). Download it."
        )


def _packed(head: dict[str, Any], pieces: list[bytes]) -> bytes:
    """Return the length of the head, the head, and the numbers behind it at a multiple of four."""
    content = json.dumps(head, separators=(",", ":"), allow_nan=False).encode()
    content += b" " * (-len(content) % 4)
    return b"".join((len(content).to_bytes(4, "little"), content, *pieces))
