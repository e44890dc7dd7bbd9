"""Worklist items from files: `*.wl` as dcmtk's wlmscpfs reads, and DICOM JSON."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import date, datetime, time
from enum import Enum
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils import timezone
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from archive import audit
from archive.access import Actor
from archive.catalogue import fold
from archive.errors import InvalidInputError
from imaging import identifier
from imaging.errors import ImagingError
from imaging.part10 import read_container
from orders import services
from orders.models import OPEN_STEPS, Order, StepStatus
from orders.services import OrderDraft, StepDraft
from worklist.models import Facility

_MOST_BYTES = 16 * 2**20
_JSON_STARTS = (b"{", b"[")
_ORDER_FIELDS = {
    "PatientName": "patient_name",
    "PatientID": "patient_identifier",
    "IssuerOfPatientID": "issuer_of_patient_id",
    "PatientSex": "patient_sex",
    "AccessionNumber": "accession_number",
    "RequestedProcedureDescription": "description",
    "RequestedProcedureID": "requested_procedure_id",
    "RequestedProcedurePriority": "priority",
    "ReasonForTheRequestedProcedure": "reason",
    "RequestingPhysician": "requesting_physician",
    "ReferringPhysicianName": "referring_physician_name",
    "StudyInstanceUID": "study_instance_uid",
}
_STEP_FIELDS = {
    "Modality": "modality",
    "ScheduledProcedureStepID": "scheduled_procedure_step_id",
    "ScheduledStationAETitle": "scheduled_station_ae_title",
    "ScheduledStationName": "scheduled_station_name",
    "ScheduledPerformingPhysicianName": "scheduled_performing_physician_name",
    "ScheduledProcedureStepDescription": "description",
    "ScheduledProcedureStepLocation": "location",
}
_OTHER_COLUMNS = ("PatientBirthDate", "ScheduledProcedureStepSequence", "SpecificCharacterSet")
_OTHER_STEP_COLUMNS = (
    "ScheduledProcedureStepStartDate",
    "ScheduledProcedureStepStartTime",
    "ScheduledProcedureStepStatus",
)
# Several values of these stay with the item; the column has the first.
_MANY = {"ScheduledStationAETitle"}


class Outcome(Enum):
    """What became of an item."""

    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


def files_of(paths: list[Path]) -> list[Path]:
    """Return the files that are named, and the `*.wl` and `*.json` of named folders."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(p for p in path.rglob("*") if p.suffix.lower() in {".wl", ".json"})
        else:
            found.append(path)
    return found


def read_items(path: Path) -> list[Dataset]:
    """Return the worklist items of a file.

    Raises
    ------
    InvalidInputError
        When it holds none that can be read; the message says why.
    """
    try:
        with path.open("rb") as handle:
            data = handle.read(_MOST_BYTES + 1)
    except OSError as error:
        raise InvalidInputError(f"The file cannot be read: {error.strerror}.") from error
    if len(data) > _MOST_BYTES:
        raise InvalidInputError(f"Larger than {_MOST_BYTES} bytes: this is no worklist file.")
    if data.lstrip()[:1] in _JSON_STARTS:
        return _from_json(data)
    try:
        container = read_container(io.BytesIO(data), None)
        body = data[container.data_set_offset :]
        return [identifier.read(body, container.transfer_syntax_uid)]
    except ImagingError as error:
        raise InvalidInputError(str(error)) from error


def _from_json(data: bytes) -> list[Dataset]:
    try:
        objects = json.loads(data)
        many = objects if isinstance(objects, list) else [objects]
        return [Dataset.from_json(one) for one in many]
    except Exception as error:  # pydicom raises anything on bad input
        raise InvalidInputError(f"This is no DICOM JSON (PS3.18 F): {error}") from error


def import_item(actor: Actor, facility: Facility, item: Dataset, *, source: str) -> Outcome:
    """Make an order of a worklist item, or bring the one that it belongs to up to date.

    Several items with one Study Instance UID (or one accession number and requested procedure) are
    steps of one order. Steps that are over stay as they are.

    Raises
    ------
    InvalidInputError
        For what DICOM does not allow, or an item without a scheduled step.
    """
    draft = _draft(item, source)
    with transaction.atomic():
        order = _known(facility, draft)
        if order is None:
            services.create_order(actor, facility, draft)
            return Outcome.CREATED
        if not _update(order, draft):
            return Outcome.UNCHANGED
        audit.record(actor, "order.change", order, source=source)
    return Outcome.CHANGED


def _draft(item: Dataset, source: str) -> OrderDraft:
    sequence = item.get("ScheduledProcedureStepSequence") or []
    if not sequence:
        raise InvalidInputError("The item has no Scheduled Procedure Step Sequence (0040,0100).")
    texts: dict[str, Any] = {
        field: _text(item, keyword) for keyword, field in _ORDER_FIELDS.items()
    }
    steps = [_step(one) for one in sequence]
    return OrderDraft(
        **texts,
        patient_birth_date=_day(_text(item, "PatientBirthDate")),
        order_category=steps[0].modality,
        steps=steps,
        attributes=_rest(item, (*_ORDER_FIELDS, *_OTHER_COLUMNS)),
        source=source[:64],
    )


