"""A data set on its way from the network into the spool.

It is written under our own Part 10 header as it comes, so that the archive links the very file that
was received: no copy, no decoding. Every open file is locked; a file without its lock was left by a
receiver that died, and `archive.reconcile` takes it back.
"""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import os
import time
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
# Buffers to use again: fresh memory costs as much as what is copied into it.
_MOST_BUFFERS = 16
_buffers: list[bytearray] = []


class DataSetStream:
    """A spool file that grows; `discard` removes it whatever has happened before.

    Parameters
    ----------
    header : preamble, prefix and File Meta Information that stand before the data set

    Raises
    ------
    OSError
        From every method, when the disk takes no more.
    """

    def __init__(self, header: bytes) -> None:
        self.path, self._descriptor = _create(settings.DICOM_SPOOL_DIR)
        self._buffer = _take_buffer()
        self._filled = 0
        self._spooled: Spooled | None = None
        self._digest: Hash | None = None
        self.size_bytes = 0
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.discard()
            raise
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
        self._buffer[self._filled : end] = fragment
        self._filled = end

    def _spill(self) -> None:
        """Write what the buffer holds to the disk, and hash it."""
        self._write_through(memoryview(self._buffer)[: self._filled])
        self._filled = 0

    def _write_through(self, view: memoryview) -> None:
        if self._digest is None:
            self._digest = hashlib.sha256()
        self._digest.update(view)
        self._write_out(view)

    def _write_out(self, view: memoryview) -> None:
        while view:
            view = view[os.write(self._descriptor, view) :]

    def finish(self) -> Spooled:
        """Hand the file's content over to the operating system and return it; `discard` is due."""
        if self._digest is None:
            content = memoryview(self._buffer)[: self._filled].toreadonly()
            self._write_out(content)
            self._spooled = Spooled(self.path, self.size_bytes, content)
        else:
            self._spill()
            self._spooled = Spooled(self.path, self.size_bytes, sha256=self._digest.hexdigest())
        return self._spooled

    def discard(self) -> None:
        """Remove the file's name from the spool and close it; what the archive linked stays.

        What `finish` returned holds no content any more.
        """
        if self._descriptor < 0:
            return
        descriptor, self._descriptor = self._descriptor, -1
        self.path.unlink(missing_ok=True)
        os.close(descriptor)
        if self._spooled is not None:
            self._spooled.content = None
        if len(_buffers) < _MOST_BUFFERS:
            _buffers.append(self._buffer)


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
