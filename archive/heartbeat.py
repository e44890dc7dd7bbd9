"""Signs of life of the processes that no port can be asked for: the job runners.

They lie in the database, so that a site sees its workers on other machines too.
"""

from __future__ import annotations

import os
import socket
import time
from datetime import timedelta

from django.utils import timezone

from archive.models import Heartbeat, Job, JobState

WORKER = "worker"
# A row of what does not answer, from the first look that found it so (archive.reachable).
FAILING = "failing"

_EVERY_S = 5.0
ALIVE_FOR = timedelta(seconds=20)
# One long job keeps its runner from beating; for this long the job itself is the sign.
BUSY_FOR = timedelta(minutes=10)
_KEEP = timedelta(days=1)

_last_beat: dict[tuple[str, int], float] = {}


def process_name() -> str:
    """Return host and process id, as jobs name their runner."""
    return f"{socket.gethostname()}:{os.getpid()}"[:64]


def beat(kind: str) -> None:
    """Say that this process works; costs a write at most every five seconds."""
    now = time.monotonic()
    me = (kind, os.getpid())
    if now - _last_beat.get(me, -_EVERY_S) < _EVERY_S:
        return
    row = Heartbeat(name=f"{kind} {process_name()}", kind=kind, at=timezone.now())
    Heartbeat.objects.bulk_create(
        [row], update_conflicts=True, unique_fields=["name"], update_fields=["at"]
    )
    _last_beat[me] = now


def is_alive(kind: str) -> bool:
    """Whether a process of `kind` beat lately, or is busy with a job it took lately."""
    now = timezone.now()
    if Heartbeat.objects.filter(kind=kind, at__gte=now - ALIVE_FOR).exists():
        return True
    runners = Heartbeat.objects.filter(kind=kind, at__gte=now - BUSY_FOR - ALIVE_FOR)
    names = [name.removeprefix(f"{kind} ") for name in runners.values_list("name", flat=True)]
    return Job.objects.filter(
        state=JobState.RUNNING, claimed_by__in=names, claimed_at__gte=now - BUSY_FOR
    ).exists()


def leave(kind: str) -> None:
    """Take this process's sign away: it ends on purpose."""
    Heartbeat.objects.filter(name=f"{kind} {process_name()}").delete()


def forget_old() -> None:
    """Drop the signs of processes that ended long ago."""
    Heartbeat.objects.filter(at__lt=timezone.now() - _KEEP).exclude(kind=FAILING).delete()
