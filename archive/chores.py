"""What is run by the clock, or by hand: backups, restore drills, checks of the audit trail.

Each run is a row. Those by the clock are processes of their own, started by the worker, which goes
on with its jobs meanwhile.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db import (
    IntegrityError,
    OperationalError,
    ProgrammingError,
    connection,
    transaction,
)
from django.utils import timezone

from archive import backup, heartbeat
from archive.errors import ArchiveError, ConflictError
from archive.models import AuditSeal, Chore, ChoreKind

logger = logging.getLogger(__name__)

_NAME = re.compile(r"noctis-\d{8}-\d{6}")
_AUDIT_EVERY = timedelta(days=1)
# A run that failed is tried again after this long, not at the next second.
_AGAIN_AFTER = timedelta(hours=1)
_KEEP = timedelta(days=400)
# Nobody can see whether a process of another machine lives.
_LONGEST_ELSEWHERE = timedelta(days=2)
_started: list[subprocess.Popen[bytes]] = []


class Outcome:
    """What a run says of itself; it has failed until it says that it is good."""

    def __init__(self) -> None:
        self.is_ok = False
        self.text = ""

    def good(self, text: str) -> None:
        """Say that all went well, and what was done."""
        self.is_ok, self.text = True, text

    def bad(self, text: str) -> None:
        """Say what went wrong."""
        self.is_ok, self.text = False, text


@contextmanager
def recorded(kind: ChoreKind, folder: Path | None = None) -> Iterator[Outcome]:
    """Keep a row of a run, from its beginning on.

    A database that this version has not migrated yet has no place for it: a backup is made of it
    all the same.

    Raises
    ------
    ConflictError
        When one of its kind runs already.
    """
    outcome = Outcome()
    row = Chore(kind=kind, process=heartbeat.process_name(), folder=str(folder or "")[:255])
    try:
        forget_dead()
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError as error:
        raise ConflictError(
            f"{kind.label} runs already. Wait until it has ended; the page “Health” shows it."
        ) from error
    except (OperationalError, ProgrammingError) as error:
        logger.warning("%s is not recorded: %s", kind.label, error)
        yield outcome
        return
    try:
        yield outcome
    except BaseException as error:
        _finish(row, is_ok=False, text=str(error) or type(error).__name__)
        raise
    _finish(row, is_ok=outcome.is_ok, text=outcome.text)


def _finish(row: Chore, *, is_ok: bool, text: str) -> None:
    Chore.objects.filter(pk=row.pk).update(
        finished_at=timezone.now(), is_ok=is_ok, text=text[:1000]
    )
    Chore.objects.filter(started_at__lt=timezone.now() - _KEEP).delete()


def forget_dead() -> int:
    """Close the runs whose process has gone without a word."""
    host = socket.gethostname()
    closed = 0
    for row in Chore.objects.filter(finished_at=None):
        machine, _, pid = row.process.rpartition(":")
        if machine == host:
            is_over = not _lives(pid, row.started_at)
        else:
            is_over = row.started_at < timezone.now() - _LONGEST_ELSEWHERE
        if is_over:
            _finish(row, is_ok=False, text="It was cut off: its process ended before it was done.")
            closed += 1
    return closed


def _lives(pid: str, since: datetime) -> bool:
    """Whether the process that began a run is there, and not another one by its number."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
        lines = Path("/proc/stat").read_text("ascii").splitlines()
    except OSError:
        return False
    booted_s = next(int(line.split()[1]) for line in lines if line.startswith("btime "))
    # Field 22 of proc(5), of which two stand before the bracket.
    began_s = booted_s + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return began_s <= since.timestamp() + 60


def last(kind: ChoreKind, *, is_ok: bool | None = None) -> Chore | None:
    """Return the latest run of a kind that has ended; of good or bad ones alone, if wanted."""
    rows = Chore.objects.filter(kind=kind, finished_at__isnull=False)
    if is_ok is not None:
        rows = rows.filter(is_ok=is_ok)
    return rows.order_by("-started_at").first()


def running(kind: ChoreKind) -> Chore | None:
    """Return the run that has not ended."""
    return Chore.objects.filter(kind=kind, finished_at=None).first()


