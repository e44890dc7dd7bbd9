"""What equipment says that a study consists of, for whoever compares it with what came."""

from __future__ import annotations

from django.db.models import Q

from orders.models import MatchState, PerformedStatus, PerformedStep, StudyMatch
from worklist.models import Study


def expected_instances(study: Study) -> frozenset[str] | None:
    """Return the SOP Instance UIDs that the study's performed steps name.

    Returns
    -------
    None while nobody has said: no equipment reported, or all of it is still at work.

    References
    ----------
    DICOM PS3.4 table F.7.2-1, Performed Series Sequence.
    """
    ended = [step for step in _steps(study) if step.status != PerformedStatus.IN_PROGRESS]
    if not ended:
        return None
    return frozenset(uid for step in ended for _, _, uid in step.references)


def performed_steps(study: Study) -> list[str]:
    """Return the SOP Instance UIDs of a study's performed steps, oldest first."""
    return [step.sop_instance_uid for step in _steps(study)]


def _steps(study: Study) -> list[PerformedStep]:
    orders = StudyMatch.objects.filter(study=study, state=MatchState.LINKED).values("order_id")
    # By its study, or by its order where the equipment gave the study another UID than it said.
    named = Q(study_instance_uid=study.study_instance_uid)
    of_order = Q(order_id__in=orders) & ~Q(study_instance_uid__in=_other_studies(study))
    rows = PerformedStep.objects.filter(named | of_order, facility_id=study.facility_id)
    return list(rows.order_by("created_at"))


def _other_studies(study: Study) -> list[str]:
    """Return the Study Instance UIDs of other studies that fulfil the same orders."""
    orders = StudyMatch.objects.filter(study=study, state=MatchState.LINKED).values("order_id")
    others = StudyMatch.objects.filter(order_id__in=orders, state=MatchState.LINKED)
    return list(others.exclude(study=study).values_list("study__study_instance_uid", flat=True))
