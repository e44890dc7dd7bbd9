"""Answers of any size: made piece by piece in threads, with a bound on memory and on patience.

While some pieces are on their way the next ones are made, a mebibyte or so, and no more. Where the
server lets them (`fastapi_app.direct`), threads write what they make themselves. A caller that
takes nothing for a while is left: what it holds belongs to others.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anyio import to_thread
from django.conf import settings
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from fastapi_app import direct, gate, limits
from fastapi_app.direct import Connection

logger = logging.getLogger(__name__)

PIECE_BYTES = 1024 * 1024
_SMALL_BYTES = 64 * 1024
# Shorter answers are not worth a way of their own.
_LONG_BYTES = 256 * 1024
# A thread writes for so long, then others have it.
_TURN_S = 0.25
_GONE_S = 5.0
Piece = bytes | memoryview


class BrokenStreamError(Exception):
    """What was promised cannot be sent to its end: the connection must break."""


class Stream(Response):
    """An answer whose body is an iterator of pieces.

    Parameters
    ----------
    pieces : read in threads, with a database at hand; closed when the caller goes away
    length : of the body in bytes; None: not known, sent in chunks
    """

    def __init__(
        self,
        pieces: Iterable[Piece],
        *,
        media_type: str,
        length: int | None = None,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status_code = status_code
        self.media_type = media_type
        self.background = None
        self._pieces = _gathered(iter(pieces))
        self.body = b""
        super().init_headers(headers)
        if length is None:
            del self.headers["content-length"]
        else:
            self.headers["content-length"] = str(length)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        start = {
            "type": "http.response.start",
            "status": self.status_code,
            "headers": self.raw_headers,
        }
        if scope["method"] == "HEAD":
            await send(start)
            await send({"type": "http.response.body", "body": b""})
            await to_thread.run_sync(self._pieces.close)
            return
        async with limits.stream_of(scope):
            # A server may swallow what is sent to somebody who has gone.
            gone = asyncio.create_task(_until_gone(receive))
            following: asyncio.Task[list[Piece] | None] = asyncio.create_task(self._next())
            try:
                # What fails before the first byte is still answered as an error.
                batch = await following
                await send(start)
                connection = self._connection(scope)
                if connection is not None:
                    with connection:
                        await self._write(connection, batch, gone)
                else:
                    while batch is not None and not gone.done():
                        following = asyncio.create_task(self._next())
                        for piece in batch:
                            message = {"body": bytes(piece), "more_body": True}
                            await _patiently(_body(send, message))
                        batch = await following
                await _patiently(_body(send, {"body": b"", "more_body": False}))
            finally:
                gone.cancel()
                if not following.done():
                    # A thread cannot be stopped: it ends its piece first.
                    await asyncio.wait([following])
                if not following.cancelled():
                    following.exception()
                await to_thread.run_sync(self._pieces.close)

    def _connection(self, scope: Scope) -> Connection | None:
        length = self.headers.get("content-length")
        if length is None or int(length) < _LONG_BYTES:
            return None
        return direct.connection_of(scope)

    async def _write(
        self, connection: Connection, batch: list[Piece] | None, gone: asyncio.Task[None]
    ) -> None:
        """Have threads write to the connection, and wait here for a slow caller."""
        await _patiently(connection.is_free())
        while batch is not None and not gone.done():
            try:
                batch, is_full = await to_thread.run_sync(self._write_in_thread, connection, batch)
            except direct.GoneError:
                # The server hears of it a moment later, and calls an answer until then too short.
                await asyncio.wait([gone], timeout=_GONE_S)
                return
            if is_full:
                await _patiently(connection.is_writable())

    def _write_in_thread(
        self, connection: Connection, batch: list[Piece]
    ) -> tuple[list[Piece] | None, bool]:
        """Make and write; returns what comes next, and whether the caller takes no more now."""
        until = time.monotonic() + _TURN_S
        following: list[Piece] | None = batch
        with gate.database():
            while following is not None:
                rest = connection.write(following)
                if rest:
                    return [*rest], True
                following = next(self._pieces, None)
                if time.monotonic() > until:
                    break
        return following, False

    async def _next(self) -> list[Piece] | None:
        return await to_thread.run_sync(self._next_in_thread)

    def _next_in_thread(self) -> list[Piece] | None:
        with gate.database():
            return next(self._pieces, None)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(send: Send, message: Mapping[str, Any]) -> None:
    await send({"type": "http.response.body", **message})


async def _patiently(step: Awaitable[None]) -> None:
    try:
        async with asyncio.timeout(settings.DICOMWEB_SEND_TIMEOUT_S):
            await step
    except TimeoutError as error:
        raise BrokenStreamError("The caller took nothing for too long.") from error


def _gathered(pieces: Iterator[Piece]) -> Generator[list[Piece], None, None]:
    """Put pieces into batches, each worth a thread's turn: small ones joined, large ones cut.

    What is between is not copied: a socket takes it as it is.
    """
    batch: list[Piece] = []
    small: list[Piece] = []
    size = 0
    try:
        for piece in pieces:
            size += len(piece)
            if len(piece) <= _SMALL_BYTES:
                small.append(piece)
            else:
                if small:
                    batch.append(b"".join(small))
                    small = []
                for part in _cut(piece):
                    batch.append(part)
                    if len(part) == PIECE_BYTES:
                        yield batch
                        batch, size = [], 0
            if size >= PIECE_BYTES:
                batch += [b"".join(small)] if small else []
                yield batch
                batch, small, size = [], [], 0
        if small:
            batch.append(b"".join(small))
        if batch:
            yield batch
    finally:
        close = getattr(pieces, "close", None)
        if close is not None:
            close()


def _cut(piece: Piece) -> Iterator[Piece]:
    if len(piece) <= PIECE_BYTES:
        yield piece
        return
    view = memoryview(piece)
    for at in range(0, len(view), PIECE_BYTES):
        yield view[at : at + PIECE_BYTES]


# Multipart -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a multipart/related message.

    Attributes
    ----------
    content_type : with its parameters
    pieces : of its content
    length : of its content in bytes; None: not known
    location : an address that names it
    """

    content_type: str
    pieces: Iterable[Piece]
    length: int | None = None
    location: str = ""


def multipart(
    parts: Iterable[Part],
    media_type: str,
    *,
    lengths: Sequence[tuple[str, int, str]] | None = None,
    status_code: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Stream:
    """Return parts as one multipart/related message (RFC 2387; PS3.18 section 8.6.1.2).

    Parameters
    ----------
    parts : made when their turn comes
    media_type : of the parts
    lengths : content type, length and location of every part, where all are known beforehand
    """
    boundary = secrets.token_hex(16)
    length = None
    if lengths is not None:
        length = len(boundary) + 6
        for content_type, size, location in lengths:
            length += len(_head(boundary, content_type, size, location)) + size + 2
    return Stream(
        _message(parts, boundary),
        media_type=f'multipart/related; type="{media_type}"; boundary={boundary}',
        length=length,
        status_code=status_code,
        headers=headers,
    )


def _message(parts: Iterable[Part], boundary: str) -> Iterator[Piece]:
    for part in parts:
        yield _head(boundary, part.content_type, part.length, part.location)
        yield from part.pieces
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()


def _head(boundary: str, content_type: str, length: int | None, location: str) -> bytes:
    lines = [f"--{boundary}", f"Content-Type: {content_type}"]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    if location:
        lines.append(f"Content-Location: {location}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")
