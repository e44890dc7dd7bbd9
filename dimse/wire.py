"""PDUs on one connection, for a thread that reads and writes it alone (PS3.8 9.3).

Reading fills one buffer and hands out views of it; writing gathers whole messages into one system
call. Waiting is the kernel's: nothing wakes while nothing comes.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterable, Iterator

from dimse import connection
from dimse.connection import P_DATA_TF, Pace, PeerGoneError, ProtocolError
from dimse.peer import Data

_HEADER = struct.Struct(">BxI")
_PDU_AND_PDV = struct.Struct(">BxIIBB")
_PDV_OVERHEAD = 6

# Once its association stands, a requestor sends data, a release request or an abort alone.
OF_REQUESTORS = (0x01, 0x02, 0x03, 0x06)
# An acceptor also answers the release.
OF_ACCEPTORS = (0x01, 0x02, 0x03)
# A peer that announces no limit gets fragments of this size; even, as every fragment (PS3.8 E.1).
_UNLIMITED_FRAGMENT_BYTES = 256 * 1024
# Fragments of a message that is made whole before it is written: the peer says how small they are.
_MOST_AT_ONCE = 256
# What one system call writes: parts of it, and bytes.
_MOST_PARTS = 512
_MOST_UNSENT_BYTES = 1024 * 1024
# What responses that wait for the next one may take together.
_MOST_HELD_BYTES = 64 * 1024
# How late a limit in time may be noticed.
_TICK_S = 1.0


class Wire:
    """One connection.

    Parameters
    ----------
    client : connected; its association request is read already
    pace : its limits
    out_of_turn : types of PDUs that the peer may not send any more
    """

    def __init__(
        self, client: socket.socket, pace: Pace, out_of_turn: tuple[int, ...] = OF_REQUESTORS
    ) -> None:
        self._client = client
        self._out_of_turn = out_of_turn
        self._pace = pace
        self._is_encrypted = isinstance(client, ssl.SSLSocket)
        self._lock = threading.Lock()
        # Two PDUs: while one is worked on, the beginning of the next lies behind it.
        self._buffer = memoryview(
            bytearray(2 * (_HEADER.size + connection.largest(pace.pdu_bytes)))
        )
        self._start = self._end = 0
        self._began = 0.0
        # Responses that wait for the next one, and their bytes.
        self._held: list[bytes | memoryview] = []
        self._held_bytes = 0
        tick_s = min(_TICK_S, pace.pdu_timeout_s / 4, pace.idle_timeout_s / 4)
        if self._is_encrypted:
            client.settimeout(tick_s)
        else:
            # The kernel's own time limits: one system call a read, not two.
            client.settimeout(None)
            limit = struct.pack("ll", int(tick_s), int(tick_s % 1 * 1e6))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        self._tick_s = tick_s

    @property
    def is_within_pdu(self) -> bool:
        """Whether a PDU has begun to come and is not complete."""
        return self._end > self._start

    def read(self, until: float) -> tuple[int, memoryview] | None:
        """Wait for the next PDU; its view is good until the next call.

        Parameters
        ----------
        until : monotonic seconds when it must have begun; 0 takes what has come and waits for none

        Returns
        -------
        Type and variable field, or None when nothing (or with `until` 0 nothing whole) is there.

        Raises
        ------
        ProtocolError
            For an unknown type, or a length that it cannot have; nothing more is read.
        PeerGoneError
            When the peer has closed, or stopped in the middle of a PDU.
        """
        while True:
            missing = self._missing()
            if not missing:
                return self._take()
            if not self._fill(missing, wait=bool(until)):
                if not until:
                    return None
                if not self.is_within_pdu and time.monotonic() >= until:
                    return None
            if self.is_within_pdu and (
                time.monotonic() - self._began >= self._pace.pdu_timeout_s and self._missing()
            ):
                raise PeerGoneError("The peer stopped in the middle of a PDU.")

    def _missing(self) -> int:
        """Return how many bytes the next PDU still needs, as far as is known."""
        have = self._end - self._start
        if have < _HEADER.size:
            return _HEADER.size - have
        kind, length = _HEADER.unpack_from(self._buffer, self._start)
        if kind in self._out_of_turn:
            raise ProtocolError(
                f"A PDU of type 0x{kind:02X} came out of turn.", connection.UNEXPECTED_PDU
            )
        connection.check_header(kind, length, first=False, most=self._pace.pdu_bytes)
        return max(0, _HEADER.size + int(length) - have)

    def _take(self) -> tuple[int, memoryview]:
        kind, length = _HEADER.unpack_from(self._buffer, self._start)
        begin = self._start + _HEADER.size
        self._start = begin + length
        if self._start < self._end:
            self._began = time.monotonic()
        return kind, self._buffer[begin : self._start]

    def _fill(self, missing: int, *, wait: bool) -> bool:
        """Receive what is there, at least a byte; returns whether anything came."""
        have = self._end - self._start
        if not have:
            self._start = self._end = 0
        elif self._end + missing > len(self._buffer):
            # A length too large for the buffer is refused before it comes here.
            self._buffer[:have] = self._buffer[self._start : self._end]
            self._start, self._end = 0, have
        try:
            count = self._receive(self._buffer[self._end :], wait=wait)
        except (TimeoutError, BlockingIOError, ssl.SSLWantReadError, InterruptedError):
            return False
        except OSError as error:
            raise PeerGoneError(error.strerror or str(error)) from error
        if not count:
            raise PeerGoneError("The peer closed the connection.")
        if not have:
            self._began = time.monotonic()
        self._end += count
        connection.acknowledge(self._client)
        return True

    def _receive(self, room: memoryview, *, wait: bool) -> int:
        if wait:
            return self._client.recv_into(room)
        if not self._is_encrypted:
            return self._client.recv_into(room, 0, socket.MSG_DONTWAIT)
        self._client.setblocking(False)
        try:
            return self._client.recv_into(room)
        finally:
            self._client.settimeout(self._tick_s)

    def write(self, parts: list[bytes | memoryview], pdus: int = 1) -> None:
        """Write some PDUs, with one system call unless the peer is slow.

        Parameters
        ----------
        parts : what they consist of
        pdus : how many they are: each may take the time of a PDU

        Raises
        ------
        PeerGoneError
            When the peer has closed, or takes nothing.
        """
        deadline = time.monotonic() + self._pace.pdu_timeout_s * pdus
        if self._held:
            parts = self._take_held() + parts
        if self._is_encrypted:
            parts = [b"".join(parts)]
        done = 0
        while done < len(parts):
            try:
                sent = self._gather(parts[done : done + _MOST_PARTS])
            except (TimeoutError, BlockingIOError, ssl.SSLWantWriteError, InterruptedError):
                sent = 0
            except OSError as error:
                raise PeerGoneError(error.strerror or str(error)) from error
            while done < len(parts) and sent >= len(parts[done]):
                sent -= len(parts[done])
                done += 1
            if done < len(parts):
                if time.monotonic() >= deadline:
                    raise PeerGoneError("The peer takes no answers.")
                parts[done] = memoryview(parts[done])[sent:]

    def post(
        self,
        context_id: int,
        command: bytes,
        data_set: bytes | None,
        maximum_length: int,
        *,
        more: bool,
    ) -> None:
        """Write one response, or hold it back until the next one.

        Parameters
        ----------
        maximum_length : see `write_data`
        more : another one follows at once

        Raises
        ------
        PeerGoneError
            As `write`.
        """
        step = _step(maximum_length)
        if data_set is not None and len(data_set) > step * _MOST_AT_ONCE:
            self.write_data(context_id, command, data_set, maximum_length)
            return
        self._held += _pdus(context_id, 1, command, step)
        self._held_bytes += len(command)
        if data_set is not None:
            self._held += _pdus(context_id, 0, data_set, step)
            self._held_bytes += len(data_set)
        if not more or self._held_bytes >= _MOST_HELD_BYTES:
            self.write([])

    def _take_held(self) -> list[bytes | memoryview]:
        held = b"".join(self._held)
        self._held.clear()
        self._held_bytes = 0
        return [held]

    def _gather(self, parts: list[bytes | memoryview]) -> int:
        if len(parts) == 1:
            return self._client.send(parts[0])
        return self._client.sendmsg(parts)

    def write_data(
        self,
        context_id: int,
        command: bytes,
        data_set: Data | None,
        maximum_length: int,
    ) -> None:
        """Write one message in P-DATA-TF PDUs as large as the peer takes (PS3.8 annex E).

        Parameters
        ----------
        command : its command set
        data_set : all of it, or pieces of any size; one may be reused by its maker once the next is
            asked for
        maximum_length : of the variable field, as the peer announced it (PS3.8 D.1); 0: any

        Raises
        ------
        PeerGoneError
            As `write`.
        """
        step = _step(maximum_length)
        ready = _pdus(context_id, 1, command, step)
        if data_set is None:
            self.write([b"".join(ready)])
            return
        if isinstance(data_set, bytes | memoryview):
            if len(data_set) <= step * _MOST_AT_ONCE:
                ready += _pdus(context_id, 0, data_set, step)
                self.write(ready, pdus=len(ready))
                return
            data_set = (data_set,)
        for batch in _fragments(context_id, data_set, step, ready):
            self.write(batch, pdus=len(batch))

    def end(self, pdu: bytes) -> None:
        """Write a last PDU and close as soon as the peer has."""
        connection.linger(self._client, pdu)
        self.close()

    def close(self) -> None:
        """Close; harmless when it is closed."""
        with self._lock:
            self._client.close()

    def break_off(self) -> None:
        """End the connection at once, from any thread; never blocks."""
        with self._lock:
            if self._client.fileno() >= 0:
                connection.break_off(self._client)


def values(field: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield presentation context and value, control header first, of a P-DATA-TF's items.

    Raises
    ------
    ProtocolError
        When they do not fill the PDU exactly, or there is none.

    References
    ----------
    DICOM PS3.8 sections 9.3.5.1 and E.2.
    """
    offset, end = 0, len(field)
    if not end:
        raise ProtocolError("A data PDU without any fragment came.", connection.INVALID_PARAMETER)
    while offset < end:
        if offset + _PDV_OVERHEAD > end:
            raise ProtocolError("A fragment is cut off.", connection.INVALID_PARAMETER)
        length = int.from_bytes(field[offset : offset + 4], "big")
        if length < 2 or offset + 4 + length > end:
            raise ProtocolError(
                "A fragment is not as long as it says.", connection.INVALID_PARAMETER
            )
        yield field[offset + 4], field[offset + 5 : offset + 4 + length]
        offset += 4 + length


