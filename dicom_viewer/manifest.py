"""Everything that the viewer must know of a study before the first picture: docs/api/viewer.md."""

from __future__ import annotations

import base64
import logging
from dataclasses import dataclass
from datetime import date, time
from typing import Any
from uuid import UUID

from django.urls import reverse

from accounts import preferences
from accounts.models import User
from archive import access, completeness, jobs, priors, retrieve
from archive.access import EVERYTHING, Actor, Scope
from archive.errors import NotFoundError, TransientError, UndecodableError
from dicom_viewer import services
from dicom_viewer.documents import drawing_document, preset_document, session_document
from dicom_viewer.hung import hung
from dicom_viewer.series import Image, describe, kept_images, starting_image
from imaging import sopclass
from worklist.models import Series, Study

logger = logging.getLogger(__name__)


def build(actor: Actor, user: User, study: Study) -> dict[str, Any]:
    """Return the manifest; the number of queries does not depend on the number of images."""
    series = series_documents(study)
    others = priors.priors_of(actor.scope, study)
    layout = hung(actor, study, series, others)
    return {
        "study": study_document(study),
        "patient": patient_document(study),
        "series": series,
        "first_image": first_document(actor.scope, first_image(series, layout)),
        "presets": [preset_document(row) for row in services.presets_for(user.pk)],
        "measurements": [drawing_document(row) for row in services.drawings_of(study)],
        "user": {
            "id": str(user.pk),
            "name": str(user),
            "can_write": actor.can_annotate,
            "can_report": actor.can_read,
            "shortcuts": preferences.shortcuts_of(user),
            "is_administrator": actor.is_administrator,
        },
        "priors": [prior_document(prior) for prior in others],
        "hanging": layout,
        "session": session_document(services.session_of(actor, study)),
        "links": _links(study, can_share=actor.can_share),
    }


def prior_document(prior: priors.Prior) -> dict[str, Any]:
    """Return another study of the person as the list of priors shows it."""
    study, relevance = prior.study, prior.relevance
    return {
        "id": str(study.pk),
        "StudyInstanceUID": study.study_instance_uid,
        "StudyDate": _day(study.study_date),
        "StudyDescription": study.study_description or None,
        "ModalitiesInStudy": study.modality_codes,
        "BodyPartExamined": study.body_part_examined or None,
        "NumberOfStudyRelatedInstances": study.instance_count,
        "status": study.status,
        "interval_days": relevance.interval_days,
        "reasons": list(relevance.reasons),
        "viewer_url": reverse("dicom_viewer:viewer", args=[study.pk]),
        "manifest_url": reverse("dicom_viewer:study", args=[study.pk]),
        "thumbnail_url": f"/api/v1/dicom/studies/{study.pk}/thumbnail",
    }


def series_documents(study: Study) -> list[dict[str, Any]]:
    """Return the series in the order of their numbers, each with its images in reading order."""
    rows = sorted(study.series.all(), key=_series_order)
    images: dict[UUID, list[Image] | None] = {row.pk: kept_images(row) for row in rows}
    _describe_stale(images)
    _note_problems(images)
    known = completeness.of(study)
    missing = known.series if known is not None else {}
    return [
        _series_document(row, images[row.pk] or [], missing.get(str(row.pk), "")) for row in rows
    ]


@jobs.handler("study.preview")
def warm_preview(study_id: str) -> None:
    """Make the picture that a study's first answer will carry, before anybody asks."""
    try:
        study = access.study_for(EVERYTHING, UUID(study_id))
    except NotFoundError:
        return  # deleted meanwhile
    series = series_documents(study)
    first_document(EVERYTHING, first_image(series, hung(None, study, series)))


def series_images(series: Series) -> list[Image]:
    """Return the images of one series in reading order."""
    images: dict[UUID, list[Image] | None] = {series.pk: kept_images(series)}
    _describe_stale(images)
    _note_problems(images)
    return images[series.pk] or []


