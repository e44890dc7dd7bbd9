"""How large and how late the head of a request may be, where uvicorn serves.

uvicorn's parser joins what comes of an address or a header until its end comes: a head without end
fills the memory, and joining it, a copy for each piece, stops the event loop for everybody. nginx
and Daphne have limits; uvicorn's command line has none for this parser. See docs/adr/0067.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

# As uvicorn's other parser, h11, has it; a read of the event loop comes on top.
MOST_HEAD_BYTES = 64 * 1024
# From the connection, or the first byte of a further request, to the empty line.
HEAD_TIMEOUT_S = 30.0


def _answer(status: str, words: str) -> bytes:
    """Return an answer to what never becomes a request, with the headers of all others."""
    return (
        f"HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\n"
        f"content-length: {len(words)}\r\nx-content-type-options: nosniff\r\n"
        "x-frame-options: DENY\r\nreferrer-policy: same-origin\r\ncache-control: no-store\r\n"
        "content-security-policy: default-src 'none'; frame-ancestors 'none'\r\n"
        f"connection: close\r\n\r\n{words}"
    ).encode("ascii")


_TOO_LARGE = _answer(
    "431 Request Header Fields Too Large",
    "The address or the headers are longer than 64 KiB. Ask for less at once.",
)
_NOT_HTTP = _answer("400 Bad Request", "This is no request of HTTP/1.1.")


def bound() -> None:
    """Bound the heads of requests of this process; without effect where uvicorn does not serve."""
    if "uvicorn" not in sys.modules:
        return
    try:
        from uvicorn.protocols.http import httptools_impl  # noqa: PLC0415 - only under uvicorn
    except ImportError:
        return
    _bound(httptools_impl.HttpToolsProtocol)


def _bound(protocol: Any) -> None:  # noqa: ANN401 - uvicorn's class
    if getattr(protocol, "has_bounded_heads", False):
        return
    protocol.has_bounded_heads = True
    made, lost, received = (
        protocol.connection_made,
        protocol.connection_lost,
        protocol.data_received,
    )

    def connection_made(self: Any, transport: Any) -> None:  # noqa: ANN401
        made(self, transport)
        self.unread_bytes = 0
        self.head_deadline = self.loop.call_later(HEAD_TIMEOUT_S, transport.abort)

    def connection_lost(self: Any, exc: Exception | None) -> None:  # noqa: ANN401
        self.head_deadline.cancel()
        lost(self, exc)

    def data_received(self: Any, data: bytes) -> None:  # noqa: ANN401
        self.has_moved = False
        received(self, data)
        if self.has_moved:
            self.unread_bytes = 0
            return
        # Part of a head, of what follows the last chunk of a body, or of a chunk's own head.
        self.unread_bytes += len(data)
        if self.unread_bytes > MOST_HEAD_BYTES:
            if self.cycle is None or self.cycle.response_complete:
                self.transport.write(_TOO_LARGE)
            self.transport.close()

    def send_400_response(self: Any, _msg: str) -> None:  # noqa: ANN401
        self.transport.write(_NOT_HTTP)
        self.transport.close()

    def begin(self: Any) -> None:  # noqa: ANN401
        self.head_deadline.cancel()
        self.head_deadline = self.loop.call_later(HEAD_TIMEOUT_S, self.transport.abort)

    def end(self: Any) -> None:  # noqa: ANN401
        self.head_deadline.cancel()

    protocol.connection_made = connection_made
    protocol.connection_lost = connection_lost
    protocol.data_received = data_received
    protocol.send_400_response = send_400_response
    protocol.on_message_begin = _moving(protocol.on_message_begin, begin)
    protocol.on_headers_complete = _moving(protocol.on_headers_complete, end)
    protocol.on_body = _moving(protocol.on_body, None)


def _moving(inner: Callable[..., None], also: Callable[..., None] | None) -> Callable[..., None]:
    """Return a step of the parser that says that something was understood."""

    def step(self: Any, *values: bytes) -> None:  # noqa: ANN401
        self.has_moved = True
        if also is not None:
            also(self)
        inner(self, *values)

    return step
