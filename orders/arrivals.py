"""A study that arrives finds its order: surely by accession number, else as a suggestion."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from archive import access, audit, jobs, outbox, runner
from archive.access import Actor, system_actor
from archive.errors import ConflictError, ForbiddenError, NotFoundError
from orders import services
from orders.models import (
    OPEN_ORDERS,
    MatchState,
    Order,
    ScheduledStep,
    StepStatus,
    StudyMatch,
)
from worklist.models import Study

MATCH_JOB = "order.match"
SETTLE_JOB = "order.settle"
# Planned steps that an image shows to be begun.
_WAITING = (StepStatus.SCHEDULED, StepStatus.ARRIVED, StepStatus.READY)
_MOST_SUGGESTIONS = 5


@runner.subscriber("instance.stored")
def _on_stored(payloads: runner.Payloads) -> None:
    for study_id in {payload["study_id"] for payload in payloads if payload["is_new_study"]}:
        jobs.enqueue(MATCH_JOB, study_id, study_id=study_id)
    for study_id in {payload["study_id"] for payload in payloads}:
        jobs.enqueue(SETTLE_JOB, study_id, delay_s=settings.STUDY_QUIET_AFTER_S, study_id=study_id)


@jobs.handler(MATCH_JOB)
def match_study(study_id: str) -> None:
    """Find the order of a study; doing it again changes nothing."""
    with transaction.atomic():
        study = _study(study_id)
        if study is None or study.order_matches.filter(state=MatchState.LINKED).exists():
            return
        known = set(study.order_matches.values_list("order_id", flat=True))
        for order, how, is_sure in _found(study):
            if order.pk in known:
                continue
            if is_sure:
                match = StudyMatch(order=order, study=study, how=how)
                _link(system_actor("orders"), match)
                return
            StudyMatch.objects.create(order=order, study=study, how=how, state=MatchState.SUGGESTED)
            outbox.record(outbox.StudyChanged(facility_id=study.facility_id, study_id=study.pk))


def _study(study_id: str) -> Study | None:
    try:
        return access.study_for(access.EVERYTHING, UUID(study_id))
    except NotFoundError:
        return None  # deleted meanwhile


def _found(study: Study) -> Iterable[tuple[Order, str, bool]]:
    """Return orders that may be the study's, why, and whether that is sure; the surest first."""
    rows = Order.objects.filter(facility_id=study.facility_id)
    same = []
    if study.accession_number:
        same = list(rows.filter(accession_number=study.accession_number)[:_MOST_SUGGESTIONS])
        by_uid = [o for o in same if o.study_instance_uid == study.study_instance_uid]
        same = by_uid or same
    how = "accession number"
    if not same:
        same = list(rows.filter(study_instance_uid=study.study_instance_uid))
        how = "Study Instance UID"
    if same:
        is_one = len(same) == 1
        return [
            (order, how, True)
            if is_one and order.patient_identifier == study.patient_identifier
            else (order, how if not is_one else f"{how}, but another Patient ID", False)
            for order in same
        ]
    if not study.patient_identifier:
        return []
    on = study.study_date or study.first_received_at.date()
    steps = ScheduledStep.objects.filter(
        facility_id=study.facility_id,
        start_date=on,
        modality__in=study.modality_codes,
        order__patient_identifier=study.patient_identifier,
        order__status__in=OPEN_ORDERS,
    ).exclude(order__matches__state=MatchState.LINKED)
    orders = rows.filter(pk__in=steps.values("order_id")).order_by("pk")[:_MOST_SUGGESTIONS]
    return [(order, "patient, modality and date", False) for order in orders]


def _link(actor: Actor, match: StudyMatch) -> None:
    order, study = match.order, match.study
    is_first = not order.matches.filter(state=MatchState.LINKED).exclude(study=study).exists()
    match.state = MatchState.LINKED
    match.decided_at = timezone.now()
    match.decided_by_id = actor.user_id
    match.save()
    # What else was thought to be possible for this study is answered.
    study.order_matches.filter(state=MatchState.SUGGESTED).exclude(order=order).delete()
    if is_first:
        if order.patient_id is None or order.patient_identifier == study.patient_identifier:
            order.patient_id = study.patient_id
        others = Order.objects.filter(
            facility_id=order.facility_id, study_instance_uid=study.study_instance_uid
        ).exclude(pk=order.pk)
        if not others.exists():
            order.study_instance_uid = study.study_instance_uid
        order.save(update_fields=["patient", "study_instance_uid"])
    begun = [
        step
        for step in order.steps.filter(status__in=_WAITING)
        if step.modality in study.modality_codes
    ]
    services.set_step_status(begun, StepStatus.STARTED)
    audit.record(actor, "order.link", order, study=str(study.pk), how=match.how)
    outbox.record(outbox.StudyChanged(facility_id=study.facility_id, study_id=study.pk))


