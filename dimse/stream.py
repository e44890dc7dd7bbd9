"""A data set on its way from the network into the archive.

It is kept under our own Part 10 header as it comes: no decoding, no copy. What fits into a buffer
stays in memory, from where the store's journal takes it. What is larger, or what the journal does
not take, is a file in the spool, which the store links. Every open file is locked; a file without
its lock was left by a receiver that died, and `archive.reconcile` takes it back.
"""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import os
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

from archive.spool import Spooled

if TYPE_CHECKING:
    from hashlib import _Hash as Hash

_PREFIX = "dimse-"
_SUFFIX = ".part"
# What one instance may hold of the memory; nearly all are smaller and go to the disk in one write.
_BUFFER_BYTES = 1024 * 1024
_numbers = itertools.count()
# From this size on the digest is computed while the disk works: handing over costs 0.05 ms.
_PARALLEL_BYTES = 100 * 1024
_hashers = ThreadPoolExecutor(
    max_workers=min(max(4, os.cpu_count() or 1), 32), thread_name_prefix="dimse-hash"
)
# Buffers to use again: fresh memory costs as much as what is copied into it.
_MOST_BUFFERS = 16
_buffers: list[bytearray] = []


class DataSetStream:
    """A data set that grows; `discard` removes its file whatever has happened before.

    Parameters
    ----------
    header : preamble, prefix and File Meta Information that stand before the data set

    Raises
    ------
    OSError
        From every method, when the disk takes no more.
    """

    def __init__(self, header: bytes) -> None:
        self._path: Path | None = None
        self._descriptor = -1
        self._buffer: bytearray | None = _take_buffer()
        self._filled = 0
        self._spooled: Spooled | None = None
        self._digest: Hash | None = None
        self._hashing: Future[str] | None = None
        self.size_bytes = 0
        self.write(header)

    def write(self, fragment: bytes | memoryview) -> None:
        """Append the next fragment."""
        size = len(fragment)
        self.size_bytes += size
        end = self._filled + size
        if end > _BUFFER_BYTES:
            self._spill()
            if size > _BUFFER_BYTES:
                self._write_through(memoryview(fragment))
                return
            end = size
        assert self._buffer is not None  # noqa: S101 - nobody writes after `discard`
        self._buffer[self._filled : end] = fragment
        self._filled = end

    def _spill(self) -> None:
        """Write what the buffer holds to the disk, and hash it."""
        self._write_through(self._content)
        self._filled = 0

    @property
    def _content(self) -> memoryview:
        assert self._buffer is not None  # noqa: S101
        return memoryview(self._buffer)[: self._filled]

    def _write_through(self, view: memoryview) -> None:
        if self._digest is None:
            self._digest = hashlib.sha256()
        self._digest.update(view)
        self._write_out(view)

    def _write_out(self, view: memoryview) -> Path:
        path = self._open()
        while view:
            view = view[os.write(self._descriptor, view) :]
        return path

    def _open(self) -> Path:
        if self._path is None:
            self._path, self._descriptor = _create(settings.DICOM_SPOOL_DIR)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                self._remove()
                raise
        return self._path

    def finish(self) -> Spooled:
        """Return the whole; `discard` is due."""
        if self._digest is None:
            content = self._content.toreadonly()
            # One task for the whole, hidden behind the disk: digests of parts as they come cost
            # further switches between threads.
            if self.size_bytes >= _PARALLEL_BYTES:
                self._hashing = _hashers.submit(_hex_digest, content)
            digest = None if self._hashing is None else self._hashing.result
            self._spooled = Spooled(
                lambda: self._write_out(content), self.size_bytes, content, digest
            )
        else:
            self._spill()
            self._spooled = Spooled(self._open(), self.size_bytes, sha256=self._digest.hexdigest())
        return self._spooled

    def discard(self) -> None:
        """Remove the file's name from the spool and close it; what the archive linked stays.

        What `finish` returned holds no content any more.
        """
        if self._hashing is not None and not self._hashing.cancel():
            # The buffer is somebody else's in a moment.
            wait([self._hashing])
        if self._descriptor >= 0:
            self._remove()
        if self._spooled is not None:
            self._spooled.content = None
        buffer, self._buffer = self._buffer, None
        if buffer is not None and len(_buffers) < _MOST_BUFFERS:
            _buffers.append(buffer)

    def _remove(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        path, self._path = self._path, None
        if path is not None:
            path.unlink(missing_ok=True)
        os.close(descriptor)


def _hex_digest(content: memoryview) -> str:
    return hashlib.sha256(content).hexdigest()


def _take_buffer() -> bytearray:
    try:
        return _buffers.pop()
    except IndexError:
        return bytearray(_BUFFER_BYTES)


def _create(folder: Path) -> tuple[Path, int]:
    """Create a spool file that no other process and no earlier one of this number has."""
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
    while True:
        path = folder / f"{_PREFIX}{os.getpid()}-{time.time_ns():x}-{next(_numbers)}{_SUFFIX}"
        try:
            return path, os.open(path, flags, 0o600)
        except FileExistsError:
            continue
        except FileNotFoundError:
            folder.mkdir(parents=True, exist_ok=True)
