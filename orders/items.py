"""Worklist items: a scheduled step with its order as a DICOM data set (PS3.4 table K.6-1)."""

from __future__ import annotations

from datetime import date, time
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from orders.models import ScheduledStep


def item_of(step: ScheduledStep) -> Dataset:
    """Return the whole worklist item of a step.

    Parameters
    ----------
    step : with its order at hand

    Returns
    -------
    Every attribute that is known; the Scheduled Procedure Step Sequence has one item.

    References
    ----------
    DICOM PS3.4 section K.6.1.2.2.
    """
    order = step.order
    item = Dataset.from_json(order.attributes)
    _fill(
        item,
        {
            "PatientName": order.patient_name,
            "PatientID": order.patient_identifier,
            "IssuerOfPatientID": order.issuer_of_patient_id,
            "PatientBirthDate": day(order.patient_birth_date),
            "PatientSex": order.patient_sex,
            "AccessionNumber": order.accession_number,
            "RequestingPhysician": order.requesting_physician,
            "ReferringPhysicianName": order.referring_physician_name,
            "RequestedProcedureID": order.requested_procedure_id,
            "RequestedProcedureDescription": order.description,
            "RequestedProcedurePriority": order.priority,
            "ReasonForTheRequestedProcedure": order.reason,
            "StudyInstanceUID": order.study_instance_uid,
        },
    )
    scheduled = Dataset.from_json(step.attributes)
    # An item may be planned for several stations; the column holds the first of them.
    titles = scheduled.get("ScheduledStationAETitle") or []
    many = [titles] if isinstance(titles, str) else list(titles)
    if step.scheduled_station_ae_title not in many:
        scheduled.ScheduledStationAETitle = step.scheduled_station_ae_title
    _fill(
        scheduled,
        {
            "ScheduledStationName": step.scheduled_station_name,
            "Modality": step.modality,
            "ScheduledProcedureStepStartDate": day(step.start_date),
            # Type 1: an item without a time is one of the whole day.
            "ScheduledProcedureStepStartTime": clock(step.start_time) or "000000",
            "ScheduledPerformingPhysicianName": step.scheduled_performing_physician_name,
            "ScheduledProcedureStepDescription": step.description,
            "ScheduledProcedureStepLocation": step.location,
            "ScheduledProcedureStepID": step.scheduled_procedure_step_id,
            "ScheduledProcedureStepStatus": step.status,
        },
    )
    item.ScheduledProcedureStepSequence = Sequence([scheduled])
    return item


def _fill(data_set: Dataset, values: dict[str, Any]) -> None:
    for keyword, value in values.items():
        if value or keyword not in data_set:
            setattr(data_set, keyword, value)


def day(value: date | None) -> str:
    """Return a date as DA; empty for none."""
    return value.strftime("%Y%m%d") if value else ""


def clock(value: time | None) -> str:
    """Return a time as TM; empty for none."""
    return value.strftime("%H%M%S") if value else ""
