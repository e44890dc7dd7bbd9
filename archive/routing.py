"""Sending studies on: the queue, what fills it, and the job that empties it.

A rule is asked when no image of a study has come for `FORWARD_WHEN_QUIET_S`: a study goes as a
whole and not image by image, and what is added to it later follows by itself. An entry of the queue
is worked on in slices, each a job; where it stands is on its row, so that a killed worker costs one
slice at most, which the receiver gets twice.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from datetime import timedelta
from typing import Any, Protocol, cast
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, Max, Q, QuerySet
from django.utils import timezone
from django.utils.module_loading import import_string

from archive import access, audit, jobs, outbox, quiet, retrieval, rules, runner
from archive.access import Actor
from archive.errors import ConflictError, ForbiddenError, InvalidInputError, NotFoundError
from archive.models import (
    Destination,
    ForwardRule,
    Job,
    JobState,
    Transmission,
    TransmissionState,
)
from archive.retrieval import StoredInstance
from worklist.models import DicomImage, Study

logger = logging.getLogger(__name__)

LOOK_JOB = "forward.look"
SEND_JOB = "forward.send"
_ME = access.system_actor("forwarding")

MOST_ATTEMPTS = 12
# That a person sends at once.
MOST_STUDIES = 200
_FIRST_PAUSE_S = 30
_LONGEST_PAUSE_S = 3600
# A slice ends after so many images or seconds, far below what a job may take.
_SLICE_IMAGES = 200
_SLICE_S = 60.0
_OPEN = (TransmissionState.WAITING, TransmissionState.SENDING)


class Delivery(Protocol):
    """What became of one image."""

    @property
    def instance(self) -> StoredInstance:
        """Which image."""

    @property
    def is_delivered(self) -> bool:
        """Whether the receiver has it, be it with a warning."""

    @property
    def reason(self) -> str:
        """Why not, or the warning."""


Sender = Callable[[Destination, Sequence[StoredInstance]], Generator[Delivery, None, None]]


# --- what fills the queue


@runner.subscriber(outbox.InstanceStored.kind)
def look_later(payloads: runner.Payloads) -> None:
    """Have the rules asked when the studies of these images are quiet."""
    if not ForwardRule.objects.filter(is_active=True).exists():
        return
    quiet.look_later(LOOK_JOB, (payload["study_id"] for payload in payloads))


@jobs.handler(LOOK_JOB)
def look(study_id: str) -> None:
    """Ask the rules about a study if it is quiet, else later."""
    study = quiet.study_of(LOOK_JOB, study_id)
    if study is None:
        return
    for rule in rules.active_rules_of(study):
        _queue_by_rule(study, rule)


def _queue_by_rule(study: Study, rule: ForwardRule) -> None:
    """Queue what a rule has not queued of a study yet."""
    before = Transmission.objects.filter(rule=rule, study=study).aggregate(
        last=Max("received_through")
    )["last"]
    since = max((moment for moment in (before, rule.active_since) if moment), default=None)
    images = _images(study.pk, since, None)
    through = images.aggregate(last=Max("received_at"))["last"]
    if through is None:
        return
    with transaction.atomic():
        entry, is_new = Transmission.objects.get_or_create(
            rule=rule,
            study=study,
            received_through=through,
            defaults={
                "destination": rule.destination,
                "reason": f"Rule: {rules.sentence(rule)}"[:512],
                "received_after": since,
                "image_count": images.count(),
            },
        )
        if is_new:
            _tell(entry)
            _enqueue(entry)


def send_by_hand(actor: Actor, study: Study, destination: Destination) -> Transmission:
    """Queue a whole study for a destination, because a person wants it.

    Raises
    ------
    ForbiddenError
        When the person may not read studies, or not send to this destination.
    ConflictError
        When it is on its way there already.
    """
    _require_sender(actor)
    if not destinations_for(actor, study).filter(pk=destination.pk).exists():
        raise ForbiddenError("This destination is not one that you may send this study to.")
    images = _images(study.pk, None, None)
    through = images.aggregate(last=Max("received_at"))["last"]
    if through is None:
        raise InvalidInputError("This study has no images that could be sent.")
    with transaction.atomic():
        waiting = Transmission.objects.select_for_update().filter(
            study=study, destination=destination, rule=None, state__in=_OPEN
        )
        if waiting.exists():
            raise ConflictError(f"This study is on its way to {destination.ae_title} already.")
        entry = Transmission.objects.create(
            study=study,
            destination=destination,
            reason=f"{actor.name} sent it by hand.",
            received_through=through,
            image_count=images.count(),
        )
        audit.record(actor, "study.send", study, to=destination.ae_title)
        _tell(entry)
        _enqueue(entry)
    return entry


def send_studies(
    actor: Actor, study_ids: Sequence[UUID], destination_id: UUID
) -> list[tuple[UUID, str]]:
    """Queue several whole studies for a destination; returns each with why it was not, or "".

    Raises
    ------
    ForbiddenError, NotFoundError
        When one of the studies is not the person's to see, or cannot be sent there by them: none
        is queued.
    InvalidInputError
        When there are too many, or none.
    """
    studies = _chosen(actor, study_ids)
    destination = choices_for(actor, *studies).filter(pk=destination_id).first()
    if destination is None:
        raise ForbiddenError("This destination is not one that you may send these studies to.")
    outcomes = []
    for study in studies:
        try:
            send_by_hand(actor, study, destination)
        except (ConflictError, InvalidInputError) as error:
            outcomes.append((study.pk, str(error)))
        else:
            outcomes.append((study.pk, ""))
    return outcomes


def choices_for_studies(actor: Actor, study_ids: Sequence[UUID]) -> list[Destination]:
    """Return where a person may send all of these studies.

    Raises
    ------
    ForbiddenError, NotFoundError, InvalidInputError
        As :func:`send_studies`.
    """
    return list(choices_for(actor, *_chosen(actor, study_ids)))


def _chosen(actor: Actor, study_ids: Sequence[UUID]) -> list[Study]:
    _require_sender(actor)
    if not 0 < len(study_ids) <= MOST_STUDIES:
        raise InvalidInputError(f"Choose 1 to {MOST_STUDIES} studies to send.")
    return [access.study_for(actor.scope, study_id) for study_id in dict.fromkeys(study_ids)]


def may_send(actor: Actor) -> bool:
    """Whether a person's role allows sending studies."""
    return actor.can_read or actor.can_upload or actor.is_administrator


