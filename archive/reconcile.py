"""After a process was killed: what it had in hand is taken back, so that files and rows agree.

Whoever stores has the instance in the spool from its first byte until after the commit, and the
store links that very file; or it is in a journal, which lies in the spool too. So the spool is the
list of what was in flight, and a start has to look at nothing else, however large the archive is.
A file without a row that came about in another way (a power cut, a restored database) is found by
the sweep (`archive.sweep`) and set aside, not destroyed: it may be somebody's.
"""

from __future__ import annotations

import fcntl
import itertools
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from django.conf import settings
from django.db import connection
from django.db.models import Model

from archive import jobs, replay, runner, spool, stores
from archive.models import InstanceConflict
from blobs import BlobMissingError, FileSystemStore, journal, protocol
from imaging import header
from imaging.errors import ImagingError
from worklist.models import DicomImage

logger = logging.getLogger(__name__)

# A file stands before its row is committed; a younger one without a row is being stored.
IN_FLIGHT_S = 120
# PostgreSQL may still be committing what a client asked for that died a moment ago.
_SERVER_COMMITS_S = 10
# A file of a process on another machine that has not changed for so long is nobody's.
_ABANDONED_S = 3600
_MOST_SUFFIXES = 20
# The receiver keeps a lock on each file that it has in hand.
_LOCKED = ("dimse-", journal.PREFIX)
_JOURNALS = f"{journal.PREFIX}*{journal.SUFFIX}"


@dataclass(slots=True)
class Settled:
    """What a look at the spool did.

    Attributes
    ----------
    taken_back : files of the store that no row named: their senders were never answered
    restored : files of the store that had lost their content and have it again
    removed : files of the spool
    waiting : files of the spool that are in use, or too young to judge
    """

    taken_back: int = 0
    restored: int = 0
    removed: int = 0
    waiting: int = 0


def settle_spool() -> Settled:
    """Take back what processes that died had in hand; living ones are left alone.

    An instance whose row was committed stays. One without a row was never answered: its file is
    removed from the store, so that sending it again finds nothing half done.
    """
    done = Settled()
    folder: Path = settings.DICOM_SPOOL_DIR
    _settle_journals(folder, done)
    for path in sorted(folder.glob("*.part")):
        try:
            with _taken_over(path) as is_ours:
                if not is_ours:
                    done.waiting += 1
                    continue
                done.taken_back += _take_back(path)
                path.unlink()
                done.removed += 1
        except FileNotFoundError:
            continue  # its owner has finished meanwhile
    if done.removed:
        logger.warning(
            "Removed %d unfinished files of processes that died; %d were in the store already",
            done.removed,
            done.taken_back,
        )
    return done


def _settle_journals(folder: Path, done: Settled) -> None:
    for path in sorted(folder.glob(_JOURNALS)):
        try:
            if _is_locked(path):
                continue  # that of a living receiver is always there: nothing waits for it
            with _taken_over(path) as is_ours:
                if not is_ours:
                    done.waiting += 1
                    continue
                replayed = replay.replay(path)
                path.unlink()
                done.taken_back += replayed.taken_back
                done.restored += replayed.restored
        except FileNotFoundError:
            continue


@jobs.handler("spool.settle")
def settle() -> None:
    """Settle the spool as a job."""
    settle_spool()


@runner.carer
def request_settling() -> None:
    """Queue a look at the spool where something lies in it that may be nobody's."""
    now = time.time()
    folder: Path = settings.DICOM_SPOOL_DIR
    for path in (*folder.glob("*.part"), *folder.glob(_JOURNALS)):
        try:
            if now - path.stat().st_ctime > _SERVER_COMMITS_S and not _is_locked(path):
                jobs.enqueue("spool.settle", "spool")
                return
        except FileNotFoundError:
            continue


def _is_locked(path: Path) -> bool:
    """Whether a living receiver has the file in hand."""
    with path.open("rb") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextmanager
def _taken_over(path: Path) -> Iterator[bool]:
    """Lock a spool file and yield whether its owner is gone."""
    with path.open("rb") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        status = os.fstat(handle.fileno())
        age_s = time.time() - max(status.st_mtime, status.st_ctime)
        if not path.name.startswith(_LOCKED) and not spool.is_abandoned(path):
            # Other doors lock nothing; their process may work on it, or it is another machine's.
            yield age_s > _ABANDONED_S
            return
        yield connection.vendor == "sqlite" or age_s > _SERVER_COMMITS_S


def _take_back(path: Path) -> int:
    """Remove the store's link to a spool file where no row names it; returns how many."""
    if path.stat().st_nlink < 2:
        return 0
    try:
        uid = header.read_index(path).sop_instance_uid
    except ImagingError:
        return 0  # it never reached the store: only what was read does
    count = 0
    parts: tuple[tuple[type[Model], FileSystemStore], ...] = (
        (DicomImage, stores.instances()),
        (InstanceConflict, stores.conflicts()),
    )
    for model, store in parts:
        for key in _keys_of(uid):
            target = store.place(key)
            if not target.exists() or not target.samefile(path):
                continue
            if not model._base_manager.filter(storage_key=key).exists():
                store.withdraw(key)
                count += 1
    return count


def _keys_of(sop_instance_uid: str) -> Iterator[str]:
    """Yield the names that the store may have given an instance."""
    key = protocol.layout_key(sop_instance_uid)
    yield key
    name = PurePosixPath(key)
    for number in itertools.islice(itertools.count(1), _MOST_SUFFIXES):
        yield str(name.with_name(f"{name.stem}-{number}{name.suffix}"))


def set_aside_stray(key: str) -> bool:
    """Move a file of the store that no row names to `strays/`; returns whether it was one.

    A file younger than `IN_FLIGHT_S` stays: it is being stored.
    """
    store = stores.instances()
    try:
        if store.age_s(key) < IN_FLIGHT_S:
            return False
    except BlobMissingError:
        return False
    if DicomImage.with_deleted.filter(storage_key=key).exists():
        return False
    store.move_to(stores.strays(), key)
    logger.warning("Set aside a file that no row names: %s", key)
    return True


def forget_strays() -> int:
    """Destroy files that were set aside longer ago than `STRAY_RETENTION_DAYS`; returns how many.

    A file that a row is missing is never among them: the sweep puts it back.
    """
    store = stores.strays()
    long_ago = time.time() - settings.STRAY_RETENTION_DAYS * 86400
    gone = 0
    for key in list(store.keys()):
        try:
            if store.path(key).stat().st_ctime >= long_ago:
                continue
        except FileNotFoundError:
            continue
        store.delete(key)
        gone += 1
    return gone
