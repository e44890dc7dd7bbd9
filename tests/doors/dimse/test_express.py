"""Our own upper layer on a socket pair: services, large messages, and whatever a peer may send."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import generate_uid

from dimse import association, commands, connection, peer, status
from dimse.clerk import Clerk
from dimse.connection import Pace
from dimse.express import ExpressAssociation
from dimse.handlers import c_echo
from dimse.peer import Context, Peer, PeerLostError, Request, Service
from dimse.services import Table
from dimse.visit import Visit
from tests import factories
from tests.dicom import make_instance, to_bytes
from tests.pdu import (
    CT,
    EXPLICIT_LE,
    IMPLICIT_LE,
    VERIFICATION,
    associate_rq,
    command,
    echo_rq,
    fragment,
    pdu,
    read_part10,
    store_rq,
    uid_bytes,
    us,
)
from worklist.models import Facility

FIND = "1.2.840.10008.5.1.4.1.2.2.1"
OFFERED = [(VERIFICATION, [IMPLICIT_LE]), (CT, [EXPLICIT_LE]), (FIND, [IMPLICIT_LE])]
RELEASE = pdu(0x05, bytes(4))
CANCEL = command((0x0100, us(0x0FFF)), (0x0120, us(7)), (0x0800, us(0x0101)))
PACE = Pace(request_timeout_s=5, pdu_timeout_s=2, idle_timeout_s=4, pdu_bytes=128 * 1024)


def find_rq(message_id: int = 7) -> bytes:
    return command(
        (0x0002, uid_bytes(FIND)),
        (0x0100, us(0x0020)),
        (0x0110, us(message_id)),
        (0x0800, us(0x0101)),
    )


def table_with(operation: Callable[[Peer, Request], None]) -> Table:
    finder = Service((FIND,), (IMPLICIT_LE,), {commands.C_FIND_RQ: operation})
    return Table((c_echo.SERVICE, finder))


def associate(
    server: socket.socket, table: Table, facility: Facility, most: int = 0, pace: Pace = PACE
) -> ExpressAssociation:
    request = association.parse(
        associate_rq("CT_NORTH", "NOCTIS_SCP", OFFERED, most=most, roles=[(CT, 1, 1)]), "10.0.0.7"
    )
    visit = Visit(facility=facility, ae_title="CT_NORTH", address="10.0.0.7", clerk=Clerk())
    return ExpressAssociation(server, request, visit, table, pace)


class Line:
    """The peer's end of an association that a thread of its own serves."""

    def __init__(self, table: Table, most: int = 0, pace: Pace = PACE) -> None:
        server, self.socket = socket.socketpair()
        self.socket.settimeout(10)
        self.association = associate(server, table, Facility(code="NORTH"), most, pace)
        self.thread = threading.Thread(target=self.association.run, daemon=True)
        self.thread.start()
        assert self.receive()[0] == 0x02

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self) -> tuple[int, bytes]:
        """Return a PDU; type 0 when the other side has closed."""
        header = self._exactly(6)
        if len(header) < 6:
            return 0, b""
        kind, length = struct.unpack(">BxI", header)
        return kind, self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            step = self.socket.recv(count - len(data))
            if not step:
                break
            data += step
        return bytes(data)

    def message(self, most: int) -> tuple[dict[int, bytes], bytes]:
        """Return a command set and its data set; every PDU is within `most`."""
        parts = {1: bytearray(), 0: bytearray()}
        while True:
            kind, body = self.receive()
            assert kind == 0x04
            assert not most or len(body) <= most
            length, _, control = struct.unpack_from(">IBB", body)
            assert length == len(body) - 4
            assert length % 2 == 0
            parts[control & 1] += body[6:]
            if control == 2 or (control == 3 and _type_of(bytes(parts[1])) == 0x0101):
                return _values(bytes(parts[1])), bytes(parts[0])

    def end(self) -> None:
        self.socket.close()
        self.thread.join(timeout=10)
        assert not self.thread.is_alive()


def _values(raw: bytes) -> dict[int, bytes]:
    return commands.parse(raw).values


def _type_of(raw: bytes) -> int:
    return int.from_bytes(_values(raw)[0x0800], "little")


@pytest.fixture
def lines() -> Iterator[list[Line]]:
    opened: list[Line] = []
    yield opened
    for line in opened:
        line.end()