def choices_for(actor: Actor, *studies: Study) -> QuerySet[Destination]:
    """Return what a person is offered for studies; nothing when the role allows no sending."""
    rows = Destination.objects.order_by("ae_title")
    if not may_send(actor):
        return rows.none()
    one_of_each_facility = {study.facility_id: study for study in studies}
    for study in one_of_each_facility.values():
        rows = rows.filter(pk__in=destinations_for(actor, study).order_by().values("pk"))
    return rows


def destinations_for(actor: Actor, study: Study) -> QuerySet[Destination]:
    """Return where a person may send a study: its facility's destinations, and the site's own."""
    rows = Destination.objects.order_by("ae_title")
    if actor.is_administrator:
        return rows
    if not actor.scope.includes(study.facility_id):
        return rows.none()
    return rows.filter(Q(facility=study.facility_id) | Q(facility=None))


def _images(study_id: UUID, after: Any, through: Any) -> QuerySet[DicomImage]:  # noqa: ANN401
    """Return the images of a study that came between two moments."""
    rows = DicomImage.objects.filter(series__study=study_id)
    if after is not None:
        rows = rows.filter(received_at__gt=after)
    if through is not None:
        rows = rows.filter(received_at__lte=through)
    return rows


# --- what people see and do


def queue(actor: Actor, state: TransmissionState | None = None) -> QuerySet[Transmission]:
    """Return the queue, newest first: an administrator's all, a member's own facilities'."""
    rows = Transmission.objects.select_related("study__facility", "destination", "rule")
    rows = actor.scope.filter(rows, "study__facility")
    return rows if state is None else rows.filter(state=state)


