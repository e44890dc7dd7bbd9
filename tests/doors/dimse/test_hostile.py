"""What a peer may send that is broken or meant to harm: the receiver stays up, in bounds, lawful.

After every attack the process is alive, an echo is answered within a second, rows and files agree.
"""

from __future__ import annotations

import contextlib
import csv
import random
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom.uid import generate_uid

from tests.dicom import make_instance, to_bytes
from tests.pdu import (
    CT,
    EXPLICIT_LE,
    IMPLICIT_LE,
    VERIFICATION,
    AbortedError,
    Part10,
    RawPeer,
    RejectedError,
    Response,
    associate_rq,
    command,
    echo_rq,
    element,
    fragment,
    pdu,
    read_part10,
    store_rq,
    uid_bytes,
    us,
)
from tests.receiver import ReceiverSite

# What the network changes about the expectation of make_malformed.py, and why.
OVER_THE_NETWORK = {
    # The transfer syntax is negotiated, not read from the file.
    "ts_missing.dcm": "survive",
    # No component of a UID may begin with a zero: refused (and the peer is told).
    "uid_leading_zero.dcm": "reject",
    # The meta group does not travel; without a readable one the sender has nothing to send.
    "no_preamble.dcm": "survive",
}


OFFERED = [(VERIFICATION, [IMPLICIT_LE]), (CT, [EXPLICIT_LE])]


def build(**keywords: object) -> Part10:
    return read_part10(to_bytes(make_instance(**keywords)))


@pytest.fixture(autouse=True)
def unharmed(request: pytest.FixtureRequest) -> Iterator[None]:
    if "receiver" not in request.fixturenames:
        yield
        return
    receiver: ReceiverSite = request.getfixturevalue("receiver")
    before = receiver.peak_mib()
    yield
    assert receiver.is_alive, receiver.log()
    assert receiver.echo() < 1
    growth_mib = receiver.peak_mib() - before
    # `pytest -rP` shows it.
    print(f"{request.node.name}: grew by {growth_mib:.0f} MiB")
    assert growth_mib < 256
    # What an attacker had sent whole may still be on its way into the database.
    receiver.eventually(receiver.is_at_rest)
    receiver.assert_consistent()


def as_sent(raw: bytes, good: Part10) -> Part10:
    """What a careless sender makes of a file: its own meta group where it has one."""
    try:
        found = read_part10(raw)
    except (AssertionError, KeyError, struct.error, IndexError):
        return Part10(good.sop_class, good.sop_instance, EXPLICIT_LE, raw)
    return found


