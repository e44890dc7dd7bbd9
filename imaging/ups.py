"""Unified Procedure Steps: what a work item holds, may become, and must hold in the end.

The rules of PS3.4 annex CC as pure functions; who asks, and where items are kept, is not known
here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as Items

PUSH = "1.2.840.10008.5.1.4.34.6.1"
EVENT = "1.2.840.10008.5.1.4.34.6.4"
# Well-known instances (PS3.6 table A-1): stand for all work items, and for those of a filter.
GLOBAL = "1.2.840.10008.5.1.4.34.5"
FILTERED = "1.2.840.10008.5.1.4.34.5.1"


class State(StrEnum):
    """Procedure Step State (0074,1000), PS3.3 C.30.1."""

    SCHEDULED = "SCHEDULED"
    IN_PROGRESS = "IN PROGRESS"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"


FINAL = frozenset({State.COMPLETED, State.CANCELED})


class Verdict(StrEnum):
    """What becomes of a request to change the state; each value is the DIMSE status."""

    DONE = "0000"
    ALREADY_CANCELED = "B304"
    ALREADY_COMPLETED = "B306"
    MAY_NOT_CHANGE = "C300"
    WRONG_TRANSACTION = "C301"
    ALREADY_IN_PROGRESS = "C302"
    ONLY_BY_CREATION = "C303"
    FINAL_STATE_NOT_MET = "C304"
    NOT_IN_PROGRESS = "C310"


_D, _S, _P, _C, _X = (
    Verdict.DONE,
    State.SCHEDULED,
    State.IN_PROGRESS,
    State.COMPLETED,
    State.CANCELED,
)
# (present, wanted), for a caller with the right Transaction UID.
_TRANSITIONS: dict[tuple[State, State], Verdict] = {
    (_S, _S): Verdict.ONLY_BY_CREATION,
    (_S, _P): _D,
    (_S, _C): Verdict.NOT_IN_PROGRESS,
    (_S, _X): Verdict.NOT_IN_PROGRESS,
    (_P, _S): Verdict.ONLY_BY_CREATION,
    (_P, _P): Verdict.ALREADY_IN_PROGRESS,
    (_P, _C): _D,
    (_P, _X): _D,
    (_C, _S): Verdict.ONLY_BY_CREATION,
    (_C, _P): Verdict.MAY_NOT_CHANGE,
    (_C, _C): Verdict.ALREADY_COMPLETED,
    (_C, _X): Verdict.MAY_NOT_CHANGE,
    (_X, _S): Verdict.ONLY_BY_CREATION,
    (_X, _P): Verdict.MAY_NOT_CHANGE,
    (_X, _C): Verdict.MAY_NOT_CHANGE,
    (_X, _X): Verdict.ALREADY_CANCELED,
}


def transition(present: State, wanted: State, *, lock: str, transaction: str) -> Verdict:
    """Say whether a work item may go from one state to another.

    Parameters
    ----------
    lock : the Transaction UID that the item was claimed with; empty: it was not
    transaction : the Transaction UID of the request; empty: none

    References
    ----------
    DICOM PS3.4 tables CC.1.1-2 and CC.2.1-2.
    """
    verdict = _TRANSITIONS[present, wanted]
    if verdict is not Verdict.DONE:
        return verdict
    is_right = bool(transaction) and (present is State.SCHEDULED or transaction == lock)
    return verdict if is_right else Verdict.WRONG_TRANSACTION


# What an item holds ------------------------------------------------------------------------------

PRIORITIES = ("HIGH", "MEDIUM", "LOW")
READINESS = ("READY", "INCOMPLETE", "UNAVAILABLE")
_CODED = {"ScheduledProcedureStepPriority": PRIORITIES, "InputReadinessState": READINESS}

# Table CC.2.5-3, column N-CREATE: with a value from whoever creates.
NEEDED = (
    "ProcedureStepState",
    "ScheduledProcedureStepPriority",
    "ProcedureStepLabel",
    "ScheduledProcedureStepStartDateTime",
    "InputReadinessState",
)
# There, perhaps empty; what is not sent is added.
_EXPECTED = (
    "TransactionUID",
    "WorklistLabel",
    "ScheduledProcessingParametersSequence",
    "ScheduledStationNameCodeSequence",
    "ScheduledStationClassCodeSequence",
    "ScheduledStationGeographicLocationCodeSequence",
    "ScheduledWorkitemCodeSequence",
    "CommentsOnTheScheduledProcedureStep",
    "InputInformationSequence",
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "AdmissionID",
    "IssuerOfAdmissionIDSequence",
    "AdmittingDiagnosesDescription",
    "AdmittingDiagnosesCodeSequence",
    "ReferencedRequestSequence",
    "ProcedureStepProgressInformationSequence",
    "UnifiedProcedureStepPerformedProcedureSequence",
)
_EMPTY_AT_FIRST = (
    "TransactionUID",
    "ProcedureStepProgressInformationSequence",
    "UnifiedProcedureStepPerformedProcedureSequence",
)
# Column N-SET: not allowed.
_FIXED = frozenset(
    {
        "SOPClassUID", "SOPInstanceUID", "PatientName", "PatientID", "IssuerOfPatientID",
        "IssuerOfPatientIDQualifiersSequence", "PatientBirthDate", "PatientSex", "AdmissionID",
        "IssuerOfAdmissionIDSequence", "AdmittingDiagnosesDescription",
        "AdmittingDiagnosesCodeSequence", "ReferencedRequestSequence",
        "ReplacedProcedureStepSequence", "ProcedureStepState",
        "ScheduledProcedureStepModificationDateTime",
    }
)  # fmt: skip
# Column N-SET: 3/1, so there is no taking the value away.
_NEVER_EMPTY = (
    "ScheduledProcedureStepPriority",
    "ProcedureStepLabel",
    "WorklistLabel",
    "ScheduledProcedureStepStartDateTime",
    "InputReadinessState",
)
# What only whoever performs a step knows.
_OF_PERFORMER = (
    "ProcedureStepProgressInformationSequence",
    "UnifiedProcedureStepPerformedProcedureSequence",
)
# The server's own: dropped where somebody sends it.
_SERVERS = ("SOPClassUID", "SOPInstanceUID", "ScheduledProcedureStepModificationDateTime")
# Who or what an item is meant for: a change of these is told as an assignment.
ASSIGNMENT = (
    "ScheduledStationNameCodeSequence",
    "ScheduledHumanPerformersSequence",
    "ScheduledStationClassCodeSequence",
    "ScheduledStationGeographicLocationCodeSequence",
)


def unfit_for_creation(data_set: Dataset) -> list[str]:
    """Return a sentence for each rule that a new work item breaks.

    References
    ----------
    DICOM PS3.4 section CC.2.5.2 and table CC.2.5-3, column N-CREATE.
    """
    found = []
    lacking = [keyword for keyword in NEEDED if not text(data_set, keyword)]
    if lacking:
        found.append(f"These need a value: {', '.join(lacking)}.")
    state = text(data_set, "ProcedureStepState")
    if state and state != State.SCHEDULED:
        found.append("A new work item is SCHEDULED (0074,1000).")
    full = [keyword for keyword in _EMPTY_AT_FIRST if has_value(data_set, keyword)]
    if full:
        found.append(f"These are empty in a new work item: {', '.join(full)}.")
    return found + list(_unlawful(data_set))


def supplement(data_set: Dataset, *, worklist_label: str) -> list[str]:
    """Add what table CC.2.5-3 wants of a new item and its creator left out.

    Parameters
    ----------
    worklist_label : for an item that names none

    Returns
    -------
    list
        Keywords of what was added or set.
    """
    added = []
    for keyword in _EXPECTED:
        if keyword not in data_set:
            setattr(data_set, keyword, Items([]) if keyword.endswith("Sequence") else None)
            added.append(keyword)
    if not text(data_set, "WorklistLabel"):
        data_set.WorklistLabel = worklist_label
        if "WorklistLabel" not in added:
            added.append("WorklistLabel")
    return added


def unfit_for_update(changes: Dataset) -> list[str]:
    """Return a sentence for each rule that a change of a work item breaks.

    References
    ----------
    DICOM PS3.4 section CC.2.6.2 and table CC.2.5-3, column N-SET.
    """
    found = []
    fixed = sorted(element.keyword for element in changes if element.keyword in _FIXED)
    if fixed:
        found.append(f"These may not be changed: {', '.join(fixed)}.")
    empty = [
        keyword for keyword in _NEVER_EMPTY if keyword in changes and not text(changes, keyword)
    ]
    if empty:
        found.append(f"These need a value: {', '.join(empty)}.")
    return found + list(_unlawful(changes))


def is_of_performer(changes: Dataset) -> bool:
    """Whether a change tells of the performing, which begins with a claim."""
    return any(keyword in changes for keyword in _OF_PERFORMER)


def _unlawful(data_set: Dataset) -> Iterator[str]:
    for keyword, allowed in _CODED.items():
        value = text(data_set, keyword)
        if value and value not in allowed:
            yield f"{keyword} is one of {', '.join(allowed)}."
    for keyword in _OF_PERFORMER:
        if len(items(data_set, keyword)) > 1:
            yield f"{keyword} has one item."
    progress = items(data_set, "ProcedureStepProgressInformationSequence")
    value = text(progress[0], "ProcedureStepProgress") if progress else ""
    if value:
        try:
            is_percentage = 0 <= float(value) <= 100
        except ValueError:
            is_percentage = False
        if not is_percentage:
            yield "ProcedureStepProgress is a percentage from 0 to 100."


def unmet_in_the_end(data_set: Dataset, state: State) -> list[str]:
    """Return keywords of what a work item lacks that is to be completed or canceled.

    References
    ----------
    DICOM PS3.4 table CC.2.5-3, column Final State: R for both, P when completed, X when canceled.
    """
    lacking = [keyword for keyword in NEEDED if not text(data_set, keyword)]
    if state is State.COMPLETED:
        sequence = "UnifiedProcedureStepPerformedProcedureSequence"
        performed = items(data_set, sequence)
        if not performed:
            return [*lacking, sequence]
        lacking += [
            f"{sequence}.{keyword}"
            for keyword in (
                "PerformedStationNameCodeSequence",
                "PerformedProcedureStepStartDateTime",
                "PerformedWorkitemCodeSequence",
                "PerformedProcedureStepEndDateTime",
            )
            if not has_value(performed[0], keyword)
        ]
        # Of type 2: a step may have come to nothing that is kept.
        if "OutputInformationSequence" not in performed[0]:
            lacking.append(f"{sequence}.OutputInformationSequence")
        return lacking
    progress = items(data_set, "ProcedureStepProgressInformationSequence")
    if not progress:
        return [*lacking, "ProcedureStepProgressInformationSequence"]
    return lacking + [
        f"ProcedureStepProgressInformationSequence.{keyword}"
        for keyword in (
            "ProcedureStepCancellationDateTime",
            "ProcedureStepDiscontinuationReasonCodeSequence",
        )
        if not has_value(progress[0], keyword)
    ]


def without_servers_own(data_set: Dataset) -> Dataset:
    """Return a data set without what the server alone sets, and without its lock."""
    kept = Dataset()
    for element in data_set:
        if element.tag.group > 2 and element.keyword not in (*_SERVERS, "TransactionUID"):
            kept.add(element)
    return kept


def progress_of(data_set: Dataset) -> float | None:
    """Return Procedure Step Progress in percent; None where nothing was said."""
    found = items(data_set, "ProcedureStepProgressInformationSequence")
    value = text(found[0], "ProcedureStepProgress") if found else ""
    try:
        return min(max(float(value), 0.0), 100.0) if value else None
    except ValueError:
        return None


# What is told to subscribers ----------------------------------------------------------------------


class EventType(StrEnum):
    """Event types of PS3.4 table CC.2.4-1 that are about one work item."""

    STATE_REPORT = "1"
    CANCEL_REQUESTED = "2"
    PROGRESS_REPORT = "3"
    ASSIGNED = "5"


@dataclass(frozen=True, slots=True)
class Report:
    """One event: its type and its Event Information."""

    type: EventType
    information: Dataset


def state_report(data_set: Dataset) -> Report:
    """Return the UPS State Report of an item as it is now."""
    found = _part(data_set, ("InputReadinessState", "ProcedureStepState"))
    if found.ProcedureStepState == State.CANCELED:
        for item in items(data_set, "ProcedureStepProgressInformationSequence")[:1]:
            wanted = ("ReasonForCancellation", "ProcedureStepDiscontinuationReasonCodeSequence")
            for element in _part(item, wanted):
                found.add(element)
    return Report(EventType.STATE_REPORT, found)


def reports_of_change(before: Dataset, after: Dataset) -> list[Report]:
    """Return what subscribers are told when an item's attributes become others.

    References
    ----------
    DICOM PS3.4 section CC.2.4.3.
    """
    found = []
    if _differ(before, after, ("InputReadinessState", "ProcedureStepState")):
        found.append(state_report(after))
    if _differ(before, after, ("ProcedureStepProgressInformationSequence",)) and items(
        after, "ProcedureStepProgressInformationSequence"
    ):
        information = _part(after, ("ProcedureStepProgressInformationSequence",))
        found.append(Report(EventType.PROGRESS_REPORT, information))
    if _differ(before, after, ASSIGNMENT):
        found.append(assignment_report(after))
    return found


def assignment_report(data_set: Dataset) -> Report:
    """Return the UPS Assigned event of an item as it is now."""
    return Report(EventType.ASSIGNED, _part(data_set, ASSIGNMENT[:3]))


def cancel_request(asked: Dataset, *, requester: str) -> Report:
    """Return the UPS Cancel Requested event for what somebody asks.

    Parameters
    ----------
    asked : of the request: reason, code, whom to talk to
    requester : an AE title
    """
    found = _part(
        asked,
        (
            "ReasonForCancellation",
            "ProcedureStepDiscontinuationReasonCodeSequence",
            "ContactURI",
            "ContactDisplayName",
        ),
    )
    found.RequestingAE = requester
    return Report(EventType.CANCEL_REQUESTED, found)


def event_report(
    event_type: str, uid: str, information: dict[str, Any], *, message_id: int
) -> dict[str, Any]:
    """Return an N-EVENT-REPORT as DICOM JSON.

    Parameters
    ----------
    uid : of the work item
    information : DICOM JSON of the Event Information
    message_id : from 1, of the connection

    References
    ----------
    DICOM PS3.18 section 8.10.5, PS3.7 table 10.3-1.
    """
    command: dict[str, Any] = {
        "00000002": {"vr": "UI", "Value": [EVENT]},
        "00000100": {"vr": "US", "Value": [0x0100]},
        "00000110": {"vr": "US", "Value": [(message_id - 1) % 0xFFFF + 1]},
        "00000800": {"vr": "US", "Value": [0x0001]},
        "00001000": {"vr": "UI", "Value": [uid]},
        "00001002": {"vr": "US", "Value": [int(event_type)]},
    }
    return {**command, **information}


# Values ------------------------------------------------------------------------------------------


def text(data_set: Dataset, keyword: str) -> str:
    """Return the first value of an attribute as text; empty where there is none."""
    value = data_set.get(keyword)
    first = value[0] if isinstance(value, MultiValue) and value else value
    return "" if first is None or isinstance(first, Dataset) else str(first).strip(" \0")


def items(data_set: Dataset, keyword: str) -> Sequence[Dataset]:
    """Return the items of a sequence; none where it is missing."""
    value = data_set.get(keyword)
    return list(value) if isinstance(value, Items) else []


def has_value(data_set: Dataset, keyword: str) -> bool:
    """Whether an attribute has a value, or a sequence an item."""
    return keyword in data_set and not data_set[keyword].is_empty


def _part(data_set: Dataset, keywords: Iterable[str]) -> Dataset:
    found = Dataset()
    for keyword in keywords:
        tag = tag_for_keyword(keyword)
        if tag is not None and has_value(data_set, keyword):
            found.add(data_set[tag])
    return found


def _differ(one: Dataset, other: Dataset, keywords: Iterable[str]) -> bool:
    names = tuple(keywords)
    return _part(one, names) != _part(other, names)