def entry_for(actor: Actor, entry_id: UUID) -> Transmission:
    """Return one entry of the queue."""
    entry = queue(actor).filter(pk=entry_id).first()
    if entry is not None:
        return entry
    if Transmission.objects.filter(pk=entry_id).exists():
        raise ForbiddenError("This study belongs to a facility that is not yours.")
    raise NotFoundError("There is no such entry in the queue.")


def _require_sender(actor: Actor) -> None:
    if not may_send(actor):
        raise ForbiddenError("Your role does not allow sending studies. Ask an administrator.")


def retry(actor: Actor, entry: Transmission) -> None:
    """Send now, with all tries again; what has arrived is not sent twice."""
    _require_sender(actor)
    with transaction.atomic():
        is_at_work = Job.objects.filter(
            kind=SEND_JOB, key=str(entry.pk), state=JobState.RUNNING
        ).exists()
        changed = not is_at_work and (
            Transmission.objects.filter(pk=entry.pk)
            .exclude(state=TransmissionState.SENT)
            .update(
                state=TransmissionState.WAITING,
                attempts=0,
                next_at=timezone.now(),
                finished_at=None,
            )
        )
        if not changed:
            raise ConflictError("It is being sent, or has been sent.")
        audit.record(actor, "transmission.retry", entry.study, to=entry.destination.ae_title)
        _tell(entry)
        # The job that waits for a later try finds it done, or is this one.
        jobs.hasten(SEND_JOB, str(entry.pk))
        _enqueue(entry)


def cancel(actor: Actor, entry: Transmission) -> None:
    """Send no more of it."""
    _require_sender(actor)
    with transaction.atomic():
        changed = Transmission.objects.filter(pk=entry.pk, state__in=_OPEN).update(
            state=TransmissionState.CANCELLED, finished_at=timezone.now()
        )
        if not changed:
            raise ConflictError("It is not on its way any more.")
        audit.record(actor, "transmission.cancel", entry.study, to=entry.destination.ae_title)
        _tell(entry)


# --- what empties it


def _tell(entry: Transmission) -> None:
    """Have open pages look at an entry again."""
    outbox.record(
        outbox.TransmissionChanged(
            facility_id=entry.study.facility_id, study_id=entry.study_id, transmission_id=entry.pk
        )
    )


def _enqueue(entry: Transmission, delay_s: float = 0) -> None:
    jobs.enqueue(SEND_JOB, str(entry.pk), delay_s=delay_s, transmission_id=str(entry.pk))


@jobs.handler(SEND_JOB)
def send(transmission_id: str) -> None:
    """Send one slice of an entry, and see to the next."""
    entry = (
        Transmission.objects.select_related("study", "destination")
        .filter(pk=UUID(transmission_id), state__in=_OPEN)
        .first()
    )
    if entry is None:
        return
    early_s = (entry.next_at - timezone.now()).total_seconds()
    if early_s > 1:
        _enqueue(entry, early_s)
        return
    if not _begin(entry):
        return
    is_retrying = not _beyond(entry).exists()
    wanted = entry.unsent_ids[:_SLICE_IMAGES] if is_retrying else []
    chosen = (
        retrieval.with_ids(map(UUID, wanted))
        if is_retrying
        else retrieval.with_ids(
            _beyond(entry).order_by("pk").values_list("pk", flat=True)[:_SLICE_IMAGES]
        )
    )
    if is_retrying:
        # Deleted meanwhile: there is nothing left to send of them.
        found = {str(instance.image_id) for instance in chosen}
        gone = set(wanted) - found
        entry.unsent_ids = [key for key in entry.unsent_ids if key not in gone]
    delivered, error = _send_slice(
        entry, sorted(chosen, key=lambda i: i.image_id), is_retrying=is_retrying
    )
    _settle(entry, delivered=delivered, error=error, is_retrying=is_retrying)


