"""A DICOM peer that writes its PDUs by hand: it can be as wrong as a test wants it to be.

It shares no code with the product or with pynetdicom, so it is an oracle too.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self

EXPLICIT_LE = "1.2.840.10008.1.2.1"
IMPLICIT_LE = "1.2.840.10008.1.2"
VERIFICATION = "1.2.840.10008.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"

Context = tuple[str, Sequence[str]]


def pdu(kind: int, body: bytes) -> bytes:
    return struct.pack(">BxI", kind, len(body)) + body


def item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(body)) + body


def associate_rq(
    calling: str | bytes,
    called: str | bytes,
    contexts: Sequence[Context],
    *,
    version: int = 1,
    application: str = "1.2.840.10008.3.1.1.1",
    most: int = 0,
    roles: Iterable[tuple[str, int, int]] = (),
    identity: tuple[int, bytes, bytes, bool] | None = None,
) -> bytes:
    def title(text: str | bytes) -> bytes:
        raw = text.encode("ascii") if isinstance(text, str) else text
        return raw.ljust(16)[:16]

    items = item(0x10, application.encode())
    for number, (abstract, transfers) in enumerate(contexts):
        body = struct.pack(">Bxxx", 2 * number + 1) + item(0x30, abstract.encode())
        items += item(0x20, body + b"".join(item(0x40, uid.encode()) for uid in transfers))
    user = item(0x51, struct.pack(">I", most)) + item(0x52, b"1.2.3.4.5") + item(0x55, b"RAW_PEER")
    for uid, scu, scp in roles:
        body = struct.pack(">H", len(uid)) + uid.encode() + bytes([scu, scp])
        user += item(0x54, body)
    if identity is not None:
        kind, primary, secondary, wants_response = identity
        counted = b"".join(struct.pack(">H", len(part)) + part for part in (primary, secondary))
        user += item(0x58, bytes([kind, wants_response]) + counted)
    items += item(0x50, user)
    return pdu(
        0x01, struct.pack(">Hxx", version) + title(called) + title(calling) + bytes(32) + items
    )


def element(number: int, value: bytes) -> bytes:
    return struct.pack("<HHI", 0x0000, number, len(value)) + value


def command(*elements: tuple[int, bytes]) -> bytes:
    body = b"".join(element(number, value) for number, value in elements)
    return element(0x0000, struct.pack("<I", len(body))) + body


def uid_bytes(uid: str | bytes) -> bytes:
    raw = uid.encode("ascii") if isinstance(uid, str) else uid
    return raw + b"\0" * (len(raw) % 2)


def us(value: int) -> bytes:
    return struct.pack("<H", value)


def store_rq(sop_class: str | bytes, sop_instance: str | bytes, message_id: int = 1) -> bytes:
    return command(
        (0x0002, uid_bytes(sop_class)),
        (0x0100, us(0x0001)),
        (0x0110, us(message_id)),
        (0x0700, us(0)),
        (0x0800, us(0x0000)),
        (0x1000, uid_bytes(sop_instance)),
    )


def echo_rq(message_id: int = 1) -> bytes:
    return command(
        (0x0002, uid_bytes(VERIFICATION)),
        (0x0100, us(0x0030)),
        (0x0110, us(message_id)),
        (0x0800, us(0x0101)),
    )


def fragment(context_id: int, control: int, value: bytes) -> bytes:
    """A P-DATA-TF with one PDV; control 1 command, 3 its last, 0 data set, 2 its last."""
    return pdu(0x04, struct.pack(">IBB", len(value) + 2, context_id, control) + value)


@dataclass
class RejectedError(Exception):
    """An A-ASSOCIATE-RJ."""

    result: int
    source: int
    reason: int


class AbortedError(Exception):
    """An A-ABORT, or the connection was closed."""


@dataclass
class Response:
    status: int
    comment: str = ""
    values: dict[int, bytes] = field(default_factory=dict)


class RawPeer:
    """An association opened by hand; `accepted` is what the other side took, by context id."""

    def __init__(
        self,
        port: int,
        contexts: Sequence[Context] = ((VERIFICATION, [IMPLICIT_LE]), (CT, [EXPLICIT_LE])),
        *,
        calling: str | bytes = "CT_NORTH",
        called: str | bytes = "NOCTIS_SCP",
        timeout_s: float = 20,
        request: bytes | None = None,
    ) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.contexts = contexts
        self.most = 0
        self.accepted: dict[int, str] = {}
        self.results: dict[int, int] = {}
        self.roles: dict[str, tuple[int, int]] = {}
        self.identity_response: bytes | None = None
        try:
            self.send(request or associate_rq(calling, called, contexts))
            self._read_answer()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read_answer(self) -> None:
        kind, body = self.receive()
        if kind == 0x03:
            raise RejectedError(body[1], body[2], body[3])
        assert kind == 0x02, f"PDU type {kind:#x}"
        offset = 68
        while offset < len(body):
            kind, length = struct.unpack_from(">BxH", body, offset)
            value = body[offset + 4 : offset + 4 + length]
            offset += 4 + length
            if kind == 0x21:
                self.results[value[0]] = value[2]
                if value[2] == 0:
                    self.accepted[value[0]] = value[8:].decode()
            elif kind == 0x50:
                self._read_user_items(value)

    def _read_user_items(self, body: bytes) -> None:
        offset = 0
        while offset < len(body):
            kind, length = struct.unpack_from(">BxH", body, offset)
            value = body[offset + 4 : offset + 4 + length]
            offset += 4 + length
            if kind == 0x51:
                self.most = int.from_bytes(value, "big")
            elif kind == 0x59:
                self.identity_response = value
            elif kind == 0x54:
                size = int.from_bytes(value[:2], "big")
                self.roles[value[2 : 2 + size].decode()] = (value[2 + size], value[3 + size])

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self) -> tuple[int, bytes]:
        header = self._exactly(6)
        kind, length = struct.unpack(">BxI", header)
        body = self._exactly(length)
        if kind == 0x07:
            raise AbortedError(f"source {body[2]} reason {body[3]}")
        return kind, body

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            try:
                step = self.socket.recv(count - len(data))
            except ConnectionError as error:
                raise AbortedError(str(error)) from error
            if not step:
                raise AbortedError("closed")
            data += step
        return data

    def response(self) -> Response:
        """Read one message without a data set."""
        raw = b""
        while True:
            kind, body = self.receive()
            assert kind == 0x04, f"PDU type {kind:#x}"
            offset, is_last = 0, False
            while offset < len(body):
                length, _, control = struct.unpack_from(">IBB", body, offset)
                raw += body[offset + 6 : offset + 4 + length]
                offset += 4 + length
                is_last = control == 3
            if is_last:
                break
        values: dict[int, bytes] = {}
        offset = 0
        while offset < len(raw):
            _, number, length = struct.unpack_from("<HHI", raw, offset)
            values[number] = raw[offset + 8 : offset + 8 + length]
            offset += 8 + length
        comment = values.get(0x0902, b"").decode("ascii").rstrip()
        return Response(int.from_bytes(values[0x0900], "little"), comment, values)

    def context_of(self, abstract: str) -> int:
        return next(
            2 * number + 1
            for number, (offered, _) in enumerate(self.contexts)
            if offered == abstract and 2 * number + 1 in self.accepted
        )

    def send_store(
        self,
        sop_class: str | bytes,
        sop_instance: str | bytes,
        data: bytes,
        *,
        context_id: int | None = None,
        step: int = 16000,
        message_id: int = 1,
    ) -> None:
        if context_id is None:
            assert isinstance(sop_class, str)
            context_id = self.context_of(sop_class)
        self.send(fragment(context_id, 3, store_rq(sop_class, sop_instance, message_id)))
        parts = [data[start : start + step] for start in range(0, len(data), step)] or [b""]
        for part in parts[:-1]:
            self.send(fragment(context_id, 0, part))
        self.send(fragment(context_id, 2, parts[-1]))

    def store(
        self,
        sop_class: str | bytes,
        sop_instance: str | bytes,
        data: bytes,
        *,
        context_id: int | None = None,
        step: int = 16000,
    ) -> Response:
        self.send_store(sop_class, sop_instance, data, context_id=context_id, step=step)
        return self.response()

    def echo(self) -> Response:
        self.send(fragment(self.context_of(VERIFICATION), 3, echo_rq()))
        return self.response()

    def release(self) -> None:
        self.send(pdu(0x05, bytes(4)))
        kind, _ = self.receive()
        assert kind == 0x06
        self.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.close()


@dataclass(frozen=True)
class Part10:
    """What a sender takes from a file: identity, encoding, and the data set's bytes."""

    sop_class: str
    sop_instance: str
    transfer_syntax: str
    data: bytes


def read_part10(raw: bytes) -> Part10:
    """Split a file by its own meta group; independent of the product and of pydicom."""
    assert raw[128:132] == b"DICM", "no prefix"
    end = 144 + struct.unpack_from("<I", raw, 140)[0]
    values: dict[int, str] = {}
    offset = 132
    while offset < end:
        group, number, vr = struct.unpack_from("<HH2s", raw, offset)
        assert group == 2, "not in the meta group"
        if vr in (b"OB", b"UN"):
            length, size = struct.unpack_from("<I", raw, offset + 8)[0], 12
        else:
            length, size = struct.unpack_from("<H", raw, offset + 6)[0], 8
        value = raw[offset + size : offset + size + length]
        values[number] = value.rstrip(b"\0 ").decode("ascii", "replace")
        offset += size + length
    return Part10(values[2], values[3], values.get(0x10, EXPLICIT_LE), raw[end:])
