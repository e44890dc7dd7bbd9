"""What programs found in studies, and what people say of it: never mixed."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from archive import analyses, audit
from archive.access import Actor
from archive.errors import ForbiddenError, InvalidInputError, NotFoundError
from archive.models import AnalysisRun, FindingDecision, MachineFinding
from worklist.models import Study

LONGEST_COMMENT = 1024


def runs_of(actor: Actor, study: Study) -> QuerySet[AnalysisRun]:
    """Return the runs of a study with what each found, newest first."""
    rows = analyses.queue(actor).filter(study=study)
    return rows.prefetch_related("findings__image__series", "findings__decided_by")


def made_by_machines(study: Study) -> dict[UUID, MachineFinding]:
    """Return the findings that are stored objects of a study, by the image's id."""
    rows = MachineFinding.objects.filter(run__study=study, image__isnull=False)
    return {row.image_id: row for row in rows.select_related("run") if row.image_id}


def decide(
    actor: Actor, key: UUID, decision: FindingDecision, comment: str | None = None
) -> MachineFinding:
    """Accept or reject a machine's finding, or take that back; the finding itself stays.

    Parameters
    ----------
    comment : what the person has to say of it; None leaves what stands there

    Raises
    ------
    NotFoundError
    ForbiddenError
        When the role does not read studies, or the study is another facility's.
    InvalidInputError
        When the comment is too long.
    """
    finding = (
        MachineFinding.objects.select_related("run__study__facility")
        .filter(pk=key, run__study__deletion_id=None)
        .first()
    )
    if finding is None:
        raise NotFoundError("There is no such finding.")
    study = finding.run.study
    if not actor.scope.includes(study.facility_id):
        raise ForbiddenError("This study belongs to a facility that is not yours.")
    if not actor.can_read:
        raise ForbiddenError("Findings are accepted and rejected by those who read studies.")
    if comment is not None and len(comment) > LONGEST_COMMENT:
        raise InvalidInputError(f"A comment has at most {LONGEST_COMMENT} characters.")
    is_decided = decision != FindingDecision.OPEN
    with transaction.atomic():
        finding.decision = decision
        finding.decided_by_id = actor.user_id if is_decided else None
        finding.decided_by_name = actor.name if is_decided else ""
        finding.decided_at = timezone.now() if is_decided else None
        if comment is not None:
            finding.comment = comment.strip()
        finding.save(
            update_fields=["decision", "decided_by", "decided_by_name", "decided_at", "comment"]
        )
        audit.record(
            actor, "finding.decide", study, finding=str(finding.pk), decision=str(decision)
        )
        analyses.tell(finding.run)
    return finding
