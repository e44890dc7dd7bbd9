"""The loop that turns events into jobs and does them: the embedded worker, and Celery's task."""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

from django.db import close_old_connections, transaction
from django.utils import timezone

from archive import correlation, heartbeat, jobs
from archive.models import OutboxEvent

logger = logging.getLogger(__name__)

Payloads = list[dict[str, Any]]
_SUBSCRIBERS: dict[str, list[Callable[[Payloads], None]]] = defaultdict(list)
_CARERS: list[Callable[[], None]] = []
_PULSES: list[Callable[[], object]] = []

BATCH = 500
KEEP_EVENTS = timedelta(days=2)
_IDLE_S = 0.2
_GATHER_S = 0.5
_last_dispatch = [0.0]
_CARE_EVERY_S = 60.0
_PULSE_EVERY_S = 5.0
_last_pulse = [-_PULSE_EVERY_S]


def subscriber(kind: str) -> Callable[[Callable[[Payloads], None]], Callable[[Payloads], None]]:
    """Register a function that queues jobs for a batch of events of `kind`."""

    def register(function: Callable[[Payloads], None]) -> Callable[[Payloads], None]:
        _SUBSCRIBERS[kind].append(function)
        return function

    return register


def dispatch() -> int:
    """Queue the jobs of events not yet dispatched; returns how many events there were.

    Events and their jobs change in one transaction: a kill in between repeats the batch.
    """
    jobs.load()
    with transaction.atomic():
        events = list(
            OutboxEvent.objects.select_for_update(skip_locked=True)
            .filter(dispatched_at=None)
            .order_by("id")[:BATCH]
        )
        if not events:
            return 0
        by_kind: dict[str, Payloads] = defaultdict(list)
        for event in events:
            facility = str(event.facility_id) if event.facility_id else None
            by_kind[event.kind].append({**event.payload, "facility_id": facility})
        with correlation.caused_by(_causes(events)):
            for kind, payloads in by_kind.items():
                for function in _SUBSCRIBERS.get(kind, ()):
                    function(payloads)
        OutboxEvent.objects.filter(pk__in=[event.pk for event in events]).update(
            dispatched_at=timezone.now()
        )
    return len(events)


def _causes(events: Iterable[OutboxEvent]) -> dict[str, correlation.Origin]:
    """Return the origins of events by the ids of what they are about; the first one counts."""
    causes: dict[str, correlation.Origin] = {}
    for event in events:
        if event.origin:
            for name, value in event.payload.items():
                if name.endswith("_id"):
                    causes.setdefault(str(value), event.origin)
    return causes


def drain(*, most_jobs: int | None = None, gather_s: float = 0.0) -> int:
    """Dispatch and do what is due; returns how many jobs ran.

    Parameters
    ----------
    gather_s : events are dispatched this far apart at least: a series that is arriving is then
        looked at some times, not once for every few images
    """
    done = 0
    while most_jobs is None or done < most_jobs:
        heartbeat.beat(heartbeat.WORKER)
        _pulse()
        dispatched = _dispatch_gathered(gather_s)
        job = jobs.claim()
        if job is None:
            if not dispatched:
                break
            continue
        jobs.run(job)
        done += 1
    return done


def _dispatch_gathered(gather_s: float) -> int:
    now = time.monotonic()
    if now < _last_dispatch[0] + gather_s:
        return 0
    if not OutboxEvent.objects.filter(dispatched_at=None).exists():
        return 0
    count = dispatch()
    # A full batch has left others behind: they have waited.
    _last_dispatch[0] = now if count < BATCH else 0.0
    return count


def pulse(function: Callable[[], object]) -> Callable[[], object]:
    """Register a function that every runner calls every five seconds; it takes milliseconds."""
    _PULSES.append(function)
    return function


def _pulse() -> None:
    now = time.monotonic()
    if now < _last_pulse[0] + _PULSE_EVERY_S:
        return
    _last_pulse[0] = now
    jobs.load()
    for function in _PULSES:
        function()


def carer(function: Callable[[], None]) -> Callable[[], None]:
    """Register a function that `care` calls once a minute; it queues jobs, it does no work."""
    _CARERS.append(function)
    return function


def care() -> None:
    """Do the housekeeping of the tables, and queue what is due."""
    jobs.load()
    for function in _CARERS:
        function()
    jobs.rescue_stale()
    jobs.forget_done()
    heartbeat.forget_old()
    OutboxEvent.objects.filter(
        dispatched_at__isnull=False, created_at__lt=timezone.now() - KEEP_EVENTS
    ).delete()


def run_forever(stop: threading.Event) -> None:
    """Drain until `stop` is set; an unreachable database is waited for, not died of."""
    next_care = 0.0
    while not stop.is_set():
        try:
            close_old_connections()
            drain(most_jobs=50, gather_s=_GATHER_S)
            if time.monotonic() >= next_care:
                care()
                next_care = time.monotonic() + _CARE_EVERY_S
        except Exception:
            logger.exception("The job runner stumbled; it goes on in a moment.")
            stop.wait(2)
        stop.wait(_IDLE_S)
