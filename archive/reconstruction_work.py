"""The job that computes reconstructions, slice of time by slice of time.

The voxels are read into a file that is mapped into memory: a volume of any size costs the worker
the few planes it works on. Each job works for some seconds and queues the next one, so that other
work has its turn, a cancelled one ends soon, and a killed worker costs one slice at most. What was
reached is on the local disk; where that is gone, it begins again and comes to the same result.
"""

from __future__ import annotations

import logging
import shutil
import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from archive import jobs, reconstructions, runner
from archive.errors import PermanentError, TransientError
from archive.models import ReconstructionJob, ReconstructionState
from archive.reconstruction_result import Task, open_task
from archive.reconstructions import OPEN, WORK_JOB

logger = logging.getLogger(__name__)

# A slice ends after so many seconds, far below what a job may take.
_SLICE_S = 10.0
# Progress is said this often.
_TELL_S = 1.0
# All slices together.
MOST_WORK_S = 1800.0
# Slices that began and did not end well, one after the other.
_MOST_ATTEMPTS = 3
_PAUSE_S = 5.0
# Another machine's volume is left to it this long after it last worked on it.
_HOST_IS_AWAY = timedelta(seconds=60)


def work_folder(key: UUID) -> Path:
    """Return where this machine keeps what it computes with."""
    root: Path = settings.CACHE_DIR
    return root / "reconstructions" / str(key)


@jobs.handler(WORK_JOB)
def work(reconstruction_id: str) -> None:
    """Work on a reconstruction for some seconds, and see to the next slice."""
    row = (
        ReconstructionJob.objects.select_related("study__facility", "series__study")
        .filter(pk=UUID(reconstruction_id), state__in=OPEN, study__deletion_id=None)
        .first()
    )
    if row is None:
        clean(UUID(reconstruction_id))
        return
    if _is_elsewhere(row):
        reconstructions.enqueue(row, _PAUSE_S)
        return
    if row.attempts >= _MOST_ATTEMPTS:
        _end(row, "The worker was stopped several times while it computed this. Try a smaller one.")
        return
    if not _begin(row):
        return
    started = time.monotonic()
    try:
        is_done = _slice(row, started)
    except TransientError as error:
        _save(row, last_error=str(error), worked_s=row.worked_s + time.monotonic() - started)
        reconstructions.enqueue(row, _PAUSE_S * 2**row.attempts)
        return
    except PermanentError as error:
        _end(row, str(error))
        return
    worked_s = row.worked_s + time.monotonic() - started
    _save(row, attempts=0, last_error="", worked_s=worked_s, worked_at=timezone.now())
    if is_done:
        return
    if worked_s > MOST_WORK_S:
        _end(
            row,
            f"It took longer than {MOST_WORK_S / 60:.0f} minutes. Ask for fewer or coarser planes.",
        )
        return
    reconstructions.enqueue(row)


def _is_elsewhere(row: ReconstructionJob) -> bool:
    """Whether another machine has begun it and is at it."""
    return (
        row.host not in ("", socket.gethostname()[:64])
        and row.worked_at is not None
        and row.worked_at > timezone.now() - _HOST_IS_AWAY
    )


def _begin(row: ReconstructionJob) -> bool:
    """Say that it is worked on, unless it was cancelled."""
    row.attempts += 1
    with transaction.atomic():
        changed = ReconstructionJob.objects.filter(pk=row.pk, state__in=OPEN).update(
            state=ReconstructionState.RUNNING,
            attempts=F("attempts") + 1,
            host=socket.gethostname()[:64],
            worked_at=timezone.now(),
        )
        if changed and row.state != ReconstructionState.RUNNING:
            reconstructions.tell(row)
    return bool(changed)


def _slice(row: ReconstructionJob, started: float) -> bool:
    """Work until the slice is over; returns whether all is done."""
    folder = work_folder(row.pk)
    task = open_task(row, folder)
    steps: Iterator[None] = task.steps()
    told, was_storing = started, False
    while True:
        try:
            next(steps)
        except StopIteration:
            task.save()
            return _finish(row, task)
        now = time.monotonic()
        is_first = task.is_storing and not was_storing
        was_storing = task.is_storing
        # From the first stored image on it is not cancelled any more: a part would stay.
        if now >= told + _TELL_S or is_first:
            told = now
            if not _progress(row, task):
                task.close()
                clean(row.pk)
                return True
        if now >= started + _SLICE_S:
            task.save()
            _progress(row, task)
            return False


def _progress(row: ReconstructionJob, task: Task) -> bool:
    """Say how far it is; returns whether it is still wanted."""
    with transaction.atomic():
        changed = ReconstructionJob.objects.filter(
            pk=row.pk, state=ReconstructionState.RUNNING
        ).update(
            done_steps=task.done_steps,
            total_steps=task.total_steps,
            picture_count=task.count,
            worked_at=timezone.now(),
        )
        if changed:
            reconstructions.tell(row)
    return bool(changed)


def _finish(row: ReconstructionJob, task: Task) -> bool:
    task.deliver()
    with transaction.atomic():
        changed = ReconstructionJob.objects.filter(
            pk=row.pk, state=ReconstructionState.RUNNING
        ).update(
            state=ReconstructionState.DONE,
            done_steps=task.total_steps,
            total_steps=task.total_steps,
            picture_count=task.count,
            result_series=task.result_series_id,
            finished_at=timezone.now(),
        )
        if changed:
            reconstructions.tell(row)
    task.close()
    clean(row.pk, is_delivered=bool(changed))
    return True


def _save(row: ReconstructionJob, **values: object) -> None:
    ReconstructionJob.objects.filter(pk=row.pk).update(**values)


def _end(row: ReconstructionJob, words: str) -> None:
    """Give up, with a sentence."""
    logger.warning("Reconstruction %s failed: %s", row.pk, words)
    with transaction.atomic():
        changed = ReconstructionJob.objects.filter(pk=row.pk, state__in=OPEN).update(
            state=ReconstructionState.FAILED, last_error=words, finished_at=timezone.now()
        )
        if changed:
            reconstructions.tell(row)
    clean(row.pk)


def clean(key: UUID, *, is_delivered: bool = False) -> None:
    """Remove what was computed with, and pictures that nobody is to have."""
    shutil.rmtree(work_folder(key), ignore_errors=True)
    row = ReconstructionJob.objects.filter(pk=key).first()
    is_wanted = row is not None and row.state == ReconstructionState.DONE
    if not is_delivered and not is_wanted:
        shutil.rmtree(reconstructions.result_folder(key), ignore_errors=True)


@runner.carer
def tidy() -> None:
    """Remove old pictures, what nobody computes with any more, and queue what was forgotten."""
    reconstructions.forget_old()
    root = work_folder(UUID(int=0)).parent
    wanted = {str(row.pk): row for row in ReconstructionJob.objects.filter(state__in=OPEN)}
    if root.is_dir():
        for folder in root.iterdir():
            if folder.name not in wanted:
                shutil.rmtree(folder, ignore_errors=True)
    for row in wanted.values():
        # Harmless where one waits; where it was lost with a crash, this is the way on.
        is_idle = row.worked_at is None or row.worked_at < timezone.now() - _HOST_IS_AWAY
        if is_idle:
            reconstructions.enqueue(row)