@pytest.fixture(scope="module")
def malformed(
    shared: Path, data: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[tuple[str, str, Path]]:
    folder = tmp_path_factory.mktemp("malformed")
    good = data / "malformed" / "CT_small.dcm"
    tool = shared / "tools" / "make_malformed.py"
    subprocess.run([sys.executable, tool, good, folder, "--fuzz", "60"], check=True, timeout=100)
    with (folder / "variants.csv").open() as handle:
        return [
            (row["file"], row["expect"], folder / row["file"]) for row in csv.DictReader(handle)
        ]


@pytest.mark.slow
def test_malformed_variants(
    make_site: Callable[..., ReceiverSite], malformed: list[tuple[str, str, Path]], data: Path
) -> None:
    """Each variant over C-STORE, its bytes as they are, on an empty archive."""
    good = read_part10((data / "malformed" / "CT_small.dcm").read_bytes())
    site = make_site()
    site.start()
    wrong: list[str] = []
    for name, expected, path in malformed:
        expect = OVER_THE_NETWORK.get(name, expected)
        instance = as_sent(path.read_bytes(), good)
        count = len(site.images())
        began = time.monotonic()
        offered = [(instance.sop_class, [instance.transfer_syntax])]
        data_set = (instance.sop_class, instance.sop_instance, instance.data)
        try:
            with site.peer(offered, timeout_s=30) as peer:
                answer = peer.store(*data_set, step=60000, context_id=1)
        except RejectedError:
            # Its class or syntax is no UID: no association can be had for it.
            answer = Response(-1, "The association was refused.")
        elapsed = time.monotonic() - began
        assert site.is_alive, f"{name}\n{site.log()}"
        assert site.echo() < 1, name
        grown = len(site.images()) - count
        took = answer.status in (0x0000, 0xB000)
        if expect == "reject" and (took or grown):
            wrong.append(f"{name}: taken with 0x{answer.status:04X}")
        if expect == "accept" and not took:
            wrong.append(f"{name}: refused with 0x{answer.status:04X} {answer.comment}")
        if not took and (grown or not answer.comment):
            wrong.append(f"{name}: refused without a word, or stored all the same")
        if elapsed > 10:
            wrong.append(f"{name}: {elapsed:.1f} s")
    assert wrong == []
    assert len(malformed) > 120
    assert site.peak_mib() < 400
    site.assert_consistent()


def deep(depth: int) -> bytes:
    opening = struct.pack("<HH", 0x0008, 0x1140) + b"SQ\0\0\xff\xff\xff\xff"
    opening += b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    closing = b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"
    return opening * depth + closing * depth


@pytest.mark.parametrize("depth", [65, 50_000, 500_000])
def test_nested_sequences_in_a_data_set_are_refused(receiver: ReceiverSite, depth: int) -> None:
    instance = build()
    place = instance.data.index(b"\x10\x00\x10\x00PN")
    data = instance.data[:place] + deep(depth) + instance.data[place:]
    with receiver.peer() as peer:
        answer = peer.store(CT, instance.sop_instance, data)
        assert answer.status == 0xA700
        assert peer.echo().status == 0


def nested_command(depth: int) -> bytes:
    opening = struct.pack("<HHI", 0x0008, 0x1140, 0xFFFFFFFF) + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    return store_rq(CT, "1.2.3") + opening * depth


@pytest.mark.parametrize(
    "raw",
    [
        nested_command(3_000),
        store_rq(CT, "1.2.3") + struct.pack("<HHI", 0x0000, 0x1005, 0xFFFFFFFF) + bytes(100),
        struct.pack("<HHI", 0x0000, 0x0002, 0x7FFFFFFF) + b"1.2",
        b"\x00\x00",
        b"",
        bytes(60_000),
        command((0x0100, us(0x0001))),
        command((0x0100, us(0x7777)), (0x0800, us(0x0101))),
        command((0x0100, us(0x8001)), (0x0120, us(1)), (0x0800, us(0x0101)), (0x0900, us(0))),
        command((0x0100, us(0x0030)), (0x0800, us(0x0101))),
        command((0x0100, us(0x0001)), (0x0110, us(1)), (0x0800, us(0x0101))),
        command((0x0100, us(1)), (0x0100, us(1)), (0x0110, us(1)), (0x0800, us(0))),
        b"".join(element(n, b"") for n in range(200)),
        command((0x0100, b"\1"), (0x0110, b"\1\0\0"), (0x0800, us(0))),
    ],
    ids=[
        "nested", "undefined length", "length lie", "cut", "empty", "zeros", "no type",
        "unknown command", "a response", "echo without id", "store without data", "repeated",
        "many elements", "wrong lengths",
    ],
)  # fmt: skip
def test_a_command_that_breaks_the_rules_ends_the_association_alone(
    receiver: ReceiverSite, raw: bytes
) -> None:
    with receiver.peer() as other, receiver.peer() as peer:
        for start in range(0, max(1, len(raw)), 16000):
            is_last = start + 16000 >= len(raw)
            peer.send(fragment(3, 3 if is_last else 1, raw[start : start + 16000]))
        with pytest.raises(AbortedError):
            peer.receive()
        assert other.echo().status == 0


@pytest.mark.parametrize(
    ("field", "class_element"), [(0x0020, 0x0002), (0x0100, 0x0003)], ids=["find", "event report"]
)
def test_a_message_that_its_sop_class_does_not_have_is_refused_in_words(
    receiver: ReceiverSite, field: int, class_element: int
) -> None:
    raw = command(
        (class_element, uid_bytes(CT)),
        (0x0100, us(field)),
        (0x0110, us(7)),
        (0x0800, us(0x0101)),
    )
    with receiver.peer() as peer:
        peer.send(fragment(peer.context_of(CT), 3, raw))
        answer = peer.response()
        assert answer.status == 0x0211
        assert answer.values[0x0120] == us(7)
        assert peer.echo().status == 0
    assert "Traceback" not in receiver.log()


def is_cut_off(peer: RawPeer, part: bytes) -> None:
    """Send `part` without end; sooner or later the other side must hang up."""
    try:
        for _ in range(1000):
            peer.send(part)
        peer.receive()
    except (AbortedError, ConnectionError):
        return
    pytest.fail("The association went on.")


def test_an_endless_command_ends_the_association(receiver: ReceiverSite) -> None:
    with receiver.peer() as peer:
        is_cut_off(peer, fragment(3, 1, bytes(16000)))


def test_an_endless_query_ends_the_association(receiver: ReceiverSite) -> None:
    find = command(
        (0x0002, uid_bytes(CT)), (0x0100, us(0x0020)), (0x0110, us(1)), (0x0700, us(0)),
        (0x0800, us(0)),
    )  # fmt: skip
    with receiver.peer() as peer:
        peer.send(fragment(3, 3, find))
        is_cut_off(peer, fragment(3, 0, bytes(100_000)))


@pytest.mark.parametrize(
    "after",
    [
        struct.pack(">BxI", 0x04, 0xFFFFFFFF),
        struct.pack(">BxI", 0x04, 300_000),
        struct.pack(">BxI", 0x05, 0x7FFFFFFF),
        pdu(0x04, struct.pack(">IBB", 0xFFFFFFF0, 3, 3) + b"x" * 50),
        pdu(0x04, struct.pack(">IBB", 1, 3, 3)),
        pdu(0x04, bytes(64)),
        pdu(0x04, b""),
        pdu(0x04, struct.pack(">IB", 1, 3)),
        pdu(0x09, bytes(10)),
        pdu(0x02, bytes(80)),
        associate_rq("CT_NORTH", "NOCTIS_SCP", [(CT, [EXPLICIT_LE])]),
        fragment(99, 3, store_rq(CT, "1.2.3")),
        fragment(3, 2, b"data without a command"),
        fragment(3, 3, store_rq(CT, "1.2.3")) + fragment(1, 2, b"x"),
        fragment(3, 3, store_rq(CT, "1.2.3")) + fragment(3, 3, store_rq(CT, "1.2.3")),
        random.Random(7).randbytes(5000),  # noqa: S311 - the same noise every time
    ],
    ids=[
        "4 GiB PDU", "above the announced length", "2 GiB release", "PDV past its PDU",
        "PDV of one byte", "PDVs of length 0", "no PDV", "PDV without control", "unknown type",
        "accept", "second request", "context not accepted", "no command", "other context",
        "command in a data set", "noise",
    ],
)  # fmt: skip
def test_a_pdu_that_breaks_the_rules_ends_the_association_alone(
    receiver: ReceiverSite, after: bytes
) -> None:
    with receiver.peer() as other, receiver.peer(timeout_s=8) as peer:
        peer.send(after)
        with pytest.raises(AbortedError):
            peer.receive()
        assert other.echo().status == 0


@pytest.mark.parametrize("ahead", [b"", associate_rq("CT_NORTH", "NOCTIS_SCP", OFFERED)])
def test_a_peer_that_does_not_wait_for_its_admission(receiver: ReceiverSite, ahead: bytes) -> None:
    """A request and more in one segment: ended, or served when our answer was first."""
    request = associate_rq("CT_NORTH", "NOCTIS_SCP", OFFERED)
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", receiver.port), timeout=10) as client:
            client.sendall(request + ahead + fragment(1, 3, echo_rq()) + pdu(0x05, bytes(4)))
            client.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionError):
                while client.recv(4096):
                    pass
    assert "Traceback" not in receiver.log()