@pytest.mark.parametrize("most", [0, 16, 4096, 131072], ids=lambda n: f"at most {n}")
@pytest.mark.parametrize(
    "sizes",
    [[], [1, 1], [10_000], [3, 5000, 7, 4090, 1], [4090, 4090], [1_500_000, 2, 600_000]],
    ids=str,
)
def test_a_data_set_of_any_pieces_goes_out_in_the_peers_pdus(
    lines: list[Line], most: int, sizes: list[int]
) -> None:
    if most == 16 and sum(sizes) > 100_000:
        sizes = [20_000, 2, 10_000]
    if sum(sizes) % 2:
        sizes = [*sizes, 1]
    sent = bytes(range(251)) * (sum(sizes) // 251 + 1)

    def pieces() -> Iterator[memoryview]:
        # One buffer for all of them, as a reader of files has it.
        buffer, start = bytearray(max(sizes, default=0)), 0
        for size in sizes:
            buffer[:size] = sent[start : start + size]
            yield memoryview(buffer)[:size]
            start += size

    def find(peer_: Peer, request: Request) -> None:
        head = commands.response(request.command, status.OK, {}, has_data_set=True)
        peer_.send(request.context, head, pieces())

    lines.append(Line(table_with(find), most=most))
    lines[0].send(fragment(5, 3, find_rq()))
    values, data = lines[0].message(most)
    assert values[0x0120] == us(7)
    assert data == sent[: sum(sizes)]
    lines[0].send(fragment(1, 3, echo_rq()))
    assert lines[0].message(most)[0][0x0900] == us(0)


def test_a_service_hears_of_its_cancel_while_it_works(lines: list[Line]) -> None:
    looked = threading.Event()

    def find(peer_: Peer, request: Request) -> None:
        peer.answer(peer_, request, status.Answer(status.PENDING))
        while not peer_.is_cancelled(request.command.message_id):
            looked.set()
        peer.answer(peer_, request, status.Answer(status.CANCELLED))

    lines.append(Line(table_with(find)))
    line = lines[0]
    line.send(fragment(5, 3, find_rq()))
    assert line.message(0)[0][0x0900] == us(0xFF00)
    cancel = fragment(5, 3, CANCEL)
    for byte in cancel:  # it may come in any pieces
        looked.clear()
        assert looked.wait(timeout=5)
        line.send(bytes([byte]))
    assert line.message(0)[0][0x0900] == us(0xFE00)
    # It was for that request alone.
    looked.clear()
    line.send(fragment(5, 3, find_rq()))
    assert line.message(0)[0][0x0900] == us(0xFF00)
    assert looked.wait(timeout=5)
    line.send(cancel)
    assert line.message(0)[0][0x0900] == us(0xFE00)


def test_what_comes_while_a_service_works_is_served_after_it(lines: list[Line]) -> None:
    def find(peer_: Peer, request: Request) -> None:
        while not peer_.is_cancelled(request.command.message_id):
            pass
        peer.answer(peer_, request, status.OK)

    lines.append(Line(table_with(find)))
    line = lines[0]
    line.send(fragment(5, 3, find_rq()) + fragment(1, 3, echo_rq(21)) + fragment(1, 3, echo_rq(22)))
    line.send(fragment(5, 3, CANCEL) + RELEASE)
    assert [line.message(0)[0][0x0120] for _ in range(3)] == [us(7), us(21), us(22)]
    assert line.receive()[0] == 0x06
    assert line.receive()[0] == 0


@pytest.mark.parametrize("how", ["abort", "close", "evict"])
def test_a_service_hears_that_its_peer_is_gone(lines: list[Line], how: str) -> None:
    heard = threading.Event()

    def find(peer_: Peer, request: Request) -> None:
        peer.answer(peer_, request, status.Answer(status.PENDING))
        try:
            while not peer_.is_cancelled(request.command.message_id):
                pass
        except PeerLostError:
            heard.set()
            raise

    lines.append(Line(table_with(find)))
    line = lines[0]
    line.send(fragment(5, 3, find_rq()))
    line.message(0)
    if how == "abort":
        line.send(pdu(0x07, bytes(4)))
    elif how == "close":
        line.socket.close()
    else:
        line.association.guest.evict()
    assert heard.wait(timeout=5)
    line.thread.join(timeout=5)
    assert not line.thread.is_alive()


def store_of_ours(peer_: Peer, request: Request) -> None:
    """Send an instance on the asker's association and tell what it answered, as C-GET does."""
    context = next(c for c in peer_.contexts.values() if c.abstract_syntax == CT)
    assert context.is_ours_to_call
    fields = {commands.AFFECTED_SOP_CLASS_UID: commands.ui(CT)}
    head = commands.request(commands.C_STORE_RQ, 99, fields, has_data_set=True)
    peer_.send(context, head, [b"data"])
    answered = peer_.response_to(99, timeout_s=0.5)
    peer.answer(peer_, request, status.Answer(answered.command.status))


def store_rsp(message_id: int) -> bytes:
    return command(
        (0x0100, us(0x8001)), (0x0120, us(message_id)), (0x0800, us(0x0101)), (0x0900, us(0xB007))
    )


def test_a_service_calls_its_caller(lines: list[Line]) -> None:
    lines.append(Line(table_with(store_of_ours)))
    line = lines[0]
    line.send(fragment(5, 3, find_rq()))
    assert line.message(0)[1] == b"data"
    line.send(fragment(1, 3, echo_rq(50)) + fragment(3, 3, store_rsp(99)))
    assert line.message(0)[0][0x0900] == us(0xB007)
    assert line.message(0)[0][0x0120] == us(50)


@pytest.mark.parametrize("said", ["nothing", "another answer", "an echo a time"])
def test_a_caller_that_does_not_answer_is_ended(lines: list[Line], said: str) -> None:
    lines.append(Line(table_with(store_of_ours)))
    line = lines[0]
    line.send(fragment(5, 3, find_rq()))
    line.message(0)
    if said == "another answer":
        line.send(fragment(3, 3, store_rsp(98)))
    if said == "an echo a time":
        line.send(fragment(1, 3, echo_rq(50)) * 6)
    assert line.receive()[0] == 0x07


def test_an_answer_that_nobody_asked_for_ends_the_association(lines: list[Line]) -> None:
    lines.append(Line(Table((c_echo.SERVICE,))))
    lines[0].send(fragment(3, 3, store_rsp(1)))
    assert lines[0].receive() == (0x07, bytes([0, 0, 2, connection.INVALID_PARAMETER]))


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (pdu(0x02, bytes(70)), connection.UNEXPECTED_PDU),
        (pdu(0x06, bytes(4)), connection.UNEXPECTED_PDU),
        (associate_rq("CT_NORTH", "NOCTIS_SCP", OFFERED), connection.UNEXPECTED_PDU),
        (pdu(0x2A, bytes(4)), connection.UNRECOGNISED_PDU),
        (pdu(0x04, b""), connection.INVALID_PARAMETER),
        (struct.pack(">BxI", 0x04, 0xFFFFFFF0), connection.INVALID_PARAMETER),
        (
            pdu(0x04, struct.pack(">IBB", 0xFFF0, 1, 3) + echo_rq()),
            connection.INVALID_PARAMETER,
        ),
        (fragment(99, 3, echo_rq()), connection.INVALID_PARAMETER),
        (
            fragment(3, 3, command((0x0100, us(0x0FFF)), (0x0800, us(0x0101)))),
            connection.INVALID_PARAMETER,
        ),
    ],
    ids=[
        "accept",
        "release response",
        "request",
        "unknown",
        "empty",
        "huge",
        "past its PDU",
        "context",
        "cancel of nothing",
    ],
)
def test_an_abort_says_why(
    lines: list[Line], wrong: bytes, reason: int, caplog: pytest.LogCaptureFixture
) -> None:
    """PS3.8 table 9-26, source 2: the service provider."""
    lines.append(Line(Table((c_echo.SERVICE,))))
    lines[0].send(wrong)
    assert lines[0].receive() == (0x07, bytes([0, 0, 2, reason]))
    assert "The association broke" not in caplog.text


