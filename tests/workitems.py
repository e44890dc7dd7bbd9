"""Work items for tests: data sets as a planner, a performer and somebody who gives up send them."""

from __future__ import annotations

from typing import Any

from pydicom.dataset import Dataset

from tests import orderly


def item(base: Dataset | None = None, **keywords: Any) -> Dataset:
    """A data set of keywords, on top of another one."""
    made = base if base is not None else Dataset()
    made.update(orderly.item(**keywords))
    return made


def code(value: str, scheme: str, meaning: str) -> Dataset:
    return item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def scheduled(**keywords: Any) -> Dataset:
    """What a new work item needs, and whose it is."""
    base = item(
        ProcedureStepState="SCHEDULED",
        ScheduledProcedureStepPriority="MEDIUM",
        ProcedureStepLabel="Segment the lungs",
        ScheduledProcedureStepStartDateTime="20260301093000+0100",
        InputReadinessState="READY",
        PatientName="Lee^Kim",
    )
    return item(base, **keywords)


def completed() -> Dataset:
    """What a performer sets before the end."""
    performed = item(
        PerformedStationNameCodeSequence=[code("GPU1", "99X", "GPU 1")],
        PerformedProcedureStepStartDateTime="20260301093100",
        PerformedWorkitemCodeSequence=[code("110005", "DCM", "Interpretation")],
        PerformedProcedureStepEndDateTime="20260301093500",
        OutputInformationSequence=[],
    )
    return item(UnifiedProcedureStepPerformedProcedureSequence=[performed])


def given_up() -> Dataset:
    """What a performer sets before canceling."""
    progress = item(
        ProcedureStepCancellationDateTime="20260301093200",
        ProcedureStepDiscontinuationReasonCodeSequence=[code("110514", "DCM", "Wrong entry")],
        ReasonForCancellation="The wrong series was selected.",
    )
    return item(ProcedureStepProgressInformationSequence=[progress])


def state(wanted: str, transaction: str = "") -> Dataset:
    made = item(ProcedureStepState=wanted)
    if transaction:
        made.TransactionUID = transaction
    return made
