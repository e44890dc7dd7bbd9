"""Instance Availability Notification: a study that has come whole is told of (PS3.4 R).

Destinations ask for it by a flag. A study that was quiet for a while is told of once; when more
of it comes, again.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import cast
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.module_loading import import_string

from archive import audit, jobs, outbox
from archive.access import Actor, system_actor
from archive.commitment import Delivery
from archive.models import AvailabilityNotice, Destination, NoticeState
from archive.runner import Payloads, subscriber
from worklist.models import DicomImage, Study

ANNOUNCE_JOB = "availability.announce"
SEND_JOB = "availability.send"
# With pauses from ten seconds to an hour: some sixteen hours in all.
MOST_ATTEMPTS = 25
_LONGEST_PAUSE_S = 3600


@dataclass(frozen=True, slots=True)
class Availability:
    """What a destination is told (PS3.4 table R.3.2-1).

    Attributes
    ----------
    sop_instance_uid : of the notification
    series : SOP Class UID and SOP Instance UID of the instances by Series Instance UID
    retrieve_ae_title : where they can be fetched
    performed_steps : SOP Class UID and SOP Instance UID of what equipment reported about the study
    """

    sop_instance_uid: str
    study_instance_uid: str
    series: Mapping[str, Sequence[tuple[str, str]]]
    retrieve_ae_title: str
    performed_steps: Sequence[tuple[str, str]] = ()


PerformedSteps = Callable[[Study], Sequence[tuple[str, str]]]
_PERFORMED_STEPS: list[PerformedSteps] = []


def performed_steps_provider(function: PerformedSteps) -> PerformedSteps:
    """Register a function that names the performed procedure steps of a study."""
    _PERFORMED_STEPS.append(function)
    return function


def _askers(study: Study | None = None) -> QuerySet[Destination]:
    """Return the destinations that want to know; of a study, those that may know of it."""
    rows = Destination.objects.filter(wants_availability=True)
    if study is None:
        return rows
    # One that belongs to no facility serves the whole site.
    return rows.filter(Q(facility=None) | Q(facility=study.facility_id))


@subscriber(outbox.InstanceStored.kind)
def on_stored(payloads: Payloads) -> None:
    """Look at studies that grew once they are quiet."""
    study_ids = dict.fromkeys(p["study_id"] for p in payloads if not p.get("is_demo"))
    if not study_ids or not _askers().exists():
        return
    for study_id in study_ids:
        jobs.enqueue(
            ANNOUNCE_JOB, study_id, delay_s=settings.STUDY_QUIET_AFTER_S, study_id=study_id
        )


@jobs.handler(ANNOUNCE_JOB)
def announce(study_id: str) -> None:
    """Write a notice for each destination, unless the study is still growing."""
    study = Study.objects.filter(pk=UUID(study_id)).first()
    if study is None:
        return
    quiet_at = study.last_received_at + timedelta(seconds=settings.STUDY_QUIET_AFTER_S)
    left_s = (quiet_at - timezone.now()).total_seconds()
    if left_s > 0:
        jobs.enqueue(ANNOUNCE_JOB, study_id, delay_s=left_s, study_id=study_id)
        return
    for destination in _askers(study):
        with transaction.atomic():
            notice, is_new = AvailabilityNotice.objects.get_or_create(
                destination=destination,
                study=study,
                instance_count=study.instance_count,
                defaults={"sop_instance_uid": f"2.25.{uuid.uuid4().int}"},
            )
            if is_new:
                jobs.enqueue(SEND_JOB, str(notice.pk), notice_id=str(notice.pk))


@jobs.handler(SEND_JOB)
def send(notice_id: str) -> None:
    """Send one notice; one that was not taken is tried again with growing pauses."""
    notice = (
        AvailabilityNotice.objects.select_related("destination", "study")
        .filter(pk=UUID(notice_id), state=NoticeState.WAITING)
        .first()
    )
    if notice is None or notice.study.deletion_id is not None:
        return
    deliver = cast(
        "Callable[[Destination, Availability], Delivery]",
        import_string(settings.DICOM_SCU_AVAILABILITY),
    )
    # Before it leaves: what cannot be recorded is not told.
    audit.record(
        system_actor("availability"),
        "study.announce",
        notice.study,
        to=notice.destination.ae_title,
    )
    delivery = deliver(notice.destination, _availability(notice))
    notice.attempts += 1
    with transaction.atomic():
        if delivery.is_success:
            notice.state, notice.sent_at, notice.last_error = NoticeState.SENT, timezone.now(), ""
        else:
            notice.last_error = delivery.message[:255]
            if notice.attempts >= MOST_ATTEMPTS:
                notice.state = NoticeState.FAILED
            else:
                pause_s = min(5 * 2**notice.attempts, _LONGEST_PAUSE_S)
                jobs.enqueue(SEND_JOB, notice_id, delay_s=pause_s, notice_id=notice_id)
        notice.save()


def _availability(notice: AvailabilityNotice) -> Availability:
    rows = DicomImage.objects.filter(series__study=notice.study, series__deletion_id=None)
    series: dict[str, list[tuple[str, str]]] = {}
    for series_uid, sop_class_uid, uid in rows.order_by(
        "series__series_number", "series_id", "instance_number", "pk"
    ).values_list("series__series_instance_uid", "sop_class_uid", "sop_instance_uid"):
        series.setdefault(series_uid, []).append((sop_class_uid, uid))
    return Availability(
        sop_instance_uid=notice.sop_instance_uid,
        study_instance_uid=notice.study.study_instance_uid,
        series=series,
        retrieve_ae_title=settings.DICOM_SCP_AE_TITLE,
        performed_steps=[pair for steps in _PERFORMED_STEPS for pair in steps(notice.study)],
    )


def try_again(actor: Actor, notice_ids: Sequence[UUID]) -> int:
    """Send notices once more that were given up; returns how many."""
    count = 0
    for notice in AvailabilityNotice.objects.filter(pk__in=notice_ids, state=NoticeState.FAILED):
        with transaction.atomic():
            AvailabilityNotice.objects.filter(pk=notice.pk).update(
                state=NoticeState.WAITING, attempts=0
            )
            jobs.enqueue(SEND_JOB, str(notice.pk), notice_id=str(notice.pk))
            audit.record(actor, "availability.again", notice)
        count += 1
    return count