@pytest.mark.parametrize(
    "uid",
    [
        b"", b".", b"1..2", b".1", b"1.", b"1.02", b"00", b"1.2.3.a", b"1,2", b"-1.2", b"1.2 .3",
        b"../../../etc/passwd", b"/etc/passwd", b"1.2.3/4", b"1.2.3\\4", b"1.2.3\x004", b"\x00",
        b"1.2.3\n4", b"1." + b"9" * 63, b"9" * 2000, b"1.2.\xc3\xa9", b"1.2.'; DROP TABLE x;--",
        b"%s%n", b"{{7*7}}", "1.２.3".encode(), b"1.2.*", b"1.2.?", b"con", b"1.2.3:x", b"+1.2",
    ],
)  # fmt: skip
def test_hostile_uids_are_refused(receiver: ReceiverSite, uid: bytes) -> None:
    """In the command alone, and in both command and data set."""
    instance = build()
    padded = uid_bytes(uid)
    old = b"\x08\x00\x18\x00UI" + struct.pack("<H", len(uid_bytes(instance.sop_instance)))
    old += uid_bytes(instance.sop_instance)
    new = b"\x08\x00\x18\x00UI" + struct.pack("<H", len(padded)) + padded
    assert instance.data.count(old) == 1
    with receiver.peer() as peer:
        for data in (instance.data, instance.data.replace(old, new)):
            answer = peer.store(CT, uid, data, context_id=3)
            assert answer.status == 0xA900
            assert answer.comment == "The SOP Instance UID is no lawful UID (PS3.5 9.1)."
        answer = peer.store(CT, instance.sop_instance, instance.data.replace(old, new))
        assert answer.status == 0xA900
        # The association goes on, and the sound one is taken.
        assert peer.store(CT, instance.sop_instance, instance.data).status == 0


