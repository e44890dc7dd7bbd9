"""What lies on this machine brought into the site's bucket, by one thread of one worker.

The layout below `DICOM_ROOT` is the list of what the bucket does not have yet (`blobs.objects`);
whoever has the lock of that folder goes through it again and again. While the bucket does not
answer, it is asked every few seconds, and everything waits where it is.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone

from archive import heartbeat, object_store, runner, stores
from archive.models import Heartbeat
from blobs.errors import (
    BlobDamagedError,
    BlobError,
    BlobMissingError,
    BlobStoreUnavailableError,
)
from blobs.objects import Expected, ObjectStore
from worklist.models import DicomImage

logger = logging.getLogger(__name__)

# While it is there, objects are brought back from the bucket: nothing is uploaded.
LEAVING = "leaving-object-store"
_THREADS = 4
_BATCH = 64
_EVERY_S = 1.0
_LOCK_EVERY_S = 5.0
_LONGEST_PAUSE_S = 8.0
_TIDY_EVERY_S = 30.0
_LOOKED_AT = 1000
# So much of the disk is left to those who store.
_RESERVE_BYTES = 4 * 1024**3
_RESERVED_PART = 0.05

_started = threading.Lock()
_thread: list[threading.Thread] = []


@dataclass(slots=True)
class Round:
    """What one pass over the folder did.

    Attributes
    ----------
    uploaded, size_bytes : that the bucket has confirmed
    erased : objects removed from the bucket
    waiting : files that stayed: without a row, or not what their row says
    """

    uploaded: int = 0
    size_bytes: int = 0
    erased: int = 0
    waiting: int = 0


@dataclass(slots=True)
class Brought:
    """What a way back to the disk did.

    Attributes
    ----------
    brought, here : objects that were fetched, and that lay on the disk already
    lost : keys of those that the bucket does not have as they were stored
    """

    brought: int = 0
    here: int = 0
    lost: list[str] = field(default_factory=list)


def is_leaving() -> bool:
    """Whether the site is on its way back to its own disk."""
    return (Path(settings.DICOM_ROOT) / LEAVING).exists()


def stay() -> None:
    """Upload what arrives, also after a way back was begun."""
    (Path(settings.DICOM_ROOT) / LEAVING).unlink(missing_ok=True)


def bring_all_back(store: ObjectStore, progress: Callable[[], None]) -> Brought:
    """Bring every object back into the folder's layout, each compared with its row.

    From now on nothing is uploaded. What was brought stays, and is passed over the next time.

    Raises
    ------
    BlobStoreUnavailableError
        When the bucket does not answer now.
    """
    done = Brought()
    (store.root / LEAVING).touch()
    # Who is uploading has looked for the file before it was there.
    with _alone(store.root, is_waiting=True):
        pass
    rows = DicomImage.with_deleted.order_by("pk")
    batch = list(rows.values_list("pk", "storage_key")[:_BATCH])
    while batch:
        for _, key in batch:
            try:
                if store.bring_back(key):
                    done.brought += 1
                else:
                    done.here += 1
            except BlobMissingError:
                if DicomImage.with_deleted.filter(storage_key=key).exists():
                    done.lost.append(key)
            progress()
        # What was brought is in the layout too: the cache has it twice under one inode.
        store.prune(settings.OBJECT_STORE.cache_bytes)
        batch = list(rows.filter(pk__gt=batch[-1][0]).values_list("pk", "storage_key")[:_BATCH])
    return done


def upload_all(store: ObjectStore) -> Round:
    """Upload what waits, once; only one process of a folder does it at a time.

    Raises
    ------
    BlobStoreUnavailableError
        When the bucket takes nothing now: the rest waits.
    """
    with _alone(store.root, is_waiting=True):
        return _upload_waiting(store)


def _upload_waiting(store: ObjectStore) -> Round:
    done = Round(erased=store.erase())
    if is_leaving():
        return done
    waiting = store.waiting_sizes()
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="object-upload") as pool:
        while batch := dict(islice(waiting, _BATCH)):
            _upload(store, pool, batch, done)
    return done


def _upload(
    store: ObjectStore, pool: ThreadPoolExecutor, batch: dict[str, int], done: Round
) -> None:
    rows = object_store.expected_of(list(batch))
    done.waiting += len(batch) - len(rows)
    asked = {key: pool.submit(_upload_one, store, key, row) for key, row in rows.items()}
    confirmed, trouble = [], None
    for key, answer in asked.items():
        try:
            if answer.result():
                confirmed.append(key)
            else:
                done.waiting += 1
        except BlobStoreUnavailableError as error:
            trouble = error
        except (BlobError, OSError):
            # The others go on; this one is tried again with the next pass.
            logger.exception("%s cannot be uploaded", key)
            done.waiting += 1
    store.release(confirmed)
    done.uploaded += len(confirmed)
    done.size_bytes += sum(batch[key] for key in confirmed)
    if trouble is not None:
        raise trouble


def _upload_one(store: ObjectStore, key: str, row: Expected) -> bool:
    try:
        return store.upload(key, row)
    except BlobDamagedError:
        logger.error("%s is not what was stored and is not uploaded; run verify_storage", key)  # noqa: TRY400 - no traceback helps
        return False


def tidy(store: ObjectStore, most_bytes: int) -> None:
    """Keep the cache within its bounds and the disk's, and the layout without empty folders."""
    disk = shutil.disk_usage(store.root)
    short = min(_RESERVE_BYTES, int(disk.total * _RESERVED_PART)) - disk.free
    size = store.prune(most_bytes)
    if short > 0:
        store.prune(max(0, size - short))
    store.sweep_folders()


