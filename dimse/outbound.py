"""An association that we open: blocking sockets, one write a message.

Only what a sender needs of PS3.8: request, data, release, abort. Several requests never wait for
answers at once: asynchronous operations are not negotiated.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Self

from django.conf import settings

from archive.errors import ForbiddenError
from archive.models import Destination
from dimse import commands, connection, wire
from dimse.commands import CommandError
from dimse.connection import Pace, PeerGoneError, ProtocolError
from dimse.contexts import Offer
from dimse.peer import Context, Data, PeerLostError, Response
from dimse.wire import OF_ACCEPTORS, Wire
from imaging.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

# PS3.8 9.3.2.2: identifiers are the odd numbers of a byte.
MOST_CONTEXTS = 128

_CONNECT_TIMEOUT_S = 5.0
_NEGOTIATION_TIMEOUT_S = 10.0
_RELEASE_TIMEOUT_S = 5.0
_SEND_TIMEOUT_S = 60.0
_OUR_MOST_BYTES = 128 * 1024
# What a peer without a limit gets in one PDU.
_PDU_BYTES = 1024 * 1024
_MOST_ANSWER_BYTES = 1024 * 1024

_PACE = Pace(
    request_timeout_s=_NEGOTIATION_TIMEOUT_S,
    pdu_timeout_s=_SEND_TIMEOUT_S,
    idle_timeout_s=_SEND_TIMEOUT_S,
    pdu_bytes=_OUR_MOST_BYTES,
)

_ASSOCIATE_RQ, _ASSOCIATE_AC, _ASSOCIATE_RJ = 0x01, 0x02, 0x03
_DATA, _RELEASE_RQ, _RELEASE_RP, _ABORT = 0x04, 0x05, 0x06, 0x07
_APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
_HEADER = struct.Struct(">BxI")


class CallError(Exception):
    """The association does not stand; the message says why and what to do."""


class Association:
    """An association with a registered destination; a context manager that releases it.

    Parameters
    ----------
    destination : whom to call
    offers : presentation contexts, at most 128
    roles : whether we are SCU and SCP of a SOP class, where not SCU alone (PS3.7 D.3.3.4)

    Raises
    ------
    CallError
        When it does not come about.
    ForbiddenError
        When the destination is not registered.

    References
    ----------
    DICOM PS3.8 section 9.
    """

    def __init__(
        self,
        destination: Destination,
        offers: Sequence[Offer],
        roles: Mapping[str, tuple[bool, bool]] | None = None,
    ) -> None:
        if destination._state.adding:
            raise ForbiddenError("Only registered destinations are called.")
        self._destination = destination
        self._name = destination.ae_title
        self._most = _PDU_BYTES
        self._is_open = True
        self._answer = bytearray()
        self.contexts: dict[int, Context] = {}
        self._socket = self._connect()
        try:
            self._socket.settimeout(_SEND_TIMEOUT_S)
            self._socket.sendall(_request(self._name, offers, roles or {}))
            answer = connection.receive_pdu(
                self._socket, _NEGOTIATION_TIMEOUT_S, first=False, most=_OUR_MOST_BYTES
            )
            self._wire = Wire(self._socket, _PACE, OF_ACCEPTORS)
            self._negotiated(answer, offers)
        except (OSError, ProtocolError) as error:
            self.abort()
            raise CallError(self._no_dicom_node()) from error
        except BaseException:
            self.abort()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None or kind is GeneratorExit:
            self.release()
        else:
            self.abort()

    def _connect(self) -> socket.socket:
        where = self._destination
        client: socket.socket | None = None
        try:
            client = socket.create_connection((where.host, where.port), _CONNECT_TIMEOUT_S)
            connection.tune(client)
            if not where.uses_tls:
                return client
            client.settimeout(_NEGOTIATION_TIMEOUT_S)
            return _tls().wrap_socket(client, server_hostname=where.host)
        except (OSError, ValueError) as error:
            if client is not None:
                client.close()
            raise CallError(_unreachable(where, error)) from error

    def _no_dicom_node(self) -> str:
        where = self._destination
        tls = "" if where.uses_tls else ", and whether it wants TLS"
        return (
            f"Something listens at {where.host} port {where.port}, but it did not answer as a "
            f"DICOM node. Check the port{tls}."
        )

    def _negotiated(self, pdu: bytes, offers: Sequence[Offer]) -> None:
        if pdu[0] == _ASSOCIATE_RJ and len(pdu) >= 10:
            raise CallError(_rejected(self._destination, *pdu[7:10]))
        if pdu[0] != _ASSOCIATE_AC:
            raise CallError(self._no_dicom_node())
        proposed = {offer.context_id: offer for offer in offers}
        try:
            accepted, most = _read_acceptance(pdu)
        except (struct.error, IndexError, UnicodeDecodeError) as error:
            raise CallError(self._no_dicom_node()) from error
        for context_id, syntax in accepted.items():
            offer = proposed.get(context_id)
            if offer is not None and syntax in offer.transfer_syntaxes:
                self.contexts[context_id] = Context(
                    context_id, offer.abstract_syntax, syntax, is_ours_to_call=True
                )
        if not self.contexts:
            self.release()
            raise CallError(f"{self._name} took the association, but none of what we offered.")
        # PS3.8 D.1: 0 is no limit. Less than a PDV's header and two bytes cannot be meant.
        if most:
            self._most = max(most, 8)

    def contexts_of(self, abstract_syntax: str) -> list[Context]:
        """Return the accepted contexts of a SOP class."""
        return [c for c in self.contexts.values() if c.abstract_syntax == abstract_syntax]

    def send(self, context: Context, command: bytes, data_set: Data | None = None) -> None:
        """Send one request; see `dimse.peer.Peer`."""
        if not self._is_open:
            raise PeerLostError(f"{self._name} ended the association.")
        try:
            self._wire.write_data(
                context.context_id, command, data_set, min(self._most, _PDU_BYTES)
            )
        except PeerGoneError as error:
            self.abort()
            raise PeerLostError(f"{self._name} broke the connection.") from error

    def response_to(self, message_id: int, timeout_s: float) -> Response:
        """Wait for an answer; see `dimse.peer.Peer`."""
        deadline = time.monotonic() + timeout_s
        try:
            while True:
                pdu = self._wire.read(deadline)
                if pdu is None:
                    self.abort()
                    raise PeerLostError(f"{self._name} did not answer within {timeout_s:.0f} s.")
                if pdu[0] != _DATA:
                    self._end(pdu[0])
                if (answer := self._take(pdu[1])) is None:
                    continue
                if answer.whole(commands.MESSAGE_ID_BEING_RESPONDED_TO) == message_id:
                    return Response(answer)
        except PeerGoneError as error:
            self.abort()
            raise PeerLostError(
                f"{self._name} did not answer, or ended the association."
            ) from error
        except (OSError, ProtocolError, CommandError) as error:
            self.abort()
            raise PeerLostError(f"{self._name} sent what is no answer ({error}).") from error

    def _end(self, kind: int) -> None:
        """Deal with the peer's end of the association."""
        if kind == _RELEASE_RQ:
            with contextlib.suppress(OSError):
                self._socket.sendall(_HEADER.pack(_RELEASE_RP, 4) + bytes(4))
        self._close()
        raise PeerLostError(f"{self._name} did not answer, or ended the association.")

    def _take(self, field: memoryview) -> commands.CommandSet | None:
        """Take the fragments of a data PDU; returns a whole command set."""
        whole = None
        for _, value in wire.values(field):
            if not value[0] & 1:
                continue
            self._answer += value[1:]
            if len(self._answer) > _MOST_ANSWER_BYTES:
                raise ProtocolError("The answer has no end.")
            if value[0] & 2:
                whole = commands.parse(bytes(self._answer))
                self._answer.clear()
        return whole

    def release(self) -> None:
        """End the association in good order; harmless when it is over."""
        if not self._is_open:
            return
        with contextlib.suppress(OSError, ProtocolError):
            self._wire.write([_HEADER.pack(_RELEASE_RQ, 4) + bytes(4)])
            until = time.monotonic() + _RELEASE_TIMEOUT_S
            while (pdu := self._wire.read(until)) is not None and pdu[0] == _DATA:
                pass
        self._close()

    def abort(self) -> None:
        """End the association at once; harmless when it is over."""
        # While it is being opened there may be no socket yet.
        if self._is_open and hasattr(self, "_socket"):
            with contextlib.suppress(OSError, ValueError):
                self._socket.settimeout(1.0)
                # PS3.8 9.3.8: by the service user.
                self._socket.sendall(_HEADER.pack(_ABORT, 4) + bytes(4))
            self._close()

    def _close(self) -> None:
        self._is_open = False
        self._socket.close()


