"""Long answers: how much is made ahead, and what becomes of callers that stall or leave."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pytest_django import Settings

from archive.errors import NotFoundError
from fastapi_app.services.dicomweb import streams
from fastapi_app.services.dicomweb.streams import BrokenStreamError, Part, Stream
from tests import multipart

SCOPE: dict[str, Any] = {"type": "http", "method": "GET", "client": ("192.0.2.1", 1), "headers": []}
Send = Callable[[dict[str, Any]], Any]


class Source:
    """Pieces of a mebibyte that say how far they were read, and that they were closed."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.read = 0
        self.is_closed = False

    def pieces(self) -> Iterator[bytes]:
        try:
            for _ in range(self.count):
                self.read += 1
                yield bytes(streams.PIECE_BYTES)
        finally:
            self.is_closed = True


async def forever() -> dict[str, Any]:
    await asyncio.Event().wait()
    return {"type": "http.disconnect"}


async def test_no_more_is_made_than_the_next_piece() -> None:
    source, sent = Source(20), []

    async def send(message: dict[str, Any]) -> None:
        # Time for whatever would be made ahead.
        for _ in range(20):
            await asyncio.sleep(0)
        sent.append(message)
        assert source.read <= len(sent) + 3

    await Stream(source.pieces(), media_type="a/b")(SCOPE, forever, send)
    assert sum(len(message.get("body", b"")) for message in sent) == 20 * streams.PIECE_BYTES
    assert sent[-1]["more_body"] is False
    assert source.is_closed


async def test_a_caller_that_takes_nothing_is_left(settings: Settings) -> None:
    settings.DICOMWEB_SEND_TIMEOUT_S = 0.05
    source = Source(20)

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    with pytest.raises(BrokenStreamError):
        await Stream(source.pieces(), media_type="a/b")(SCOPE, forever, send)
    assert source.is_closed
    assert source.read < 5


async def test_nothing_is_made_for_a_caller_that_has_gone() -> None:
    source, gone = Source(20), asyncio.Event()

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body":
            gone.set()
            await asyncio.sleep(0)

    await Stream(source.pieces(), media_type="a/b")(SCOPE, receive, send)
    assert source.is_closed
    assert source.read < 6


async def test_others_wait_their_turn(settings: Settings) -> None:
    settings.DICOMWEB_STREAMS_AT_ONCE = 2
    scope = {**SCOPE, "client": ("192.0.2.77", 1)}
    at_once, most, release = 0, 0, asyncio.Event()

    async def send(message: dict[str, Any]) -> None:
        nonlocal at_once, most
        if message["type"] == "http.response.start":
            at_once += 1
            most = max(most, at_once)
            if at_once == 2:
                release.set()
            await release.wait()
        elif not message["more_body"]:
            at_once -= 1

    await asyncio.gather(
        *(Stream(Source(1).pieces(), media_type="a/b")(scope, forever, send) for _ in range(6))
    )
    assert most == 2


async def test_what_fails_before_the_first_byte_is_an_answer_and_later_a_broken_one() -> None:
    def failing(after: int) -> Iterator[bytes]:
        for _ in range(after):
            yield bytes(streams.PIECE_BYTES)
        raise NotFoundError("gone.")

    for after, started in ((0, False), (3, True)):
        sent: list[dict[str, Any]] = []

        async def send(message: dict[str, Any], sent: list[dict[str, Any]] = sent) -> None:
            sent.append(message)

        with pytest.raises(NotFoundError):
            await Stream(failing(after), media_type="a/b", length=10**8)(SCOPE, forever, send)
        assert bool(sent) == started
        assert not any(message.get("more_body") is False for message in sent)


class Answer:
    """What `multipart.parts` reads."""

    def __init__(self, sent: list[dict[str, Any]]) -> None:
        self.headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        self.content = b"".join(message.get("body", b"") for message in sent)


@pytest.mark.parametrize("sizes", [[], [0], [1, 2, 3], [5_000_000, 1], [streams.PIECE_BYTES] * 3])
async def test_parts_are_whole_and_their_length_is_right(sizes: list[int]) -> None:
    contents = [bytes([number + 1]) * size for number, size in enumerate(sizes)]
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    answer = streams.multipart(
        (Part("a/b", (one[:7], one[7:]), len(one), "http://x/1") for one in contents),
        "a/b",
        lengths=[("a/b", len(one), "http://x/1") for one in contents],
    )
    await answer(SCOPE, forever, send)
    assert [part.content for part in multipart.parts(Answer(sent))] == contents
