"""A data set on its way from the network into the spool.

It is written under our own Part 10 header as it comes, so that the archive links the very file that
was received: no copy, no decoding. Every open file is locked; a file without its lock was left by a
receiver that died, and its sender was never answered.
"""

from __future__ import annotations

import fcntl
import logging
import os
import tempfile
from pathlib import Path

from django.conf import settings

from archive.spool import Spooled

logger = logging.getLogger(__name__)

_PREFIX = "dimse-"
_SUFFIX = ".part"
# Senders' PDUs are often 16 KiB: fewer, larger writes cost less.
_BUFFER_BYTES = 256 * 1024


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
        folder: Path = settings.DICOM_SPOOL_DIR
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=_PREFIX, suffix=_SUFFIX, dir=folder)
        self.path = Path(name)
        self._file = os.fdopen(descriptor, "wb", buffering=_BUFFER_BYTES)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._file.write(header)
        except OSError:
            self.discard()
            raise
        self.size_bytes = len(header)

    def write(self, fragment: bytes | memoryview) -> None:
        """Append the next fragment."""
        self._file.write(fragment)
        self.size_bytes += len(fragment)

    def finish(self) -> Spooled:
        """Hand the file's content over to the operating system and return it; `discard` is due."""
        self._file.flush()
        return Spooled(path=self.path, size_bytes=self.size_bytes)

    def discard(self) -> None:
        """Remove the file's name from the spool and close it; what the archive linked stays."""
        self.path.unlink(missing_ok=True)
        try:
            self._file.close()
        except OSError:
            # A full disk: what the buffer still held goes with the file.
            logger.info("The rest of %s could not be written and was dropped", self.path.name)


def sweep() -> int:
    """Remove what receivers that died left in the spool; returns how many files.

    Files that a living receiver writes are locked and stay.
    """
    removed = 0
    for path in settings.DICOM_SPOOL_DIR.glob(f"{_PREFIX}*{_SUFFIX}"):
        try:
            with path.open("rb") as handle:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
                removed += 1
        except (BlockingIOError, FileNotFoundError):
            continue
    return removed
