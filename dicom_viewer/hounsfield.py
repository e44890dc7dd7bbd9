"""Checks that the values of a CT series are Hounsfield units, once it has arrived."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from archive import jobs, outbox, retrieve
from archive.access import EVERYTHING, study_for
from archive.errors import UndecodableError
from archive.runner import Payloads, subscriber
from dicom_viewer.models import HounsfieldCalibration
from imaging import voi
from imaging.hounsfield import HounsfieldReport, validate_hounsfield
from worklist.models import DicomImage, Series

logger = logging.getLogger(__name__)

QUIET = timedelta(seconds=2)
# Air and tissue are in nearly every slice; three see also a series that changes on its way.
_PLACES = (0.5, 0.25, 0.75)
_WARNING = "Values may not be Hounsfield units."


@subscriber("instance.stored")
def queue_checks(payloads: Payloads) -> None:
    """Queue a check of every CT series that got images."""
    for series_id in {p["series_id"] for p in payloads if p["modality"] == "CT"}:
        jobs.enqueue(
            "series.hounsfield", series_id, delay_s=QUIET.total_seconds(), series_id=series_id
        )


@jobs.handler("series.hounsfield")
def check_series(series_id: str) -> None:
    """Check one series, keep what was found, warn its readers; waits while it still arrives."""
    series = Series.objects.select_related("study").filter(pk=UUID(series_id)).first()
    if series is None:
        return
    quiet_for = timezone.now() - series.study.last_received_at
    if quiet_for < QUIET:
        rest = (QUIET - quiet_for).total_seconds()
        jobs.enqueue("series.hounsfield", series_id, delay_s=rest, series_id=series_id)
        return
    checked = _check(series)
    if checked:
        _keep(series, checked)
    else:
        HounsfieldCalibration.objects.filter(series=series).delete()


def _check(series: Series) -> list[tuple[DicomImage, HounsfieldReport]]:
    """Return a report for each slice that can be judged."""
    identities = list(
        series.images.filter(number_of_frames__gt=0)
        .order_by("instance_number", "pk")
        .values_list("pk", flat=True)
    )
    if not identities:
        return []
    places = dict.fromkeys(int(len(identities) * place) for place in _PLACES)
    rows = series.images.in_bulk([identities[place] for place in places])
    checked = []
    for place in places:
        image = rows[identities[place]]
        number = retrieve.middle_frame(image)
        try:
            pixels = retrieve.exact(image, number)
        except UndecodableError as error:
            logger.info("No HU check of %s: %s", image.sop_instance_uid, error)
            continue
        report = validate_hounsfield(
            [pixels],
            voi.frame_display(image.display, number - 1) | retrieve.values(image),
            modality=series.modality,
            image_type=image.value("ImageType") or (),
            is_lossy=image.is_lossy,
        )
        if report.is_applicable:
            checked.append((image, report))
    return checked


def _keep(series: Series, checked: Sequence[tuple[DicomImage, HounsfieldReport]]) -> None:
    bad = [entry for entry in checked if not entry[1].is_valid]
    image, report = (bad or checked)[0]
    facts = voi.frame_display(image.display, retrieve.middle_frame(image) - 1)
    issues = list(dict.fromkeys(issue for _, r in checked for issue in r.issues))
    with transaction.atomic():
        HounsfieldCalibration.objects.update_or_create(
            series=series,
            defaults={
                "image": image,
                "is_valid": not bad,
                "rescale_slope": facts.get("RescaleSlope"),
                "rescale_intercept": facts.get("RescaleIntercept"),
                "rescale_type": (facts.get("RescaleType") or "")[:16],
                "air_value_hu": report.air_hu,
                "water_value_hu": report.tissue_hu,
                "issues": "\n".join(issues),
                "checked_image_count": len(checked),
                "checked_at": timezone.now(),
            },
        )
        _warn(series, f"{_WARNING} {' '.join(issues)}"[:255] if bad else "")


def _warn(series: Series, warning: str) -> None:
    """Set or lift our warning on the series and its study; other warnings stay as they are."""
    study = study_for(EVERYTHING, series.study_id, lock=True)
    is_changed = False
    row = Series.objects.select_for_update().get(pk=series.pk)
    if row.warning != warning and (not row.warning or row.warning.startswith(_WARNING)):
        Series.objects.filter(pk=row.pk).update(warning=warning)
        is_changed = True
    if not study.warning or study.warning.startswith(_WARNING):
        # Of several series with the same fault the study shows the first.
        warned = study.series.filter(warning__startswith=_WARNING).order_by("series_number")
        present = warned.values_list("warning", flat=True).first() or ""
        if study.warning != present:
            study.warning = present
            study.save(update_fields=["warning"])
            is_changed = True
    if is_changed:
        outbox.record(outbox.StudyChanged(facility_id=study.facility_id, study_id=study.pk))