def _step(item: Dataset) -> StepDraft:
    values = {field: _text(item, keyword) for keyword, field in _STEP_FIELDS.items()}
    start = _day(_text(item, "ScheduledProcedureStepStartDate"))
    if start is None:
        raise InvalidInputError("The step has no start date: write (0040,0002) as 20260131.")
    status = _text(item, "ScheduledProcedureStepStatus").upper()
    many = {keyword for keyword in _MANY if isinstance(item.get(keyword), MultiValue)}
    return StepDraft(
        **values,
        start_date=start,
        start_time=_clock(_text(item, "ScheduledProcedureStepStartTime")),
        status=status if status in StepStatus.values else StepStatus.SCHEDULED,
        attributes=_rest(item, ({*_STEP_FIELDS} - many) | {*_OTHER_STEP_COLUMNS}),
    )


def _text(item: Dataset, keyword: str) -> str:
    value = item.get(keyword)
    if isinstance(value, MultiValue):
        value = value[0] if value else ""
    return "" if value is None else str(value).strip()


def _day(text: str) -> date | None:
    try:
        return datetime.strptime(text, "%Y%m%d").date() if text else None  # noqa: DTZ007 - a day has no zone
    except ValueError as error:
        raise InvalidInputError(f"{text[:32]!r} is no date: write 20260131.") from error


def _clock(text: str) -> time | None:
    digits = text.partition(".")[0].ljust(6, "0")
    try:
        return datetime.strptime(digits, "%H%M%S").time() if text else None  # noqa: DTZ007 - wall clock
    except ValueError as error:
        raise InvalidInputError(f"{text[:32]!r} is no time: write 0930.") from error


def _rest(item: Dataset, but: Any) -> dict[str, Any]:  # noqa: ANN401 - any collection of keywords
    """Return DICOM JSON of everything that has no column."""
    rest = Dataset()
    for element in item:
        if element.keyword not in but and element.tag.group >= 0x0008:
            rest.add(element)
    try:
        return rest.to_json_dict()
    except Exception as error:  # pydicom raises anything on values that their VR does not allow
        raise InvalidInputError("An attribute has a value that its VR does not allow.") from error


def _known(facility: Facility, draft: OrderDraft) -> Order | None:
    rows = Order.objects.select_for_update(of=("self",)).filter(facility=facility)
    if draft.study_instance_uid:
        return rows.filter(study_instance_uid=draft.study_instance_uid).first()
    if not draft.accession_number:
        return None
    procedure = draft.requested_procedure_id or draft.accession_number
    return rows.filter(
        accession_number=draft.accession_number, requested_procedure_id=procedure
    ).first()


def _update(order: Order, draft: OrderDraft) -> bool:
    """Bring an order and its open steps up to date; returns whether anything was different."""
    values = services.checked(order.facility, draft)
    for name in ("study_instance_uid", "accession_number", "requested_procedure_id"):
        values[name] = values[name] or getattr(order, name)
    for name in ("status", "order_type", "source"):
        del values[name]
    values |= {
        "attributes": draft.attributes,
        "patient_name_folded": fold(values["patient_name"])[:324],
    }
    changed = [name for name, value in values.items() if getattr(order, name) != value]
    for name in changed:
        setattr(order, name, values[name])
    is_changed = bool(changed)
    if changed:
        order.changed_at = timezone.now()
        order.save(update_fields=[*changed, "changed_at"])
    for number, wanted in enumerate(draft.steps, order.steps.count() + 1):
        is_changed = _update_step(order, number, wanted) or is_changed
    if is_changed:
        services.follow_steps(order)
    return is_changed


def _update_step(order: Order, number: int, draft: StepDraft) -> bool:
    made = services.step_of(order, number, draft)
    named = draft.scheduled_procedure_step_id
    steps = order.steps.all()
    # An item without a Step ID is the order's only step.
    known = steps.filter(scheduled_procedure_step_id=named).first() if named else steps.first()
    if known is None:
        made.save()
        return True
    if known.status not in OPEN_STEPS:
        return False
    made.scheduled_procedure_step_id = known.scheduled_procedure_step_id
    if known.status != StepStatus.SCHEDULED and made.status == StepStatus.SCHEDULED:
        # The file was written before the patient came.
        made.status = known.status
    fields = [field.name for field in made._meta.concrete_fields if field.name != "id"]
    if all(getattr(made, name) == getattr(known, name) for name in fields):
        return False
    made.pk = known.pk
    made._state.adding = False
    made.save(update_fields=fields)
    return True


def items_in(paths: list[Path]) -> Iterator[tuple[Path, list[Dataset] | InvalidInputError]]:
    """Yield each file with its items, or with what is wrong with it."""
    for path in files_of(paths):
        try:
            yield path, read_items(path)
        except InvalidInputError as error:
            yield path, error
