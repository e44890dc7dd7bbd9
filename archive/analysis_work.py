"""The jobs that run analyses: each in a process of its own, which the worker looks after.

The process is started by one job and looked at by the next ones, a moment apart, so that a long
analysis holds nothing up. It ends with its worker; another look finds that and begins again.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from archive import (
    access,
    analyses,
    analysis_catalogue,
    analysis_results,
    audit,
    heartbeat,
    jobs,
    outbox,
    quiet,
    remote_analyses,
    remote_programs,
    runner,
    stores,
)
from archive.analyses import OPEN, OVER_JOB, WORK_JOB
from archive.analysis_process import OUTCOME
from archive.errors import ArchiveError, PermanentError
from archive.models import AnalysisRun, AnalysisService, AnalysisState, Heartbeat
from blobs import BlobMissingError

logger = logging.getLogger(__name__)

LOOK_JOB = "analysis.look"
_ME = access.system_actor("analysis")
# A process that runs is looked at this often.
_LOOK_S = 0.5
_MOST_ATTEMPTS = 3
_AWAY = timedelta(seconds=60)
_MOST_STUDY_BYTES = 16 * 1024**3


@dataclass(slots=True)
class _Child:
    process: subprocess.Popen[bytes]
    deadline: float


_children: dict[UUID, _Child] = {}


def work_folder(key: UUID) -> Path:
    """Return where this machine keeps what an analysis reads and writes."""
    root: Path = settings.CACHE_DIR
    return root / "analyses" / str(key)


# --- what fills the queue


@runner.subscriber(outbox.InstanceStored.kind)
def look_later(payloads: runner.Payloads) -> None:
    """Have the services asked when the studies of these images are quiet."""
    if not AnalysisService.objects.filter(is_active=True).exists():
        return
    quiet.look_later(LOOK_JOB, (payload["study_id"] for payload in payloads))


@jobs.handler(LOOK_JOB)
def look(study_id: str) -> None:
    """Ask the services about a study if it is quiet, else later."""
    study = quiet.study_of(LOOK_JOB, study_id)
    if study is not None:
        analyses.queue_by_rules(study)


# --- what empties it


@jobs.handler(WORK_JOB)
def work(run_id: str) -> None:
    """Start a run's process, look at it, or take its results."""
    run = (
        AnalysisRun.objects.select_related("study__facility")
        .filter(pk=UUID(run_id), state__in=OPEN, study__deletion_id=None)
        .first()
    )
    child = _children.get(UUID(run_id))
    if run is None:
        _forget(UUID(run_id))
        return
    if run.program.startswith(remote_programs.PREFIX):
        remote_analyses.work(run)
        return
    if child is None:
        if _is_looked_after(run):
            analyses.enqueue(run, _LOOK_S)
        elif run.attempts >= _MOST_ATTEMPTS:
            _end(run, "The worker was stopped several times while this ran.")
        else:
            _start(run)
        return
    if child.process.poll() is None:
        if time.monotonic() > child.deadline:
            _end(run, f"It took longer than {run.time_limit_s} seconds and was ended.")
        else:
            analyses.enqueue(run, _LOOK_S)
        return
    _finished(run, child.process.returncode)


@jobs.handler(OVER_JOB)
def tell_over(run_id: str) -> None:
    """Tell a program elsewhere that nobody waits for it any more."""
    run = AnalysisRun.objects.select_related("study").filter(pk=UUID(run_id)).first()
    if run is not None and run.program.startswith(remote_programs.PREFIX) and not run.is_open:
        remote_analyses.tell_over(run)


def _is_looked_after(run: AnalysisRun) -> bool:
    """Whether another worker, which still is, has the process of this run."""
    me = heartbeat.process_name()
    if run.worker in ("", me):
        return False
    host, _, process = run.worker.rpartition(":")
    if host == me.rpartition(":")[0]:
        return Path(f"/proc/{process}").exists()
    name = f"{heartbeat.WORKER} {run.worker}"
    return Heartbeat.objects.filter(name=name, at__gte=timezone.now() - _AWAY).exists()


