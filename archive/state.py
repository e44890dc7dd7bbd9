"""How the site is: does the receiver listen, does work pile up, is there room on the disk."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from django.conf import settings
from django.core.cache import cache
from django.utils import timezone

from archive import damage, reachable
from archive.models import Job, JobState

Level = Literal["ok", "warn", "danger"]

_CONNECT_TIMEOUT_S = 0.5
_REMEMBERED_S = 5
_DOWN_SINCE = "archive.state.receiver-down-since"
_DOWN_REMEMBERED_S = 300
_QUEUE_LATE = timedelta(seconds=30)
_QUEUE_STUCK = timedelta(minutes=5)
_FAILURES_SHOWN = timedelta(days=1)
_DISK_WARN = 0.10
_DISK_DANGER = 0.03
_GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that may be well or not, in a sentence."""

    name: str
    level: Level
    text: str
    # When it was first found so; only what a banner tells has it.
    since: datetime | None = None


def site_state() -> list[Part]:
    """Return receiver, queue and disk; what a look costs is paid once in five seconds."""
    parts: list[Part] | None = cache.get("archive.state")
    if parts is None:
        parts = [_receiver(), _queue(), _disk(), *_damage()]
        cache.set("archive.state", parts, _REMEMBERED_S)
    return parts


def worst(parts: list[Part]) -> Level:
    """Return the level that one dot for everything has."""
    for level in ("danger", "warn"):
        if any(part.level == level for part in parts):
            return level
    return "ok"


def _receiver() -> Part:
    name, port = settings.DICOM_SCP_AE_TITLE, settings.DICOM_SCP_PORT
    if not reachable.receiver_trouble(_CONNECT_TIMEOUT_S):
        cache.delete(_DOWN_SINCE)
        return Part("Receiver", "ok", f"{name} listens on port {port}.")
    since: datetime = cache.get(_DOWN_SINCE) or timezone.now()
    # Forgotten when nobody looks: it may have been back meanwhile.
    cache.set(_DOWN_SINCE, since, _DOWN_REMEMBERED_S)
    return Part(
        "Receiver",
        "danger",
        f"{name} does not answer on port {port}: scanners cannot send. Start the receiver.",
        since,
    )


def _queue() -> Part:
    now = timezone.now()
    queued = Job.objects.filter(state=JobState.QUEUED, run_at__lte=now)
    waiting = queued.count()
    oldest = queued.order_by("run_at").values_list("run_at", flat=True).first()
    late = now - oldest if oldest is not None else timedelta()
    failed = Job.objects.filter(
        state=JobState.FAILED, finished_at__gte=now - _FAILURES_SHOWN
    ).count()
    text = "Nothing waits."
    level: Level = "ok"
    if waiting:
        text = (
            f"{waiting} {'job' if waiting == 1 else 'jobs'} waiting, "
            f"the oldest for {_duration(late)}."
        )
        if late > _QUEUE_STUCK:
            level = "danger"
            text += " Start the worker."
        elif late > _QUEUE_LATE:
            level = "warn"
    if failed:
        text += (
            f" {failed} {'job' if failed == 1 else 'jobs'} failed since yesterday; "
            "administration lists them."
        )
        level = "warn" if level == "ok" else level
    return Part("Queue", level, text)


def _damage() -> list[Part]:
    count = damage.open_damages().count()
    if not count:
        return []
    text = (
        f"{count} stored {'file is' if count == 1 else 'files are'} damaged or missing. "
        "Run 'manage.py verify_storage --mend-from' with a backup."
    )
    return [Part("Files", "danger", text)]


def _disk() -> Part:
    folder = settings.DICOM_ROOT
    while not folder.exists():
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    share = usage.free / usage.total
    text = f"{usage.free / _GIB:.0f} GiB of {usage.total / _GIB:.0f} GiB are free."
    if share < _DISK_DANGER:
        return Part("Disk", "danger", f"{text} Make room now: the archive stops when it is full.")
    if share < _DISK_WARN:
        return Part("Disk", "warn", f"{text} Make room soon.")
    return Part("Disk", "ok", text)


def _duration(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    if seconds < 60:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"