def _item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(body)) + body


def _request(called: str, offers: Sequence[Offer], roles: Mapping[str, tuple[bool, bool]]) -> bytes:
    """Return an A-ASSOCIATE-RQ (PS3.8 9.3.2)."""
    items = [_item(0x10, _APPLICATION_CONTEXT.encode("ascii"))]
    for offer in offers:
        body = struct.pack(">Bxxx", offer.context_id)
        body += _item(0x30, offer.abstract_syntax.encode("ascii"))
        body += b"".join(_item(0x40, uid.encode("ascii")) for uid in offer.transfer_syntaxes)
        items.append(_item(0x20, body))
    about_us = (
        _item(0x51, struct.pack(">I", _OUR_MOST_BYTES))
        + _item(0x52, IMPLEMENTATION_CLASS_UID.encode("ascii"))
        + b"".join(_role(uid, *both) for uid, both in roles.items())
        + _item(0x55, IMPLEMENTATION_VERSION_NAME.encode("ascii"))
    )
    items.append(_item(0x50, about_us))
    titles = called.encode("ascii").ljust(16) + settings.DICOM_SCU_AE_TITLE.encode().ljust(16)
    body = struct.pack(">Hxx", 1) + titles + bytes(32) + b"".join(items)
    return _HEADER.pack(_ASSOCIATE_RQ, len(body)) + body


