"""Which work items match: by the keys of DICOM for programs, by few filters for the page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Count, Q, QuerySet
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from archive import database
from archive.access import Scope
from archive.catalogue import fold
from archive.timelimit import Patience, limited
from imaging import matching
from orders.models import OPEN_WORKITEMS, Workitem, WorkitemState
from orders.workitems import attributes_of

PAGE_SIZE = 100
_CHUNK = 200
# Keys that a column answers; `imaging.matching` decides in any case.
_EXACT = {
    "SOPInstanceUID": "sop_instance_uid",
    "ProcedureStepState": "state",
    "ScheduledProcedureStepPriority": "priority",
    "InputReadinessState": "readiness",
    "ProcedureStepLabel": "label",
    "WorklistLabel": "worklist_label",
    "PatientID": "patient_identifier",
    "StudyInstanceUID": "study_instance_uid",
}


def find(
    scope: Scope, identifier: Dataset, options: matching.Options = matching.PLAIN
) -> Iterator[Dataset]:
    """Yield the work items that match, whole, in the order of their planned start.

    Raises
    ------
    InvalidQueryError
        Before the first, when a key cannot be read.
    TooBroadError
        When looking through what the columns leave takes too long.

    References
    ----------
    DICOM PS3.4 section CC.2.8.
    """
    matching.check(identifier)
    return _matches(_candidates(scope, identifier, options), identifier, options)


def _matches(
    rows: QuerySet[Workitem], identifier: Dataset, options: matching.Options
) -> Iterator[Dataset]:
    patience = Patience(database.READING_S, is_whole=True)
    last: Workitem | None = None
    # In pieces, each read whole: no connection is held while the caller takes its time.
    while True:
        rest = rows
        if last is not None:
            rest = rows.filter(Q(start__gt=last.start) | Q(start=last.start, pk__gt=last.pk))
        with limited(patience.left()):
            found = list(rest[:_CHUNK])
        for row in found:
            data_set = attributes_of(row)
            if matching.matches(data_set, identifier, options):
                yield data_set
        if len(found) < _CHUNK:
            return
        last = found[-1]


def _candidates(scope: Scope, identifier: Dataset, options: matching.Options) -> QuerySet[Workitem]:
    rows = scope.filter(Workitem.objects.all())
    for keyword, field in _EXACT.items():
        value: Any = identifier.get(keyword)
        if isinstance(value, str) and value.strip() and not matching.is_wild(value):
            rows = rows.filter(**{field: value.strip()})
        elif isinstance(value, MultiValue) and value and not any(map(_is_wild, value)):
            rows = rows.filter(**{f"{field}__in": [str(one).strip() for one in value]})
    # Pieces between wildcards, components and groups, and of a fuzzy key between its words: each
    # stands in a name that matches.
    for piece in re.split(
        r"[*?^=\s,]" if options.is_fuzzy else r"[*?^=]", str(identifier.get("PatientName") or "")
    ):
        if fold(piece):
            rows = rows.filter(patient_name_folded__contains=fold(piece))
    return rows.order_by("start", "pk")


def _is_wild(value: object) -> bool:
    return matching.is_wild(str(value))


# The page ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TaskQuery:
    """What the page shows.

    Attributes
    ----------
    state : "open", a state, or empty for all
    mine : claimed on the page by this account alone
    words : each stands in the label or the name, or begins the Patient ID
    """

    state: str = "open"
    mine: UUID | None = None
    words: str = ""
    facility_id: UUID | None = None


def tasks(scope: Scope, query: TaskQuery) -> list[Workitem]:
    """Return one page of work items: open ones by their start, ended ones the latest first."""
    rows = _narrowed(scope, query).select_related("facility")
    if query.mine is not None:
        rows = rows.filter(claimed_by=query.mine, state=WorkitemState.IN_PROGRESS)
    elif query.state == "open":
        rows = rows.filter(state__in=OPEN_WORKITEMS)
    elif query.state:
        rows = rows.filter(state=query.state)
    is_past = query.state in (WorkitemState.COMPLETED, WorkitemState.CANCELED)
    order = ("-ended_at", "-pk") if is_past else ("start", "pk")
    return list(rows.order_by(*order)[:PAGE_SIZE])


def counts(scope: Scope, query: TaskQuery) -> dict[str, int]:
    """Return how many work items are in each state, whatever state the page shows."""
    rows = _narrowed(scope, query).order_by().values_list("state").annotate(Count("pk"))
    return dict(rows)


def _narrowed(scope: Scope, query: TaskQuery) -> QuerySet[Workitem]:
    rows = scope.filter(Workitem.objects.all())
    if query.facility_id is not None:
        rows = rows.filter(facility_id=query.facility_id)
    for word in fold(query.words).split():
        rows = rows.filter(
            Q(patient_name_folded__contains=word)
            | Q(patient_identifier__istartswith=word)
            | Q(label__icontains=word)
        )
    return rows
