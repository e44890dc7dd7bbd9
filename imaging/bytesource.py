"""Where the bytes of an object come from, one bounded window at a time: file or deflated stream."""

import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from imaging.errors import LimitError, TruncatedError

Source = Path | BinaryIO | bytes | bytearray | memoryview

_WINDOW = 32 * 1024
_INFLATE_STEP = 64 * 1024


class ByteSource(Protocol):
    """Bytes that are looked at from front to back."""

    def window(self, position: int, size: int) -> bytes:
        """Return the bytes from `position` on: at least `size` of them, fewer only at the end."""
        ...

    def peek(self, position: int, size: int) -> bytes:
        """Return `size` bytes from `position` on, fewer only at the end."""
        ...

    def runs_past_end(self, position: int) -> bool:
        """Say whether `position` is known to lie behind the end; a stream may find out later."""
        ...


class FileSource:
    """A seekable file; never holds more than a window of it."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        self._file = file
        self._size = file.seek(0, io.SEEK_END)
        self._budget = limit

    def window(self, position: int, size: int) -> bytes:
        """See `ByteSource`."""
        data = self.peek(position, max(size, _WINDOW))
        self._budget -= len(data)
        if self._budget < 0:
            raise LimitError(
                "The header of the object is larger than this archive reads. "
                "Raise the header limit if such objects are wanted."
            )
        return data

    def peek(self, position: int, size: int) -> bytes:
        """See `ByteSource`."""
        if position >= self._size:
            return b""
        self._file.seek(position)
        return self._file.read(size)

    def runs_past_end(self, position: int) -> bool:
        """See `ByteSource`."""
        return position > self._size


class InflateSource:
    """The data set of a deflated object (PS3.5 section A.5), inflated as it is looked at.

    Positions count from the start of the inflated data set and may only grow.
    """

    def __init__(self, file: BinaryIO, offset: int, limit: int) -> None:
        file.seek(offset)
        head = file.read(2)
        file.seek(offset)
        # Some writers leave the zlib header on. As raw deflate 0x78 would open a stored block,
        # whose length check no second byte with a matching zlib check value passes.
        has_zlib_header = len(head) == 2 and head[0] == 0x78 and (head[0] << 8 | head[1]) % 31 == 0
        self._inflater = zlib.decompressobj(15 if has_zlib_header else -15)
        self._file = file
        self._pending = b""
        self._held = bytearray()
        self._base = 0
        self._limit = limit
        self._is_done = False

    def _inflate_more(self) -> None:
        if not self._pending:
            self._pending = self._file.read(_INFLATE_STEP)
        try:
            out = self._inflater.decompress(self._pending, _INFLATE_STEP)
        except zlib.error as error:
            raise TruncatedError(
                "The compressed data set cannot be inflated: the file is damaged. Send it again."
            ) from error
        if not out and not self._pending and not self._inflater.eof:
            raise TruncatedError(
                "The compressed data set ends too early: the file is cut off. Send it again."
            )
        self._pending = self._inflater.unconsumed_tail
        self._held += out
        self._is_done = self._inflater.eof
        if self._base + len(self._held) > self._limit:
            raise LimitError(
                f"The compressed data set inflates to more than {self._limit // 2**20} MiB. "
                "Raise the inflate limit if such objects are wanted."
            )

    def _drop_before(self, position: int) -> None:
        drop = min(position - self._base, len(self._held))
        if drop > 0:
            del self._held[:drop]
            self._base += drop

    def window(self, position: int, size: int) -> bytes:
        """See `ByteSource`."""
        self._drop_before(position)
        while not self._is_done and self._base + len(self._held) < position + max(size, 1):
            self._inflate_more()
            self._drop_before(position)
        return bytes(self._held) if self._base == position else b""

    def peek(self, position: int, size: int) -> bytes:
        """See `ByteSource`."""
        return self.window(position, size)[:size]

    def runs_past_end(self, position: int) -> bool:
        """See `ByteSource`."""
        return self._is_done and position > self._base + len(self._held)


class _ViewFile:
    """Bytes in memory, read as a file is; `BytesIO` would copy all of them first."""

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._position = 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position from the start or the end."""
        self._position = offset + (len(self._view) if whence == io.SEEK_END else 0)
        return self._position

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes, fewer at the end."""
        data = bytes(self._view[self._position : self._position + size])
        self._position += len(data)
        return data


@contextmanager
def opened(source: Source) -> Iterator[BinaryIO]:
    """Open a path, or wrap bytes; an open seekable file is passed through and stays open."""
    if isinstance(source, Path):
        with source.open("rb", buffering=0) as file:
            yield file
    elif isinstance(source, memoryview):
        yield cast("BinaryIO", _ViewFile(source))
    elif isinstance(source, bytes | bytearray):
        yield io.BytesIO(source)
    else:
        yield source