def _beyond(entry: Transmission) -> QuerySet[DicomImage]:
    rows = _images(entry.study_id, entry.received_after, entry.received_through)
    return rows.filter(pk__gt=entry.last_image_id) if entry.last_image_id else rows


def _begin(entry: Transmission) -> bool:
    """Say that it is being sent, unless it was cancelled; the first time it is audited."""
    with transaction.atomic():
        changed = Transmission.objects.filter(pk=entry.pk, state__in=_OPEN).update(
            state=TransmissionState.SENDING
        )
        if changed and entry.state != TransmissionState.SENDING:
            _tell(entry)
        if changed and entry.last_image_id is None and not entry.attempts:
            audit.record(
                _ME,
                "study.forward",
                entry.study,
                to=entry.destination.ae_title,
                images=entry.image_count,
                reason=entry.reason,
            )
    return bool(changed)


def _send_slice(
    entry: Transmission,
    instances: Sequence[StoredInstance],
    is_retrying: bool,  # noqa: FBT001
) -> tuple[int, str]:
    """Send; returns how many arrived, and why others did not."""
    sender = cast("Sender", import_string(settings.DICOM_SCU_SEND))
    delivered, error = 0, ""
    deadline = time.monotonic() + _SLICE_S
    unsent = dict.fromkeys(entry.unsent_ids)
    with closing(sender(entry.destination, instances)) as deliveries:
        for delivery in deliveries:
            key = str(delivery.instance.image_id)
            if delivery.is_delivered:
                delivered += 1
                unsent.pop(key, None)
            else:
                # Behind those that were not tried yet, so that each has its turn.
                unsent.pop(key, None)
                unsent[key] = None
                error = delivery.reason
            if not is_retrying:
                entry.last_image_id = delivery.instance.image_id
            if time.monotonic() > deadline or (delivered % 20 == 19 and _is_cancelled(entry)):
                break
    entry.unsent_ids = list(unsent)
    return delivered, error


def _is_cancelled(entry: Transmission) -> bool:
    return not Transmission.objects.filter(pk=entry.pk, state__in=_OPEN).exists()


def _settle(entry: Transmission, *, delivered: int, error: str, is_retrying: bool) -> None:
    """Write where it stands, and queue what comes next."""
    now = timezone.now()
    values: dict[str, Any] = {
        "last_image_id": entry.last_image_id,
        "unsent_ids": entry.unsent_ids,
        "sent_count": F("sent_count") + delivered,
        "last_error": error,
    }
    delay_s = 0.0
    has_more = _beyond(entry).exists()
    if has_more and (delivered or not error):
        values["state"] = TransmissionState.SENDING
    elif not has_more and not entry.unsent_ids:
        values |= {"state": TransmissionState.SENT, "finished_at": now}
    elif is_retrying and delivered and not error:
        values["state"] = TransmissionState.SENDING
    else:
        attempts = entry.attempts + 1
        delay_s = min(_FIRST_PAUSE_S * 2 ** (attempts - 1), _LONGEST_PAUSE_S)
        is_last = attempts >= MOST_ATTEMPTS
        values |= {
            "attempts": attempts,
            "next_at": now + timedelta(seconds=delay_s),
            "state": TransmissionState.FAILED if is_last else TransmissionState.WAITING,
            "finished_at": now if is_last else None,
        }
        logger.warning("Sending %s to %s: %s", entry.pk, entry.destination.ae_title, error)
    with transaction.atomic():
        # What was cancelled meanwhile stays so.
        changed = Transmission.objects.filter(pk=entry.pk, state__in=_OPEN).update(**values)
        if not changed:
            return
        _tell(entry)
        if values["state"] in _OPEN:
            _enqueue(entry, delay_s)
            return
        entry.refresh_from_db()
        audit.record(
            _ME,
            "study.forwarded",
            entry.study,
            is_success=entry.state == TransmissionState.SENT,
            to=entry.destination.ae_title,
            sent=entry.sent_count,
            unsent=len(entry.unsent_ids),
        )
