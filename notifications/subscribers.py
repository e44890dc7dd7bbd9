"""What events mean to people: jobs that tell them, once things are quiet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from urllib.parse import urlencode
from uuid import UUID

from django.urls import reverse
from django.utils import timezone

from archive import jobs
from archive.access import EVERYTHING, study_for
from archive.errors import NotFoundError
from archive.models import InstanceConflict, Knock, KnockState
from archive.query import StudyQuery, filtered
from archive.runner import Payloads, subscriber
from archive.sentences import spoken
from notifications.models import Kind
from notifications.services import Message, Together, notify
from worklist.models import Study

# A study is announced when nothing of it came for this long, so that 500 images are one message.
QUIET = timedelta(seconds=3)


@subscriber("instance.stored")
def announce_studies(payloads: Payloads) -> None:
    """Queue one announcement a study; the demo's studies are nobody's news."""
    for study_id in {p["study_id"] for p in payloads if not p["is_demo"]}:
        jobs.enqueue("notify.study", study_id, delay_s=QUIET.total_seconds(), study_id=study_id)


@subscriber("study.changed")
def announce_warnings(payloads: Payloads) -> None:
    """Queue the warnings of changed studies that have one."""
    ids = {p["study_id"] for p in payloads}
    warned = filtered(EVERYTHING, StudyQuery()).filter(pk__in=ids, is_demo=False)
    for study_id in warned.exclude(warning="").values_list("pk", flat=True):
        jobs.enqueue("notify.warning", str(study_id), study_id=str(study_id))


@subscriber("instance.conflicted")
def announce_conflicts(payloads: Payloads) -> None:
    """Queue one message a study, however many of its images conflict."""
    for study_id in {p["study_id"] for p in payloads}:
        jobs.enqueue("notify.conflict", study_id, delay_s=QUIET.total_seconds(), study_id=study_id)


@subscriber("caller.refused")
def announce_callers(payloads: Payloads) -> None:
    """Queue one message a refused caller."""
    for knock_id in {p["knock_id"] for p in payloads}:
        jobs.enqueue("notify.caller", knock_id, knock_id=knock_id)


@jobs.handler("notify.study")
def tell_of_study(study_id: str) -> None:
    """Tell the facility's people that a study has come; waits while it still comes."""
    study = _study(study_id)
    if study is None:
        return
    quiet_for = timezone.now() - study.last_received_at
    if quiet_for < QUIET:
        rest = (QUIET - quiet_for).total_seconds()
        jobs.enqueue("notify.study", study_id, delay_s=rest, study_id=study_id)
        return
    notify(
        Message(
            kind=Kind.STUDY_NEW,
            key=study_id,
            title=_title(study),
            body=spoken(
                f"{study.facility.name}: {study.instance_count} "
                f"{'image' if study.instance_count == 1 else 'images'} in "
                f"{study.series_count} series"
            ),
            url=_url(study),
            facility_id=study.facility_id,
            since=study.first_received_at,
            together=Together(
                title=lambda count: spoken(f"{count} new studies from {study.facility.name}"),
                body=spoken(f"The latest: {_title(study)}"),
                url=lambda since: _list_url(study, since),
            ),
        )
    )
    if study.warning:
        _warn(study)


@jobs.handler("notify.warning")
def tell_of_warning(study_id: str) -> None:
    """Tell what a reader of the study must know."""
    study = _study(study_id)
    if study is not None and study.warning:
        _warn(study)


@jobs.handler("notify.conflict")
def tell_of_conflict(study_id: str) -> None:
    """Tell that images are kept aside until somebody decides; once a study and day."""
    study = _study(study_id)
    if study is None:
        return
    waiting = InstanceConflict.objects.filter(kept__series__study=study, resolved_at=None).count()
    if not waiting:
        return
    notify(
        Message(
            kind=Kind.STUDY_CONFLICT,
            key=f"{study_id} {timezone.now():%Y-%m-%d}",
            title=spoken("Images with other content under known UIDs"),
            body=f"{study.facility.name}: {waiting} {'image' if waiting == 1 else 'images'} came "
            "again with other content. What was there first stays; the others wait for a decision.",
            url=_url(study),
            facility_id=study.facility_id,
            together=Together(
                title=lambda count: spoken(
                    f"{count} studies with images to decide on at {study.facility.name}"
                ),
                body="Images came again with other content. What was there first stays; the "
                "others wait for a decision.",
                url=lambda _: reverse("worklist:conflict-list"),
            ),
        )
    )


@jobs.handler("notify.caller")
def tell_of_caller(knock_id: str) -> None:
    """Tell administrators of a refused caller; once a caller and day."""
    knock = Knock.objects.filter(pk=UUID(knock_id)).first()
    if knock is None or knock.state != KnockState.OPEN:
        return
    notify(
        Message(
            kind=Kind.CALLER_REFUSED,
            key=f"{knock_id} {timezone.now():%Y-%m-%d}",
            title=spoken(f"{knock.calling_ae_title} was refused"),
            body=f"{spoken(f'Called from {knock.address}.')} {knock.reason}",
            url=reverse("worklist:knock-list"),
        )
    )


def _title(study: Study) -> str:
    modality, description = study.modality, study.study_description
    if modality and description:
        return spoken(f"New {modality} study: {description}")
    if description:
        return spoken(f"New study: {description}")
    return spoken(f"New {modality} study") if modality else spoken("New study")


def _warn(study: Study) -> None:
    digest = sha256(study.warning.encode()).hexdigest()[:16]
    notify(
        Message(
            kind=Kind.STUDY_WARNING,
            key=f"{study.pk} {digest}",
            title=spoken(f"Warning on a {study.modality} study")
            if study.modality
            else spoken("Warning on a new study"),
            body=f"{study.facility.name}: {study.warning}",
            url=_url(study),
            facility_id=study.facility_id,
            since=study.first_received_at,
            together=Together(
                title=lambda count: spoken(f"{count} warnings on studies of {study.facility.name}"),
                body=spoken(f"The latest: {study.warning}"),
                url=lambda since: _list_url(study, since, has="warning"),
            ),
        )
    )


def _study(study_id: str) -> Study | None:
    """Return the study, or None when it was deleted meanwhile."""
    try:
        return study_for(EVERYTHING, UUID(study_id))
    except NotFoundError:
        return None


def _url(study: Study) -> str:
    return reverse("worklist:study-detail", args=[study.pk])


def _list_url(study: Study, since: datetime, **filters: str) -> str:
    """Return the worklist of what the study's facility sent since a moment, newest first."""
    received = f"{since.astimezone(UTC):%Y-%m-%dT%H:%MZ}.."
    fields = {**filters, "facility": study.facility.code, "received": received, "sort": "received"}
    return f"{reverse('worklist:study-list')}?{urlencode({**fields, 'dir': 'desc'})}"
