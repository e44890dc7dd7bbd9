"""Deleting what should not be here: hidden at once, restorable for a while, then destroyed.

A deleted row keeps its place and its file; `objects` of the models leaves it out, so that no reader
has to think of it. What was deleted is refused when it is sent again, with the reason: a sender
must neither believe that it is stored nor bring back, by a retry, what a person took away. An
administrator restores it, or destroys it at once so that it may come again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Count, QuerySet, Sum
from django.utils import timezone

from archive import audit, jobs, outbox, runner, stores, upload_log
from archive.access import Actor, image_for, series_for, study_for, system_actor
from archive.errors import (
    ConflictError,
    DeletedError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
)
from archive.models import (
    Deletion,
    DeletionLevel,
    DeletionState,
    InstanceConflict,
    UploadAction,
)
from archive.sentences import spoken
from imaging.sopclass import COMPANION_MODALITIES
from worklist.models import DicomImage, Series, Study

logger = logging.getLogger(__name__)

LEAST_REASON = 3


def delete_study(actor: Actor, key: UUID | str, reason: str) -> Deletion:
    """Delete a study: gone from every reader at once.

    Parameters
    ----------
    actor : an administrator
    key : our id or the Study Instance UID
    reason : for the audit trail and for whoever sends it again

    Raises
    ------
    ForbiddenError
        When the actor is no administrator, or the study another facility's.
    NotFoundError
        When there is none, or it is deleted already.
    InvalidInputError
        Without a reason.
    """
    why = _checked(actor, reason)
    with transaction.atomic():
        study = study_for(actor.scope, key, lock=True)
        images = DicomImage.objects.filter(series__study=study)
        deletion = _record(actor, study, DeletionLevel.STUDY, study, images, why)
        images.update(deletion_id=deletion.pk)
        Series.objects.filter(study=study).update(deletion_id=deletion.pk)
        Study.objects.filter(pk=study.pk).update(deletion_id=deletion.pk)
    return deletion


def delete_series(actor: Actor, key: UUID | str, reason: str) -> Deletion:
    """Delete a series; the last one takes its study with it. See :func:`delete_study`."""
    why = _checked(actor, reason)
    with transaction.atomic():
        series = series_for(actor.scope, key)
        study = study_for(actor.scope, series.study_id, lock=True)
        if not Series.objects.filter(study=study).exclude(pk=series.pk).exists():
            return delete_study(actor, study.pk, why)
        images = DicomImage.objects.filter(series=series)
        deletion = _record(actor, study, DeletionLevel.SERIES, series, images, why)
        images.update(deletion_id=deletion.pk)
        Series.objects.filter(pk=series.pk).update(deletion_id=deletion.pk)
        count_again(study)
    return deletion


def delete_image(actor: Actor, key: UUID | str, reason: str) -> Deletion:
    """Delete one instance; the last one takes its series with it. See :func:`delete_study`."""
    why = _checked(actor, reason)
    with transaction.atomic():
        image = image_for(actor.scope, key)
        study = study_for(actor.scope, image.series.study_id, lock=True)
        images = DicomImage.objects.filter(pk=image.pk)
        if not DicomImage.objects.filter(series=image.series_id).exclude(pk=image.pk).exists():
            return delete_series(actor, image.series_id, why)
        deletion = _record(actor, study, DeletionLevel.IMAGE, image, images, why)
        images.update(deletion_id=deletion.pk)
        count_again(study, image.series)
    return deletion


@dataclass(frozen=True, slots=True)
class Place:
    """A study, a series or an instance as a web address names it.

    Attributes
    ----------
    series_instance_uid, sop_instance_uid : empty for a level above
    facility : code, needed where several facilities have the same; else empty
    """

    study_instance_uid: str
    series_instance_uid: str = ""
    sop_instance_uid: str = ""
    facility: str = ""


def delete_at(actor: Actor, place: Place, reason: str) -> Deletion:
    """Delete what an address names, and nothing that only shares a UID with it.

    Raises
    ------
    ConflictError
        When several facilities have it and none is named.

    See :func:`delete_study` for the others.
    """
    _checked(actor, reason)
    rows, study, delete = _rows_at(place)
    if place.facility:
        rows = rows.filter(**{f"{study}facility__code__iexact": place.facility})
    mine = list(actor.scope.filter(rows, f"{study}facility").values_list("pk", flat=True)[:2])
    if len(mine) > 1:
        raise ConflictError("Several facilities have it: name one in 'facility'.")
    if not mine and rows.exists():
        raise ForbiddenError("It belongs to a facility that is not yours.")
    if not mine:
        raise NotFoundError("There is nothing at this address.")
    return delete(actor, mine[0], reason)


def _rows_at(
    place: Place,
) -> tuple[QuerySet[Any], str, Callable[[Actor, UUID, str], Deletion]]:
    """Return the rows of an address, the way from them to their study, and what deletes one."""
    if place.sop_instance_uid:
        rows = DicomImage.objects.filter(
            sop_instance_uid=place.sop_instance_uid,
            series__series_instance_uid=place.series_instance_uid,
            series__study__study_instance_uid=place.study_instance_uid,
        )
        return rows, "series__study__", delete_image
    if place.series_instance_uid:
        series = Series.objects.filter(
            series_instance_uid=place.series_instance_uid,
            study__study_instance_uid=place.study_instance_uid,
        )
        return series, "study__", delete_series
    studies = Study.objects.filter(study_instance_uid=place.study_instance_uid)
    return studies, "", delete_study


def restore(actor: Actor, deletion_id: UUID) -> Deletion:
    """Show again what was deleted, as it was.

    Raises
    ------
    ConflictError
        When it was restored or destroyed already, or its study is deleted too.
    """
    _administrators_only(actor)
    with transaction.atomic():
        deletion = _held(actor, deletion_id)
        mine = {"deletion_id": deletion.pk}
        study = Study.with_deleted.select_for_update(of=("self",)).get(pk=deletion.study_id)
        parent = study.deletion_id
        if deletion.level == DeletionLevel.IMAGE:
            series = Series.with_deleted.get(images__pk=deletion.target_id)
            parent = parent or series.deletion_id
        if parent not in {None, deletion.pk}:
            raise ConflictError(
                "What it belongs to was deleted too. Restore that first, then this."
            )
        DicomImage.with_deleted.filter(**mine).update(deletion_id=None)
        Series.with_deleted.filter(**mine).update(deletion_id=None)
        Study.with_deleted.filter(**mine).update(deletion_id=None)
        count_again(study, *Series.objects.filter(study=study))
        _end(actor, deletion, DeletionState.RESTORED)
        audit.record(actor, "study.restore", study, level=deletion.level, uid=deletion.target_uid)
        outbox.record(outbox.StudyChanged(facility_id=study.facility_id, study_id=study.pk))
    return deletion


def restore_study(actor: Actor, key: UUID | str) -> Deletion:
    """Show again a study that was deleted, named by our id or its UID. See :func:`restore`.

    Raises
    ------
    NotFoundError
        When no deleted study of this name can be restored.
    ConflictError
        When several facilities have deleted one: then our id names it.
    """
    _administrators_only(actor)
    name = {"study_id": key} if isinstance(key, UUID) else {"study_instance_uid": key}
    rows = Deletion.objects.filter(level=DeletionLevel.STUDY, state=DeletionState.HELD, **name)
    found = list(actor.scope.filter(rows)[:2])
    if not found:
        raise NotFoundError("There is no deleted study of this name that could be restored.")
    if len(found) > 1:
        raise ConflictError("Several facilities have deleted it: name it by its id.")
    return restore(actor, found[0].pk)


def destroy(actor: Actor, deletion_id: UUID) -> Deletion:
    """Destroy what was deleted, rows and files; after that it may be sent again as something new.

    The rows go first: a power cut in between leaves files without rows, which the sweep sets aside,
    never rows without files.
    """
    _administrators_only(actor)
    return _destroy(actor, deletion_id)


def _destroy(actor: Actor, deletion_id: UUID) -> Deletion:
    with transaction.atomic():
        deletion = _held(actor, deletion_id)
        images = _images_of(deletion)
        conflicts = InstanceConflict.objects.filter(kept__in=images)
        keys = list(images.values_list("storage_key", flat=True))
        conflict_keys = list(conflicts.values_list("storage_key", flat=True))
        if deletion.level == DeletionLevel.STUDY:
            Deletion.objects.filter(study_id=deletion.study_id, state=DeletionState.HELD).exclude(
                pk=deletion.pk
            ).update(
                state=DeletionState.DESTROYED, ended_at=timezone.now(), ended_by=actor.name[:150]
            )
            Study.with_deleted.filter(pk=deletion.study_id).delete()
        elif deletion.level == DeletionLevel.SERIES:
            Deletion.objects.filter(
                target_id__in=images.values("pk"), state=DeletionState.HELD
            ).update(
                state=DeletionState.DESTROYED, ended_at=timezone.now(), ended_by=actor.name[:150]
            )
            Series.with_deleted.filter(pk=deletion.target_id).delete()
        else:
            images.delete()
        _end(actor, deletion, DeletionState.DESTROYED)
        audit.record(
            actor, "deletion.destroy", deletion, uid=deletion.target_uid, instances=len(keys)
        )
    for key in keys:
        stores.instances().delete(key)
    for key in conflict_keys:
        stores.conflicts().delete(key)
    return deletion


@jobs.handler("deletions.destroy")
def destroy_due() -> None:
    """Destroy what was deleted longer ago than the retention period."""
    due = Deletion.objects.filter(state=DeletionState.HELD, keep_until__lte=timezone.now())
    count = 0
    for deletion_id in list(due.values_list("pk", flat=True)[:100]):
        try:
            _destroy(system_actor("retention"), deletion_id)
        except ConflictError:
            continue  # its study went with another deletion of this round
        count += 1
    if count:
        logger.info("%d deletions reached the end of their retention period", count)


@runner.carer
def request_destruction() -> None:
    """Queue a round of :func:`destroy_due` where something is due."""
    due = Deletion.objects.filter(state=DeletionState.HELD, keep_until__lte=timezone.now())
    if due.exists():
        jobs.enqueue("deletions.destroy", "due")


def listing(actor: Actor, state: DeletionState) -> QuerySet[Deletion]:
    """Return the deletions in a state, newest first; for administrators."""
    _administrators_only(actor)
    return actor.scope.filter(Deletion.objects.filter(state=state)).select_related("facility")


def studies_of(deletions: list[Deletion]) -> dict[UUID, Study]:
    """Return the studies that deletions concern, as far as their rows are still there."""
    return Study.with_deleted.in_bulk([deletion.study_id for deletion in deletions])


def refuse_if_deleted(row: Study | Series | DicomImage) -> None:
    """Refuse to store into what was deleted.

    Raises
    ------
    DeletedError
        With when and why, and what to do.
    """
    if row.deletion_id is None:
        return
    deletion = Deletion.objects.filter(pk=row.deletion_id).first()
    remedy = (
        "Not stored: an administrator can restore it, or let it be sent again, on the page of "
        "deletions."
    )
    if deletion is None:
        raise DeletedError(f"{spoken('Deleted here.')} {remedy}")
    day = f"{deletion.deleted_at:%Y-%m-%d}"
    raise DeletedError(f"{spoken(f'Deleted here on {day} ({deletion.reason}).')} {remedy}")


def count_again(study: Study, *changed: Series) -> None:
    """Bring the counters of a locked study, and of `changed` series, to what is present."""
    for series in changed:
        of_series = DicomImage.objects.filter(series=series)
        total = of_series.aggregate(
            n=Count("pk"), frames=Sum("number_of_frames"), size=Sum("size_bytes")
        )
        Series.with_deleted.filter(pk=series.pk).update(
            instance_count=total["n"],
            frame_count=total["frames"] or 0,
            size_bytes=total["size"] or 0,
            metadata=None,
            metadata_instance_count=0,
        )
    present = Series.objects.filter(study=study).order_by("created_at", "pk")
    codes = list(dict.fromkeys(code for code in present.values_list("modality", flat=True) if code))
    main = next((code for code in codes if code not in COMPANION_MODALITIES), None)
    total = present.order_by().aggregate(
        series=Count("pk"), n=Sum("instance_count"), size=Sum("size_bytes")
    )
    Study.with_deleted.filter(pk=study.pk).update(
        series_count=total["series"],
        instance_count=total["n"] or 0,
        size_bytes=total["size"] or 0,
        modalities=("\\" + "\\".join(codes) + "\\")[:128] if codes else "",
        modality=main or (codes[0] if codes else ""),
    )


def _administrators_only(actor: Actor) -> None:
    if not actor.is_administrator:
        raise ForbiddenError("Only administrators delete and restore. Ask one of them.")


def _checked(actor: Actor, reason: str) -> str:
    _administrators_only(actor)
    why = " ".join(reason.split())
    if len(why) < LEAST_REASON:
        raise InvalidInputError(
            "Say why in 'reason': it is kept, and told to whoever sends this again."
        )
    return why[:255]


def _record(
    actor: Actor,
    study: Study,
    level: DeletionLevel,
    target: Study | Series | DicomImage,
    images: QuerySet[DicomImage],
    reason: str,
) -> Deletion:
    total = images.aggregate(n=Count("pk"), size=Sum("size_bytes"))
    deletion = Deletion.objects.create(
        facility_id=study.facility_id,
        level=level,
        study_id=study.pk,
        target_id=target.pk,
        study_instance_uid=study.study_instance_uid,
        target_uid=_uid(target),
        instance_count=total["n"],
        size_bytes=total["size"] or 0,
        reason=reason,
        deleted_by=actor.name[:150],
        keep_until=timezone.now() + timedelta(days=settings.DELETION_RETENTION_DAYS),
    )
    upload_log.record_deletion(actor, deletion, UploadAction.DELETED)
    audit.record(actor, "study.delete", study, level=level, uid=_uid(target), reason=reason)
    outbox.record(outbox.StudyChanged(facility_id=study.facility_id, study_id=study.pk))
    return deletion


def _uid(row: Study | Series | DicomImage) -> str:
    if isinstance(row, Study):
        return row.study_instance_uid
    return row.series_instance_uid if isinstance(row, Series) else row.sop_instance_uid


def _held(actor: Actor, deletion_id: UUID) -> Deletion:
    rows = actor.scope.filter(Deletion.objects.select_for_update(of=("self",)))
    deletion = rows.filter(pk=deletion_id).first()
    if deletion is None:
        raise NotFoundError("There is no such deletion.")
    if deletion.state != DeletionState.HELD:
        when = f"{deletion.ended_at:%Y-%m-%d}" if deletion.ended_at else "before"
        raise ConflictError(f"This was {deletion.get_state_display().lower()} already ({when}).")
    return deletion


def _images_of(deletion: Deletion) -> QuerySet[DicomImage]:
    """Return every instance below what was deleted, also those deleted before it."""
    if deletion.level == DeletionLevel.STUDY:
        return DicomImage.with_deleted.filter(series__study=deletion.study_id)
    if deletion.level == DeletionLevel.SERIES:
        return DicomImage.with_deleted.filter(series=deletion.target_id)
    return DicomImage.with_deleted.filter(pk=deletion.target_id)


def _end(actor: Actor, deletion: Deletion, state: DeletionState) -> None:
    deletion.state = state
    deletion.ended_by = actor.name[:150]
    deletion.ended_at = timezone.now()
    deletion.save(update_fields=["state", "ended_by", "ended_at"])
    upload_log.record_deletion(actor, deletion, UploadAction(state.value))
