"""Modality Performed Procedure Steps: equipment says what it does, begins and ends (PS3.4 F)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import generate_uid

from archive import audit
from archive.access import Actor
from archive.errors import ConflictError, InvalidInputError, NotFoundError, PermanentError
from imaging.uid import is_valid_uid
from orders import completeness, services
from orders.models import (
    Order,
    OrderStatus,
    PerformedStatus,
    PerformedStep,
    ScheduledStep,
    StepStatus,
)
from worklist.models import Facility

# PS3.4 table F.7.2-1: what the creation must hold with a value.
_NEEDED = (
    "ScheduledStepAttributesSequence",
    "PerformedProcedureStepID",
    "PerformedStationAETitle",
    "PerformedProcedureStepStartDate",
    "PerformedProcedureStepStartTime",
    "PerformedProcedureStepStatus",
    "Modality",
)
_NEEDED_AT_END = ("PerformedProcedureStepEndDate", "PerformedProcedureStepEndTime")
# The same table: N-SET may not touch these.
_FIXED = frozenset(
    tag
    for keyword in (
        "ScheduledStepAttributesSequence", "PatientName", "PatientID", "IssuerOfPatientID",
        "IssuerOfPatientIDQualifiersSequence", "OtherPatientIDsSequence", "PatientBirthDate",
        "PatientSex", "ReferencedPatientSequence", "AdmissionID",
        "IssuerOfAdmissionIDSequence", "PerformedProcedureStepID", "PerformedStationAETitle",
        "PerformedStationName", "PerformedLocation", "PerformedProcedureStepStartDate",
        "PerformedProcedureStepStartTime", "Modality", "StudyID", "SOPClassUID", "SOPInstanceUID",
    )
    if (tag := tag_for_keyword(keyword)) is not None
)  # fmt: skip
_CHARACTER_SET = 0x00080005
# "Incorrect worklist entry selected" (PS3.16 CID 9300): the step is still to be done.
_WRONG_ENTRY = ("110514", "DCM")
_MOST_REFERENCES = 100_000


class MissingAttributeError(InvalidInputError):
    """A required attribute is not there."""


class MissingValueError(InvalidInputError):
    """A required attribute is empty."""


class InvalidValueError(InvalidInputError):
    """An attribute has a value that it may not have here."""


class DuplicateStepError(ConflictError):
    """The SOP Instance UID is taken."""


class FinishedStepError(PermanentError):
    """The step is completed or discontinued: nothing changes any more."""


def create_step(actor: Actor, facility: Facility, uid: str, attributes: Dataset) -> PerformedStep:
    """Begin a performed step; its scheduled steps and their orders follow.

    Parameters
    ----------
    actor : the equipment
    facility : whose it is; steps and orders of others are never touched
    uid : Affected SOP Instance UID; empty: one is made
    attributes : the whole Attribute List

    Raises
    ------
    MissingAttributeError, MissingValueError, InvalidValueError
        For what table F.7.2-1 requires.
    DuplicateStepError
        When the facility has a step with this UID.

    References
    ----------
    DICOM PS3.4 section F.7.2.1.
    """
    if uid and not is_valid_uid(uid):
        raise InvalidValueError("The SOP Instance UID is no lawful UID (PS3.5 9.1).")
    for keyword in _NEEDED:
        _require(attributes, keyword)
    for item in attributes.ScheduledStepAttributesSequence:
        _require(item, "StudyInstanceUID")
        if not is_valid_uid(str(item.StudyInstanceUID)):
            raise InvalidValueError("A Study Instance UID is no lawful UID (PS3.5 9.1).")
    if attributes.PerformedProcedureStepStatus != PerformedStatus.IN_PROGRESS:
        raise InvalidValueError("A new step is IN PROGRESS (0040,0252).")
    step = PerformedStep(
        facility=facility,
        sop_instance_uid=uid or str(generate_uid(None)),
        performed_procedure_step_id=str(attributes.PerformedProcedureStepID)[:16],
        performed_station_ae_title=str(attributes.PerformedStationAETitle)[:16],
        modality=str(attributes.Modality)[:16],
        study_instance_uid=str(attributes.ScheduledStepAttributesSequence[0].StudyInstanceUID),
        source_ae_title=actor.name[:16],
    )
    _keep(step, attributes)
    try:
        with transaction.atomic():
            step.save()
            planned = _planned(facility, attributes.ScheduledStepAttributesSequence)
            step.steps.set(planned)
            step.order = planned[0].order if planned else _order_of(step, attributes)
            step.save(update_fields=["order"])
            _follow(step)
            audit.record(actor, "mpps.create", step, scheduled_steps=len(planned))
    except IntegrityError as error:
        raise DuplicateStepError("A step with this SOP Instance UID exists already.") from error
    return step


def change_step(actor: Actor, facility: Facility, uid: str, changes: Dataset) -> bool:
    """Change a step that is in progress; its last change completes or discontinues it.

    Parameters
    ----------
    changes : the Modification List

    Returns
    -------
    bool
        Whether all was taken; False: values that may not change stayed as they were.

    Raises
    ------
    NotFoundError
        When the facility has no such step.
    FinishedStepError
        When it is completed or discontinued.
    MissingAttributeError, MissingValueError, InvalidValueError
        When it is to be ended without what an ended step holds.

    References
    ----------
    DICOM PS3.4 section F.7.2.2.
    """
    with transaction.atomic():
        step = _locked(facility, uid)
        if step.status != PerformedStatus.IN_PROGRESS:
            raise FinishedStepError("Performed Procedure Step Object may no longer be updated")
        attributes = Dataset.from_json(step.attributes)
        is_all_taken = True
        for element in changes:
            if element.tag == _CHARACTER_SET:
                continue  # kept as text, in no character set
            if element.tag in _FIXED:
                is_all_taken = is_all_taken and attributes.get(element.tag) == element
                continue
            attributes[element.tag] = element
        if attributes.get("PerformedProcedureStepStatus") not in PerformedStatus.values:
            raise InvalidValueError(
                "The status (0040,0252) is IN PROGRESS, COMPLETED or DISCONTINUED."
            )
        if attributes.PerformedProcedureStepStatus != PerformedStatus.IN_PROGRESS:
            _require_end(attributes)
        _keep(step, attributes)
        step.changed_at = timezone.now()
        step.save()
        _follow(step)
        if step.status != PerformedStatus.IN_PROGRESS:
            completeness.look_at_studies_of(step)
        audit.record(actor, "mpps.change", step, status=step.status)
    return is_all_taken


def step_for(facility: Facility, uid: str) -> PerformedStep:
    """Return a facility's performed step.

    Raises
    ------
    NotFoundError
        When it has no such step.
    """
    step = PerformedStep.objects.filter(facility=facility, sop_instance_uid=uid).first()
    if step is None:
        raise NotFoundError("There is no such performed procedure step.")
    return step


def attributes_of(step: PerformedStep, tags: Iterable[int] = ()) -> Dataset:
    """Return attributes of a step.

    Parameters
    ----------
    tags : the wanted ones; empty: all

    References
    ----------
    DICOM PS3.4 section F.8.2.
    """
    attributes = Dataset.from_json(step.attributes)
    wanted = set(tags)
    if not wanted:
        return attributes
    found = Dataset()
    for tag in wanted:
        if tag in attributes:
            found[tag] = attributes[tag]
    return found


def _locked(facility: Facility, uid: str) -> PerformedStep:
    step = (
        PerformedStep.objects.select_for_update()
        .filter(facility=facility, sop_instance_uid=uid)
        .first()
    )
    if step is None:
        raise NotFoundError("There is no such performed procedure step.")
    return step


def _require(data_set: Dataset, keyword: str) -> None:
    element = data_set.get(tag_for_keyword(keyword) or 0)
    if element is None:
        raise MissingAttributeError(f"{keyword} is missing.")
    value = element.value
    if value is None or (hasattr(value, "__len__") and len(value) == 0) or str(value) == "":
        raise MissingValueError(f"{keyword} has no value.")


def _require_end(attributes: Dataset) -> None:
    for keyword in _NEEDED_AT_END:
        _require(attributes, keyword)
    if attributes.PerformedProcedureStepStatus == PerformedStatus.COMPLETED:
        # A step that was given up may have come to no series, whatever note 2 of the table says.
        _require(attributes, "PerformedSeriesSequence")
    for series in attributes.get("PerformedSeriesSequence") or ():
        _require(series, "SeriesInstanceUID")


def _keep(step: PerformedStep, attributes: Dataset) -> None:
    """Put the object and what is asked of it into the row."""
    if _CHARACTER_SET in attributes:
        del attributes[_CHARACTER_SET]
    step.status = str(attributes.PerformedProcedureStepStatus)
    step.references = _references(attributes)
    try:
        step.attributes = attributes.to_json_dict()
    except Exception as error:  # pydicom raises anything on values that their VR does not allow
        raise InvalidValueError("An attribute has a value that its VR does not allow.") from error


def _references(attributes: Dataset) -> list[list[str]]:
    """Return series, class and instance of each instance that the step names."""
    found: list[list[str]] = []
    for series in attributes.get("PerformedSeriesSequence") or ():
        series_uid = str(series.get("SeriesInstanceUID") or "")
        for keyword in (
            "ReferencedImageSequence",
            "ReferencedNonImageCompositeSOPInstanceSequence",
        ):
            for reference in series.get(keyword) or ():
                uid = _text(reference.get("ReferencedSOPInstanceUID"))
                if uid:
                    sop_class = _text(reference.get("ReferencedSOPClassUID"))
                    found.append([series_uid, sop_class, uid])
    if len(found) > _MOST_REFERENCES:
        raise InvalidValueError(f"More than {_MOST_REFERENCES} instances are named.")
    return found


def _text(value: Any) -> str:  # noqa: ANN401 - a DICOM value has the type of its VR
    first = value[0] if isinstance(value, MultiValue) and value else value
    return "" if first is None else str(first)


def _planned(facility: Facility, items: Iterable[Dataset]) -> list[ScheduledStep]:
    """Return the facility's scheduled steps that the items name."""
    found: dict[Any, ScheduledStep] = {}
    for item in items:
        step_id = _text(item.get("ScheduledProcedureStepID"))
        if not step_id:
            continue  # unscheduled: done without a worklist item
        accession = _text(item.get("AccessionNumber"))
        whose = Q(order__study_instance_uid=_text(item.get("StudyInstanceUID")))
        if accession:
            whose |= Q(order__accession_number=accession)
        rows = ScheduledStep.objects.select_related("order").filter(
            whose, facility=facility, scheduled_procedure_step_id=step_id
        )
        found |= {row.pk: row for row in rows}
    return list(found.values())


