"""How much one person may ask for: so many requests at once, so large a body.

How many a minute is counted at every door alike: `accounts.shares`.
"""

from __future__ import annotations

import asyncio
import weakref

from cachetools import LRUCache
from django.conf import settings
from starlette.requests import Request
from starlette.types import Message, Receive, Scope

from archive.allowance import allowance
from archive.errors import TooLargeError

# Requests of one person that are worked on at the same time; the others wait their turn, so that
# somebody's hundred slow pictures leave threads for everybody else.
MOST_AT_ONCE = 12


# Of one event loop each: the embedded default and tests have several.
_turns: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, LRUCache[bytes, asyncio.Semaphore]] = (
    weakref.WeakKeyDictionary()
)


def turn_of(name: bytes) -> asyncio.Semaphore:
    """Return what bounds the requests of one caller at a time; for the running loop."""
    turns = _turns.setdefault(asyncio.get_running_loop(), LRUCache(4096))
    turn = turns.get(name)
    if turn is None:
        turn = turns[name] = asyncio.Semaphore(MOST_AT_ONCE)
    return turn


_streams: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, LRUCache[str, asyncio.Semaphore]] = (
    weakref.WeakKeyDictionary()
)


def stream_of(scope: Scope) -> asyncio.Semaphore:
    """Return what bounds the long answers of one address at a time; for the running loop."""
    streams = _streams.setdefault(asyncio.get_running_loop(), LRUCache(4096))
    client = scope.get("client")
    name = client[0] if client else ""
    found = streams.get(name)
    if found is None:
        found = streams[name] = asyncio.Semaphore(settings.DICOMWEB_STREAMS_AT_ONCE)
    return found


def bounded(request: Request, most_bytes: int) -> Request:
    """Return the request with a body that ends with an error past a limit.

    Raises
    ------
    TooLargeError
        At once when the sender announces more; while reading when it lied.
    """
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > most_bytes:
        raise _too_large(most_bytes)
    return Request(request.scope, _counting(request.receive, most_bytes))


def _counting(receive: Receive, most_bytes: int) -> Receive:
    seen = 0

    async def count_bytes() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > most_bytes:
            raise _too_large(most_bytes)
        return message

    return count_bytes


def _too_large(most_bytes: int) -> TooLargeError:
    return TooLargeError(f"The request is larger than {most_bytes} bytes. Send fewer files.")


def forget() -> None:
    """Let everybody begin with a full share."""
    allowance.forget()