def _role(uid: str, is_scu: bool, is_scp: bool) -> bytes:  # noqa: FBT001 - as the item has them
    value = uid.encode("ascii")
    return _item(0x54, struct.pack(">H", len(value)) + value + bytes((is_scu, is_scp)))


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset < len(data):
        kind, length = struct.unpack_from(">BxH", data, offset)
        yield kind, data[offset + 4 : offset + 4 + length]
        offset += 4 + length


def _read_acceptance(pdu: bytes) -> tuple[Mapping[int, str], int]:
    """Return the transfer syntax of each accepted context, and the peer's PDU limit."""
    accepted: dict[int, str] = {}
    most = 0
    for kind, body in _items(pdu[74:]):
        if kind == 0x21 and body[2] == 0:
            syntax = next((value for number, value in _items(body[4:]) if number == 0x40), b"")
            accepted[body[0]] = syntax.rstrip(b"\0 ").decode("ascii")
        elif kind == 0x50:
            for number, value in _items(body):
                if number == 0x51:
                    (most,) = struct.unpack(">I", value)
    return accepted, most


def _tls() -> ssl.SSLContext:
    ours = settings.DICOM_TLS
    context = ssl.create_default_context(cafile=str(ours.ca) if ours and ours.ca else None)
    if ours:
        context.load_cert_chain(ours.cert, ours.key)
    return context


def _rejected(destination: Destination, result: int, source: int, reason: int) -> str:
    name, ours = destination.ae_title, settings.DICOM_SCU_AE_TITLE
    if (source, reason) == (1, 3):
        return f"{name} does not know us. Have it admit the AE title {ours} from this machine."
    if (source, reason) == (1, 7):
        return (
            f"What listens at {destination.host} port {destination.port} is not called {name}. "
            "Correct the AE title of the destination."
        )
    if result == 2:
        return f"{name} is too busy for another association now. Try again later."
    return (
        f"{name} refused the association: source {source}, reason {reason} of PS3.8 table 9-21. "
        "Its log says more."
    )


def _unreachable(destination: Destination, error: Exception) -> str:
    where = f"{destination.host} port {destination.port}"
    if isinstance(error, socket.gaierror):
        return f"There is no host named {destination.host}. Correct the destination's host."
    if isinstance(error, ConnectionRefusedError):
        return f"Nothing listens at {where}. Check the port, and that the other system runs."
    if isinstance(error, TimeoutError):
        return f"{where} does not answer. Check the address, the network and firewalls."
    if destination.uses_tls and isinstance(error, ssl.SSLError | ConnectionError | ValueError):
        return f"{where} answers, but not with TLS that we trust. Check its certificate."
    return f"{where} cannot be reached: {error}."
