"""Bytes on their way in: written to the spool folder, hashed while they pass, never trusted.

The spool lies on the store's file system, so that the store takes a file by linking it.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from django.conf import settings

from archive.errors import StoreUnavailableError, TooLargeError

CHUNK_BYTES = 1024 * 1024


@dataclass(slots=True)
class Spooled:
    """A file in the spool; a context manager that removes it at the end."""

    path: Path
    size_bytes: int

    def __enter__(self) -> Spooled:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.path.unlink(missing_ok=True)


def spool_chunks(chunks: Iterable[bytes], *, most_bytes: int | None = None) -> Spooled:
    """Write `chunks` into a new spool file.

    Parameters
    ----------
    chunks : the content in order
    most_bytes : limit; `settings.MAX_INSTANCE_BYTES` by default

    Raises
    ------
    TooLargeError
        Past the limit; nothing is left behind.
    StoreUnavailableError
        When the disk takes no more.
    """
    limit = settings.MAX_INSTANCE_BYTES if most_bytes is None else most_bytes
    folder: Path = settings.DICOM_SPOOL_DIR
    path: Path | None = None
    size = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix="in-", suffix=".part", dir=folder)
        path = Path(name)
        with os.fdopen(descriptor, "wb", buffering=0) as handle:
            for chunk in chunks:
                size += len(chunk)
                _check_size(size, limit)
                handle.write(chunk)
    except OSError as error:
        if path is not None:
            path.unlink(missing_ok=True)
        raise StoreUnavailableError(
            f"The archive cannot write files now: {error.strerror}. Try again later."
        ) from error
    except BaseException:
        if path is not None:
            path.unlink(missing_ok=True)
        raise
    return Spooled(path=path, size_bytes=size)


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise TooLargeError(f"The file is larger than {limit} bytes, the most this archive takes.")


def spool_file(source: BinaryIO, *, most_bytes: int | None = None) -> Spooled:
    """Spool what is left to read in `source`."""
    return spool_chunks(iter(lambda: source.read(CHUNK_BYTES), b""), most_bytes=most_bytes)


def rewrite_header(spooled: Spooled, header: bytes, data_set_offset: int) -> Spooled:
    """Spool the same data set under another Part 10 header.

    Parameters
    ----------
    header : preamble, prefix and File Meta Information
    data_set_offset : where the data set begins in `spooled`
    """

    def chunks() -> Iterable[bytes]:
        yield header
        with spooled.path.open("rb") as handle:
            handle.seek(data_set_offset)
            yield from iter(lambda: handle.read(CHUNK_BYTES), b"")

    return spool_chunks(chunks(), most_bytes=settings.MAX_INSTANCE_BYTES + len(header))


def starts_with(spooled: Spooled, header: bytes) -> bool:
    """Whether the file already lies under exactly this Part 10 header."""
    with spooled.path.open("rb") as handle:
        return handle.read(len(header)) == header


def digests(path: Path, data_set_offset: int) -> tuple[str, str]:
    """Return SHA-256 (hex) of the whole file and of its data set."""
    whole = hashlib.sha256()
    data_set = hashlib.sha256()
    with path.open("rb") as handle:
        whole.update(handle.read(data_set_offset))
        while chunk := handle.read(CHUNK_BYTES):
            whole.update(chunk)
            data_set.update(chunk)
    return whole.hexdigest(), data_set.hexdigest()
