"""Modality Worklist: what equipment of a facility is to do (PS3.4 annex K)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime
from itertools import islice
from typing import Any

from django.db.models import QuerySet
from pydicom.dataset import Dataset

from archive import database
from archive.access import Scope
from archive.catalogue import fold
from archive.timelimit import Patience, limited
from imaging import matching
from orders.items import item_of
from orders.models import OPEN_STEPS, ScheduledStep

_CHUNK = 200
_DAY_RANGE = re.compile(r"(\d{8})?(-)?(\d{8})?")
# Keys that an index answers; `imaging.matching` decides in any case.
_EXACT = {
    "PatientID": "order__patient_identifier",
    "AccessionNumber": "order__accession_number",
    "StudyInstanceUID": "order__study_instance_uid",
    "RequestedProcedureID": "order__requested_procedure_id",
}
_EXACT_IN_STEP = {"Modality": "modality", "ScheduledProcedureStepID": "scheduled_procedure_step_id"}


def find(
    scope: Scope, identifier: Dataset, options: matching.Options = matching.PLAIN
) -> Iterator[Dataset]:
    """Yield the answers to a worklist query, in the order of their start.

    Steps that are over are left out unless Scheduled Procedure Step Status is asked for.

    Parameters
    ----------
    scope : whose worklist it is
    identifier : keys of table K.6-1; the step's own in Scheduled Procedure Step Sequence
    options : what extended negotiation agreed on

    Raises
    ------
    InvalidQueryError
        Before the first answer, when a key cannot be read.
    TooBroadError
        When nothing more was found for as long as anybody waits.

    References
    ----------
    DICOM PS3.4 sections K.4.1 and K.6.1.2.2.
    """
    matching.check(identifier)
    return _answers(_candidates(scope, identifier, options), identifier, options)


def _answers(
    steps: QuerySet[ScheduledStep], identifier: Dataset, options: matching.Options
) -> Iterator[Dataset]:
    # In pieces, each read whole: no connection is held while the caller takes its time.
    patience = Patience(database.READING_S)
    with limited(patience.left()):
        waiting = iter(list(steps.values_list("pk", flat=True)))
    while some := list(islice(waiting, _CHUNK)):
        with limited(patience.left()):
            found = {step.pk: step for step in steps.filter(pk__in=some)}
        for pk in some:
            patience.left()
            item = item_of(found[pk]) if pk in found else None
            if item is not None and matching.matches(item, identifier, options):
                yield matching.response(item, identifier)
                patience.found()


def _candidates(
    scope: Scope, identifier: Dataset, options: matching.Options
) -> QuerySet[ScheduledStep]:
    rows = scope.filter(ScheduledStep.objects.select_related("order"))
    sequence = identifier.get("ScheduledProcedureStepSequence") or []
    keys = sequence[0] if sequence else Dataset()
    if not keys.get("ScheduledProcedureStepStatus"):
        rows = rows.filter(status__in=OPEN_STEPS)
    for data_set, exact in ((identifier, _EXACT), (keys, _EXACT_IN_STEP)):
        for keyword, field in exact.items():
            value = data_set.get(keyword)
            if isinstance(value, str) and value.strip() and not matching.is_wild(value):
                rows = rows.filter(**{field: value.strip()})
    # Pieces between wildcards, components and groups, and of a fuzzy key between its words: each
    # stands in a name that matches.
    for piece in re.split(
        r"[*?^=\s,]" if options.is_fuzzy else r"[*?^=]", str(identifier.get("PatientName") or "")
    ):
        if fold(piece):
            rows = rows.filter(order__patient_name_folded__contains=fold(piece))
    first, last = _days(keys.get("ScheduledProcedureStepStartDate"))
    if first is not None:
        rows = rows.filter(start_date__gte=first)
    if last is not None:
        rows = rows.filter(start_date__lte=last)
    return rows.order_by("start_date", "start_time", "pk")


def _days(key: Any) -> tuple[date | None, date | None]:  # noqa: ANN401 - a DICOM value
    found = _DAY_RANGE.fullmatch(str(key).strip()) if key else None
    if found is None:
        return None, None
    first, hyphen, last = found.groups()
    return _day(first), _day(last if hyphen else first)


def _day(text: str | None) -> date | None:
    try:
        return datetime.strptime(text, "%Y%m%d").date() if text else None  # noqa: DTZ007 - a day has no zone
    except ValueError:
        return None
