"""Measurements that came with a study: in reports and presentation states of any maker.

They are shown, with their origin, and never changed: whoever made them answers for them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from cachetools import LRUCache

from archive import access, audit
from archive.access import Actor
from archive.errors import ArchiveError
from dicom_viewer import machine
from dicom_viewer.contents import read_file
from dicom_viewer.models import StoredResult
from imaging import measured_read, sopclass
from imaging.geometry import is_usable_orientation, patient_to_pixel
from imaging.measured import Found, Point
from imaging.measured_read import Sheet
from imaging.softcopy import SUPPORTED
from worklist.models import DicomImage, Study

logger = logging.getLogger(__name__)

# A study with more reports than this is read elsewhere.
_MOST_OBJECTS = 100
_MOST_DRAWINGS = 10_000

_sheets: LRUCache[str, Sheet] = LRUCache(256)
_lock = threading.Lock()


def found_on(actor: Actor, study_id: UUID) -> dict[str, Any]:
    """Return what reports and presentation states drew on a study that the actor may see.

    Returns
    -------
    ``objects``, each with its origin and ``drawings``; an object that cannot be read has a
    ``problem`` in words. What this viewer stored itself is left out: it is there as it is drawn.

    Raises
    ------
    NotFoundError, ForbiddenError
    """
    study = access.study_for(actor.scope, study_id)
    audit.record(actor, "measurement.list", study, how="found")
    own = set(StoredResult.objects.filter(study=study).values_list("image_id", flat=True))
    rows = [image for image in _candidates(study) if image.pk not in own]
    made = machine.marks_of(study)
    planes: dict[str, list[DicomImage]] = {}
    left = _MOST_DRAWINGS
    objects = []
    for image in rows[:_MOST_OBJECTS]:
        document = _document(study, image, planes, left)
        if document is not None:
            left -= len(document["drawings"])
            objects.append({**document, "machine": made.get(image.pk)})
    return {"objects": objects, "is_cut": len(rows) > _MOST_OBJECTS or left <= 0}


def _candidates(study: Study) -> list[DicomImage]:
    """Return the objects of a study that may hold drawings, in the order of their series."""
    return [
        image
        for series in study.series.filter(modality__in=("SR", "PR")).order_by("series_number")
        for image in series.images.select_related("series").order_by("instance_number")
        if image.sop_class_uid in SUPPORTED or sopclass.reads_as(image.sop_class_uid) == "report"
    ]


def _document(
    study: Study, image: DicomImage, planes: dict[str, list[DicomImage]], most: int
) -> dict[str, Any] | None:
    """Return one object; None where it holds no drawing."""
    is_state = image.sop_class_uid in SUPPORTED
    document: dict[str, Any] = {
        "image_id": str(image.pk),
        "kind": "gsps" if is_state else "sr",
        "SeriesNumber": image.series.series_number,
        "SeriesDescription": image.series.series_description,
        "problem": None,
        "drawings": [],
    }
    try:
        sheet = _sheet(image)
    except ArchiveError as error:
        logger.info("No drawings of %s: %s", image.sop_instance_uid, error)
        return {**document, "Manufacturer": "", "author": "", "at": "", "problem": str(error)}
    drawings = []
    for drawing in sheet.drawings[:most]:
        placed = _placed(study, drawing, planes)
        if placed is not None:
            drawings.append(_drawing_document(image, drawing, *placed))
    if not drawings:
        return None
    return {
        **document,
        "Manufacturer": sheet.manufacturer,
        "author": sheet.author,
        "at": sheet.at,
        "drawings": drawings,
    }


def _sheet(image: DicomImage) -> Sheet:
    with _lock:
        kept = _sheets.get(image.sha256)
    if kept is not None:
        return kept
    is_state = image.sop_class_uid in SUPPORTED
    sheet = read_file(image, measured_read.read_state if is_state else measured_read.read_report)
    with _lock:
        _sheets[image.sha256] = sheet
    return sheet


def _drawing_document(
    image: DicomImage, drawing: Found, sop_instance_uid: str, points: Iterable[Point]
) -> dict[str, Any]:
    return {
        "id": f"{image.pk}:{drawing.position}",
        "graphic": drawing.graphic,
        "SOPInstanceUID": sop_instance_uid,
        "frame_numbers": list(drawing.frame_numbers),
        "points": [list(point) for point in points],
        "is_closed": drawing.is_closed,
        "label": drawing.label,
        "values": [
            {"name": value.name, "number": value.number, "unit": value.unit}
            for value in drawing.values
        ],
    }


def _placed(
    study: Study, drawing: Found, planes: dict[str, list[DicomImage]]
) -> tuple[str, tuple[Point, ...]] | None:
    """Return the image that a drawing lies on, and its points there."""
    if drawing.points:
        return drawing.sop_instance_uid, drawing.points
    frame_of_reference = drawing.frame_of_reference_uid
    if frame_of_reference not in planes:
        planes[frame_of_reference] = [
            image
            for series in study.series.filter(frame_of_reference_uid=frame_of_reference)
            for image in series.images.all()
            if is_usable_orientation(image.value("ImageOrientationPatient"))
            and image.value("ImagePositionPatient")
            and image.value("PixelSpacing")
        ]
    best: tuple[float, str, tuple[Point, ...]] | None = None
    for image in planes[frame_of_reference]:
        placed = [
            patient_to_pixel(
                point,
                position=image.value("ImagePositionPatient"),
                orientation=image.value("ImageOrientationPatient"),
                pixel_spacing=image.value("PixelSpacing"),
            )
            for point in drawing.points_mm
        ]
        away = max(abs(distance) for *_, distance in placed)
        # A drawing lies in a slice, not between slices.
        reach = max(float(image.value("SliceThickness") or 0) / 2, 0.5)
        if away <= reach and (best is None or away < best[0]):
            best = (away, image.sop_instance_uid, tuple((c, r) for c, r, _ in placed))
    return None if best is None else best[1:]