def _order_of(step: PerformedStep, attributes: Dataset) -> Order | None:
    """Return the order of a step that names no scheduled step: that of its study."""
    rows = Order.objects.filter(facility_id=step.facility_id)
    by_uid = rows.filter(study_instance_uid=step.study_instance_uid).first()
    if by_uid is not None:
        return by_uid
    item = attributes.ScheduledStepAttributesSequence[0]
    accession = _text(item.get("AccessionNumber"))
    found = list(rows.filter(accession_number=accession)[:2]) if accession else []
    return found[0] if len(found) == 1 else None


def _follow(step: PerformedStep) -> None:
    """Set the scheduled steps to what was done to them, and their orders after them."""
    planned = list(step.steps.all())
    if planned:
        services.set_step_status(planned, _status_of_planned(step))
    elif step.order is not None and step.order.status == OrderStatus.SCHEDULED:
        step.order.status = OrderStatus.IN_PROGRESS
        step.order.changed_at = timezone.now()
        step.order.save(update_fields=["status", "changed_at"])


def _status_of_planned(step: PerformedStep) -> str:
    if step.status == PerformedStatus.IN_PROGRESS:
        return StepStatus.STARTED
    if step.status == PerformedStatus.COMPLETED:
        return StepStatus.COMPLETED
    attributes = Dataset.from_json(step.attributes)
    for reason in attributes.get("PerformedProcedureStepDiscontinuationReasonCodeSequence") or ():
        if (reason.get("CodeValue"), reason.get("CodingSchemeDesignator")) == _WRONG_ENTRY:
            return StepStatus.SCHEDULED
    return StepStatus.DISCONTINUED
