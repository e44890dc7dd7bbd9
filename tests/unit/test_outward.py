"""Requests to services outside, of which each is as hostile as it can be: real sockets answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from ipaddress import ip_network
from typing import Any

import pytest
from pytest_django import Settings

from archive import outward

_Answer = Callable[[socket.socket, threading.Event], None]


@pytest.fixture(autouse=True)
def networks(settings: Settings) -> None:
    settings.ANALYSIS_NETWORKS = (ip_network("127.0.0.0/8"),)


@contextmanager
def service(answer: _Answer, host: str = "127.0.0.1", port: int = 0) -> Iterator[tuple[int, list]]:
    """A service that answers each request as it likes; yields its port and what it was asked."""
    listener = socket.create_server((host, port))
    over, asked = threading.Event(), []

    def serve() -> None:
        while not over.is_set():
            with suppress(OSError):
                line, _ = listener.accept()
                with line:
                    asked.append(line.recv(4096).split(b"\r\n")[0].decode())
                    answer(line, over)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1], asked
    finally:
        over.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def says(text: str) -> _Answer:
    return lambda line, _: line.sendall(text.encode())


def dribbles(start: bytes, piece: bytes) -> _Answer:
    """Always something within the limit of a single read, and never the end."""

    def answer(line: socket.socket, over: threading.Event) -> None:
        line.sendall(start)
        while not over.wait(0.05):
            line.sendall(piece)

    return answer


def test_a_redirect_is_an_answer_and_leads_nowhere() -> None:
    with service(says("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as (inner, asked):
        to = f"Location: http://127.0.0.1:{inner}/secret\r\nContent-Length: 0\r\n\r\n"
        for status in ("301 Moved", "302 Found", "303 Other", "307 Temporary", "308 Permanent"):
            with service(says(f"HTTP/1.1 {status}\r\n{to}")) as (port, _):
                answer = outward.ask("POST", f"http://127.0.0.1:{port}/jobs", body=b"{}")
            assert answer.status == int(status[:3])
        assert asked == []


def test_a_name_that_changes_its_address_meanwhile_is_not_followed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DNS rebinding: the second answer, which is never asked for, is the machine next door."""
    with service(says("HTTP/1.1 204 No Content\r\n\r\n")) as (port, asked):
        questions: list[Any] = []

        def resolve(host: str, *rest: Any, **more: Any) -> Any:
            if host != "ai.example.org":
                return _resolve(host, *rest, **more)
            questions.append(host)
            address = "127.0.0.1" if len(questions) == 1 else "10.9.9.9"
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

        _resolve = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        assert outward.ask("GET", f"http://ai.example.org:{port}/jobs").status == 204
        assert (len(questions), asked) == (1, ["GET /jobs HTTP/1.1"])
        with pytest.raises(outward.NotAllowedError, match=r"10\.9\.9\.9"):
            outward.ask("GET", f"http://ai.example.org:{port}/jobs")


def test_one_address_that_is_not_allowed_is_one_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    both = [(socket.AF_INET, 1, 6, "", (host, 80)) for host in ("127.0.0.1", "169.254.169.254")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    with pytest.raises(outward.NotAllowedError):
        outward.ask("GET", "http://ai.example.org/")


@pytest.mark.parametrize(
    "host",
    ["[::ffff:10.0.0.1]", "[::1]", "[::]", "0.0.0.0", "169.254.169.254", "10.0.0.1",  # noqa: S104
     "2130706433", "0x7f.1", "[fe80::1]"],
)  # fmt: skip
def test_other_spellings_are_other_addresses(settings: Settings, host: str) -> None:
    settings.ANALYSIS_NETWORKS = (ip_network("192.0.2.0/24"), ip_network("2001:db8::/32"))
    with pytest.raises((outward.NotAllowedError, outward.SilentError)):
        outward.allowed_addresses(outward.check_url(f"http://{host}/"))


@pytest.mark.parametrize(
    "head",
    [f"Content-Length: {10**12}\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\nFFFFFFF\r\n",
     "Connection: close\r\n\r\n"],
    ids=["announced", "chunk", "until the end"],
)  # fmt: skip
def test_an_answer_without_end_is_left(head: str) -> None:
    def answer(line: socket.socket, over: threading.Event) -> None:
        line.sendall(f"HTTP/1.1 200 OK\r\n{head}".encode())
        with suppress(OSError):
            while not over.is_set():
                line.sendall(bytes(65536))

    with (
        service(answer) as (port, _),
        pytest.raises(outward.SilentError, match="more than 262144 bytes"),
    ):
        outward.ask("GET", f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize(
    "answer",
    [dribbles(b"", b"H"), dribbles(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
     dribbles(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"x"),
     dribbles(b"", b"HTTP/1.1 100 Continue\r\n\r\n")],
    ids=["status", "headers", "body", "continue"],
)  # fmt: skip
def test_an_answer_that_dribbles_is_cut(answer: _Answer) -> None:
    with service(answer) as (port, _), pytest.raises(outward.SilentError):
        outward.ask("GET", f"http://127.0.0.1:{port}/", timeout_s=0.4)


def test_an_answer_that_breaks_off_is_none() -> None:
    half = says("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}")
    with service(half) as (port, _), pytest.raises(outward.SilentError, match="broke off"):
        outward.ask("GET", f"http://127.0.0.1:{port}/")


def test_time_that_the_first_address_took_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first address takes no connection until the time is over; the second would dribble."""
    with ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.2", 0))
        full.listen(0)
        port = full.getsockname()[1]
        for _ in range(3):  # what fits into its queue; nobody takes it from there
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.2", port))
        body = dribbles(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"x")
        _, asked = stack.enter_context(service(body, port=port))
        both = [(socket.AF_INET, 1, 6, "", (host, port)) for host in ("127.0.0.2", "127.0.0.1")]
        resolve = socket.getaddrinfo
        monkeypatch.setattr(
            socket,
            "getaddrinfo",
            lambda host, *rest, **more: (
                both if host == "ai.example.org" else resolve(host, *rest, **more)
            ),
        )
        with pytest.raises(outward.SilentError, match="in time"):
            outward.ask("GET", f"http://ai.example.org:{port}/", timeout_s=0.4)
        assert asked == []
