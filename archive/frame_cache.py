"""Pictures that were made once: in memory, then on disk; who asks meanwhile waits for the maker.

Keys name content (digest of the instance, frame, rendering, version of the renderer), so an entry
never becomes wrong and is never changed: it is only dropped. Who may see it is decided before.

Sidecars on several machines without a shared disk have the second tier in Redis instead.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cachetools import LRUCache, TTLCache
from django.conf import settings
from django.db import DatabaseError

from archive import jobs, meters
from archive.errors import UndecodableError
from archive.frame_entry import Entry, pack, unpack

if TYPE_CHECKING:
    from archive.shared_frames import Redis

logger = logging.getLogger(__name__)

_REFUSALS_KEPT_S = 60.0
# After this much was written, a job looks whether the folder is still within its bound.
LOOK_AFTER_BYTES = 128 * 1024**2
# The file's time is its last use; it is written at most this often.
_TOUCH_EVERY_S = 3600.0
_TRIM_TO = 0.9


class _Memory:
    """The most recently used entries, bounded by their bytes."""

    def __init__(self, most_bytes: int) -> None:
        self._entries: LRUCache[str, Entry] = LRUCache(most_bytes, lambda entry: entry.size_bytes)
        self._lock = threading.Lock()

    def get(self, key: str) -> Entry | None:
        with self._lock:
            return self._entries.get(key)

    def put(self, key: str, entry: Entry) -> None:
        if entry.size_bytes > self._entries.maxsize:
            return
        with self._lock:
            self._entries[key] = entry


class _Disk:
    """One file an entry, checked when it is read; written beside and renamed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._written = 0
        self._lock = threading.Lock()

    def path(self, key: str) -> Path:
        return self.root / key[:2] / key

    def get(self, key: str) -> Entry | None:
        path = self.path(key)
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            logger.warning("Cannot read the frame cache: %s", error)
            return None
        entry = unpack(raw)
        if entry is None:
            # Cut off by a power failure: nothing there was synced, and it can be made again.
            path.unlink(missing_ok=True)
            return None
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < time.time() - _TOUCH_EVERY_S:
                os.utime(path)
        return entry

    def put(self, key: str, entry: Entry) -> None:
        path = self.path(key)
        raw = pack(entry)
        try:
            try:
                descriptor, name = tempfile.mkstemp(prefix=".", dir=path.parent)
            except FileNotFoundError:
                path.parent.mkdir(parents=True, exist_ok=True)
                descriptor, name = tempfile.mkstemp(prefix=".", dir=path.parent)
            with os.fdopen(descriptor, "wb", buffering=0) as handle:
                handle.write(raw)
            Path(name).rename(path)
        except OSError as error:
            # A full disk costs speed, not the picture.
            logger.warning("Cannot write to the frame cache: %s", error)
            return
        with self._lock:
            self._written += len(raw)
            is_due = self._written >= LOOK_AFTER_BYTES
            if is_due:
                self._written = 0
        if is_due:
            try:
                jobs.enqueue("frame_cache.trim", "disk")
            except DatabaseError as error:
                # The picture is made; the next one that is written asks again.
                logger.warning("Cannot ask for a trim of the frame cache: %s", error)
                with self._lock:
                    self._written = LOOK_AFTER_BYTES


def look_soon() -> None:
    """Ask for a look whether what is kept on disk is still within its bound."""
    try:
        jobs.enqueue("frame_cache.trim", "disk")
    except DatabaseError as error:
        # What was made is there; the next one that is written asks again.
        logger.warning("Cannot ask for a trim of the frame cache: %s", error)