def _step(maximum_length: int) -> int:
    """Return how many bytes of a message a PDU takes that is as long as the peer allows."""
    if not maximum_length:
        return _UNLIMITED_FRAGMENT_BYTES
    return max(2, (maximum_length - _PDV_OVERHEAD) // 2 * 2)


def _head(context_id: int, control: int, size: int) -> bytes:
    return _PDU_AND_PDV.pack(P_DATA_TF, size + 6, size + 2, context_id, control)


def _pdus(
    context_id: int, kind: int, whole: bytes | memoryview, step: int
) -> list[bytes | memoryview]:
    """Return the parts of the PDUs of a command (`kind` 1) or data set (0)."""
    parts: list[bytes | memoryview] = []
    for start in range(0, len(whole) or 1, step):
        fragment = whole[start : start + step]
        is_last = start + step >= len(whole)
        parts += (_head(context_id, kind | 2 if is_last else kind, len(fragment)), fragment)
    return parts


def _fragments(
    context_id: int,
    pieces: Iterable[bytes | memoryview],
    step: int,
    ready: list[bytes | memoryview],
) -> Iterator[list[bytes | memoryview]]:
    """Yield lists of parts that make whole PDUs; only ends of pieces are copied."""
    # A fragment is sent when it is known not to be the last: a full one may wait in `rest`.
    rest = bytearray()
    full = _head(context_id, 0, step)
    size = 0
    for piece in pieces:
        view, start = memoryview(piece).cast("B"), 0
        while len(rest) + len(view) - start > step:
            take = step - len(rest)
            ready.append(full)
            if rest:
                ready.append(bytes(rest))
                rest.clear()
            if take:
                ready.append(view[start : start + take])
            start += take
            size += step
            if size >= _MOST_UNSENT_BYTES or len(ready) >= _MOST_PARTS:
                yield ready
                ready, size = [], 0
        rest += view[start:]
        if size:
            yield ready
            ready, size = [], 0
    yield [*ready, _head(context_id, 2, len(rest)), bytes(rest)]
