"""Work for later: queued in the transaction that asks for it, claimed by a conditional UPDATE.

The same table is drained by the embedded runner and by Celery's workers; a job runs at least once,
so every handler is idempotent. A handler that fails is tried again with growing pauses and, after
the last try, stays as `failed` with its reason for an administrator to see.
"""

from __future__ import annotations

import logging
import socket
import traceback
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import UUID

from django.apps import apps
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from archive import correlation, heartbeat
from archive.errors import PermanentError
from archive.models import Job, JobState

logger = logging.getLogger(__name__)

Handler = Callable[..., None]
_HANDLERS: dict[str, Handler] = {}

MOST_ATTEMPTS = 6
# A runner that was killed leaves its job running; after this long another one takes it.
STALE_AFTER = timedelta(minutes=10)
KEEP_DONE = timedelta(days=1)


def handler(kind: str) -> Callable[[Handler], Handler]:
    """Register the function that does jobs of `kind`; it gets the payload as keywords."""

    def register(function: Handler) -> Handler:
        _HANDLERS[kind] = function
        return function

    return register


@lru_cache(maxsize=1)
def load() -> None:
    """Import what registers handlers, subscribers and carers: each application's `background`.

    Not at start-up: a receiver or a web process that does no jobs needs little of it, and importing
    all takes half of the time in which it is to be ready.
    """
    for application in apps.get_app_configs():
        for name in getattr(application, "background", ()):
            import_module(f"{application.name}.{name}")


def enqueue(kind: str, key: str, *, delay_s: float = 0, **payload: Any) -> None:  # noqa: ANN401
    """Queue a job in the present transaction, unless one of this kind and key already waits.

    Parameters
    ----------
    kind : a registered handler's name
    key : what the job is about; asking twice while one waits asks once
    delay_s : earliest start, seconds from now
    payload : JSON-able keywords of the handler
    """
    if kind not in _HANDLERS:
        load()
    if kind not in _HANDLERS:
        raise LookupError(f"No handler for jobs of kind {kind!r}.")
    job = Job(
        kind=kind,
        key=key,
        payload=payload,
        origin=dict(correlation.origin(key, *payload.values())) or None,
        run_at=timezone.now() + timedelta(seconds=delay_s),
    )
    Job.objects.bulk_create([job], ignore_conflicts=True)


def hasten(kind: str, key: str, *, delay_s: float = 0) -> None:
    """Let a job that waits longer start `delay_s` seconds from now."""
    at = timezone.now() + timedelta(seconds=delay_s)
    Job.objects.filter(kind=kind, key=key, state=JobState.QUEUED, run_at__gt=at).update(run_at=at)


def claim() -> Job | None:
    """Take the next due job, or None; no two callers ever get the same one."""
    me = heartbeat.process_name()
    while True:
        now = timezone.now()
        due = Job.objects.filter(state=JobState.QUEUED, run_at__lte=now).order_by("run_at").first()
        if due is None:
            return None
        taken = Job.objects.filter(pk=due.pk, state=JobState.QUEUED).update(
            state=JobState.RUNNING, claimed_by=me, claimed_at=now, attempts=F("attempts") + 1
        )
        if taken:
            due.refresh_from_db()
            return due


def run(job: Job) -> bool:
    """Run a claimed job and record how it ended; returns whether it succeeded."""
    with correlation.of_job(f"{job.kind} {job.pk}", job.origin or {}):
        try:
            _handler_of(job.kind)(**job.payload)
        except Exception as error:  # noqa: BLE001 - the edge of the runner: recorded, never lost
            _failed(job, error)
            return False
    Job.objects.filter(pk=job.pk).update(
        state=JobState.DONE, finished_at=timezone.now(), last_error=""
    )
    return True


def _handler_of(kind: str) -> Handler:
    load()
    function = _HANDLERS.get(kind)
    if function is None:
        raise PermanentError(f"No handler for jobs of kind {kind!r}.")
    return function


def _failed(job: Job, error: Exception) -> None:
    is_last = isinstance(error, PermanentError) or job.attempts >= MOST_ATTEMPTS
    logger.warning(
        "Job %s %s failed (try %d%s): %s",
        job.kind,
        job.key,
        job.attempts,
        ", the last" if is_last else "",
        error,
        exc_info=not isinstance(error, PermanentError),
    )
    message = "".join(traceback.format_exception(error))[-4000:]
    row = Job.objects.filter(pk=job.pk)
    if is_last:
        row.update(state=JobState.FAILED, finished_at=timezone.now(), last_error=message)
        return
    pause = timedelta(seconds=2**job.attempts)
    with transaction.atomic():
        if Job.objects.filter(kind=job.kind, key=job.key, state=JobState.QUEUED).exists():
            # The same work was asked for again meanwhile: that job is the retry.
            row.update(state=JobState.DONE, finished_at=timezone.now(), last_error=message)
        else:
            row.update(state=JobState.QUEUED, run_at=timezone.now() + pause, last_error=message)


def rescue_stale() -> int:
    """Queue again what a killed runner left behind; returns how many."""
    rescued = 0
    long_ago = timezone.now() - STALE_AFTER
    for job in Job.objects.filter(state=JobState.RUNNING, claimed_at__lt=long_ago):
        rescued += _queue_again(job)
    return rescued


def rescue_orphans() -> int:
    """Queue again what runners of this machine left behind that no longer exist."""
    host = socket.gethostname()
    rescued = 0
    for job in Job.objects.filter(state=JobState.RUNNING, claimed_by__startswith=f"{host}:"):
        if not Path(f"/proc/{job.claimed_by.rpartition(':')[2]}").exists():
            rescued += _queue_again(job)
    return rescued


def _queue_again(job: Job) -> int:
    """Queue a job whose runner is gone, unless the same work waits anyway."""
    with transaction.atomic():
        waits = Job.objects.filter(kind=job.kind, key=job.key, state=JobState.QUEUED).exists()
        return Job.objects.filter(pk=job.pk, state=JobState.RUNNING).update(
            state=JobState.DONE if waits else JobState.QUEUED
        )


def retry_failed(job_ids: Iterable[UUID]) -> int:
    """Queue failed jobs again with all their tries, unless the same work waits; returns how many.

    A job whose work waits already under another row is closed: that row does it.
    """
    retried = 0
    for job in Job.objects.filter(pk__in=list(job_ids), state=JobState.FAILED):
        with transaction.atomic():
            waits = Job.objects.filter(kind=job.kind, key=job.key, state=JobState.QUEUED).exists()
            state = JobState.DONE if waits else JobState.QUEUED
            retried += Job.objects.filter(pk=job.pk, state=JobState.FAILED).update(
                state=state, attempts=0, run_at=timezone.now()
            )
    return retried


def forget_done() -> None:
    """Drop finished jobs after a day; failed ones stay until somebody looked."""
    Job.objects.filter(state=JobState.DONE, finished_at__lt=timezone.now() - KEEP_DONE).delete()