@pytest.mark.parametrize("tag", ["20000d00", "20000e00"], ids=["study", "series"])
@pytest.mark.parametrize("uid", [b"../../x", b"1.02.3", b"1.2.*"])
def test_hostile_study_and_series_uids_are_refused(
    receiver: ReceiverSite, tag: str, uid: bytes
) -> None:
    instance = build()
    head = bytes.fromhex(tag) + b"UI"
    start = instance.data.index(head)
    length = struct.unpack_from("<H", instance.data, start + 6)[0]
    padded = uid_bytes(uid)
    data = instance.data[:start] + head + struct.pack("<H", len(padded)) + padded
    data += instance.data[start + 8 + length :]
    with receiver.peer() as peer:
        assert peer.store(CT, instance.sop_instance, data).status == 0xA900


@pytest.mark.slow
def test_a_deflate_bomb_is_refused_in_bounds(receiver: ReceiverSite) -> None:
    instance = build()
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    place = instance.data.index(b"\x10\x00\x10\x00PN")
    body = squeeze.compress(instance.data[:place])
    for number in range(40):
        head = struct.pack("<HH", 0x0009, 0x1000 + number) + b"OB\0\0" + struct.pack("<I", 1 << 26)
        body += squeeze.compress(head) + squeeze.compress(bytes(1 << 26))
    body += squeeze.compress(instance.data[place:]) + squeeze.flush()
    deflated = "1.2.840.10008.1.2.1.99"
    with receiver.peer([(CT, [deflated])]) as peer:
        answer = peer.store(CT, instance.sop_instance, body, step=100_000)
    assert answer.status == 0xA700
    assert answer.comment


def test_noise_as_a_data_set_is_refused(receiver: ReceiverSite) -> None:
    noise = random.Random(11)  # noqa: S311 - the same noise every time
    with receiver.peer() as peer:
        for size in (1, 8, 100, 5000, 300_000):
            answer = peer.store(CT, generate_uid(), noise.randbytes(size))
            assert answer.status in (0xA700, 0xA900, 0xC000), size
            assert answer.comment
        empty = peer.store(CT, generate_uid(), b"")
        assert empty.status in (0xA900, 0xC000)


@pytest.mark.slow
def test_what_is_too_large_is_refused_and_what_never_ends_is_cut_off(
    make_site: Callable[..., ReceiverSite],
) -> None:
    site = make_site({"MAX_INSTANCE_BYTES": 1_000_000})
    site.start()
    instance = build(PixelData=bytes(1_200_000))
    with site.peer() as peer:
        answer = peer.store(CT, instance.sop_instance, instance.data, step=100_000)
        assert answer.status == 0xA700
        assert answer.comment == "Larger than 1000000 bytes, the most taken here."
        assert peer.echo().status == 0
        peer.send(fragment(3, 3, store_rq(CT, generate_uid())))
        is_cut_off(peer, fragment(3, 0, bytes(100_000)))
    assert site.echo() < 1
    assert site.spooled_files() == []
    site.assert_consistent()


