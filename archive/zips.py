"""Zip archives from outside: opened as a stream, within limits, without writing a member's name.

Names of members are shown to people and never become paths. What a bomb may cost is bounded before
anything is unpacked: the table of contents by its bytes and entries, the unpacked sum by size and
by its ratio to the archive. `zipfile` never gives more of a member than that table declares, so
the sum holds while unpacking.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, Protocol

from django.conf import settings

from archive.errors import InvalidInputError, TooLargeError

# The other methods unpack without bound (bzip2, LZMA) in Python's zipfile.
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_IS_ENCRYPTED = 0x1
_ENTRY_MARK = b"PK\x01\x02"
_MOST_DIRECTORY_BYTES = 64 * 1024**2
# Below this the ratio says nothing: a small archive of blank pictures packs 1000:1.
_RATIO_COUNTS_ABOVE_BYTES = 64 * 1024**2

_DAMAGED = "damaged inside the archive. Pack it again from its source."


class Readable(Protocol):
    """What is read in pieces."""

    def read(self, size: int = ..., /) -> bytes:
        """Return up to `size` bytes, none at the end."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file of an archive; `problem` says in words why it cannot be read."""

    name: str
    size_bytes: int
    problem: str
    open: Callable[[], Readable]


class _TableGuard:
    """A stream that refuses an overlong table of contents while `zipfile` reads it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.is_reading_table = True

    def read(self, size: int = -1) -> bytes:
        if not self.is_reading_table:
            return self._stream.read(size)
        if size > _MOST_DIRECTORY_BYTES:
            raise _too_many()
        data = self._stream.read(_MOST_DIRECTORY_BYTES + 1 if size < 0 else size)
        if len(data) > _MOST_DIRECTORY_BYTES:
            raise _too_many()
        if data.count(_ENTRY_MARK) > settings.MAX_ARCHIVE_MEMBERS:
            raise _too_many()
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def seekable(self) -> bool:
        return True


class _MemberReader:
    """A member's bytes; a damaged member is an `InvalidInputError`."""

    def __init__(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
        with _damage_in_words():
            self._handle = archive.open(info)

    def read(self, size: int = -1) -> bytes:
        with _damage_in_words():
            return self._handle.read(size)


@contextmanager
def _damage_in_words() -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        raise InvalidInputError(_DAMAGED) from error


def members(stream: BinaryIO) -> Iterator[Member]:
    """Yield the files of a zip archive in the order of its table of contents.

    Parameters
    ----------
    stream : seekable, at any position

    Raises
    ------
    TooLargeError
        Before the first member, when the archive holds or unpacks to more than
        `MAX_ARCHIVE_MEMBERS`, `MAX_ARCHIVE_BYTES` or `MAX_ARCHIVE_RATIO` allow.
    InvalidInputError
        When it is no readable zip archive.
    """
    archive_bytes = stream.seek(0, 2)
    stream.seek(0)
    guard = _TableGuard(stream)
    try:
        archive = zipfile.ZipFile(guard)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        raise InvalidInputError(
            "The zip archive is damaged or incomplete: its table of contents cannot be read. "
            "Pack it again."
        ) from error
    guard.is_reading_table = False
    with archive:
        files = [info for info in archive.infolist() if not info.is_dir()]
        _check_limits(files, archive_bytes)
        for info in files:
            yield Member(
                name=info.filename,
                size_bytes=info.file_size,
                problem=_problem(info),
                open=partial(_MemberReader, archive, info),
            )


def _check_limits(files: list[zipfile.ZipInfo], archive_bytes: int) -> None:
    if len(files) > settings.MAX_ARCHIVE_MEMBERS:
        raise _too_many()
    unpacked = sum(info.file_size for info in files)
    if unpacked > settings.MAX_ARCHIVE_BYTES:
        raise TooLargeError(
            f"The archive unpacks to {unpacked // 2**20} MiB; at most "
            f"{settings.MAX_ARCHIVE_BYTES // 2**20} MiB are taken at once. Send it in parts."
        )
    ratio = unpacked / max(archive_bytes, 1)
    if unpacked > _RATIO_COUNTS_ABOVE_BYTES and ratio > settings.MAX_ARCHIVE_RATIO:
        raise TooLargeError(
            f"The archive unpacks to {ratio:.0f} times its size, as archives do that are made to "
            f"fill disks; at most {settings.MAX_ARCHIVE_RATIO} times is taken. "
            "Send the files without packing them."
        )


def _too_many() -> TooLargeError:
    return TooLargeError(
        f"The archive holds more than {settings.MAX_ARCHIVE_MEMBERS} files, the most that are "
        "taken at once. Send it in parts."
    )


def _problem(info: zipfile.ZipInfo) -> str:
    if info.flag_bits & _IS_ENCRYPTED:
        return "protected by a password. Unpack it first, then send the files."
    if info.compress_type not in _METHODS:
        return (
            "packed by a method that is not opened here. "
            "Pack the archive again with the usual method (deflate)."
        )
    return ""
