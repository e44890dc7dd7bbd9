"""User identity negotiation (PS3.7 D.3.3.7): whom a facility asks for, and who is let in."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.pdu import IMPLICIT_LE, VERIFICATION, RawPeer, RejectedError, associate_rq
from tests.receiver import ReceiverSite

OFFERED = [(VERIFICATION, [IMPLICIT_LE])]
# For good, by the service provider's ACSE, without a further reason.
REJECTED = (1, 2, 1)

PEOPLE = """
from accounts.models import Role, User
from archive.access import system_actor
from archive.facilities import FacilityDraft, save_facility
from worklist.models import Facility
me = system_actor("tests")
save_facility(me, FacilityDraft(code="NAMED", name="Named Clinic", ae_titles=["CT_NAMED"]))
save_facility(me, FacilityDraft(code="STRICT", name="Strict Clinic", ae_titles=["CT_STRICT"]))
Facility.objects.filter(code="NAMED").update(user_identity="name")
Facility.objects.filter(code="STRICT").update(user_identity="password")
both = Facility.objects.filter(code__in=["NAMED", "STRICT"])
for name, is_active, facilities in [
    ("tess", True, both), ("gone", False, both), ("other", True, []), ("boss", True, [])
]:
    role = Role.ADMIN if name == "boss" else Role.TECHNOLOGIST
    person = User.objects.create_user(name, password="right-Horse-9", role=role)
    person.is_active = is_active
    person.save()
    person.facilities.set(facilities)
"""


@pytest.fixture(scope="module", autouse=True)
def people(receiver: ReceiverSite) -> None:
    receiver.run_python(PEOPLE)


def call(
    site: ReceiverSite, calling: str, identity: tuple[int, bytes, bytes, bool] | None
) -> RawPeer:
    request = associate_rq(calling, "NOCTIS_SCP", OFFERED, identity=identity)
    return site.peer(OFFERED, request=request)


def rejection(
    site: ReceiverSite, calling: str, identity: tuple[int, bytes, bytes, bool] | None
) -> tuple[int, int, int]:
    with pytest.raises(RejectedError) as caught:
        call(site, calling, identity)
    return (caught.value.result, caught.value.source, caught.value.reason)


def signed_in(site: ReceiverSite, name: str) -> list[tuple[str, int]]:
    return [
        (row["detail"], row["is_success"])
        for row in site.rows(
            "SELECT * FROM archive_auditevent WHERE verb = 'association.sign_in' AND actor = ?",
            name,
        )
    ]


@pytest.mark.parametrize(
    ("calling", "identity"),
    [
        ("CT_NAMED", (1, b"tess", b"", True)),
        ("CT_NAMED", (2, b"tess", b"what the facility does not ask for", True)),
        ("CT_STRICT", (2, b"tess", b"right-Horse-9", True)),
        ("CT_STRICT", (2, b"boss", b"right-Horse-9", True)),
    ],
    ids=["name", "more than the name", "password", "administrator"],
)
def test_who_is_known_is_let_in_and_told_so(
    receiver: ReceiverSite, calling: str, identity: tuple[int, bytes, bytes, bool]
) -> None:
    before = len(signed_in(receiver, identity[1].decode()))
    with call(receiver, calling, identity) as peer:
        assert peer.identity_response == b"\0\0"
        assert peer.echo().status == 0
    found = signed_in(receiver, identity[1].decode())
    assert len(found) == before + 1
    assert found[-1][1]
    assert calling in found[-1][0]


def test_nobody_is_told_who_does_not_ask(receiver: ReceiverSite) -> None:
    with call(receiver, "CT_STRICT", (2, b"tess", b"right-Horse-9", False)) as peer:
        assert peer.identity_response is None
    # Nothing was checked: nothing is confirmed.
    with call(receiver, "CT_NORTH", (2, b"tess", b"whatever", True)) as peer:
        assert peer.identity_response is None
        assert peer.echo().status == 0


@pytest.mark.parametrize(
    ("calling", "identity", "words"),
    [
        ("CT_NAMED", None, "sent nothing about who operates it; Named Clinic asks for user name."),
        ("CT_NAMED", (1, b"nobody", b"", True), "The user nobody is not known"),
        ("CT_NAMED", (1, b"gone", b"", True), "The user gone is not known"),
        ("CT_NAMED", (1, b"other", b"", True), "The user other is not known"),
        ("CT_NAMED", (1, b"", b"", True), ""),
        ("CT_NAMED", (1, b"te\0ss\n", b"", True), "The user te?ss? is not known"),
        ("CT_NAMED", (1, b"\xff\xfe", b"", True), "not UTF-8"),
        ("CT_STRICT", (1, b"tess", b"", True), "asks for user name and password"),
        ("CT_STRICT", (2, b"tess", b"wrong-Horse-9", True), "The user tess is not known"),
        ("CT_STRICT", (2, b"gone", b"right-Horse-9", True), "The user gone is not known"),
        ("CT_STRICT", (2, b"other", b"right-Horse-9", True), "The user other is not known"),
        ("CT_STRICT", (3, b"ticket", b"", True), "a Kerberos ticket"),
        ("CT_STRICT", (4, b"<saml/>", b"", True), "a SAML assertion"),
        ("CT_STRICT", (5, b"e30.e30.", b"", True), "a JSON web token"),
    ],
)  # fmt: skip
def test_who_is_not_known_is_refused_in_words(
    receiver: ReceiverSite,
    calling: str,
    identity: tuple[int, bytes, bytes, bool] | None,
    words: str,
) -> None:
    assert rejection(receiver, calling, identity) == REJECTED

    def knock() -> bool:
        rows = receiver.rows("SELECT * FROM archive_knock WHERE calling_ae_title = ?", calling)
        return any(words in row["reason"] and row["reason_code"] == "identity" for row in rows)

    if words:
        receiver.eventually(knock)


def test_wrong_passwords_are_throttled(receiver: ReceiverSite) -> None:
    """As in the web's sign-in: ten in a minute, then not even the right one is looked at."""
    receiver.run_python(
        "from accounts.models import Role, User\n"
        "from worklist.models import Facility\n"
        "person = User.objects.create_user('tired', password='right-Horse-9')\n"
        "person.facilities.set(Facility.objects.filter(code='STRICT'))\n"
    )
    began = time.monotonic()
    for _ in range(10):
        assert rejection(receiver, "CT_STRICT", (2, b"tired", b"wrong", True)) == REJECTED
    assert rejection(receiver, "CT_STRICT", (2, b"tired", b"right-Horse-9", True)) == (2, 3, 1)
    assert time.monotonic() - began < 60
    assert not any(is_success for _, is_success in signed_in(receiver, "tired"))


@pytest.fixture(scope="module", autouse=True)
def discreet(receiver: ReceiverSite) -> Iterator[None]:
    """No password is in any log or row, right or wrong."""
    yield
    said = receiver.log() + str(receiver.rows("SELECT * FROM archive_knock"))
    said += str(receiver.rows("SELECT * FROM archive_auditevent"))
    said += str(receiver.rows("SELECT * FROM worklist_facilityae"))
    assert "Horse" not in said
    assert "e30." not in said