def study_document(study: Study) -> dict[str, Any]:
    """Return what stands above a study's pictures."""
    return {
        "id": str(study.pk),
        "StudyInstanceUID": study.study_instance_uid,
        "StudyDate": _day(study.study_date),
        "StudyTime": _clock(study.study_time),
        "StudyDescription": study.study_description or None,
        "AccessionNumber": study.accession_number or None,
        "ReferringPhysicianName": study.referring_physician_name or None,
        "ModalitiesInStudy": study.modality_codes,
        "facility": {"code": study.facility.code, "name": study.facility.name},
        "NumberOfStudyRelatedSeries": study.series_count,
        "NumberOfStudyRelatedInstances": study.instance_count,
        "is_demo": study.is_demo,
        "status": study.status,
        "warning": study.warning or None,
    }


@dataclass(frozen=True, slots=True)
class FirstImage:
    """Where reading starts."""

    series_id: str
    image_id: str


def first_image(
    series: list[dict[str, Any]], layout: dict[str, Any] | None = None
) -> FirstImage | None:
    """Choose where reading starts: in the first viewport of the layout that the study hangs in.

    Without one it is the first series of images that is not a localizer. What describes images
    (segmentations, dose, key objects) comes first only where none is.
    """
    known = {entry["id"] for entry in series}
    for place in layout["stages"][0]["viewports"] if layout else ():
        if place and place["series"] in known and place["image"]:
            return FirstImage(series_id=place["series"], image_id=place["image"])
    pictures = [entry for entry in series if _shown(entry["images"])]
    if not pictures:
        return None
    images = [entry for entry in pictures if entry["Modality"] not in sopclass.COMPANION_MODALITIES]
    pictures = images or pictures
    entry = next((entry for entry in pictures if not _is_localizer(entry)), pictures[0])
    start = starting_image(_shown(entry["images"]))
    return FirstImage(series_id=entry["id"], image_id=start["id"]) if start else None


def first_document(scope: Scope, first: FirstImage | None) -> dict[str, Any] | None:
    """Return where reading starts, with a small picture to draw at once where one can be made."""
    if first is None:
        return None
    document: dict[str, Any] = {
        "series_id": first.series_id,
        "image_id": first.image_id,
        "frame_number": 1,
        "preview": None,
        "window_center": None,
        "window_width": None,
    }
    image = access.image_for(scope, UUID(first.image_id))
    try:
        preview = retrieve.preview(image, 1)
    except (UndecodableError, TransientError) as error:
        # The viewer asks for the exact frame next and shows the reason there.
        logger.info("No preview of %s: %s", image.sop_instance_uid, error)
        return document
    content = base64.b64encode(preview.content).decode("ascii")
    return {
        **document,
        "preview": f"data:{preview.content_type};base64,{content}",
        "window_center": preview.window_center,
        "window_width": preview.window_width,
    }


def _describe_stale(images: dict[UUID, list[Image] | None]) -> None:
    """Describe the images of series whose kept metadata is missing or out of date: two queries."""
    stale = [pk for pk, kept in images.items() if kept is None]
    if not stale:
        return
    for row in Series.objects.filter(pk__in=stale).prefetch_related("images"):
        images[row.pk] = describe(row.images.all())


def _note_problems(images: dict[UUID, list[Image] | None]) -> None:
    """Add what was found out about images after their metadata was made: one query."""
    rows = Series.objects.filter(pk__in=list(images), images__problem__gt="")
    problems = {
        str(pk): problem for pk, problem in rows.values_list("images__pk", "images__problem")
    }
    if not problems:
        return
    for its in images.values():
        for image in its or []:
            if image["id"] in problems:
                image["problem"] = problems[image["id"]]
                image["transport"] = None


