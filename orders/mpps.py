"""Modality Performed Procedure Steps: equipment says what it does, begins and ends (PS3.4 F).

Equipment in the field leaves out attributes that table F.7.2-1 requires, or changes some that it
fixes. Turned away, its step would be lost and its order stay open for ever; so what can be read is
kept, and the answer warns of the rest. Only the order of the states is insisted on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone
from pydicom.datadict import keyword_for_tag, tag_for_keyword
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

# PS3.4 table F.7.2-1: what the creation should hold with a value.
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


@dataclass(slots=True)
class Remarks:
    """What was wrong with an attribute list that was taken all the same.

    Attributes
    ----------
    lacking : tags of required attributes that were missing or empty
    kept : tags of attributes that may not change, and stayed as they were
    dropped : tags of attributes whose values could not be used, and were left out
    """

    lacking: list[int] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.lacking or self.kept or self.dropped)

    def __str__(self) -> str:
        parts = []
        for words, tags in (
            ("Not sent: ", self.lacking),
            ("Left as it was: ", self.kept),
            ("Not usable: ", self.dropped),
        ):
            if tags:
                parts.append(words + ", ".join(dict.fromkeys(map(_name, tags))) + ".")
        return " ".join(parts)


class MissingAttributeError(InvalidInputError):
    """The creation says nothing at all."""


class InvalidValueError(InvalidInputError):
    """An attribute has a value that it may not have here."""


class DuplicateStepError(ConflictError):
    """The SOP Instance UID is taken."""


class FinishedStepError(PermanentError):
    """The step is completed or discontinued: nothing changes any more."""


def create_step(
    actor: Actor, facility: Facility, uid: str, attributes: Dataset
) -> tuple[PerformedStep, Remarks]:
    """Begin a performed step; its scheduled steps and their orders follow.

    Parameters
    ----------
    actor : the equipment
    facility : whose it is; steps and orders of others are never touched
    uid : Affected SOP Instance UID; empty: one is made
    attributes : the whole Attribute List

    Returns
    -------
    tuple
        The step, and what its attribute list lacked of what table F.7.2-1 requires.

    Raises
    ------
    MissingAttributeError
        When the list is empty.
    InvalidValueError
        When the step does not begin IN PROGRESS, or cannot be kept.
    DuplicateStepError
        When the facility has a step with this UID.

    References
    ----------
    DICOM PS3.4 section F.7.2.1.
    """
    if uid and not is_valid_uid(uid):
        raise InvalidValueError("The SOP Instance UID is no lawful UID (PS3.5 9.1).")
    if not attributes.keys() - {_CHARACTER_SET}:
        raise MissingAttributeError("The Attribute List is empty.")
    remarks = Remarks()
    for keyword in _NEEDED:
        _expect(attributes, keyword, remarks)
    items = list(attributes.get("ScheduledStepAttributesSequence") or ())
    for item in items:
        _expect_uid(item, "StudyInstanceUID", remarks)
    # A creation can mean nothing else, whatever it leaves out.
    status = _text(attributes.get("PerformedProcedureStepStatus")) or PerformedStatus.IN_PROGRESS
    if status != PerformedStatus.IN_PROGRESS:
        raise InvalidValueError("A new step is IN PROGRESS (0040,0252).")
    attributes.PerformedProcedureStepStatus = str(status)
    studies = (_text(item.get("StudyInstanceUID")) for item in items)
    step = PerformedStep(
        facility=facility,
        sop_instance_uid=uid or str(generate_uid(None)),
        performed_procedure_step_id=_text(attributes.get("PerformedProcedureStepID"))[:16],
        performed_station_ae_title=_text(attributes.get("PerformedStationAETitle"))[:16],
        modality=_text(attributes.get("Modality"))[:16],
        study_instance_uid=next(filter(None, studies), ""),
        source_ae_title=actor.name[:16],
    )
    _keep(step, attributes)
    try:
        with transaction.atomic():
            step.save()
            planned = _planned(facility, items)
            step.steps.set(planned)
            step.order = planned[0].order if planned else _order_of(step, items)
            step.save(update_fields=["order"])
            _follow(step)
            audit.record(actor, "mpps.create", step, scheduled_steps=len(planned))
    except IntegrityError as error:
        raise DuplicateStepError("A step with this SOP Instance UID exists already.") from error
    return step, remarks


def change_step(actor: Actor, facility: Facility, uid: str, changes: Dataset) -> Remarks:
    """Change a step that is in progress; its last change completes or discontinues it.

    Parameters
    ----------
    changes : the Modification List

    Returns
    -------
    Remarks
        What may not change and stayed as it was, and what the end of a step should have held.

    Raises
    ------
    NotFoundError
        When the facility has no such step.
    FinishedStepError
        When it is completed or discontinued.
    InvalidValueError
        When it is to have a status that there is not, or cannot be kept.

    References
    ----------
    DICOM PS3.4 section F.7.2.2.
    """
    with transaction.atomic():
        step = _locked(facility, uid)
        if step.status != PerformedStatus.IN_PROGRESS:
            raise FinishedStepError("Performed Procedure Step Object may no longer be updated")
        remarks = Remarks()
        attributes = Dataset.from_json(step.attributes)
        for element in changes:
            if element.tag == _CHARACTER_SET:
                continue  # kept as text, in no character set
            if element.tag in _FIXED:
                if attributes.get(element.tag) != element:
                    remarks.kept.append(element.tag)
                continue
            attributes[element.tag] = element
        if attributes.get("PerformedProcedureStepStatus") not in PerformedStatus.values:
            raise InvalidValueError(
                "The status (0040,0252) is IN PROGRESS, COMPLETED or DISCONTINUED."
            )
        if attributes.PerformedProcedureStepStatus != PerformedStatus.IN_PROGRESS:
            _expect_end(attributes, remarks)
        _keep(step, attributes)
        step.changed_at = timezone.now()
        step.save()
        _follow(step)
        if step.status != PerformedStatus.IN_PROGRESS:
            completeness.look_at_studies_of(step)
        audit.record(actor, "mpps.change", step, status=step.status)
    return remarks


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


def _expect(data_set: Dataset, keyword: str, remarks: Remarks) -> bool:
    """Whether an attribute has a value; notes one that has none."""
    tag = tag_for_keyword(keyword) or 0
    if tag in data_set and not data_set[tag].is_empty:
        return True
    remarks.lacking.append(tag)
    return False


def _expect_uid(item: Dataset, keyword: str, remarks: Remarks) -> None:
    if _expect(item, keyword, remarks) and not is_valid_uid(_text(item.get(keyword))):
        remarks.dropped.append(tag_for_keyword(keyword) or 0)
        delattr(item, keyword)


def _expect_end(attributes: Dataset, remarks: Remarks) -> None:
    for keyword in _NEEDED_AT_END:
        _expect(attributes, keyword, remarks)
    if attributes.PerformedProcedureStepStatus == PerformedStatus.COMPLETED:
        # A step that was given up may have come to no series, whatever note 2 of the table says.
        _expect(attributes, "PerformedSeriesSequence", remarks)
    for series in attributes.get("PerformedSeriesSequence") or ():
        _expect_uid(series, "SeriesInstanceUID", remarks)


def _name(tag: int) -> str:
    """Return what an attribute is called, without its value: it may be the patient's."""
    return keyword_for_tag(tag) or f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


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
        study = _text(item.get("StudyInstanceUID"))
        if not (study or accession):
            continue  # a step's ID says nothing without its order
        whose = Q()
        if study:
            whose |= Q(order__study_instance_uid=study)
        if accession:
            whose |= Q(order__accession_number=accession)
        rows = ScheduledStep.objects.select_related("order").filter(
            whose, facility=facility, scheduled_procedure_step_id=step_id
        )
        found |= {row.pk: row for row in rows}
    return list(found.values())


def _order_of(step: PerformedStep, items: Sequence[Dataset]) -> Order | None:
    """Return the order of a step that names no scheduled step: that of its study."""
    rows = Order.objects.filter(facility_id=step.facility_id)
    if step.study_instance_uid:
        by_uid = rows.filter(study_instance_uid=step.study_instance_uid).first()
        if by_uid is not None:
            return by_uid
    accession = _text(items[0].get("AccessionNumber")) if items else ""
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
