"""Where reading of a study stands, and who moved it."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.db import transaction

from archive import audit, outbox
from archive.access import Actor
from archive.errors import ForbiddenError, InvalidInputError
from worklist.models import Study, StudyStatus

MOST_AT_ONCE = 500


def set_status(actor: Actor, study_ids: Iterable[UUID], status: str) -> list[UUID]:
    """Mark studies as unread, opened or read; returns those that changed.

    Parameters
    ----------
    actor : somebody who may read; every study must be in their scope
    study_ids : up to `MOST_AT_ONCE`; unknown ones are ignored
    status : a value of `StudyStatus`

    Raises
    ------
    ForbiddenError
        When the role does not read, or one of the studies is another facility's: none changes.
    InvalidInputError
        For an unknown status or too many studies.
    """
    if not actor.can_read:
        raise ForbiddenError("Your role does not read studies. Ask an administrator.")
    if status not in StudyStatus.values:
        raise InvalidInputError(f"'status' is one of {', '.join(StudyStatus.values)}.")
    wanted = set(study_ids)
    if len(wanted) > MOST_AT_ONCE:
        raise InvalidInputError(f"Mark at most {MOST_AT_ONCE} studies at once.")
    with transaction.atomic():
        found = Study.objects.select_for_update(of=("self",)).filter(pk__in=wanted)
        studies = list(found)
        if any(not actor.scope.includes(study.facility_id) for study in studies):
            raise ForbiddenError("One of these studies belongs to a facility that is not yours.")
        changed = [study for study in studies if study.status != status]
        Study.objects.filter(pk__in=[study.pk for study in changed]).update(status=status)
        for study in changed:
            audit.record(actor, "study.status", study, before=study.status, after=status)
            outbox.record(outbox.StudyChanged(facility_id=study.facility_id, study_id=study.pk))
    return [study.pk for study in changed]