def next_at(kind: ChoreKind) -> datetime | None:
    """Return when the clock wants the next run; None: it wants none.

    A backup is due at its hour of each day (UTC). After a failure the next hour tries again.
    """
    latest = last(kind)
    if latest is not None and not latest.is_ok:
        return latest.started_at + _AGAIN_AFTER
    if kind == ChoreKind.BACKUP:
        return _next_backup(latest) if settings.BACKUP_DIR else None
    if kind == ChoreKind.DRILL:
        if not settings.BACKUP_DIR or not settings.DRILL_EVERY_DAYS or not can_drill():
            return None
        good = last(ChoreKind.BACKUP, is_ok=True)
        if good is None or good.finished_at is None:
            return None
        if latest is None:
            return good.finished_at
        due = latest.started_at + timedelta(days=settings.DRILL_EVERY_DAYS)
        return max(due, good.finished_at)
    if latest is not None:
        return latest.started_at + _AUDIT_EVERY
    first = AuditSeal.objects.order_by("number").values_list("sealed_at", flat=True).first()
    return first + _AUDIT_EVERY if first is not None else None


def _next_backup(latest: Chore | None) -> datetime:
    since = latest.started_at if latest is not None else timezone.now() - timedelta(days=1)
    hour, minute = settings.BACKUP_AT
    due = since.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return due if due > since else due + timedelta(days=1)


def can_drill() -> bool:
    """Whether a drill has an empty database to use."""
    return connection.vendor == "sqlite" or bool(settings.DRILL_DATABASE_URL)


def start_due() -> list[ChoreKind]:
    """Start what is due, each in a process of its own."""
    forget_dead()
    _started[:] = [process for process in _started if process.poll() is None]
    now = timezone.now()
    begun = []
    for kind in ChoreKind:
        due = next_at(kind)
        if due is None or due > now or running(kind) is not None:
            continue
        command = _command(kind)
        if command is None:
            continue
        begun.append(kind)
        logger.info("%s begins", kind.label)
        _started.append(
            subprocess.Popen(  # noqa: S603 - our own commands
                [sys.executable, str(settings.BASE_DIR / "manage.py"), *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
    return begun


def _command(kind: ChoreKind) -> list[str] | None:
    if kind == ChoreKind.BACKUP:
        return ["scheduled_backup"]
    if kind == ChoreKind.AUDIT:
        return ["verify_audit"]
    newest = next(iter(complete_backups()), None)
    if newest is None:
        return None
    url = settings.DRILL_DATABASE_URL
    return ["restore_drill", str(newest), *(["--database-url", url] if url else [])]


def complete_backups() -> list[Path]:
    """Return the folders of the schedule's complete backups, newest first."""
    root: Path | None = settings.BACKUP_DIR
    if root is None or not root.is_dir():
        return []
    found = [p for p in root.iterdir() if _NAME.fullmatch(p.name) and _is_complete(p)]
    return sorted(found, reverse=True)


def _is_complete(folder: Path) -> bool:
    try:
        backup.read_manifest(folder)
    except ArchiveError:
        return False
    return True


def back_up() -> tuple[Path, backup.Copied]:
    """Make the schedule's next backup, and remove the oldest when it is good.

    Files that the last backup has are linked from there: they take no room twice.

    Raises
    ------
    ConflictError
        Without NOCTIS_BACKUP_DIR, or while another one runs.
    """
    root: Path | None = settings.BACKUP_DIR
    if root is None:
        raise ConflictError("Set NOCTIS_BACKUP_DIR to a folder on another disk or machine.")
    folder = root / f"noctis-{timezone.now():%Y%m%d-%H%M%S}"
    with recorded(ChoreKind.BACKUP, folder) as outcome:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        done = backup.backup(folder, like=next(iter(complete_backups()), None))
        if done.damaged:
            outcome.bad(
                f"{len(done.damaged)} files are not what was stored. Mend them "
                "(verify_storage --mend-from), then back up again. Nothing older was removed."
            )
        else:
            removed = rotate(settings.BACKUP_KEEP)
            outcome.good(
                f"{done.files} files, {done.new_files} of them new, {done.size_bytes} bytes, and "
                f"the database; {removed} older backups removed."
            )
    return folder, done


def rotate(keep: int) -> int:
    """Remove the schedule's oldest backups, and what was cut off before the newest good one."""
    complete = complete_backups()
    root: Path | None = settings.BACKUP_DIR
    if not complete or root is None:
        return 0
    kept = set(complete[:keep])
    removed = 0
    for folder in sorted(root.iterdir()):
        if not _NAME.fullmatch(folder.name) or folder in kept or folder.name > complete[0].name:
            continue
        # First what says that it is complete: half a backup must not look like one.
        (folder / backup.MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(folder)
        removed += 1
    return removed