@pytest.mark.slow
def test_a_full_spool_is_told_and_heals(make_site: Callable[..., ReceiverSite]) -> None:
    site = make_site()
    spool = site.store / "spool"
    spool.parent.mkdir(parents=True, exist_ok=True)
    spool.write_text("in the way")  # as unusable as a full disk, for root too
    site.start()
    instance, large = build(), build(PixelData=bytes(5_000_000))
    with site.peer() as peer:
        answer = peer.store(CT, large.sop_instance, large.data, step=100_000)
        assert answer.status == 0xA700
        assert answer.comment == "The archive's disk takes nothing now. Send again later."
        answer = peer.store(CT, instance.sop_instance, instance.data)
        assert answer.status == 0xA700
        assert answer.comment.startswith("The archive cannot write files now")
        spool.unlink()
        assert peer.store(CT, instance.sop_instance, instance.data).status == 0
    assert len(site.images()) == 1


@pytest.mark.slow
def test_a_disk_that_fills_up_in_the_middle_is_told(
    make_site: Callable[..., ReceiverSite],
) -> None:
    """A file size limit of the process stands for the full disk: the write fails half way."""
    site = make_site(wrapper=["prlimit", "--fsize=3000000"])
    site.start()
    large, small = build(PixelData=bytes(5_000_000)), build()
    with site.peer() as peer:
        answer = peer.store(CT, large.sop_instance, large.data, step=100_000)
        assert answer.status == 0xA700
        assert peer.store(CT, small.sop_instance, small.data).status == 0
    assert len(site.images()) == 1
    site.assert_consistent()


@pytest.mark.slow
def test_a_locked_database_is_told_within_ten_seconds(
    make_site: Callable[..., ReceiverSite],
) -> None:
    import sqlite3

    site = make_site()
    site.start()
    instance = build()
    with site.peer() as peer:
        with sqlite3.connect(site.data_dir / "noctis.sqlite3", isolation_level=None) as database:
            database.execute("BEGIN IMMEDIATE")
            began = time.monotonic()
            answer = peer.store(CT, instance.sop_instance, instance.data)
            elapsed = time.monotonic() - began
            database.execute("ROLLBACK")
        database.close()
        assert answer.status == 0xA700
        assert elapsed < 10
        assert peer.store(CT, instance.sop_instance, instance.data).status == 0
    site.assert_consistent()


def test_a_peer_that_takes_no_answers_harms_nobody(receiver: ReceiverSite) -> None:
    instance = build()
    with receiver.peer() as deaf:
        deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        stop = threading.Event()

        def flood() -> None:
            try:
                while not stop.is_set():
                    deaf.send_store(CT, instance.sop_instance, instance.data)
            except OSError:
                return

        thread = threading.Thread(target=flood)
        thread.start()
        try:
            for _ in range(5):
                assert receiver.echo() < 1
        finally:
            stop.set()
            deaf.socket.shutdown(socket.SHUT_RDWR)
            thread.join(timeout=20)


def test_fuzzed_associations(receiver: ReceiverSite) -> None:
    """Lawful streams with a few bytes changed, 300 times: nothing breaks, nobody hangs."""
    rng = random.Random(20260102)  # noqa: S311 - the same noise every time
    instance = build()
    request = associate_rq(
        "CT_NORTH", "NOCTIS_SCP", [(VERIFICATION, [IMPLICIT_LE]), (CT, [EXPLICIT_LE])]
    )
    stream = fragment(3, 3, store_rq(CT, instance.sop_instance))
    stream += fragment(3, 2, instance.data[:3000])
    for _ in range(300):
        first, second = bytearray(request), bytearray(stream)
        for target in (first, second):
            for _ in range(rng.randint(0, 4)):
                target[rng.randrange(len(target))] = rng.randrange(256)
        with socket.create_connection(("127.0.0.1", receiver.port), timeout=10) as client:
            try:
                client.sendall(first + second)
                client.shutdown(socket.SHUT_WR)
                while client.recv(65536):
                    pass
            except ConnectionError:
                continue


def test_another_peers_trouble_is_told_to_its_facility(receiver: ReceiverSite) -> None:
    peer: RawPeer = receiver.peer(calling="CT_12")
    peer.send(fragment(3, 3, b"\x08\x00\x10\x00" + bytes(8)))
    with pytest.raises(AbortedError):
        peer.receive()
    peer.close()
    (entry,) = receiver.eventually(
        lambda: receiver.rows(
            "SELECT * FROM worklist_facilityae WHERE ae_title = 'CT_12' AND last_error != ''"
        )
    )
    assert entry["last_error"] == "The command holds an element of group 0008."
