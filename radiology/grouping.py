"""A study as those who hand images in know it: series by number, images by number, one order."""

from __future__ import annotations

from typing import Any

from django.db.models import F, QuerySet

from orders.models import Order
from radiology.models import (
    OfflineImage,
    OfflineState,
    RadiologyImage,
    RadiologySeries,
    file_key,
)
from worklist.models import Study

Document = dict[str, Any]


def grouped(study: Study, order: Order | None) -> Document:
    """Return a study with its series and images; four queries, however many images.

    Parameters
    ----------
    study : scoped by `archive.access`
    order : which it fulfils
    """
    images: dict[Any, list[Document]] = {}
    sent = _sent(study)
    for image in images_of(study):
        mime_type, filename = sent.get(
            image.pk, ("application/dicom", f"{image.sop_instance_uid}.dcm")
        )
        images.setdefault(image.series_id, []).append(
            {
                "id": str(image.pk),
                "image_uid": image.image_uid,
                "instance_number": image.instance_number,
                "file_key": file_key(
                    study.study_instance_uid,
                    image.series.series_instance_uid,
                    image.image_uid,
                    filename,
                ),
                "filename": filename,
                "mime_type": mime_type,
                "number_of_frames": image.number_of_frames,
                "rows": image.rows,
                "columns": image.columns,
                "url": f"/api/v1/radiology/images/{image.pk}/url/",
            }
        )
    return {
        "study": _study(study) | {"order": _order(order) if order else None},
        "series": [
            {
                "id": str(series.pk),
                "series_uid": series.series_uid,
                "series_number": series.series_number,
                "series_description": series.series_description,
                "modality": series.modality,
                "image_count": len(images.get(series.pk, [])),
                "images": images.get(series.pk, []),
            }
            for series in series_of(study)
        ],
    }


def series_of(study: Study) -> QuerySet[RadiologySeries]:
    """Return the series of a study in order of their number."""
    rows = RadiologySeries.objects.filter(study=study)
    return rows.order_by(F("series_number").asc(nulls_last=True), "pk")


def images_of(study: Study) -> QuerySet[RadiologyImage]:
    """Return the images of a study in order of their Instance Number."""
    rows = RadiologyImage.objects.filter(series__study=study, series__deletion_id=None)
    return rows.select_related("series").order_by(F("instance_number").asc(nulls_last=True), "pk")


def _sent(study: Study) -> dict[Any, tuple[str, str]]:
    rows = OfflineImage.objects.filter(image__series__study=study).exclude(
        state=OfflineState.METADATA_UPLOADED
    )
    # Where one image was handed in under two names, the first counts.
    named = rows.order_by("-stored_at").values_list("image_id", "mime_type", "filename")
    return {image: (mime_type, filename) for image, mime_type, filename in named}


def _study(study: Study) -> Document:
    return {
        "id": str(study.pk),
        "study_uid": study.study_instance_uid,
        "study_description": study.study_description,
        "study_date": study.study_date.isoformat() if study.study_date else None,
        "modality": study.modality,
        "accession_number": study.accession_number,
        "patient_id": study.patient_identifier,
        "patient_name": study.patient_name,
        "facility": study.facility.code,
        "series_count": study.series_count,
        "image_count": study.instance_count,
    }


def _order(order: Order) -> Document:
    consultation = order.consultations.select_related("visit").order_by("pk").first()
    return {
        "id": str(order.pk),
        "accession_number": order.accession_number,
        "description": order.description,
        "consultation_id": consultation.identifier if consultation else None,
        "visit_id": consultation.visit.identifier if consultation else None,
    }
