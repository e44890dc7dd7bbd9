"""Orders: made, found, changed, and how far they are.

Every way in (page, REST, worklist files, MPPS, arriving studies) uses these functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, time
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone
from pydicom.uid import generate_uid

from archive import audit
from archive.access import Actor, Scope
from archive.catalogue import fold
from archive.errors import ConflictError, ForbiddenError, InvalidInputError, NotFoundError
from imaging import aetitle
from imaging.errors import ImagingError
from imaging.uid import is_valid_uid
from orders.models import (
    OPEN_STEPS,
    AccessionCounter,
    MatchState,
    Order,
    OrderStatus,
    PerformedStep,
    ScheduledStep,
    StepStatus,
)
from worklist.models import Facility, Patient, Study

PAGE_SIZE = 100
_MOST_STEPS = 50
_LENGTHS = {
    "patient_name": 324,
    "patient_identifier": 64,
    "issuer_of_patient_id": 64,
    "patient_sex": 16,
    "accession_number": 16,
    "order_type": 32,
    "order_category": 16,
    "description": 64,
    "priority": 16,
    "reason": 64,
    "requesting_physician": 324,
    "referring_physician_name": 324,
    "requested_procedure_id": 16,
    "source": 64,
}


@dataclass(frozen=True, slots=True)
class StepDraft:
    """What is planned, in plain values; DICOM's lengths hold.

    Attributes
    ----------
    start_date, start_time : wall clock of the facility
    attributes : DICOM JSON of further attributes of the step's item
    """

    modality: str
    start_date: date
    start_time: time | None = None
    scheduled_procedure_step_id: str = ""
    scheduled_station_ae_title: str = ""
    scheduled_station_name: str = ""
    scheduled_performing_physician_name: str = ""
    description: str = ""
    location: str = ""
    status: str = StepStatus.SCHEDULED
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OrderDraft:
    """What is asked for, in plain values.

    Attributes
    ----------
    patient : a known patient of the facility; its demographics are taken where the draft has none
    accession_number, study_instance_uid, requested_procedure_id : made where they are empty
    steps : without any, one is planned for today in the order's category
    attributes : DICOM JSON of further attributes of the worklist item
    """

    patient: Patient | None = None
    patient_name: str = ""
    patient_identifier: str = ""
    issuer_of_patient_id: str = ""
    patient_birth_date: date | None = None
    patient_sex: str = ""
    accession_number: str = ""
    order_type: str = "IMAGING"
    order_category: str = ""
    description: str = ""
    status: str = OrderStatus.SCHEDULED
    priority: str = ""
    reason: str = ""
    requesting_physician: str = ""
    referring_physician_name: str = ""
    requested_procedure_id: str = ""
    study_instance_uid: str = ""
    source: str = ""
    steps: Sequence[StepDraft] = ()
    attributes: dict[str, Any] = field(default_factory=dict)


def create_order(actor: Actor, facility: Facility, draft: OrderDraft) -> Order:
    """Make an order with its steps; from now on they are on the Modality Worklist.

    Raises
    ------
    ForbiddenError
        When the actor may not order, or not for this facility.
    InvalidInputError
        For values that DICOM does not allow; the message names the field.
    ConflictError
        When the Study Instance UID belongs to another order of the facility.
    """
    _require_ordering(actor, facility)
    values = checked(facility, draft)
    with transaction.atomic():
        values["accession_number"] = values["accession_number"] or _next_accession(facility)
        values["study_instance_uid"] = values["study_instance_uid"] or str(generate_uid(None))
        if Order.objects.filter(
            facility=facility, study_instance_uid=values["study_instance_uid"]
        ).exists():
            raise ConflictError("Another order has this Study Instance UID already.")
        values["requested_procedure_id"] = (
            values["requested_procedure_id"] or values["accession_number"]
        )
        order = Order(facility=facility, attributes=draft.attributes, **values)
        order.patient_name_folded = fold(order.patient_name)[:324]
        order.patient = draft.patient or _known_patient(order)
        order.save()
        steps = draft.steps or [_plain_step(order)]
        ScheduledStep.objects.bulk_create(
            step_of(order, number, step) for number, step in enumerate(steps, 1)
        )
        audit.record(actor, "order.create", order, accession_number=order.accession_number)
    return order


def _require_ordering(actor: Actor, facility: Facility) -> None:
    if not actor.can_upload:
        raise ForbiddenError("Your role does not allow orders. Ask an administrator.")
    if not actor.scope.includes(facility.pk):
        raise ForbiddenError("You do not belong to this facility.")


def checked(facility: Facility, draft: OrderDraft) -> dict[str, Any]:
    """Return the columns of an order, every value lawful.

    Raises
    ------
    InvalidInputError, ForbiddenError
        See `create_order`.
    """
    values: dict[str, Any] = {name: getattr(draft, name).strip() for name in _LENGTHS}
    values |= {
        "patient_birth_date": draft.patient_birth_date,
        "status": draft.status,
        "study_instance_uid": draft.study_instance_uid.strip(),
    }
    patient = draft.patient
    if patient is not None:
        if patient.facility_id != facility.pk:
            raise ForbiddenError("The patient belongs to another facility.")
        known = {
            "patient_name": patient.patient_name,
            "patient_identifier": patient.patient_id,
            "issuer_of_patient_id": patient.issuer_of_patient_id,
            "patient_birth_date": patient.patient_birth_date,
            "patient_sex": patient.patient_sex,
        }
        values |= {name: values[name] or value for name, value in known.items()}
    for name, longest in _LENGTHS.items():
        _require_text(name, values[name], longest)
    if not values["patient_name"] or not values["patient_identifier"]:
        raise InvalidInputError("An order needs the patient's name and ID.")
    if values["status"] not in OrderStatus.values:
        raise InvalidInputError(f"The status is one of {', '.join(OrderStatus.values)}.")
    uid = values["study_instance_uid"]
    if uid and not is_valid_uid(uid):
        raise InvalidInputError("The Study Instance UID is no lawful UID (PS3.5 9.1).")
    if len(draft.steps) > _MOST_STEPS:
        raise InvalidInputError(f"An order has at most {_MOST_STEPS} steps.")
    return values


def _require_text(name: str, value: str, longest: int) -> None:
    words = name.replace("_", " ")
    if len(value) > longest:
        raise InvalidInputError(f"The {words} has more than {longest} characters.")
    if "\\" in value or not value.isprintable():
        raise InvalidInputError(f"The {words} holds a backslash or a control character.")


def _known_patient(order: Order) -> Patient | None:
    """Return the patient with this ID, if there is exactly one (of this issuer, if it is named)."""
    rows = Patient.objects.filter(
        facility_id=order.facility_id, patient_id=order.patient_identifier
    )
    if order.issuer_of_patient_id:
        rows = rows.filter(issuer_of_patient_id__in=("", order.issuer_of_patient_id))
    found = list(rows[:2])
    return found[0] if len(found) == 1 else None


def _next_accession(facility: Facility) -> str:
    """Return a number such as ACC-2026-00123; the counter's row makes callers queue."""
    year = timezone.now().year
    AccessionCounter.objects.get_or_create(year=year)
    while True:
        AccessionCounter.objects.filter(year=year).update(last=F("last") + 1)
        last = AccessionCounter.objects.values_list("last", flat=True).get(year=year)
        number = f"ACC-{year}-{last:05d}"
        # A worklist file may have brought it from elsewhere.
        if not Order.objects.filter(facility=facility, accession_number=number).exists():
            return number


