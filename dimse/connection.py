"""One TCP connection: whole PDUs in bounded time and memory, answers without delay."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from imaging import certificate

A_ASSOCIATE_RQ = 0x01
A_ASSOCIATE_AC = 0x02
P_DATA_TF = 0x04
A_RELEASE_RQ = 0x05
A_ABORT = 0x07
_KNOWN_TYPES = range(0x01, 0x08)
_HEADER = struct.Struct(">BxI")

# 128 contexts with 40 transfer syntaxes each, user identity and extended negotiation fit well.
MAX_REQUEST_BYTES = 256 * 1024
# A-RELEASE and A-ABORT carry four bytes.
_MAX_OTHER_BYTES = 1024

# Some senders do not count the headers of what they fit into the announced length.
_PDU_SLACK_BYTES = 64

# Reasons of the service provider to abort (PS3.8 table 9-26).
NO_REASON = 0
UNRECOGNISED_PDU = 1
UNEXPECTED_PDU = 2
INVALID_PARAMETER = 6


def abort_pdu(reason: int) -> bytes:
    """Return an A-ABORT by the service provider (PS3.8 9.3.8)."""
    return struct.pack(">BxIxxBB", 0x07, 4, 2, reason)


ABORT = abort_pdu(NO_REASON)


class ProtocolError(Exception):
    """What came is no PDU that may come now.

    Parameters
    ----------
    sentence : what came
    reason : of the A-ABORT that answers it
    """

    def __init__(self, sentence: str, reason: int = NO_REASON) -> None:
        super().__init__(sentence)
        self.reason = reason


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


@dataclass(frozen=True, slots=True)
class Encryption:
    """How a caller's connection is encrypted.

    Attributes
    ----------
    fingerprint, subject : of the certificate that it presented and that was checked; else empty
    """

    fingerprint: str = ""
    subject: str = ""


def encryption_of(connection: socket.socket) -> Encryption | None:
    """Return what TLS says about the caller; None for a plain connection."""
    if not isinstance(connection, ssl.SSLSocket):
        return None
    der, named = connection.getpeercert(binary_form=True), connection.getpeercert()
    if not der or not named:
        return Encryption()
    names = cast("Iterable[Iterable[tuple[str, str]]]", named.get("subject", ()))
    return Encryption(certificate.fingerprint(der), certificate.subject(names))


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
    check_header(kind, length, first=first, most=most)
    return bytes(header + _receive(connection, length, deadline))


def check_header(kind: int, length: int, *, first: bool, most: int) -> None:
    """Refuse a PDU by its first six bytes, before anything is kept of it.

    Parameters
    ----------
    kind, length : its type, and bytes of its variable field
    first : only an association request may come
    most : the largest P-DATA-TF, bytes of its variable field

    Raises
    ------
    ProtocolError
        For an unknown or unexpected type, or a length that it cannot have.
    """
    if kind not in _KNOWN_TYPES:
        raise ProtocolError(f"A PDU of unknown type 0x{kind:02X} came.", UNRECOGNISED_PDU)
    if first and kind != A_ASSOCIATE_RQ:
        raise ProtocolError(f"A PDU of type 0x{kind:02X} came out of turn.", UNEXPECTED_PDU)
    is_negotiation = kind in (A_ASSOCIATE_RQ, A_ASSOCIATE_AC)
    limit = MAX_REQUEST_BYTES if is_negotiation else _MAX_OTHER_BYTES
    if kind == P_DATA_TF:
        limit = largest(most)
    if length > limit:
        raise ProtocolError(
            f"A PDU of type 0x{kind:02X} announces {length} bytes, {limit} are taken.",
            INVALID_PARAMETER,
        )


def largest(announced: int) -> int:
    """Return how long a P-DATA-TF's variable field is let be: a little above the announced."""
    return announced + _PDU_SLACK_BYTES


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
    # Once a read: `contextlib.suppress` would cost as much as the call.
    try:  # noqa: SIM105
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
    except OSError:
        pass


def is_readable(connection: socket.socket) -> bool:
    """Whether bytes, or the end, can be read without waiting; any descriptor number is fine."""
    poller = select.poll()
    poller.register(connection, select.POLLIN)
    return bool(poller.poll(0))


def send_last(connection: socket.socket, pdu: bytes) -> None:
    """Send `pdu`, then close without losing it."""
    linger(connection, pdu)
    connection.close()


def linger(connection: socket.socket, pdu: bytes) -> None:
    """Send `pdu` as the last one, and wait for the peer to close, at most a second."""
    with contextlib.suppress(OSError):
        connection.settimeout(1.0)
        connection.sendall(pdu)
        connection.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline and connection.recv(4096):
            pass


def break_off(connection: socket.socket) -> None:
    """End a connection from another thread, politely where the peer still reads; never blocks."""
    # TLS cannot send without waiting (ValueError): its peer sees the end of the stream alone.
    with contextlib.suppress(OSError, ValueError):
        connection.send(ABORT, socket.MSG_DONTWAIT)
    with contextlib.suppress(OSError):
        # Not SSLSocket's own: that would take the encryption from the thread that reads.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