def link_study(actor: Actor, order: Order, study: Study, how: str = "by hand") -> None:
    """Say that a study fulfils an order; saying it again changes nothing.

    Raises
    ------
    ForbiddenError
        When they are not of the same facility, or the actor may not decide for it.
    ConflictError
        When the study fulfils another order already.
    """
    _require_decider(actor, order)
    if order.facility_id != study.facility_id:
        raise ForbiddenError("The study belongs to another facility than the order.")
    with transaction.atomic():
        # Files of a study that come at once each say the same: one after the other.
        order = Order.objects.select_for_update().get(pk=order.pk)
        linked = study.order_matches.filter(state=MatchState.LINKED).first()
        if linked is not None and linked.order_id != order.pk:
            raise ConflictError("The study belongs to another order already.")
        match = StudyMatch.objects.filter(order=order, study=study).first()
        if match is None:
            match = StudyMatch(order=order, study=study, how=how)
        if match.state != MatchState.LINKED:
            _link(actor, match)


def link_sent(actor: Actor, order: Order, study_id: UUID) -> str:
    """Link a study whose sender named the order; returns a warning, empty where they agree.

    A file keeps the Patient ID that it came with. Where it is not the order's, the study says so
    to everybody who reads it.

    Raises
    ------
    ForbiddenError, ConflictError
        See :func:`link_study`.
    """
    study = access.study_for(actor.scope, study_id)
    try:
        link_study(actor, order, study, "named by the sender")
    except IntegrityError:
        # The same match was found in the background at this moment.
        link_study(actor, order, study, "named by the sender")
    if order.patient_identifier == study.patient_identifier:
        return ""
    words = (
        f"Sent for order {order.accession_number} of Patient ID {order.patient_identifier}, but "
        f"the images carry {study.patient_identifier or 'none'}."
    )[:255]
    with transaction.atomic():
        study = access.study_for(actor.scope, study_id, lock=True)
        if not study.warning:
            study.warning = words
            study.save(update_fields=["warning"])
            outbox.record(outbox.StudyChanged(facility_id=study.facility_id, study_id=study.pk))
    return words


def require_free(order: Order, study_instance_uid: str) -> None:
    """Refuse a study that fulfils another order already.

    Raises
    ------
    ConflictError
    """
    others = StudyMatch.objects.filter(
        study__facility=order.facility_id,
        study__study_instance_uid=study_instance_uid,
        state=MatchState.LINKED,
    ).exclude(order=order)
    if others.exists():
        raise ConflictError("The study belongs to another order already. Nothing was stored.")


def decide(actor: Actor, match_id: UUID, *, is_match: bool) -> StudyMatch:
    """Confirm or reject a suggestion; a rejected one does not come again.

    Raises
    ------
    NotFoundError, ForbiddenError
    ConflictError
        When it was decided otherwise before, or the study has its order.
    """
    with transaction.atomic():
        match = (
            StudyMatch.objects.select_for_update(of=("self",))
            .select_related("order", "study")
            .filter(pk=match_id)
            .first()
        )
        if match is None:
            raise NotFoundError("There is no such suggestion; it may be decided already.")
        _require_decider(actor, match.order)
        wanted = MatchState.LINKED if is_match else MatchState.REJECTED
        if match.state == wanted:
            return match
        if match.state != MatchState.SUGGESTED:
            raise ConflictError("Somebody has decided this already. Reload the page.")
        if is_match:
            link_study(actor, match.order, match.study)
            match.refresh_from_db()
            return match
        match.state = MatchState.REJECTED
        match.decided_at = timezone.now()
        match.decided_by_id = actor.user_id
        match.save()
        audit.record(actor, "order.unlink", match.order, study=str(match.study_id))
        outbox.record(
            outbox.StudyChanged(facility_id=match.study.facility_id, study_id=match.study_id)
        )
    return match


def _require_decider(actor: Actor, order: Order) -> None:
    if not actor.scope.includes(order.facility_id):
        raise ForbiddenError("This order belongs to a facility that is not yours.")
    if not actor.can_upload:
        raise ForbiddenError("Your role does not decide about orders. Ask an administrator.")


def matches_of(study: Study) -> list[StudyMatch]:
    """Return the orders that a study belongs to, surely or perhaps, the sure ones first."""
    rows = study.order_matches.exclude(state=MatchState.REJECTED).select_related("order")
    return sorted(rows, key=lambda match: match.state != MatchState.LINKED)


def with_suggestions(study_ids: Iterable[UUID]) -> set[UUID]:
    """Return those studies for which an order is suggested; one query."""
    return set(
        StudyMatch.objects.filter(
            study_id__in=list(study_ids), state=MatchState.SUGGESTED
        ).values_list("study_id", flat=True)
    )


@jobs.handler(SETTLE_JOB)
def settle_study(study_id: str) -> None:
    """When nothing more came for a while, complete what equipment does not report itself."""
    study = _study(study_id)
    if study is None:
        return
    rest = study.last_received_at + timedelta(seconds=settings.STUDY_QUIET_AFTER_S) - timezone.now()
    if rest > timedelta(0):
        jobs.enqueue(SETTLE_JOB, study_id, delay_s=rest.total_seconds() + 0.1, study_id=study_id)
        return
    match_study(study_id)
    with transaction.atomic():
        # Equipment that reports its steps (MPPS) says itself when they are over.
        unreported = ScheduledStep.objects.filter(
            order__matches__study=study,
            order__matches__state=MatchState.LINKED,
            status=StepStatus.STARTED,
            performed=None,
        )
        services.set_step_status(list(unreported), StepStatus.COMPLETED)
