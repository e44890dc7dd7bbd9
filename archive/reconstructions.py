"""Planes and pictures in 3D that the worker computes, for whoever cannot or need not do it.

Telephones, reports and browsers without much memory ask here and get pictures, or a series of the
study. What is asked for is a row; `archive.reconstruction_work` does it.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone
from zipstream import ZipStream

from archive import access, audit, jobs, outbox
from archive.access import Actor
from archive.discs import Archive
from archive.errors import (
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    TooManyAttemptsError,
)
from archive.models import ReconstructionJob, ReconstructionOutput, ReconstructionState
from archive.reconstruction_request import Request, of_parameters, read_request
from archive.reconstruction_source import source_of
from imaging.derived_write import may_write_planes
from imaging.raycast import OF_CT

WORK_JOB = "reconstruction.work"
OPEN = (ReconstructionState.WAITING, ReconstructionState.RUNNING)
# Of one person at a time.
MOST_OPEN = 8
# Pictures can be made again; series stay in the study.
KEEP = timedelta(days=7)
# Somebody waits for it: the first slice goes before an import's thumbnails, the others take turns.
_AHEAD_S = -3600
_NUMBERED = re.compile(r"\d{4}\.(?:png|jpg)")


def ask(
    actor: Actor, study_key: UUID | str, series_key: UUID | str, said: Mapping[str, Any]
) -> ReconstructionJob:
    """Ask for planes or pictures of a series; what is on its way already is not begun twice.

    Parameters
    ----------
    said : see `archive.reconstruction_request.read_request`

    Raises
    ------
    NotFoundError, ForbiddenError
        As for studies; a series of the study is for those who may store results in it.
    InvalidInputError
        When it is not known what is meant, or the series makes no volume.
    TooManyAttemptsError
        When the person has enough on its way.
    """
    study = access.study_for(actor.scope, study_key)
    series = access.series_for(actor.scope, series_key)
    if series.study_id != study.pk:
        raise NotFoundError("The study has no such series.")
    request = read_request(said)
    if request.output == ReconstructionOutput.SERIES and not actor.can_annotate:
        raise ForbiddenError("Your role looks at studies and stores no series. Ask for pictures.")
    source = source_of(series)
    _check(request, series.modality, missing=source.plan.missing)
    parameters = request.as_parameters()
    with transaction.atomic():
        same = ReconstructionJob.objects.filter(
            series=series, parameters=parameters, state__in=OPEN, requested_by=actor.user_id
        ).first()
        if same is not None:
            return same
        _check_share(actor)
        row = ReconstructionJob.objects.create(
            study=study,
            series=series,
            parameters=parameters,
            description=request.words,
            output=request.output,
            notes=list(source.plan.notes),
            requested_by_id=actor.user_id,
            requested_by_name=actor.name,
        )
        audit.record(actor, "reconstruction.ask", study, what=request.words, output=row.output)
        tell(row)
        enqueue(row, _AHEAD_S)
    return row


def _check(request: Request, modality: str, *, missing: int) -> None:
    """Refuse what would mislead whoever looks at it."""
    if request.is_volume and request.preset in OF_CT and modality != "CT":
        raise InvalidInputError(
            "This way of looking is for the values of CT. Choose 'surface' or 'mip'."
        )
    if request.is_volume or request.output != ReconstructionOutput.SERIES:
        return
    if not may_write_planes(modality):
        raise InvalidInputError(
            "Planes of CT and MR series can be stored as a series. Ask for pictures of this one."
        )
    if missing:
        raise InvalidInputError(
            f"{'A slice seems' if missing == 1 else f'{missing} slices seem'} to be missing: "
            "a stored series would show as measured what is estimated. Have "
            "the missing slices sent, or ask for pictures."
        )


def _check_share(actor: Actor) -> None:
    mine = ReconstructionJob.objects.filter(requested_by=actor.user_id, state__in=OPEN)
    if mine.count() >= MOST_OPEN:
        raise TooManyAttemptsError(
            f"{MOST_OPEN} of your reconstructions are on their way. Wait for one, or cancel it.",
            retry_after_s=30,
        )


def of_study(actor: Actor, study_key: UUID | str) -> QuerySet[ReconstructionJob]:
    """Return what was asked for of a study, newest first."""
    study = access.study_for(actor.scope, study_key)
    return ReconstructionJob.objects.filter(study=study).select_related("series", "result_series")


def one_for(actor: Actor, key: UUID) -> ReconstructionJob:
    """Return one reconstruction."""
    rows = ReconstructionJob.objects.select_related("study__facility", "series", "result_series")
    row = rows.filter(pk=key, study__deletion_id=None).first()
    if row is None:
        raise NotFoundError("There is no such reconstruction.")
    if not actor.scope.includes(row.study.facility_id):
        raise ForbiddenError("This reconstruction belongs to a facility that is not yours.")
    return row


def cancel(actor: Actor, row: ReconstructionJob) -> None:
    """Stop working on it; what was made of it goes."""
    _require_share_in(actor, row)
    with transaction.atomic():
        is_storing = Q(
            output=ReconstructionOutput.SERIES,
            total_steps__gt=0,
            done_steps__gte=F("total_steps") - F("picture_count"),
        )
        changed = (
            ReconstructionJob.objects.filter(pk=row.pk, state__in=OPEN)
            .exclude(is_storing)
            .update(state=ReconstructionState.CANCELLED, finished_at=timezone.now())
        )
        if not changed:
            raise ConflictError(
                "It is not on its way any more, or its images are being stored in the study."
            )
        audit.record(actor, "reconstruction.cancel", row.study, what=row.description)
        tell(row)


def retry(actor: Actor, row: ReconstructionJob) -> None:
    """Begin again what failed or was cancelled, or pictures that were removed after a while."""
    _require_share_in(actor, row)
    request = of_parameters(row.parameters)
    _check(request, row.series.modality, missing=source_of(row.series).plan.missing)
    with transaction.atomic():
        can = [ReconstructionState.FAILED, ReconstructionState.CANCELLED]
        if row.output != ReconstructionOutput.SERIES and not pictures_of(row):
            can.append(ReconstructionState.DONE)
        _check_share(actor)
        changed = ReconstructionJob.objects.filter(pk=row.pk, state__in=can).update(
            state=ReconstructionState.WAITING,
            done_steps=0,
            total_steps=0,
            attempts=0,
            worked_s=0.0,
            last_error="",
            host="",
            finished_at=None,
        )
        if not changed:
            raise ConflictError("It is being worked on, or is done.")
        audit.record(actor, "reconstruction.retry", row.study, what=row.description)
        row.refresh_from_db()
        tell(row)
        enqueue(row, _AHEAD_S)


def _require_share_in(actor: Actor, row: ReconstructionJob) -> None:
    if not (actor.user_id == row.requested_by_id or actor.can_annotate or actor.is_administrator):
        raise ForbiddenError(f"{row.requested_by_name} asked for this. Ask them to change it.")


def tell(row: ReconstructionJob) -> None:
    """Have open pages look at it again."""
    outbox.record(
        outbox.ReconstructionChanged(
            facility_id=row.study.facility_id, study_id=row.study_id, reconstruction_id=row.pk
        )
    )


def enqueue(row: ReconstructionJob, delay_s: float = 0) -> None:
    """Queue the next slice of work on it."""
    jobs.enqueue(WORK_JOB, str(row.pk), delay_s=delay_s, reconstruction_id=str(row.pk))


# --- what it left


def result_folder(key: UUID) -> Path:
    """Return where the pictures of a reconstruction lie: what can be made again."""
    root: Path = settings.DICOM_ROOT
    return root / "thumbnails" / "reconstructions" / str(key)


def pictures_of(row: ReconstructionJob) -> Sequence[Path]:
    """Return the files of its pictures in their order; none once they were removed."""
    folder = result_folder(row.pk)
    if row.state != ReconstructionState.DONE or not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _NUMBERED.fullmatch(path.name))


def picture(actor: Actor, row: ReconstructionJob, number: int) -> tuple[bytes, str]:
    """Return one picture, from 1, and its content type.

    Raises
    ------
    NotFoundError
        When there is none of this number, or not any more.
    """
    audit.record(actor, "reconstruction.view", row.study, picture=number)
    for path in pictures_of(row):
        if path.stem == f"{number:04}":
            kind = "image/png" if path.suffix == ".png" else "image/jpeg"
            return path.read_bytes(), kind
    raise NotFoundError(_no_pictures(row))


def as_zip(actor: Actor, row: ReconstructionJob) -> Archive:
    """Return all pictures as a zip archive, with what whoever looks at them must know.

    Raises
    ------
    NotFoundError
        When there are none, or not any more.
    """
    paths = pictures_of(row)
    if not paths:
        raise NotFoundError(_no_pictures(row))
    audit.record(actor, "study.export", row.study, how="reconstruction", instances=len(paths))
    archive = ZipStream(sized=True)
    lines = [row.description, f"Series: {row.series}", "", *row.notes]
    lines += ["", "Computed by NoctisPro PACS from the series. Look at the original pictures too."]
    archive.add("\r\n".join(lines).encode(), "README.TXT")
    for path in paths:
        archive.add_path(path, path.name)
    return Archive(f"reconstruction-{row.pk}.zip", iter(archive), len(archive))


def _no_pictures(row: ReconstructionJob) -> str:
    if row.is_open:
        return f"It is not done yet ({row.percent} %). Ask again in a while."
    if row.output == ReconstructionOutput.SERIES:
        return "Its result is a series of the study, not pictures."
    if row.state == ReconstructionState.DONE:
        return f"Its pictures were removed after {KEEP.days} days. Have them made again."
    return "It left no pictures: it failed or was cancelled. Have it done again."


def document(row: ReconstructionJob) -> dict[str, Any]:
    """Return a reconstruction as JSON; addresses are those of the API."""
    base = f"/api/v1/dicom/reconstructions/{row.pk}"
    pictures = pictures_of(row)
    result = row.result_series
    return {
        "id": str(row.pk),
        "study_id": str(row.study_id),
        "series_id": str(row.series_id),
        "description": row.description,
        "parameters": row.parameters,
        "output": row.output,
        "state": row.state,
        "percent": row.percent,
        "notes": row.notes,
        "error": row.last_error,
        "requested_by": row.requested_by_name,
        "created_at": row.created_at.isoformat(),
        "finished_at": row.finished_at and row.finished_at.isoformat(),
        "SeriesInstanceUID": result.series_instance_uid if result else None,
        "picture_urls": [f"{base}/pictures/{int(path.stem)}" for path in pictures],
        "zip_url": f"{base}/zip" if pictures else None,
        "url": base,
    }


def forget_old() -> int:
    """Remove pictures that were made long ago; returns of how many reconstructions."""
    root = result_folder(UUID(int=0)).parent
    removed = 0
    if not root.is_dir():
        return 0
    for folder in root.iterdir():
        try:
            row = ReconstructionJob.objects.filter(pk=UUID(folder.name)).first()
        except ValueError:
            continue
        is_old = row is None or (
            row.finished_at is not None and row.finished_at < timezone.now() - KEEP
        )
        if is_old:
            shutil.rmtree(folder, ignore_errors=True)
            removed += 1
    return removed
