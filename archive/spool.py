"""Bytes on their way in: written to the spool folder, hashed while they pass, never trusted.

The spool lies on the store's file system, so that the store takes a file by linking it.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import socket
import tempfile
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from django.conf import settings

from archive.errors import StoreUnavailableError, TooLargeError

CHUNK_BYTES = 1024 * 1024
# What is not larger stays in memory until the store wants a file of it.
HELD_BYTES = 1024 * 1024
PREFIX = "in-"


class Spooled:
    """A file in the spool; a context manager that removes it at the end.

    Parameters
    ----------
    path : where it is, or what writes it when somebody asks: most instances go from memory straight
        into the store
    content : the whole file in memory too, where it is small and came so
    sha256 : of the whole file (hex) where it was computed while it came, or what waits for it
    """

    __slots__ = ("_path", "_sha256", "content", "size_bytes")

    def __init__(
        self,
        path: Path | Callable[[], Path],
        size_bytes: int,
        content: memoryview | None = None,
        sha256: str | Callable[[], str] | None = None,
    ) -> None:
        self._path = path
        self.size_bytes = size_bytes
        self.content = content
        self._sha256 = sha256

    @property
    def path(self) -> Path:
        """Where it is in the spool.

        Raises
        ------
        StoreUnavailableError
            When it has to be written first and the disk takes no more.
        """
        if not isinstance(self._path, Path):
            try:
                self._path = self._path()
            except OSError as error:
                raise disk_refuses(error) from error
        return self._path

    @property
    def source(self) -> Path | memoryview:
        """What is quickest to read the file from."""
        return self.path if self.content is None else self.content

    def digest(self) -> str:
        """Return the SHA-256 of the whole file in hex."""
        if isinstance(self._sha256, str):
            return self._sha256
        if self._sha256 is not None:
            found = self._sha256()
        elif self.content is not None:
            found = hashlib.sha256(self.content).hexdigest()
        else:
            found = digest(self.path)
        self._sha256 = found
        return found

    def __enter__(self) -> Spooled:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(self._path, Path):
            self._path.unlink(missing_ok=True)


def spool_chunks(
    chunks: Iterable[bytes | memoryview], *, most_bytes: int | None = None, hashes: bool = False
) -> Spooled:
    """Write `chunks` into a new spool file.

    Parameters
    ----------
    chunks : the content in order
    most_bytes : limit; `settings.MAX_INSTANCE_BYTES` by default
    hashes : compute the digest on the way; not worth it where the header may be replaced

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
    digest = hashlib.sha256()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(
            prefix=f"{_mark()}{os.getpid()}-", suffix=".part", dir=folder
        )
        path = Path(name)
        with os.fdopen(descriptor, "wb", buffering=0) as handle:
            for chunk in chunks:
                size += len(chunk)
                _check_size(size, limit)
                if hashes:
                    digest.update(chunk)
                handle.write(chunk)
    except OSError as error:
        if path is not None:
            path.unlink(missing_ok=True)
        raise disk_refuses(error) from error
    except BaseException:
        if path is not None:
            path.unlink(missing_ok=True)
        raise
    return Spooled(path=path, size_bytes=size, sha256=digest.hexdigest() if hashes else None)


def spool_or_hold(chunks: Iterable[bytes]) -> Spooled:
    """Keep `chunks` in memory if they are few, else write them into a new spool file.

    Raises
    ------
    TooLargeError, StoreUnavailableError
        See `spool_chunks`.
    """
    held = bytearray()
    rest = iter(chunks)
    for chunk in rest:
        held += chunk
        _check_size(len(held), settings.MAX_INSTANCE_BYTES)
        if len(held) > HELD_BYTES:
            return spool_chunks(itertools.chain([bytes(held)], rest))
    return hold(held)


def hold(content: bytes | bytearray) -> Spooled:
    """Return a file that is in memory; it is written into the spool when somebody asks for it."""
    view = memoryview(content).toreadonly()
    return Spooled(lambda: spool_chunks([view], most_bytes=len(view)).path, len(view), view)


class Growing:
    """A spool file that is written piece by piece, for bodies that come in an event loop.

    Parameters
    ----------
    most_bytes : limit; `settings.MAX_INSTANCE_BYTES` by default

    Raises
    ------
    TooLargeError
        From `write`, past the limit.
    StoreUnavailableError
        From every method, when the disk takes no more.
    """

    def __init__(self, *, most_bytes: int | None = None) -> None:
        self._limit = settings.MAX_INSTANCE_BYTES if most_bytes is None else most_bytes
        folder: Path = settings.DICOM_SPOOL_DIR
        self.size_bytes = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._descriptor, name = tempfile.mkstemp(
                prefix=f"{_mark()}{os.getpid()}-", suffix=".part", dir=folder
            )
        except OSError as error:
            raise disk_refuses(error) from error
        self.path = Path(name)

    def write(self, piece: bytes | memoryview) -> None:
        """Append a piece."""
        self.size_bytes += len(piece)
        _check_size(self.size_bytes, self._limit)
        write_all(self._descriptor, piece)

    def finish(self) -> Spooled:
        """Return the whole file; it is its caller's to remove."""
        descriptor, self._descriptor = self._descriptor, -1
        try:
            os.close(descriptor)
        except OSError as error:
            raise disk_refuses(error) from error
        return Spooled(self.path, self.size_bytes)

    def discard(self) -> None:
        """Remove an unfinished file; harmless after `finish`, and twice."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
            self.path.unlink(missing_ok=True)


def is_abandoned(path: Path) -> bool:
    """Whether a spool file is of a process of this machine that no longer exists."""
    mark = _mark()
    if not path.name.startswith(mark):
        return False
    number = path.name.removeprefix(mark).partition("-")[0]
    return number.isdigit() and not Path(f"/proc/{number}").exists()


@lru_cache(maxsize=1)
def _mark() -> str:
    """Return how names of this machine's spool files begin: a number means a process only here."""
    where = f"{socket.gethostname()} {os.stat('/proc/self/ns/pid').st_ino}"  # noqa: PTH116
    return f"{PREFIX}{hashlib.sha256(where.encode()).hexdigest()[:8]}-"


def write_all(descriptor: int, piece: bytes | memoryview) -> None:
    """Write a piece whole.

    Raises
    ------
    StoreUnavailableError
        When the disk takes no more.
    """
    view = memoryview(piece)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError as error:
        raise disk_refuses(error) from error


def disk_refuses(error: OSError) -> StoreUnavailableError:
    """Return what to say when the disk takes nothing."""
    return StoreUnavailableError(
        f"The archive cannot write files now: {error.strerror}. Try again later."
    )


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
    if spooled.content is not None:
        return hold(b"".join((header, spooled.content[data_set_offset:])))

    def chunks() -> Iterable[bytes]:
        yield header
        with spooled.path.open("rb") as handle:
            handle.seek(data_set_offset)
            yield from iter(lambda: handle.read(CHUNK_BYTES), b"")

    return spool_chunks(chunks(), most_bytes=settings.MAX_INSTANCE_BYTES + len(header), hashes=True)


def starts_with(spooled: Spooled, header: bytes) -> bool:
    """Whether the file already lies under exactly this Part 10 header."""
    if spooled.content is not None:
        return spooled.content[: len(header)] == header
    with spooled.path.open("rb") as handle:
        return handle.read(len(header)) == header


def digest(path: Path) -> str:
    """Return the SHA-256 (hex) of a file."""
    with path.open("rb", buffering=0) as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