@contextlib.contextmanager
def _alone(root: Path, *, is_waiting: bool = False) -> Iterator[bool]:
    """Hold the folder's lock; yields False when another process has it."""
    folder = root / "spool"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "object-upload.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if is_waiting else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True


def waiting() -> tuple[int, int]:
    """Return how many files of this machine the bucket does not have yet, and their bytes."""
    store = stores.objects()
    sizes = [size for _, size in store.waiting_sizes()] if store is not None else []
    return len(sizes), sum(sizes)


def stuck_for() -> timedelta:
    """Return for how long one file has waited that is next to be uploaded from this machine.

    One is remembered from look to look until it is gone, so that a whole store that is being
    moved is not taken for a file that cannot be uploaded.
    """
    store = stores.objects()
    mine = f"{heartbeat.FAILING} upload {socket.gethostname()[:40]} "
    seen = Heartbeat.objects.filter(name__startswith=mine).first()
    if store is None or is_leaving():
        return timedelta()
    if seen is not None:
        if store.place(seen.name.removeprefix(mine)).exists():
            return timezone.now() - seen.at
        seen.delete()
    keys = [key for key, _ in islice(store.waiting_sizes(), _LOOKED_AT)]
    # What no row names is nobody's to upload: it is taken away by `archive.reconcile`.
    for key in islice(object_store.expected_of(keys), 1):
        Heartbeat.objects.get_or_create(name=f"{mine}{key}", defaults={"kind": heartbeat.FAILING})
    return timedelta()


@runner.pulse
def keep_uploading() -> None:
    """Have a thread of this process upload, where the site has a bucket."""
    if settings.RADIOLOGY_STORAGE == stores.FILE_SYSTEM:
        return
    with _started:
        if _thread and _thread[0].is_alive():
            return
        _thread[:] = [threading.Thread(target=_run, name="object-upload", daemon=True)]
        # A kill at any moment repeats a step: nobody has to wait for it.
        _thread[0].start()


def _run() -> None:
    pause, tidied_at = _EVERY_S, -_TIDY_EVERY_S
    while (store := stores.objects(is_patient=True)) is not None:
        try:
            with _alone(store.root) as is_ours:
                if is_ours:
                    _upload_waiting(store)
            pause = _EVERY_S if is_ours else _LOCK_EVERY_S
            if is_ours and time.monotonic() > tidied_at + _TIDY_EVERY_S:
                tidied_at = time.monotonic()
                tidy(store, settings.OBJECT_STORE.cache_bytes)
        except BlobStoreUnavailableError:
            # The bucket has said so in the log, once.
            pause = min(2 * pause, _LONGEST_PAUSE_S)
        except (BlobError, OSError, DatabaseError):
            logger.exception("Uploading stumbled; it goes on in a moment")
            pause = min(2 * pause, _LONGEST_PAUSE_S)
        time.sleep(pause)