def _plain_step(order: Order) -> StepDraft:
    now = timezone.localtime()
    return StepDraft(
        modality=order.order_category or "OT",
        start_date=now.date(),
        start_time=now.time().replace(second=0, microsecond=0),
        description=order.description,
    )


def step_of(order: Order, number: int, draft: StepDraft) -> ScheduledStep:
    """Return a step that is not yet saved, every value lawful.

    Parameters
    ----------
    number : names the step where the draft does not

    Raises
    ------
    InvalidInputError
        For what DICOM does not allow.
    """
    texts = {
        "modality": (draft.modality.strip().upper(), 16),
        "scheduled_procedure_step_id": (draft.scheduled_procedure_step_id.strip(), 16),
        "scheduled_station_name": (draft.scheduled_station_name.strip(), 16),
        "scheduled_performing_physician_name": (
            draft.scheduled_performing_physician_name.strip(),
            324,
        ),
        "description": (draft.description.strip(), 64),
        "location": (draft.location.strip(), 16),
    }
    for name, (value, longest) in texts.items():
        _require_text(name, value, longest)
    values = {name: value for name, (value, _) in texts.items()}
    if not values["modality"]:
        raise InvalidInputError("Each step needs a modality, such as CT.")
    if draft.status not in StepStatus.values:
        raise InvalidInputError(f"A step's status is one of {', '.join(StepStatus.values)}.")
    title = draft.scheduled_station_ae_title.strip()
    if title:
        try:
            aetitle.validate(title)
        except ImagingError as error:
            raise InvalidInputError(str(error)) from error
    values["scheduled_procedure_step_id"] = values["scheduled_procedure_step_id"] or f"SPS{number}"
    return ScheduledStep(
        order=order,
        facility_id=order.facility_id,
        scheduled_station_ae_title=title,
        start_date=draft.start_date,
        start_time=draft.start_time,
        status=draft.status,
        attributes=draft.attributes,
        **values,
    )


# Found -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OrderQuery:
    """What a list of orders shows.

    Attributes
    ----------
    words : each stands in the name, begins the Patient ID, or begins the accession number
    before : the last order of the page before
    """

    words: str = ""
    status: str = ""
    modality: str = ""
    day_from: date | None = None
    day_to: date | None = None
    facility_id: UUID | None = None
    patient_id: UUID | None = None
    accession_number: str = ""
    before: UUID | None = None
    limit: int = PAGE_SIZE


@dataclass(frozen=True, slots=True)
class OrderPage:
    """A page of orders, newest first; `cursor` is None at the end."""

    items: list[Order]
    cursor: UUID | None