@dataclass(slots=True)
class FrameCache:
    """Memory, then disk or Redis where there is one, and one maker a key."""

    name: str
    memory: _Memory
    below: _Disk | Redis | None
    _making: dict[str, Future[Entry]] = field(default_factory=dict)
    _refused: TTLCache[str, str] = field(
        default_factory=lambda: TTLCache(maxsize=10_000, ttl=_REFUSALS_KEPT_S)
    )
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def peek(self, key: str) -> Entry | None:
        """Return an entry that is in memory; never waits for a disk."""
        entry = self.memory.get(key)
        if entry is not None:
            self._note("memory")
        return entry

    def get(self, key: str) -> Entry | None:
        """Return an entry that was made before."""
        entry = self.peek(key)
        if entry is None and self.below is not None:
            entry = self.below.get(key)
            if entry is not None:
                self.memory.put(key, entry)
                self._note("below")
        return entry

    def get_or_make(
        self,
        key: str,
        make: Callable[[], Entry],
        *,
        refusal_key: str = "",
        is_kept_below: bool = True,
    ) -> Entry:
        """Return an entry, made by this caller or by another one that was faster.

        Parameters
        ----------
        key : from :func:`key_of`
        make : called at most once at a time for a key in this process
        refusal_key : under which an `UndecodableError` is remembered for a minute, so that a bad
            frame that is asked for in every form is decoded once
        is_kept_below : whether it is worth a file, or a place that others share

        Raises
        ------
        UndecodableError
            What `make` raised now, or within the last minute.
        """
        entry = self.get(key)
        if entry is not None:
            return entry
        with self._lock:
            reason = self._refused.get(refusal_key or key)
            if reason is not None:
                self._note("refused")
                raise UndecodableError(reason)
            waiting = self._making.get(key)
            mine: Future[Entry] = Future()
            if waiting is None:
                self._making[key] = mine
        if waiting is not None:
            self._note("awaited")
            return waiting.result()
        self._note("nowhere")
        try:
            # Another thread may have finished between the look and the lock.
            entry = self.memory.get(key)
            if entry is None:
                with meters.FRAMES_MADE.labels(self.name).time():
                    entry = make()
        except BaseException as error:
            if isinstance(error, UndecodableError):
                with self._lock:
                    self._refused[refusal_key or key] = str(error)
            self._finish(key)
            mine.set_exception(error)
            # Nobody may be waiting: a future whose error is never asked for is no fault.
            mine.exception()
            raise
        self.memory.put(key, entry)
        self._finish(key)
        mine.set_result(entry)
        if self.below is not None and is_kept_below:
            self.below.put(key, entry)
        return entry

    def put(self, key: str, entry: Entry) -> None:
        """Keep in memory what was made beside something that was asked for."""
        self.memory.put(key, entry)

    def _note(self, found: str) -> None:
        meters.start()
        meters.FRAMES_ASKED.labels(self.name, found).inc()

    def _finish(self, key: str) -> None:
        with self._lock:
            del self._making[key]


def key_of(*parts: object) -> str:
    """Return the key of what `parts` name, in hex."""
    text = "\0".join(str(part) for part in parts)
    return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()


# Keyed by the site's folder, so that a changed setting means another cache.
_rendered: dict[Path, FrameCache] = {}
_decoded: dict[Path, FrameCache] = {}
_making_lock = threading.Lock()


def rendered() -> FrameCache:
    """Return the cache of pictures as they leave: in memory, and below `CACHE_DIR` or in Redis."""
    root: Path = settings.CACHE_DIR / "frames"
    cache = _rendered.get(root)
    if cache is None:
        with _making_lock:
            memory = _Memory(settings.FRAME_MEMORY_CACHE_BYTES)
            below = _shared() if settings.FRAMES_IN_REDIS else _Disk(root)
            cache = _rendered.setdefault(root, FrameCache("rendered", memory, below))
    return cache


def _shared() -> Redis:
    # Redis' client is large; most processes never need it.
    from archive.shared_frames import Redis  # noqa: PLC0415

    return Redis(settings.REDIS_URL)


def decoded() -> FrameCache:
    """Return the small cache of exact frames that cost a decoder its time; in memory alone."""
    root: Path = settings.CACHE_DIR
    cache = _decoded.get(root)
    if cache is None:
        with _making_lock:
            memory = _Memory(settings.FRAME_MEMORY_CACHE_BYTES // 3)
            cache = _decoded.setdefault(root, FrameCache("decoded", memory, None))
    return cache


def forget_memory() -> None:
    """Drop what is in memory; what is on disk stays."""
    _rendered.clear()
    _decoded.clear()


def _after_fork() -> None:
    """Start anew in a child: the parent's locks may be held by threads that are not here."""
    global _making_lock  # noqa: PLW0603
    _making_lock = threading.Lock()
    forget_memory()


os.register_at_fork(after_in_child=_after_fork)


@jobs.handler("frame_cache.trim")
def _trim() -> None:
    trim()


def trim() -> int:
    """Drop what was not used for the longest time until pictures and videos are within the bound.

    Returns
    -------
    bytes that were freed
    """
    roots = [settings.CACHE_DIR / "frames", settings.CACHE_DIR / "videos"]
    found: list[tuple[float, int, str]] = []
    total = 0
    for folder, _, names in itertools.chain.from_iterable(map(os.walk, roots)):
        for name in names:
            path = os.path.join(folder, name)  # noqa: PTH118 - hundreds of thousands of them
            with contextlib.suppress(FileNotFoundError):
                status = os.stat(path)  # noqa: PTH116
                # Whole blocks: small files take more than their length.
                size = status.st_blocks * 512
                found.append((status.st_mtime, size, path))
                total += size
    if total <= settings.FRAME_DISK_CACHE_BYTES:
        return 0
    goal = int(settings.FRAME_DISK_CACHE_BYTES * _TRIM_TO)
    freed = 0
    found.sort()
    for _, size, path in found:
        if total - freed <= goal:
            break
        Path(path).unlink(missing_ok=True)
        freed += size
    logger.info("The frame cache was trimmed by %d MB.", freed // 10**6)
    return freed