def test_thousands_of_requests_in_one_pdu_are_answered_one_by_one(lines: list[Line]) -> None:
    """They wait as fragments, not as requests: nothing grows with them."""
    lines.append(Line(Table((c_echo.SERVICE,))))
    line = lines[0]
    value = echo_rq()
    one = struct.pack(">IBB", len(value) + 2, 1, 3) + value
    count = 100_000 // len(one)
    line.send(pdu(0x04, one * count) + RELEASE)
    for _ in range(count):
        assert line.message(0)[0][0x0900] == us(0)
    assert line.receive()[0] == 0x06


SOUND = read_part10(to_bytes(make_instance()))
STORE = fragment(3, 3, store_rq(CT, SOUND.sop_instance))
LAWFUL = [
    fragment(1, 3, echo_rq()),
    STORE,
    fragment(3, 0, SOUND.data[: len(SOUND.data) // 2]),
    fragment(3, 2, SOUND.data[len(SOUND.data) // 2 :]),
    STORE + fragment(3, 2, SOUND.data),
    fragment(3, 3, store_rq(CT, generate_uid())) + fragment(3, 2, b"noise"),
    fragment(5, 3, find_rq()),
    fragment(5, 3, CANCEL),
    fragment(1, 1, echo_rq()[:30]),
    fragment(1, 3, echo_rq()[30:]),
    fragment(3, 3, store_rsp(1)),
    RELEASE,
    pdu(0x07, bytes(4)),
]
ELEMENTS = st.tuples(
    st.sampled_from([0x0000, 0x0002, 0x0003, 0x0100, 0x0110, 0x0120, 0x0800, 0x0900, 0x1000]),
    st.one_of(
        st.sampled_from([0x0001, 0x0020, 0x0030, 0x0101, 0x0FFF, 0x8001]).map(us),
        st.sampled_from([uid_bytes(CT), uid_bytes(VERIFICATION), b""]),
        st.binary(max_size=70),
    ),
)
COMMANDS = st.builds(
    lambda context_id, control, elements, cut: fragment(
        context_id, control, command(*elements)[:cut]
    ),
    st.sampled_from([1, 3, 5, 7]),
    st.sampled_from([0, 1, 2, 3, 0xFF]),
    st.lists(ELEMENTS, max_size=8),
    st.one_of(st.none(), st.integers(0, 60)),
)
PDUS = st.builds(
    lambda kind, length, body: struct.pack(">BxI", kind, length) + body,
    st.integers(0, 9),
    st.one_of(st.integers(0, 200), st.integers(0, 0xFFFFFFFF)),
    st.binary(max_size=100),
)
STREAMS = st.lists(
    st.one_of(st.sampled_from(LAWFUL), COMMANDS, PDUS, st.binary(max_size=40)), max_size=8
)


def lawful_answers(raw: bytes) -> bool:
    """Whether the bytes are an acceptance, messages, and at most one end."""
    kinds = []
    while raw:
        kind, length = struct.unpack_from(">BxI", raw)
        kinds.append(kind)
        assert len(raw) >= 6 + length, "a PDU of ours is cut off"
        raw = raw[6 + length :]
    inner = kinds[1:-1] if kinds[-1] in (0x06, 0x07) else kinds[1:]
    return kinds[0] == 0x02 and set(inner) <= {0x04}


@pytest.mark.django_db
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(stream=STREAMS, changes=st.lists(st.tuples(st.integers(0), st.integers(0, 255)), max_size=3))
def test_whatever_a_peer_sends_is_answered_lawfully_or_ended(
    caplog: pytest.LogCaptureFixture, stream: list[bytes], changes: list[tuple[int, int]]
) -> None:
    """Framing and command sets: no crash, bounded time, and never an unlawful byte back."""

    def find(peer_: Peer, request: Request) -> None:
        for _ in range(3):
            if peer_.is_cancelled(request.command.message_id):
                break
            peer.answer(peer_, request, status.Answer(status.PENDING))
        peer.answer(peer_, request, status.OK)

    sent = bytearray(b"".join(stream))
    for place, byte in changes:
        if sent:
            sent[place % len(sent)] = byte
    server, client = socket.socketpair()
    with server, client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        client.settimeout(5)
        facility = Facility.objects.filter(code="FUZZ").first() or factories.facility(
            "FUZZ", "Fuzz"
        )
        associate(server, table_with(find), facility).run()
        answers = bytearray()
        with contextlib.suppress(ConnectionResetError):
            while step := client.recv(65536):
                answers += step
    assert lawful_answers(bytes(answers))
    assert "The association broke" not in caplog.text


def test_contexts_are_what_was_negotiated() -> None:
    server, client = socket.socketpair()
    with server, client:
        found = associate(server, Table((c_echo.SERVICE,)), Facility(code="NORTH"))
        assert found.contexts == {
            1: Context(1, VERIFICATION, IMPLICIT_LE),
            3: Context(3, CT, EXPLICIT_LE, is_ours_to_call=True),
        }