def find_orders(scope: Scope, query: OrderQuery) -> OrderPage:
    """Return one page of the orders in scope; two queries (orders, their steps)."""
    rows = scope.filter(Order.objects.select_related("facility")).order_by("-id")
    for word in fold(query.words).split():
        rows = rows.filter(
            Q(patient_name_folded__contains=word)
            | Q(patient_identifier__istartswith=word)
            | Q(accession_number__istartswith=word)
        )
    if query.status == "open":
        rows = rows.filter(status__in=(OrderStatus.SCHEDULED, OrderStatus.IN_PROGRESS))
    elif query.status:
        rows = rows.filter(status=query.status)
    steps = ScheduledStep.objects.all()
    is_narrowed = False
    if query.modality:
        steps, is_narrowed = steps.filter(modality=query.modality.upper()), True
    if query.day_from:
        steps, is_narrowed = steps.filter(start_date__gte=query.day_from), True
    if query.day_to:
        steps, is_narrowed = steps.filter(start_date__lte=query.day_to), True
    if is_narrowed:
        rows = rows.filter(pk__in=steps.values("order_id"))
    if query.facility_id:
        rows = rows.filter(facility_id=query.facility_id)
    if query.patient_id:
        rows = rows.filter(patient_id=query.patient_id)
    if query.accession_number:
        rows = rows.filter(accession_number=query.accession_number)
    if query.before:
        rows = rows.filter(pk__lt=query.before)
    limit = max(1, min(query.limit, PAGE_SIZE))
    found = list(rows.prefetch_related("steps")[: limit + 1])
    return OrderPage(found[:limit], found[limit - 1].pk if len(found) > limit else None)


def order_for(scope: Scope, order_id: UUID, *, lock: bool = False) -> Order:
    """Return an order.

    Raises
    ------
    NotFoundError, ForbiddenError
    """
    rows = Order.objects.select_related("facility", "patient")
    if lock:
        rows = rows.select_for_update(of=("self",))
    order = rows.filter(pk=order_id).first()
    if order is None:
        raise NotFoundError("There is no such order.")
    if not scope.includes(order.facility_id):
        raise ForbiddenError("This order belongs to a facility that is not yours.")
    return order


def studies_of_order(order: Order) -> list[UUID]:
    """Return the studies that fulfil an order, those not yet matched but of its UID among them."""
    same = order.facility.studies.filter(study_instance_uid=order.study_instance_uid)
    linked = order.matches.filter(state=MatchState.LINKED).values_list("study_id", flat=True)
    return list(dict.fromkeys([*linked, *same.values_list("pk", flat=True)]))


def orders_of_study(study: Study) -> list[Order]:
    """Return the orders that a study fulfils."""
    return list(Order.objects.filter(matches__study=study, matches__state="linked"))


# Changed -----------------------------------------------------------------------------------------


def cancel_order(actor: Actor, order_id: UUID) -> Order:
    """Take an order off the worklist; what was performed already stays as it is.

    Raises
    ------
    ConflictError
        When nothing of it is open any more.
    """
    with transaction.atomic():
        order = order_for(actor.scope, order_id, lock=True)
        _require_ordering(actor, order.facility)
        if not order.is_open:
            raise ConflictError(f"The order is {order.get_status_display().lower()} already.")
        if order.performed.filter(status="IN PROGRESS").exists():
            raise ConflictError("Equipment is at work on it. Stop the examination there first.")
        order.steps.filter(status__in=OPEN_STEPS).update(status=StepStatus.CANCELLED)
        _set_status(order, OrderStatus.CANCELLED)
        audit.record(actor, "order.cancel", order)
    return order


def follow_steps(order: Order) -> None:
    """Set the order's status to what its steps add up to."""
    found = set(ScheduledStep.objects.filter(order=order).values_list("status", flat=True))
    if not found:
        return
    is_begun = bool(found & {StepStatus.STARTED, StepStatus.COMPLETED})
    if found.isdisjoint(OPEN_STEPS):
        if StepStatus.COMPLETED in found:
            new = OrderStatus.COMPLETED
        elif StepStatus.DISCONTINUED in found:
            new = OrderStatus.DISCONTINUED
        else:
            new = OrderStatus.CANCELLED
    else:
        new = OrderStatus.IN_PROGRESS if is_begun else OrderStatus.SCHEDULED
    _set_status(order, new)


def _set_status(order: Order, status: str) -> None:
    order.status = status
    order.changed_at = timezone.now()
    order.save(update_fields=["status", "changed_at"])


def set_step_status(steps: Iterable[ScheduledStep], status: str) -> None:
    """Set the status of steps, then that of their orders."""
    steps = list(steps)
    with transaction.atomic():
        # Locked first: two steps of an order that end at once would each miss the other.
        orders = list(
            Order.objects.select_for_update()
            .filter(pk__in={step.order_id for step in steps})
            .order_by("pk")
        )
        ScheduledStep.objects.filter(pk__in=[step.pk for step in steps]).update(status=status)
        for order in orders:
            follow_steps(order)


def performed_of(order: Order) -> list[PerformedStep]:
    """Return what equipment performed for an order, oldest first."""
    return list(order.performed.order_by("created_at"))
