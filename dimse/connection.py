"""One TCP connection: whole PDUs in bounded time and memory, answers without delay."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time
from dataclasses import dataclass

A_ASSOCIATE_RQ = 0x01
A_ASSOCIATE_AC = 0x02
P_DATA_TF = 0x04
_KNOWN_TYPES = range(0x01, 0x08)
_HEADER = struct.Struct(">BxI")

# 128 contexts with 40 transfer syntaxes each, user identity and extended negotiation fit well.
MAX_REQUEST_BYTES = 256 * 1024
# A-RELEASE and A-ABORT carry four bytes.
_MAX_OTHER_BYTES = 1024

# PS3.8 9.3.8: by the service provider, for no reason that it names.
ABORT = struct.pack(">BxIxxBB", 0x07, 4, 2, 0)


class ProtocolError(Exception):
    """What came is no PDU that may come now."""


class PeerGoneError(OSError):
    """The peer closed the connection, or stopped in the middle of a PDU for too long."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Limits of a connection.

    Attributes
    ----------
    request_timeout_s : until the association request is complete
    pdu_timeout_s : from the first byte of a PDU to its last
    idle_timeout_s : between PDUs
    pdu_bytes : the largest P-DATA-TF that we announce (PS3.8 D.1)
    """

    request_timeout_s: float
    pdu_timeout_s: float
    idle_timeout_s: float
    pdu_bytes: int


def tune(connection: socket.socket) -> None:
    """Send what we write at once: an answer is one write, there is nothing to wait for."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def receive_pdu(connection: socket.socket, timeout_s: float, *, first: bool, most: int) -> bytes:
    """Read one whole PDU.

    Parameters
    ----------
    timeout_s : for all of it, however it dribbles in
    first : only an association request may come
    most : the largest P-DATA-TF, bytes of its variable field

    Raises
    ------
    ProtocolError
        For an unknown or unexpected type, or a length that it cannot have; nothing more is read.
    PeerGoneError
        When the peer closes or the time is over.

    References
    ----------
    DICOM PS3.8 section 9.3.1.
    """
    deadline = time.monotonic() + timeout_s
    header = _receive(connection, _HEADER.size, deadline)
    kind, length = _HEADER.unpack(header)
    if kind not in _KNOWN_TYPES or (first and kind != A_ASSOCIATE_RQ):
        raise ProtocolError(f"A PDU of type 0x{kind:02X} came where none is expected.")
    if kind == P_DATA_TF:
        # Some senders do not count the headers of what they fit into the announced length.
        limit = most + 64
    else:
        is_negotiation = kind in (A_ASSOCIATE_RQ, A_ASSOCIATE_AC)
        limit = MAX_REQUEST_BYTES if is_negotiation else _MAX_OTHER_BYTES
    if length > limit:
        raise ProtocolError(f"A PDU of type 0x{kind:02X} announces {length} bytes.")
    return bytes(header + _receive(connection, length, deadline))


def _receive(connection: socket.socket, count: int, deadline: float) -> bytearray:
    buffer = bytearray(count)
    view = memoryview(buffer)
    got = 0
    while got < count:
        left = deadline - time.monotonic()
        if left <= 0:
            raise PeerGoneError("The peer stopped in the middle of a PDU.")
        connection.settimeout(left)
        try:
            step = connection.recv_into(view[got:])
        except TimeoutError as error:
            raise PeerGoneError("The peer stopped in the middle of a PDU.") from error
        if step == 0:
            raise PeerGoneError("The peer closed the connection.")
        got += step
        acknowledge(connection)
    return buffer


def acknowledge(connection: socket.socket) -> None:
    """Acknowledge at once what was received.

    Senders that leave Nagle's algorithm on (dcmtk, and so many modalities) hold back the data set
    until their command is acknowledged; a delayed acknowledgement costs 40 ms an instance.
    """
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def is_readable(connection: socket.socket) -> bool:
    """Whether bytes, or the end, can be read without waiting; any descriptor number is fine."""
    poller = select.poll()
    poller.register(connection, select.POLLIN)
    return bool(poller.poll(0))


def send_last(connection: socket.socket, pdu: bytes) -> None:
    """Send `pdu`, then close without losing it: the peer closes first, or has a second to."""
    with contextlib.suppress(OSError):
        connection.settimeout(1.0)
        connection.sendall(pdu)
        connection.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline and connection.recv(4096):
            pass
    connection.close()


def break_off(connection: socket.socket) -> None:
    """End a connection from another thread, politely where the peer still reads; never blocks."""
    # TLS cannot send without waiting (ValueError): its peer sees the end of the stream alone.
    with contextlib.suppress(OSError, ValueError):
        connection.send(ABORT, socket.MSG_DONTWAIT)
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
