"""Time limits and caps: silent, idle and dribbling peers, and crowds, do not shut others out."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.dicom import make_instance, to_bytes
from tests.pdu import (
    CT,
    EXPLICIT_LE,
    AbortedError,
    RawPeer,
    RejectedError,
    associate_rq,
    fragment,
    read_part10,
    store_rq,
)
from tests.receiver import ReceiverSite

pytestmark = pytest.mark.slow

OFFERED = [(CT, [EXPLICIT_LE])]
BUSY = (2, 3, 2)


Start = Callable[..., ReceiverSite]


@pytest.fixture(scope="module")
def start(make_site: Start) -> Start:
    """Start a receiver with one short limit: what ends is ended by it, for the others are long."""

    def start(**limits: int) -> ReceiverSite:
        names = ("DIMSE_REQUEST_TIMEOUT_S", "DIMSE_PDU_TIMEOUT_S", "DIMSE_IDLE_TIMEOUT_S")
        site = make_site(dict.fromkeys(names, 600) | limits)
        site.start()
        return site

    return start


def seconds_until_closed(client: socket.socket, most_s: float = 60) -> float:
    began = time.monotonic()
    client.settimeout(most_s)
    with contextlib.suppress(ConnectionError):
        while client.recv(4096):
            pass
    return time.monotonic() - began


def test_a_request_must_be_complete_in_time(start: Start) -> None:
    site = start(DIMSE_REQUEST_TIMEOUT_S=1)
    request = associate_rq("CT_NORTH", "NOCTIS_SCP", OFFERED)
    with (
        socket.create_connection(("127.0.0.1", site.port)) as silent,
        socket.create_connection(("127.0.0.1", site.port)) as dribbling,
    ):

        def dribble() -> None:
            with contextlib.suppress(OSError):
                for byte in request:
                    dribbling.sendall(bytes([byte]))
                    time.sleep(0.2)

        thread = threading.Thread(target=dribble)
        thread.start()
        assert seconds_until_closed(silent) > 0.5
        # By then it would not have sent a tenth of its request.
        seconds_until_closed(dribbling)
        thread.join()
    assert site.stop() == 0


def test_a_pdu_must_be_complete_in_time(start: Start) -> None:
    site = start(DIMSE_PDU_TIMEOUT_S=2)
    instance = read_part10(to_bytes(make_instance()))
    with site.peer(OFFERED, calling="CT_3") as peer:
        peer.send(fragment(1, 3, store_rq(CT, instance.sop_instance)))
        slow = fragment(1, 0, instance.data[:5000])
        began = time.monotonic()
        with pytest.raises((AbortedError, ConnectionError)):  # noqa: PT012 - where is open
            for byte in slow:
                peer.send(bytes([byte]))
                time.sleep(0.05)
        assert time.monotonic() - began > 1.5
    site.eventually(lambda: site.spooled_files() == [])
    (entry,) = site.eventually(
        lambda: site.rows(
            "SELECT * FROM worklist_facilityae WHERE ae_title = 'CT_3' AND last_error != ''"
        )
    )
    assert "stopped in the middle" in entry["last_error"]
    assert site.stop() == 0


def test_an_idle_association_is_ended(start: Start) -> None:
    site = start(DIMSE_IDLE_TIMEOUT_S=4)
    with site.peer(timeout_s=60) as peer:
        assert peer.echo().status == 0
        time.sleep(2)
        assert peer.echo().status == 0, "activity restarts the clock"
        began = time.monotonic()
        with pytest.raises(AbortedError):
            peer.receive()
        assert time.monotonic() - began > 3
    assert site.stop() == 0


@pytest.fixture
def crowd(receiver: ReceiverSite) -> Iterator[list[RawPeer | socket.socket]]:
    guests: list[RawPeer | socket.socket] = []
    yield guests
    for guest in guests:
        guest.close()


def cpu_seconds(site: ReceiverSite) -> float:
    with open(f"/proc/{site.pid}/stat") as handle:  # noqa: PTH123 - not a file
        fields = handle.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_crowd_of_silent_idle_and_dribbling_peers_shuts_nobody_out(
    receiver: ReceiverSite, crowd: list[RawPeer | socket.socket]
) -> None:
    """200 silent, 200 idle, 50 dribbling, all from our own address: an echo takes < 1 s."""
    address = ("127.0.0.1", receiver.port)
    crowd.extend(socket.create_connection(address) for _ in range(200))
    idle = 0
    answers = set()
    for number in range(200):
        try:
            crowd.append(receiver.peer(OFFERED, calling=f"CT_{number % 4}"))
            idle += 1
        except RejectedError as error:
            answers.add((error.result, error.source, error.reason))
    assert answers <= {BUSY}
    assert idle >= 96
    stop = threading.Event()

    def dribble() -> None:
        with (
            contextlib.suppress(OSError, RejectedError, AbortedError),
            receiver.peer(OFFERED, calling="CT_5") as peer,
        ):
            for byte in fragment(1, 1, bytes(5000)):
                if stop.is_set():
                    return
                peer.send(bytes([byte]))
                time.sleep(0.1)

    dribblers = [threading.Thread(target=dribble) for _ in range(50)]
    for thread in dribblers:
        thread.start()
    try:
        # Those who stand still lose their places after a second, not before.
        time.sleep(1.5)
        before = cpu_seconds(receiver)
        began = time.monotonic()
        for number in range(20):
            assert receiver.echo(calling=f"CT_{number % 8}") < 1
            time.sleep(0.1)
        share = (cpu_seconds(receiver) - before) / (time.monotonic() - began)
    finally:
        stop.set()
        for thread in dribblers:
            thread.join(timeout=10)
    # pynetdicom's own loops need several processors for as many idle associations.
    assert share < 0.6
    assert receiver.peak_mib() < 300


def test_one_caller_has_a_cap_and_others_still_come(
    make_site: Callable[..., ReceiverSite],
) -> None:
    site = make_site(
        {
            "DIMSE_MAX_ASSOCIATIONS_PER_AE": 3,
            "DIMSE_MAX_ASSOCIATIONS": 6,
            "DIMSE_RESERVED_ASSOCIATIONS": 1,
        }
    )
    site.start()

    def busy(calling: str) -> RawPeer:
        """An association in the middle of a message, whose place may not be taken."""
        peer = site.peer(OFFERED, calling=calling)
        peer.send(fragment(1, 3, store_rq(CT, "1.2.3")))
        return peer

    def refused(calling: str) -> bool:
        try:
            site.peer(OFFERED, calling=calling).close()
        except RejectedError as error:
            return (error.result, error.source, error.reason) == BUSY
        return False

    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(busy("CT_1"))
        assert refused("CT_1")
        for _ in range(2):
            stack.enter_context(busy("CT_2"))
        assert refused("CT_2"), "the last place is for somebody who has none"
        with site.peer() as other:
            assert other.echo().status == 0
    site.eventually(lambda: not refused("CT_1"), timeout_s=3)


def test_who_stands_still_makes_room(make_site: Callable[..., ReceiverSite]) -> None:
    site = make_site({"DIMSE_MAX_ASSOCIATIONS_PER_AE": 2})
    site.start()
    first = site.peer(calling="CT_1")
    second = site.peer(calling="CT_1")
    time.sleep(1.2)
    assert second.echo().status == 0  # the second works, the first stands still
    with site.peer(calling="CT_1") as third:
        assert third.echo().status == 0
        assert second.echo().status == 0
        with pytest.raises(AbortedError):
            first.receive()
    first.close()
    second.close()


def test_unnamed_connections_are_capped_by_dropping_the_oldest(
    make_site: Callable[..., ReceiverSite],
) -> None:
    site = make_site({"DIMSE_MAX_PENDING_CONNECTIONS": 20, "DIMSE_REQUEST_TIMEOUT_S": 600})
    site.start()
    silent = []
    for _ in range(30):
        silent.append(socket.create_connection(("127.0.0.1", site.port)))
        time.sleep(0.01)
    seconds_until_closed(silent[0])
    assert site.echo() < 1
    silent[-1].settimeout(0.5)
    with pytest.raises(TimeoutError):
        silent[-1].recv(1)
    for client in silent:
        client.close()


def test_descriptors_suffice_for_the_caps(make_site: Callable[..., ReceiverSite]) -> None:
    site = make_site(wrapper=["prlimit", "--nofile=256:2048"])
    site.start()
    limits = Path(f"/proc/{site.pid}/limits").read_text()
    (line,) = [line for line in limits.splitlines() if line.startswith("Max open files")]
    assert int(line.split()[3]) > 6 * 128 + 256


def test_a_title_that_cannot_be_one_stops_the_start(
    make_site: Callable[..., ReceiverSite],
) -> None:
    site = make_site()
    with pytest.raises(AssertionError):
        site.start("--aet", "A TITLE THAT IS FAR TOO LONG")
    assert site.process is not None
    assert site.process.wait(timeout=10) == 1
    assert "at most 16 are allowed. Set DICOM_AET." in site.log()


def test_a_port_that_is_taken_stops_the_start(
    make_site: Callable[..., ReceiverSite], receiver: ReceiverSite
) -> None:
    site = make_site()
    with pytest.raises(AssertionError):
        site.start("--port", str(receiver.port))
    assert site.process is not None
    assert site.process.wait(timeout=10) == 1
    assert "Stop the other program, or set DICOM_PORT." in site.log()
