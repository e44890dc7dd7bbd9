"""What equipment says that a study consists of: for whoever compares it with what came."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Q

from archive import access, availability, completeness
from archive.access import Scope
from archive.completeness import Expectation
from archive.errors import ForbiddenError, NotFoundError
from orders.models import MatchState, PerformedStatus, PerformedStep, StudyMatch
from worklist.models import Study

_SOURCE = "MPPS"
_SOP_CLASS = "1.2.840.10008.3.1.2.3.3"


@completeness.source
def expected(study: Study) -> list[Expectation]:
    """Return the instances that a study's ended steps name, series by series.

    A step that is in progress names what it has so far, and says nothing here.

    References
    ----------
    DICOM PS3.4 table F.7.2-1, Performed Series Sequence.
    """
    by_series: dict[str, set[str]] = {}
    for step in _steps(study):
        if step.status != PerformedStatus.IN_PROGRESS:
            for series_uid, _, uid in step.references:
                by_series.setdefault(series_uid, set()).add(uid)
    return [Expectation(_SOURCE, series, frozenset(uids)) for series, uids in by_series.items()]


@availability.performed_steps_provider
def performed_steps(study: Study) -> list[tuple[str, str]]:
    """Return SOP class and instance of a study's performed steps, oldest first."""
    return [(_SOP_CLASS, step.sop_instance_uid) for step in _steps(study)]


def look_at_studies_of(step: PerformedStep) -> None:
    """Have the studies of an ended step compared with it, in the present transaction."""
    ids: set[UUID] = set()
    if step.order_id is not None:
        linked = StudyMatch.objects.filter(order=step.order_id, state=MatchState.LINKED)
        ids |= set(linked.values_list("study_id", flat=True))
    try:
        mine = Scope(frozenset({step.facility_id}))
        ids.add(access.study_for(mine, step.study_instance_uid).pk)
    except (NotFoundError, ForbiddenError):
        pass  # its images are still to come, or came under another UID
    for study_id in ids:
        completeness.request_look(study_id)


def _steps(study: Study) -> list[PerformedStep]:
    """Return the steps of a study, and of its order where they named no study that is here."""
    linked = StudyMatch.objects.filter(state=MatchState.LINKED)
    orders = linked.filter(study=study).values("order_id")
    others = linked.filter(order_id__in=orders).exclude(study=study)
    of_order = Q(order_id__in=orders) & ~Q(
        study_instance_uid__in=others.values("study__study_instance_uid")
    )
    rows = PerformedStep.objects.filter(
        Q(study_instance_uid=study.study_instance_uid) | of_order, facility_id=study.facility_id
    )
    return list(rows.order_by("created_at"))