def _series_document(row: Series, images: list[Image], missing: str) -> dict[str, Any]:
    kinds = [
        sopclass.kind_of(image["SOPClassUID"], has_pixels=bool(image["NumberOfFrames"]))
        for image in images
    ]
    middle = images[(len(images) - 1) // 2] if images else None
    return {
        "id": str(row.pk),
        "SeriesInstanceUID": row.series_instance_uid,
        "SeriesNumber": row.series_number,
        "SeriesDescription": row.series_description or None,
        "Modality": row.modality or None,
        "BodyPartExamined": row.body_part_examined or None,
        "Laterality": row.laterality or None,
        "FrameOfReferenceUID": row.frame_of_reference_uid or None,
        "SeriesDate": _day(row.series_date),
        "SeriesTime": _clock(row.series_time),
        "instance_count": len(images),
        "frame_count": sum(image["NumberOfFrames"] for image in images),
        "kind": "image" if "image" in kinds else (kinds[0] if kinds else "other"),
        "warning": " ".join(text for text in (row.warning, missing) if text) or None,
        "thumbnail_url": (
            f"/api/v1/dicom/image/{middle['id']}/thumbnail?v={middle['digest']}" if middle else None
        ),
        "images": images,
    }


def patient_document(study: Study) -> dict[str, Any]:
    """Return whose study it is, as the study has it."""
    return {
        "id": str(study.patient_id),
        "PatientID": study.patient_identifier or None,
        "PatientName": study.patient_name or None,
        "PatientBirthDate": _day(study.patient_birth_date),
        "PatientSex": study.patient_sex or None,
        "PatientAge": study.patient_age or None,
    }


def _links(study: Study, *, can_share: bool) -> dict[str, str | None]:
    return {
        "self": reverse("dicom_viewer:study", args=[study.pk]),
        "worklist": reverse("worklist:study-list"),
        "beside": reverse("worklist:studies-beside", args=[study.pk]),
        "measurements": reverse("dicom_viewer:measurement-list", args=[study.pk]),
        "found": reverse("dicom_viewer:found", args=[study.pk]),
        "presentations": reverse("dicom_viewer:presentations", args=[study.pk]),
        "findings": reverse("dicom_viewer:findings", args=[study.pk]),
        "derived": reverse("dicom_viewer:derived", args=[study.pk]),
        "sheet": reverse("dicom_viewer:sheet", args=[study.pk]),
        "disc": f"/api/v1/dicom/studies/{study.pk}/disc",
        "anonymised": f"/api/v1/dicom/studies/{study.pk}/anonymised",
        "results": reverse("dicom_viewer:result-list", args=[study.pk]),
        "hanging": reverse("dicom_viewer:hanging-list"),
        "layouts": reverse("dicom_viewer:layouts"),
        "hanging_like_this": reverse("dicom_viewer:hanging-like", args=[study.pk]),
        "presets": reverse("dicom_viewer:preset-list"),
        "session": reverse("dicom_viewer:session", args=[study.pk]),
        "report": reverse("dicom_viewer:report", args=[study.pk]),
        "shown": reverse("dicom_viewer:shown", args=[study.pk]),
        "shortcuts": reverse("dicom_viewer:shortcuts"),
        "study": reverse("worklist:study-detail", args=[study.pk]),
        "share": reverse("sharing:share", args=[study.pk]) if can_share else None,
        "theme": reverse("accounts:theme"),
        "events": "/ws/events/",
        "batch": "/api/v1/dicom/frames",
    }


def _shown(images: list[Image]) -> list[Image]:
    return [image for image in images if image["transport"] is not None]


def _is_localizer(entry: dict[str, Any]) -> bool:
    return all("LOCALIZER" in (image["ImageType"] or ()) for image in _shown(entry["images"]))


def _series_order(row: Series) -> tuple[Any, ...]:
    has_number = row.series_number is not None
    moment = f"{_day(row.series_date) or ''} {_clock(row.series_time) or ''}"
    return not has_number, row.series_number or 0, moment, str(row.pk)


def _day(value: date | None) -> str | None:
    return value.isoformat() if value else None


def _clock(value: time | None) -> str | None:
    return value.isoformat("seconds") if value else None
