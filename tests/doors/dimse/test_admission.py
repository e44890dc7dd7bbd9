"""Who is let in over DIMSE, with which code the others are refused, and what is remembered."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable

import pytest

from tests.pdu import (
    CT,
    EXPLICIT_LE,
    IMPLICIT_LE,
    VERIFICATION,
    AbortedError,
    RejectedError,
    associate_rq,
    pdu,
)
from tests.receiver import ReceiverSite

OFFERED = [
    (VERIFICATION, [IMPLICIT_LE]),
    (CT, [EXPLICIT_LE]),
    (CT, [IMPLICIT_LE]),
    ("1.3.6.1.4.1.99999.7", [EXPLICIT_LE]),
]


def rejection(site: ReceiverSite, **keywords: object) -> tuple[int, int, int]:
    with pytest.raises(RejectedError) as caught:
        site.peer(OFFERED, **keywords)
    return (caught.value.result, caught.value.source, caught.value.reason)


def knocks(site: ReceiverSite, calling: str) -> list[dict[str, object]]:
    return site.rows("SELECT * FROM archive_knock WHERE calling_ae_title = ?", calling)


def test_unknown_caller_is_refused_remembered_and_let_in_once_admitted(
    receiver: ReceiverSite,
) -> None:
    assert rejection(receiver, calling="NEW_CT") == (1, 1, 3)

    (knock,) = receiver.eventually(lambda: knocks(receiver, "NEW_CT"))
    assert knock["called_ae_title"] == "NOCTIS_SCP"
    assert knock["address"] == "127.0.0.1"
    assert knock["reason_code"] == "calling-ae"
    assert knock["implementation"] == "RAW_PEER"
    assert "belongs to no facility yet. Admit it" in str(knock["reason"])
    assert json.loads(str(knock["proposed"])) == [
        "Verification SOP Class (1 transfer syntax)",
        "CT Image Storage (2 transfer syntaxes)",
        "private or unknown class 1.3.6.1.4.1.99999.7 (1 transfer syntax)",
    ]

    receiver.run_python(
        "from archive.access import system_actor, Actor, EVERYTHING\n"
        "from archive.facilities import admit_knock\n"
        "from archive.models import Knock\n"
        "from worklist.models import Facility\n"
        "me = Actor(name='ada', scope=EVERYTHING, is_administrator=True)\n"
        "knock = Knock.objects.get(calling_ae_title='NEW_CT')\n"
        "admit_knock(me, knock, Facility.objects.get(code='NORTH'))\n"
    )

    def let_in() -> bool:
        try:
            with receiver.peer(OFFERED, calling="NEW_CT") as peer:
                return peer.echo().status == 0
        except RejectedError:
            return False

    assert receiver.eventually(let_in, timeout_s=4)


def test_a_caller_that_knocks_again_only_counts_up(receiver: ReceiverSite) -> None:
    rejection(receiver, calling="TWICE")
    receiver.eventually(lambda: knocks(receiver, "TWICE"))
    rejection(receiver, calling="TWICE")
    (knock,) = receiver.eventually(
        lambda: [k for k in knocks(receiver, "TWICE") if k["count"] == 2]
    )
    assert knock["state"] == "open"


def test_wrong_called_title_is_refused_with_the_way_on(receiver: ReceiverSite) -> None:
    assert rejection(receiver, called="NOCTIS") == (1, 1, 7)
    (knock,) = receiver.eventually(lambda: knocks(receiver, "CT_NORTH"))
    assert knock["reason_code"] == "called-ae"
    assert knock["reason"] == (
        "CT_NORTH called us NOCTIS; our name is NOCTIS_SCP. Change the called AE title on the "
        "equipment."
    )


@pytest.mark.parametrize(
    ("calling", "code", "words"),
    [
        ("CT_SOUTH", "address", "outside the networks of South Clinic (10.99.0.0/16)"),
        ("CT_EAST", "inactive", "East Clinic, which is switched off"),
    ],
)
def test_known_titles_are_refused_too_where_they_may_not_call(
    receiver: ReceiverSite, calling: str, code: str, words: str
) -> None:
    assert rejection(receiver, calling=calling) == (1, 1, 3)
    (knock,) = receiver.eventually(lambda: knocks(receiver, calling))
    assert knock["reason_code"] == code
    assert words in str(knock["reason"])
    (entry,) = receiver.eventually(
        lambda: receiver.rows(
            "SELECT * FROM worklist_facilityae WHERE ae_title = ? AND last_error != ''", calling
        )
    )
    assert words in entry["last_error"]


@pytest.mark.parametrize(
    "calling",
    [
        b"",
        b"ct_north",
        b"CT_NORTH2",
        b"CT\\NORTH",
        b"CT_N\xd6RTH",
        b"CT\x00NORTH",
        b"CT_NORTH\r\nX",
    ],
    ids=["empty", "case", "longer", "backslash", "latin-1", "nul", "newline"],
)
def test_a_title_is_compared_to_the_letter(receiver: ReceiverSite, calling: bytes) -> None:
    assert rejection(receiver, calling=calling) == (1, 1, 3)
    assert receiver.echo() < 1


def test_knock_of_a_title_outside_ascii_is_kept_escaped(receiver: ReceiverSite) -> None:
    rejection(receiver, calling=b"R\xd6NTGEN\n")
    (knock,) = receiver.eventually(lambda: knocks(receiver, "R\\xd6NTGEN\\x0a"))
    assert knock["reason_code"] == "calling-ae"


@pytest.mark.parametrize(
    ("request_pdu", "expected"),
    [
        (associate_rq("CT_NORTH", "NOCTIS_SCP", OFFERED, version=2), (1, 2, 2)),
        (associate_rq("CT_NORTH", "NOCTIS_SCP", OFFERED, application="1.2.3"), (1, 1, 2)),
        (associate_rq("CT_NORTH", "NOCTIS_SCP", OFFERED)[:-9], None),
    ],
    ids=["version", "application", "cut"],
)
def test_requests_of_another_kind(
    receiver: ReceiverSite, request_pdu: bytes, expected: tuple[int, int, int] | None
) -> None:
    if expected is None:
        # The length is right, the items are cut: refused for good, by the ACSE.
        request_pdu, expected = pdu(1, request_pdu[6:]), (1, 2, 1)
    assert rejection(receiver, request=request_pdu) == expected


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: archive\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
        pdu(0x04, bytes(100)),
        b"\x01\x00\xff\xff\xff\xff" + bytes(100),
        pdu(0x01, b"short"),
        b"\x00" * 500,
    ],
    ids=["http", "tls", "data first", "4 GiB request", "short", "zeros"],
)
def test_what_is_no_request_is_aborted_at_once(receiver: ReceiverSite, data: bytes) -> None:
    with pytest.raises(AbortedError):
        receiver.peer(OFFERED, request=data, timeout_s=3)
    assert receiver.echo() < 1


@pytest.mark.slow
def test_without_any_facility_nobody_is_let_in(
    make_site: Callable[..., ReceiverSite],
) -> None:
    site = make_site()
    site.run_python(
        "from worklist.models import Facility, FacilityAE\n"
        "FacilityAE.objects.all().delete(); Facility.objects.all().delete()"
    )
    site.start()
    assert rejection(site, calling="CT_NORTH") == (1, 1, 3)
    assert rejection(site, calling="ANYBODY") == (1, 1, 3)


@pytest.mark.slow
def test_without_the_database_callers_are_put_off(
    make_site: Callable[..., ReceiverSite],
) -> None:
    site = make_site()
    site.start()
    database = site.data_dir / "noctis.sqlite3"
    shutil.move(database, site.data_dir / "away")
    database.mkdir()
    assert rejection(site, calling="CT_NORTH") == (2, 3, 1)
    database.rmdir()
    shutil.move(site.data_dir / "away", database)
    assert site.echo() < 1


def test_calls_are_noted_for_the_facilitys_page(receiver: ReceiverSite) -> None:
    receiver.echo(calling="CT_7")

    def entry() -> dict[str, object] | None:
        (row,) = receiver.rows("SELECT * FROM worklist_facilityae WHERE ae_title = 'CT_7'")
        return row if row["last_echo_at"] else None

    seen = receiver.eventually(entry)
    assert seen["last_association_at"] is not None
    assert seen["last_address"] == "127.0.0.1"
    assert seen["last_store_at"] is None
    events = [
        json.loads(row["payload"])
        for row in receiver.rows("SELECT payload FROM archive_outboxevent WHERE kind='caller.seen'")
    ]
    mine = {event["service"] for event in events if event["ae_title"] == "CT_7"}
    assert mine == {"association", "echo"}


def test_a_connection_that_says_nothing_and_goes_is_nobody(receiver: ReceiverSite) -> None:
    before = len(receiver.rows("SELECT id FROM archive_knock"))
    with socket.create_connection(("127.0.0.1", receiver.port)):
        pass
    assert receiver.echo() < 1
    assert len(receiver.rows("SELECT id FROM archive_knock")) == before
