"""The log of uploads and deletions, as programs and administrators read it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from archive.access import Actor, Scope
from archive.errors import InvalidInputError
from archive.models import Deletion, UploadAction, UploadLog

if TYPE_CHECKING:
    from archive.upload import UploadResult

PAGE_SIZE = 500
_CHUNK = 500
_ACTIONS = {
    "stored": UploadAction.UPLOADED,
    "duplicate": UploadAction.DUPLICATE,
    "conflict": UploadAction.CONFLICT,
    "refused": UploadAction.FAILED,
    "skipped": UploadAction.SKIPPED,
}


@dataclass(frozen=True, slots=True)
class LogPage:
    """A page of the log, the latest first; `cursor` is None at the end."""

    items: list[UploadLog]
    cursor: UUID | None


def record_results(actor: Actor, facility_id: UUID, results: Iterable[UploadResult]) -> None:
    """Write a row for each file of an upload."""
    rows = []
    for result in results:
        where = result.instance
        rows.append(
            UploadLog(
                facility_id=facility_id,
                actor=actor.name[:150],
                action=_ACTIONS[result.outcome.value],
                filename=result.name[:255],
                study_instance_uid=where.study_instance_uid if where else "",
                sop_instance_uid=where.sop_instance_uid if where else "",
                instance_count=1 if where else 0,
                reason=result.reason[:255],
            )
        )
    UploadLog.objects.bulk_create(rows, batch_size=_CHUNK)


def record_deletion(actor: Actor, deletion: Deletion, action: UploadAction) -> None:
    """Write a row for a deletion, or for its end."""
    is_image = deletion.level == "image"
    UploadLog.objects.create(
        facility_id=deletion.facility_id,
        actor=actor.name[:150],
        action=action,
        study_instance_uid=deletion.study_instance_uid,
        sop_instance_uid=deletion.target_uid if is_image else "",
        instance_count=deletion.instance_count,
        reason=deletion.reason,
    )


def find(
    scope: Scope,
    *,
    study_instance_uid: str = "",
    action: str = "",
    before: UUID | None = None,
    limit: int = 100,
) -> LogPage:
    """Return one page of the log in scope.

    Raises
    ------
    InvalidInputError
        For an unknown action, or a limit out of range.
    """
    if not 1 <= limit <= PAGE_SIZE:
        raise InvalidInputError(f"'limit' is a number from 1 to {PAGE_SIZE}.")
    rows = scope.filter(UploadLog.objects.select_related("facility")).order_by("-id")
    if action:
        if action not in UploadAction.values:
            raise InvalidInputError(f"'action' is one of {', '.join(UploadAction.values)}.")
        rows = rows.filter(action=action)
    if study_instance_uid:
        rows = rows.filter(study_instance_uid=study_instance_uid)
    if before is not None:
        rows = rows.filter(pk__lt=before)
    found = list(rows[: limit + 1])
    more = len(found) > limit
    return LogPage(found[:limit], found[limit - 1].pk if more else None)
