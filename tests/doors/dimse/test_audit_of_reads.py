"""Who reads is written down before the first byte leaves; where it cannot be, nothing leaves."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydicom.uid import generate_uid

from tests.dicom import make_instance, to_bytes
from tests.pdu import (
    CT,
    EXPLICIT_LE,
    IMPLICIT_LE,
    RawPeer,
    associate_rq,
    command,
    fragment,
    read_part10,
    uid_bytes,
    us,
)
from tests.receiver import ReceiverSite

FIND = "1.2.840.10008.5.1.4.1.2.2.1"
GET = "1.2.840.10008.5.1.4.1.2.2.3"
STUDY = generate_uid(entropy_srcs=["audit of reads"])
OFFERED = [(FIND, [IMPLICIT_LE]), (GET, [IMPLICIT_LE]), (CT, [EXPLICIT_LE])]
_REFUSE = """
CREATE TRIGGER refuse_audit BEFORE INSERT ON archive_auditevent
BEGIN SELECT RAISE(ABORT, 'The audit trail takes nothing.'); END
"""


@pytest.fixture(params=["1", "0"], ids=["own", "pynetdicom"])
def site(
    make_site: Callable[..., ReceiverSite], request: pytest.FixtureRequest
) -> Iterator[ReceiverSite]:
    """A receiver with one instance."""
    site = make_site(environment={"DICOM_FAST_PATH": request.param})
    site.start()
    part = read_part10(to_bytes(make_instance(StudyInstanceUID=STUDY)))
    with RawPeer(site.port, [(CT, [EXPLICIT_LE])]) as peer:
        assert peer.store(CT, part.sop_instance, part.data).status == 0
        peer.release()
    return site


@contextlib.contextmanager
def reader(site: ReceiverSite) -> Iterator[RawPeer]:
    request = associate_rq("CT_NORTH", "NOCTIS_SCP", OFFERED, roles=[(CT, 0, 1)])
    with RawPeer(site.port, OFFERED, request=request) as peer:
        yield peer


def ask(peer: RawPeer, sop_class: str, field: int) -> None:
    context = peer.context_of(sop_class)
    asked = command(
        (0x0002, uid_bytes(sop_class)),
        (0x0100, us(field)),
        (0x0110, us(7)),
        (0x0700, us(0)),
        (0x0800, us(1)),
    )
    uid = uid_bytes(STUDY)
    keys = b"\x08\x00\x52\x00\x06\x00\x00\x00STUDY "
    keys += b"\x20\x00\x0d\x00" + len(uid).to_bytes(4, "little") + uid
    peer.send(fragment(context, 3, asked) + fragment(context, 2, keys))


def events(site: ReceiverSite, verb: str) -> list[dict[str, Any]]:
    return site.rows("SELECT * FROM archive_auditevent WHERE verb = ?", verb)


@pytest.mark.parametrize(
    ("sop_class", "field", "verb"),
    [(FIND, 0x0020, "query"), (GET, 0x0010, "study.retrieve")],
    ids=["find", "get"],
)
def test_the_event_is_there_before_the_first_byte_whatever_becomes_of_the_receiver(
    site: ReceiverSite, sop_class: str, field: int, verb: str
) -> None:
    assert events(site, verb) == []
    with reader(site) as peer:
        ask(peer, sop_class, field)
        peer.socket.recv(1)
        site.kill()
    (event,) = events(site, verb)
    assert event["actor"] == "CT_NORTH"
    assert json.loads(event["detail"])["service"] in {"C-FIND", "C-GET"}


def test_nothing_is_read_that_cannot_be_written_down(site: ReceiverSite) -> None:
    path = site.data_dir / "noctis.sqlite3"
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute(_REFUSE)
    with reader(site) as peer:
        for sop_class, field, status in ((FIND, 0x0020, 0xA700), (GET, 0x0010, 0xA701)):
            ask(peer, sop_class, field)
            assert peer.response().status == status
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("DROP TRIGGER refuse_audit")
    with reader(site) as peer:
        ask(peer, FIND, 0x0020)
        assert peer.response().status == 0xFF00
    assert len(events(site, "query")) == 1
