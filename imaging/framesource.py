"""Read the bytes of a frame from wherever the object is kept."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

from imaging.bytesource import InflateSource
from imaging.errors import DecodeError
from imaging.frametable import Fragment
from imaging.pixelfacts import PixelFacts, PixelLimits

FrameSource = Callable[[int, int], bytes] | Path | BinaryIO | bytes | bytearray | memoryview


def read_fragments(source: FrameSource, fragments: tuple[Fragment, ...]) -> bytes:
    """Read fragments and join them.

    Raises
    ------
    DecodeError
        If the source is shorter than the fragments say.
    """
    if isinstance(source, Path):
        with source.open("rb", buffering=0) as file:
            return read_fragments(file, fragments)
    parts = []
    for offset, length in fragments:
        if isinstance(source, bytes | bytearray | memoryview):
            part = bytes(source[offset : offset + length])
        elif callable(source):
            part = source(offset, length)
        else:
            source.seek(offset)
            part = source.read(length)
        if len(part) != length:
            raise DecodeError(
                "The stored file is shorter than when it was indexed. Check the storage."
            )
        parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


class _SequentialFile(io.RawIOBase):
    """A file over a read function; reads behind the end come back short."""

    def __init__(self, read: Callable[[int, int], bytes]) -> None:
        self._read_at = read
        self._position = 0

    def seek(self, position: int, whence: int = 0) -> int:
        self._position = position
        return position

    def read(self, size: int = -1) -> bytes:
        data = self._read_at(self._position, size)
        self._position += len(data)
        return data


def read_inflated(
    source: FrameSource, facts: PixelFacts, fragment: Fragment, limits: PixelLimits
) -> bytes:
    """Inflate a deflated data set up to the end of one frame (PS3.5 section A.5).

    Raises
    ------
    DecodeError
        If the data set is shorter than the fragment says.
    TruncatedError, LimitError
        See `imaging.bytesource.InflateSource`.
    """
    if isinstance(source, Path):
        with source.open("rb", buffering=0) as file:
            return read_inflated(file, facts, fragment, limits)
    stream: BinaryIO
    if isinstance(source, bytes | bytearray | memoryview):
        stream = io.BytesIO(source)
    elif callable(source):
        stream = cast("BinaryIO", _SequentialFile(source))
    else:
        stream = source
    inflated = InflateSource(stream, facts.data_set_offset, limits.inflated_bytes)
    data = inflated.peek(fragment.offset, fragment.length)
    if len(data) != fragment.length:
        raise DecodeError("The stored file is shorter than when it was indexed. Check the storage.")
    return data