def _start(run: AnalysisRun) -> None:
    """Give a process the study, and let it run."""
    program = analysis_catalogue.installed().get(run.program)
    if program is None:
        _end(run, "This program is not installed any more.")
        return
    with transaction.atomic():
        changed = AnalysisRun.objects.filter(pk=run.pk, state__in=OPEN).update(
            state=AnalysisState.RUNNING,
            attempts=run.attempts + 1,
            worker=heartbeat.process_name(),
            started_at=timezone.now(),
        )
        if not changed:
            return
        audit.record(_ME, "study.analyse", run.study, program=run.program, reason=run.reason)
        analyses.tell(run)
    folder = work_folder(run.pk)
    try:
        _lay_out(run, folder)
    except (OSError, BlobMissingError, PermanentError) as error:
        _end(run, f"The study could not be laid out for it: {error}")
        return
    # Nothing of our environment: it holds the site's secrets.
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [
            sys.executable,
            "-m",
            "archive.analysis_process",
            program.target,
            str(folder),
            str(run.memory_mib),
            str(run.time_limit_s),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=settings.BASE_DIR,
        env={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "HOME": str(folder)},
    )
    _children[run.pk] = _Child(process, time.monotonic() + run.time_limit_s)
    analyses.enqueue(run, _LOOK_S)


def _lay_out(run: AnalysisRun, folder: Path) -> None:
    """Copy the study's files: what a program does to its own harms nothing stored."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "study").mkdir(parents=True)
    (folder / "results").mkdir()
    images = analyses.images_of(run.study).filter(received_at__lte=run.received_through)
    size = sum(images.values_list("size_bytes", flat=True))
    if size > _MOST_STUDY_BYTES or size * 2 > shutil.disk_usage(folder).free:
        raise PermanentError("it is too large for the disk, or for an analysis.")
    store = stores.instances()
    for number, image in enumerate(images.order_by("series_id", "instance_number", "pk"), 1):
        with store.open(image.storage_key) as source:
            target = folder / "study" / f"{number:06}.dcm"
            with target.open("wb") as copy:
                shutil.copyfileobj(source, copy, 1024 * 1024)


def _finished(run: AnalysisRun, code: int) -> None:
    """Take what a process left."""
    folder = work_folder(run.pk)
    try:
        outcome = json.loads((folder / OUTCOME).read_text())
    except (OSError, ValueError):
        signal = _signal(code)
        _end(run, f"It was ended by its limits on time or memory, or it crashed ({signal}).")
        return
    if outcome.get("error"):
        # It may repeat what stands in a file, names included.
        logger.debug("Analysis %s failed:\n%s", run.pk, outcome.get("traceback", ""))
        _end(run, analysis_results.words(outcome["error"], 1000))
        return
    try:
        analysis_results.take(run, folder / "results")
    except ArchiveError as error:
        _end(run, str(error))
        return
    _forget(run.pk)


def _signal(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _end(run: AnalysisRun, words: str) -> None:
    """Give up, with a sentence."""
    logger.warning("Analysis %s failed; its row says why.", run.pk)
    with transaction.atomic():
        changed = AnalysisRun.objects.filter(pk=run.pk, state__in=OPEN).update(
            state=AnalysisState.FAILED, last_error=words, finished_at=timezone.now()
        )
        if changed:
            audit.record(_ME, "study.analysed", run.study, is_success=False, program=run.program)
            analyses.tell(run)
    _forget(run.pk)


def _forget(key: UUID) -> None:
    """End the process of a run, and remove what it read and wrote."""
    child = _children.pop(key, None)
    if child is not None:
        child.process.kill()
        child.process.wait()
    shutil.rmtree(work_folder(key), ignore_errors=True)


def running() -> list[int]:
    """Return the processes of this worker's analyses."""
    return [child.process.pid for child in _children.values()]


@runner.carer
def tidy() -> None:
    """Remove what no run needs any more, and look at runs that were forgotten."""
    root = work_folder(UUID(int=0)).parent
    wanted = {str(row.pk): row for row in AnalysisRun.objects.filter(state__in=OPEN)}
    if root.is_dir():
        for folder in root.iterdir():
            if folder.name not in wanted:
                shutil.rmtree(folder, ignore_errors=True)
    for row in wanted.values():
        analyses.enqueue(row)


def _leave_to_parent() -> None:
    """Know nothing of the parent's processes after a fork."""
    _children.clear()


os.register_at_fork(after_in_child=_leave_to_parent)
