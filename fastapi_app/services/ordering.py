"""Orders as other programs make them, follow them and take them back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import timezone
from pydantic import BaseModel, ConfigDict, Field

from archive import access, audit
from archive.access import Actor
from archive.errors import InvalidInputError
from fastapi_app import paging
from orders import services
from orders.models import MatchState, Order, OrderStatus, ScheduledStep, StepStatus
from orders.services import OrderDraft, OrderQuery, StepDraft

Document = dict[str, Any]

LIST_PARAMETERS = ("patient_id", "AccessionNumber", "status", "Modality", "limit", "cursor")
_STEP_STATUS = {
    OrderStatus.SCHEDULED: StepStatus.SCHEDULED,
    OrderStatus.IN_PROGRESS: StepStatus.STARTED,
    OrderStatus.COMPLETED: StepStatus.COMPLETED,
    OrderStatus.DISCONTINUED: StepStatus.DISCONTINUED,
    OrderStatus.CANCELLED: StepStatus.CANCELLED,
}


class OrderBody(BaseModel):
    """A new order of one procedure; texts have DICOM's lengths."""

    model_config = ConfigDict(extra="forbid")

    patient_id: UUID = Field(description="The patient's id, from /api/v1/patients.")
    order_type: str = Field(default="IMAGING", max_length=32)
    order_category: str = Field(default="", max_length=16, description="Modality, such as CT.")
    description: str = Field(default="", max_length=64)
    status: str = Field(default="scheduled", max_length=16)
    priority: str = Field(default="", max_length=16)
    reason: str = Field(default="", max_length=64)
    requesting_physician: str = Field(default="", max_length=324)
    referring_physician_name: str = Field(default="", max_length=324)
    accession_number: str = Field(default="", max_length=16, description="Made, where empty.")
    scheduled_at: datetime | None = Field(default=None, description="Now, where it is not said.")
    scheduled_station_ae_title: str = Field(default="", max_length=16)


EXAMPLE = {
    "patient_id": "0197f0c4-0000-7000-8000-000000000000",
    "order_type": "IMAGING",
    "order_category": "CT",
    "description": "CT Brain with Contrast",
    "status": "scheduled",
}


def create(actor: Actor, body: OrderBody) -> Document:
    """Make an order; from now on it is on the Modality Worklist."""
    patient = access.patient_for(actor.scope, body.patient_id)
    if body.status not in OrderStatus.values:
        raise InvalidInputError(f"'status' is one of {', '.join(OrderStatus.values)}.")
    at = _wall_clock(body.scheduled_at)
    step = StepDraft(
        modality=body.order_category or "OT",
        start_date=at.date(),
        start_time=at.time().replace(second=0, microsecond=0),
        description=body.description,
        scheduled_station_ae_title=body.scheduled_station_ae_title,
        status=_STEP_STATUS[OrderStatus(body.status)],
    )
    draft = OrderDraft(
        patient=patient,
        order_type=body.order_type,
        order_category=body.order_category.upper(),
        description=body.description,
        status=body.status,
        priority=body.priority,
        reason=body.reason,
        requesting_physician=body.requesting_physician,
        referring_physician_name=body.referring_physician_name,
        accession_number=body.accession_number,
        source=f"EHR ({actor.name})"[:64],
        steps=[step],
    )
    order = services.create_order(actor, patient.facility, draft)
    return document(order, list(order.steps.all()))


def _wall_clock(moment: datetime | None) -> datetime:
    """Return a moment by the site's clock; one without a zone is that already."""
    if moment is None:
        return timezone.localtime()
    try:
        return timezone.localtime(moment) if timezone.is_aware(moment) else moment
    except OverflowError as error:
        raise InvalidInputError("'scheduled_at' is no moment that a calendar has.") from error


def find(actor: Actor, parameters: Mapping[str, str]) -> tuple[list[Document], str]:
    """Return a page of orders, newest first, and the parameters of the next one."""
    paging.check(parameters, LIST_PARAMETERS)
    limit = paging.whole(parameters, "limit", 50)
    if not 1 <= limit <= services.PAGE_SIZE:
        raise InvalidInputError(f"'limit' is a number from 1 to {services.PAGE_SIZE}.")
    status = parameters.get("status", "")
    if status and status not in ("open", *OrderStatus.values):
        raise InvalidInputError(f"'status' is open, {', '.join(OrderStatus.values)}.")
    patient = parameters.get("patient_id")
    page = services.find_orders(
        actor.scope,
        OrderQuery(
            status=status,
            modality=parameters.get("Modality", ""),
            patient_id=paging.identifier(patient, "patient") if patient else None,
            accession_number=parameters.get("AccessionNumber", ""),
            before=paging.cursor(parameters),
            limit=limit,
        ),
    )
    audit.record(actor, "order.list", count=len(page.items))
    items = [document(order, list(order.steps.all())) for order in page.items]
    return items, paging.following(parameters, page.cursor)


def order_for(actor: Actor, text: str) -> Order:
    """Return an order that an address or a form names."""
    return services.order_for(actor.scope, paging.identifier(text, "order"))


def order(actor: Actor, text: str) -> Document:
    """Return one order with the studies that fulfil it."""
    row = order_for(actor, text)
    audit.record(actor, "order.look", row)
    return _whole(row)


def cancel(actor: Actor, text: str) -> Document:
    """Take an order off the worklist."""
    return _whole(services.cancel_order(actor, order_for(actor, text).pk))


def _whole(row: Order) -> Document:
    matches = row.matches.filter(state=MatchState.LINKED, study__deletion_id=None)
    studies = matches.values_list("study__study_instance_uid", flat=True)
    return document(row, list(row.steps.all())) | {"study_instance_uids": list(studies)}


def document(row: Order, steps: list[ScheduledStep]) -> Document:
    """Return an order as JSON."""
    return {
        "id": str(row.pk),
        "patient_id": str(row.patient_id) if row.patient_id else None,
        "accession_number": row.accession_number,
        "study_instance_uid": row.study_instance_uid,
        "order_type": row.order_type,
        "order_category": row.order_category,
        "description": row.description,
        "status": row.status,
        "priority": row.priority,
        "reason": row.reason,
        "requesting_physician": row.requesting_physician,
        "referring_physician_name": row.referring_physician_name,
        "requested_procedure_id": row.requested_procedure_id,
        "PatientID": row.patient_identifier,
        "PatientName": row.patient_name,
        "facility": {"code": row.facility.code, "name": row.facility.name},
        "steps": [
            {
                "ScheduledProcedureStepID": step.scheduled_procedure_step_id,
                "Modality": step.modality,
                "ScheduledProcedureStepStartDate": step.start_date.isoformat(),
                "ScheduledProcedureStepStartTime": (
                    step.start_time.isoformat("seconds") if step.start_time else None
                ),
                "ScheduledStationAETitle": step.scheduled_station_ae_title or None,
                "ScheduledProcedureStepStatus": step.status,
            }
            for step in steps
        ],
        "created_at": row.created_at.isoformat(),
        "changed_at": row.changed_at.isoformat(),
        "studies_url": f"/api/v1/dicom/studies/order/{row.pk}",
    }
