"""Studies of which no image has come for a while: only then is it known what they are."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from archive import jobs
from worklist.models import Study


def look_later(job: str, study_ids: Iterable[str]) -> None:
    """Queue a job of this kind for each study, at the earliest when it may be quiet."""
    for study_id in set(study_ids):
        jobs.enqueue(job, study_id, delay_s=settings.FORWARD_WHEN_QUIET_S, study_id=study_id)


def study_of(job: str, study_id: str) -> Study | None:
    """Return the study if it is quiet; else None, and where it is still there the job comes again.

    Parameters
    ----------
    job : the kind that asks, which `look_later` has queued
    """
    study = Study.objects.filter(pk=UUID(study_id)).first()
    if study is None:
        return None
    quiet_s = (timezone.now() - study.last_received_at).total_seconds()
    left_s = settings.FORWARD_WHEN_QUIET_S - quiet_s
    if left_s > 0:
        jobs.enqueue(job, study_id, delay_s=left_s, study_id=study_id)
        return None
    return study
