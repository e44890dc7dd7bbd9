"""What leaves one connection: whole PDUs, in order, in few writes."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from dimse.connection import Pace, PeerGoneError
from dimse.wire import Wire

PACE = Pace(request_timeout_s=5, pdu_timeout_s=5, idle_timeout_s=5, pdu_bytes=16384)


@dataclass
class Line:
    """Both ends of a connection; `heard` reads all that has been written, until it is closed."""

    wire: Wire
    near: socket.socket
    far: socket.socket

    def waiting(self) -> int:
        try:
            return len(self.far.recv(1 << 20, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except BlockingIOError:
            return 0

    def heard(self) -> list[tuple[int, int, bytes]]:
        """Context, control header and value of every PDU; each has one value."""
        self.near.close()
        stream = bytearray()
        while step := self.far.recv(1 << 20):
            stream += step
        found, offset = [], 0
        while offset < len(stream):
            kind, length, item, context, control = struct.unpack_from(">BxIIBB", stream, offset)
            assert (kind, item) == (4, length - 4)
            found.append((context, control, bytes(stream[offset + 12 : offset + 6 + length])))
            offset += 6 + length
        return found


@pytest.fixture
def line() -> Iterator[Line]:
    near, far = socket.socketpair()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    with near, far:
        yield Line(Wire(near, PACE), near, far)


def test_responses_wait_for_the_last_one(line: Line) -> None:
    line.wire.post(1, b"pending", b"one", 0, more=True)
    line.wire.post(1, b"pending", b"two", 0, more=True)
    assert line.waiting() == 0
    line.wire.post(1, b"done", None, 0, more=False)
    assert line.waiting() > 0
    assert line.heard() == [
        (1, 3, b"pending"), (1, 2, b"one"), (1, 3, b"pending"), (1, 2, b"two"), (1, 3, b"done"),
    ]  # fmt: skip


def test_what_waits_is_bounded(line: Line) -> None:
    for _ in range(9):
        line.wire.post(1, b"pending", bytes(10_000), 0, more=True)
    assert line.waiting() >= 64 * 1024


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 2500])
def test_messages_are_cut_as_the_peer_asks_however_they_are_given(line: Line, size: int) -> None:
    value = bytes(n % 251 for n in range(size))
    line.wire.post(3, b"command", value, 14, more=True)
    line.wire.write_data(3, b"command", value, 14)
    line.wire.write_data(3, b"command", memoryview(value), 14)
    line.wire.write_data(3, b"command", (value[n : n + 5] for n in range(0, size, 5)), 14)
    heard = line.heard()
    assert len(heard) % 4 == 0
    quarter = heard[: len(heard) // 4]
    assert heard == quarter * 4
    assert quarter[0] == (3, 3, b"command")
    assert b"".join(part for _, _, part in quarter[1:]) == value
    assert [control for _, control, _ in quarter[1:]] == [0] * (len(quarter) - 2) + [2]
    assert all(len(part) <= 8 for _, _, part in quarter)


def test_a_peer_that_is_gone_is_told(line: Line) -> None:
    line.far.close()
    line.wire.post(1, b"pending", b"one", 0, more=True)
    with pytest.raises(PeerGoneError):
        line.wire.post(1, b"done", None, 0, more=False)
