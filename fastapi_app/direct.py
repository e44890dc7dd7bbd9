"""Long answers that threads write to the caller's socket themselves.

An event loop writes while it holds the interpreter's lock: nothing else is read, looked up or drawn
while the kernel copies. A thread that calls `sendmsg` lets go of it. uvicorn offers applications no
such way; this takes the connection's socket from its `send` where that is what it is known to be,
writes the body of an answer whose length is known, and tells uvicorn how much that was, so that it
still notices an answer that is too short. Everywhere else (TLS, another server) there is none, and
answers go the ordinary way. See docs/adr/0065.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from starlette.types import Scope, Send

KEY = "noctis.send"
_SERVER = "uvicorn.protocols.http.httptools_impl"
# A thread waits for a reader as long as this; after that the event loop does.
_WAIT_MS = 20
_LOOK_EVERY_S = 0.001


class GoneError(Exception):
    """The caller has closed the connection."""


def note(scope: Scope, send: Send) -> None:
    """Keep the server's own `send` for `connection_of`: layers around it hide it."""
    scope[KEY] = send


def connection_of(scope: Scope) -> Connection | None:
    """Return the connection of a request where threads may write to it."""
    server = sys.modules.get(_SERVER)
    cycle = getattr(scope.get(KEY), "__self__", None)
    if server is None or not isinstance(cycle, server.RequestResponseCycle):
        return None
    transport = cycle.transport
    if transport.is_closing() or transport.get_extra_info("sslcontext") is not None:
        return None
    its_socket = transport.get_extra_info("socket")
    return None if its_socket is None else Connection(cycle, its_socket.fileno())


class Connection:
    """A caller's connection between the head of an answer and its end.

    Parameters
    ----------
    cycle : uvicorn's request and response
    descriptor : of the socket; a copy of it is used, so that nobody else's is ever written to
    """

    def __init__(self, cycle: Any, descriptor: int) -> None:  # noqa: ANN401 - uvicorn's own
        self._cycle = cycle
        self._socket = socket.socket(fileno=os.dup(descriptor))
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLOUT)
        self._written = 0

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._cycle.expected_content_length -= self._written
        self._socket.close()

    async def is_free(self) -> None:
        """Wait until the event loop has written what came before, the answer's head."""
        while self._cycle.transport.get_write_buffer_size():
            await asyncio.sleep(_LOOK_EVERY_S)

    async def is_writable(self) -> None:
        """Wait until the caller has taken some of what was written, or has gone."""
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_writer(self._socket, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_writer(self._socket)

    def write(self, pieces: Sequence[bytes | memoryview]) -> list[memoryview]:
        """Write as much as the caller takes without delay; returns what is left. For threads.

        Raises
        ------
        GoneError
            When there is nobody to take it.
        """
        rest = [memoryview(piece) for piece in pieces if len(piece)]
        while rest:
            try:
                count = self._socket.sendmsg(rest, [], socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            except BlockingIOError:
                if not self._poll.poll(_WAIT_MS):
                    break
                continue
            except OSError as error:
                raise GoneError from error
            self._written += count
            rest = _after(rest, count)
        return rest


def _after(pieces: list[memoryview], count: int) -> list[memoryview]:
    for at, piece in enumerate(pieces):
        if count < len(piece):
            return [piece[count:], *pieces[at + 1 :]]
        count -= len(piece)
    return []
