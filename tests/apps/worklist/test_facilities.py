"""Facility pages: who sees and changes what, the live test, and destinations.

The list of refused callers is in test_knocks.py. Not covered: the services' own rules in detail,
and what the scripts do (tests/browser).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from archive import callers, destinations, facilities, jobs, runner
from archive.access import system_actor
from archive.callers import Sighting
from archive.destinations import DestinationDraft
from archive.models import AuditEvent, Destination, Job, KnockState
from tests import factories
from tests.apps.worklist.refused import knock
from tests.dicom import make_instance, to_bytes
from worklist.models import DicomImage, Facility, FacilityAE

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def forget_state() -> None:
    cache.clear()


# Who sees what ---------------------------------------------------------------------------------


def test_a_member_sees_their_own_facility_and_no_form(
    member: Client, facility: Facility, other_facility: Facility
) -> None:
    page = member.get(reverse("worklist:facility-list"))
    assert page.status_code == 200
    assert "North Clinic" in page.text
    assert "South Clinic" not in page.text
    assert "New facility" not in page.text
    detail = member.get(reverse("worklist:facility-detail", args=[facility.pk]))
    assert detail.status_code == 200
    assert "CT_NORTH" in detail.text
    assert 'name="ae_title"' not in detail.text
    assert "ae-titles/" not in detail.text


def test_an_administrator_sees_all(
    admin: Client, facility: Facility, other_facility: Facility
) -> None:
    page = admin.get(reverse("worklist:facility-list")).text
    assert "North Clinic" in page
    assert "South Clinic" in page
    assert "New facility" in page


PAGES = ["facility-detail", "facility-sheet", "facility-live"]
CHANGES = ["facility-change", "ae-title-add", "member-add", "destination-add"]


@pytest.mark.parametrize("name", PAGES)
def test_another_facilitys_page_is_403_and_none_404(
    member: Client, other_facility: Facility, name: str
) -> None:
    nothing = "00000000-0000-0000-0000-000000000000"
    assert member.get(reverse(f"worklist:{name}", args=[other_facility.pk])).status_code == 403
    assert member.get(reverse(f"worklist:{name}", args=[nothing])).status_code == 404


def test_nobody_signs_in_first(facility: Facility) -> None:
    client = Client()
    for name in ("facility-list", "knock-list"):
        response = client.get(reverse(f"worklist:{name}"))
        assert response.status_code == 302
        assert "/accounts/login/" in response["Location"]
    for name in ("facility-detail", "facility-sheet"):
        response = client.get(reverse(f"worklist:{name}", args=[facility.pk]))
        assert response.status_code == 302
    for address in (
        reverse("worklist:facility-live", args=[facility.pk]),
        reverse("worklist:knock-rows"),
    ):
        response = client.get(address)
        assert response.status_code == 401
        assert response["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("name", CHANGES)
def test_only_administrators_change(member: Client, facility: Facility, name: str) -> None:
    before = AuditEvent.objects.count()
    response = member.post(
        reverse(f"worklist:{name}", args=[facility.pk]),
        {"name": "X", "ae_title": "X", "username": "mia", "host": "h", "port": "1"},
    )
    assert response.status_code == 403
    assert AuditEvent.objects.count() == before
    facility.refresh_from_db()
    assert facility.name == "North Clinic"


# What an administrator changes -----------------------------------------------------------------


def test_a_facility_is_created_in_one_form(admin: Client) -> None:
    response = admin.post(
        reverse("worklist:facility-list"),
        {
            "name": "East",
            "code": "EAST",
            "ae_titles": "CT_E\nMR_E",
            "address_ranges": "10.2.0.0/16, 10.3.0.0/16",
        },
    )
    east = Facility.objects.get(code="EAST")
    assert response["Location"] == reverse("worklist:facility-detail", args=[east.pk])
    assert east.address_ranges == ["10.2.0.0/16", "10.3.0.0/16"]
    assert set(east.ae_titles.values_list("ae_title", flat=True)) == {"CT_E", "MR_E"}
    assert AuditEvent.objects.filter(verb="facility.save", actor="ada").exists()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": "X", "code": "NORTH"}, "code NORTH already"),
        ({"name": "X", "code": "a b"}, "valid"),
        ({"name": "", "code": "X"}, "blank"),
        ({"name": "X", "code": "X", "ae_titles": "CT_NORTH"}, "belongs to North Clinic"),
        ({"name": "X", "code": "X", "ae_titles": "A" * 17}, "16"),
        ({"name": "X", "code": "X", "address_ranges": "10.0.0.300"}, "no network"),
    ],
)
def test_a_bad_facility_says_why_and_keeps_what_was_typed(
    admin: Client, facility: Facility, fields: dict[str, str], words: str
) -> None:
    response = admin.post(reverse("worklist:facility-list"), fields)
    assert response.status_code == 422
    assert words in response.text
    assert f'value="{fields["code"]}"' in response.text
    assert Facility.objects.count() == 1


def test_ae_titles_come_and_go(admin: Client, facility: Facility) -> None:
    address = reverse("worklist:ae-title-add", args=[facility.pk])
    admin.post(address, {"ae_title": " MR_NORTH ", "description": "MR, room 2"})
    entry = FacilityAE.objects.get(ae_title="MR_NORTH")
    assert (entry.facility, entry.description) == (facility, "MR, room 2")
    page = admin.get(reverse("worklist:facility-detail", args=[facility.pk])).text
    assert "MR_NORTH" in page

    admin.post(reverse("worklist:ae-title-remove", args=[facility.pk, entry.pk]))
    assert not FacilityAE.objects.filter(ae_title="MR_NORTH").exists()
    assert AuditEvent.objects.filter(verb="facility.ae_title.remove").count() == 1
    again = admin.post(reverse("worklist:ae-title-remove", args=[facility.pk, entry.pk]))
    assert again.status_code == 422
    assert "gone already" in again.text


def test_an_ae_title_is_taken_from_its_own_facility_alone(
    admin: Client, facility: Facility, other_facility: Facility
) -> None:
    theirs = FacilityAE.objects.get(ae_title="CT_SOUTH")
    admin.post(reverse("worklist:ae-title-remove", args=[facility.pk, theirs.pk]))
    assert FacilityAE.objects.filter(ae_title="CT_SOUTH").exists()


@pytest.mark.parametrize(
    ("title", "words"),
    [("A\\B", "backslash"), ("", "blank"), ("A" * 17, "16"), ("CT_SOUTH", "South Clinic")],
)
def test_a_bad_ae_title_says_why(
    admin: Client, facility: Facility, other_facility: Facility, title: str, words: str
) -> None:
    response = admin.post(reverse("worklist:ae-title-add", args=[facility.pk]), {"ae_title": title})
    assert response.status_code == 422
    assert words in response.text
    assert facility.ae_titles.count() == 1


PRINT, OTHER_PRINT = ":".join(["AB"] * 32), ":".join(["CD"] * 32)


def test_an_ae_title_is_bound_to_what_it_presents(
    admin: Client, member: Client, facility: Facility
) -> None:
    entry = facility.ae_titles.get()
    seen = Sighting(
        entry.ae_title, facility.pk, "10.0.0.9", associated_at=timezone.now(), certificate=PRINT
    )
    callers.record([seen])
    address = reverse("worklist:certificate-bind", args=[facility.pk, entry.pk])
    detail = reverse("worklist:facility-detail", args=[facility.pk])
    assert f'name="certificate" value="{PRINT}"' in admin.get(detail).text
    assert member.post(address, {"certificate": PRINT}).status_code == 403

    admin.post(address, {"certificate": PRINT})
    entry.refresh_from_db()
    assert entry.certificate == PRINT
    event = AuditEvent.objects.get(verb="facility.ae_title.bind")
    assert event.detail["certificate"] == PRINT
    assert "Unbind CT_NORTH" in admin.get(detail).text

    bad = admin.post(address, {"certificate": "whatever"})
    assert bad.status_code == 422
    assert "SHA-256 fingerprint" in bad.text
    admin.post(address, {"certificate": ""})
    entry.refresh_from_db()
    assert entry.certificate == ""
    nothing = "00000000-0000-0000-0000-000000000000"
    gone = reverse("worklist:certificate-bind", args=[facility.pk, nothing])
    assert admin.post(gone, {"certificate": ""}).status_code == 422


def test_a_new_certificate_is_trusted_from_the_list(admin: Client, facility: Facility) -> None:
    FacilityAE.objects.update(certificate=PRINT)
    refused = knock("CT_NORTH", "certificate", certificate=OTHER_PRINT)
    shown = admin.get(reverse("worklist:knock-list")).text
    assert OTHER_PRINT in shown
    assert "Trust this certificate" in shown
    admin.post(reverse("worklist:knock-admit", args=[refused.pk]), {"facility": str(facility.pk)})
    assert facility.ae_titles.get().certificate == OTHER_PRINT
    refused.refresh_from_db()
    assert refused.state == KnockState.ADMITTED


@pytest.mark.parametrize("code", ["certificate", "plain", "identity"])
def test_a_caller_that_proves_nothing_is_not_let_in_by_a_button(
    admin: Client, facility: Facility, code: str
) -> None:
    FacilityAE.objects.update(certificate=PRINT)
    refused = knock("CT_NORTH", code)
    shown = admin.get(reverse("worklist:knock-list")).text
    assert reverse("worklist:knock-admit", args=[refused.pk]) not in shown
    assert "Open North Clinic" in shown
    answer = admin.post(
        reverse("worklist:knock-admit", args=[refused.pk]), {"facility": str(facility.pk)}
    )
    assert answer.status_code == 422
    assert facility.ae_titles.get().certificate == PRINT


def test_asking_for_less_settles_who_was_refused(admin: Client, facility: Facility) -> None:
    Facility.objects.update(requires_tls=True, user_identity="password")
    plain, unnamed = knock("CT_NORTH", "plain"), knock("CT_NORTH", "identity")
    address = reverse("worklist:facility-change", args=[facility.pk])
    admin.post(
        address, {"name": "North", "is_active": "on", "requires_tls": "on", "user_identity": ""}
    )
    facility.refresh_from_db()
    assert (facility.requires_tls, facility.user_identity) == (True, "")
    plain.refresh_from_db()
    unnamed.refresh_from_db()
    assert (plain.state, unnamed.state) == (KnockState.OPEN, KnockState.ADMITTED)
    admin.post(address, {"name": "North", "is_active": "on"})
    plain.refresh_from_db()
    assert plain.state == KnockState.ADMITTED


def test_settings_change(admin: Client, facility: Facility) -> None:
    address = reverse("worklist:facility-change", args=[facility.pk])
    admin.post(address, {"name": "North", "address_ranges": "10.1.0.0/16\n\n10.4.0.7"})
    facility.refresh_from_db()
    assert facility.name == "North"
    assert facility.address_ranges == ["10.1.0.0/16", "10.4.0.7"]
    assert facility.is_active is False
    assert facility.user_identity == ""
    admin.post(address, {"name": "North", "user_identity": "password"})
    facility.refresh_from_db()
    assert facility.user_identity == "password"
    shown = admin.get(reverse("worklist:facility-detail", args=[facility.pk])).text
    assert '<option value="password" selected>User name and password</option>' in shown
    unknown = admin.post(address, {"name": "North", "user_identity": "retina"})
    assert unknown.status_code == 422
    bad = admin.post(address, {"name": "North", "address_ranges": "10.1/99", "is_active": "on"})
    assert bad.status_code == 422
    assert "is no network" in bad.text
    assert "10.1/99" in bad.text
    facility.refresh_from_db()
    assert facility.is_active is False


def test_members_come_and_go(admin: Client, facility: Facility) -> None:
    vic = User.objects.create(username="vic")
    admin.post(reverse("worklist:member-add", args=[facility.pk]), {"username": "vic"})
    assert list(vic.facilities.all()) == [facility]
    admin.post(reverse("worklist:member-remove", args=[facility.pk, vic.pk]))
    assert not vic.facilities.exists()
    nobody = admin.post(reverse("worklist:member-add", args=[facility.pk]), {"username": "zoe"})
    assert nobody.status_code == 422
    assert "no user named zoe" in nobody.text
    verbs = AuditEvent.objects.filter(verb__startswith="facility.member")
    assert verbs.count() == 2


def test_hostile_names_are_only_text(admin: Client) -> None:
    evil = "<script>alert(1)</script>"
    facilities.save_facility(
        system_actor("tests"), facilities.FacilityDraft(code="EVIL", name=evil)
    )
    place = Facility.objects.get(code="EVIL")
    knock(calling=evil[:16], implementation=evil)
    callers_page = admin.get(reverse("worklist:knock-list"))
    pages = [
        admin.get(reverse("worklist:facility-list")),
        admin.get(reverse("worklist:facility-detail", args=[place.pk])),
        admin.get(reverse("worklist:facility-sheet", args=[place.pk])),
        callers_page,
    ]
    for page in pages:
        assert "<script>alert" not in page.text
        assert "&lt;script&gt;" in page.text


def test_the_lists_queries_do_not_grow(admin: Client, django_assert_max_num_queries: Any) -> None:
    address = reverse("worklist:facility-list")
    admin.get(address)
    counts = []
    for number in range(2):
        for n in range(10):
            factories.facility(
                f"F{number}-{n}", f"F {number} {n}", ae_titles=[f"A{number}{n}", f"B{number}{n}"]
            )
        with django_assert_max_num_queries(12) as queries:
            admin.get(address)
        counts.append(len(queries))
    assert counts[0] == counts[1]


# Traffic and the live test ---------------------------------------------------------------------


def test_the_rate_counts_the_last_day(store: Any, facility: Facility, admin: Client) -> None:
    for _ in range(3):
        factories.store_bytes(to_bytes(make_instance()), facility)
    old = DicomImage.objects.first()
    assert old is not None
    # The first 48 bits of a UUIDv7 are milliseconds (RFC 9562 5.7).
    two_days_ms = 2 * 86_400_000
    DicomImage.objects.filter(pk=old.pk).update(id=UUID(int=old.pk.int - (two_days_ms << 80)))

    since = timezone.now() - timedelta(days=1)
    assert facilities.instances_since([facility.pk], since) == {facility.pk: 2}
    assert facilities.instances_since([], since) == {}
    page = admin.get(reverse("worklist:facility-detail", args=[facility.pk])).text
    assert "<dt>Images in 24 h</dt><dd>2</dd>" in page


def test_the_live_test_hears_an_echo(admin: Client, facility: Facility) -> None:
    address = reverse("worklist:facility-live", args=[facility.pk])
    start = admin.get(address).json()
    assert start["heard"] == []
    now = timezone.now()
    seen = Sighting("CT_NORTH", facility.pk, "10.1.0.7", associated_at=now, echoed_at=now)
    callers.record([seen])

    heard = admin.get(address, {"since": start["now"]}).json()

    assert [(h["service"], h["ae_title"], h["address"]) for h in heard["heard"]] == [
        ("echo", "CT_NORTH", "10.1.0.7"),
        ("association", "CT_NORTH", "10.1.0.7"),
    ]
    assert "10.1.0.7" in heard["equipment"]
    later = (timezone.now() + timedelta(seconds=1)).isoformat()
    assert admin.get(address, {"since": later}).json()["heard"] == []
    for since in ("yesterday", "2026-01-01T00:00:00", "0001-01-01T00:00:00+14:00"):
        assert admin.get(address, {"since": since}).status_code == 422


def test_the_sheet_has_what_a_technician_types(
    member: Client, facility: Facility, settings: Any
) -> None:
    settings.DICOM_SCP_HOST = "0.0.0.0"  # noqa: S104 - what the sheet must read through
    settings.ALLOWED_HOSTS = ["pacs.example"]
    address = reverse("worklist:facility-sheet", args=[facility.pk])
    page = member.get(address, headers={"host": "pacs.example:8000"}).text
    for value in ("NOCTIS_SCP", "pacs.example", "11112", "CT_NORTH"):
        assert f">{value}</code>" in page
    settings.DICOM_SCP_HOST = "127.0.0.1"
    page = member.get(address, headers={"host": "pacs.example"}).text
    assert "listens on this machine alone" in page


# Destinations ----------------------------------------------------------------------------------


@pytest.fixture
def destination(facility: Facility) -> Destination:
    draft = DestinationDraft(ae_title="WS1", host="127.0.0.1", port=1, facility=facility)
    return destinations.save_destination(system_actor("tests"), draft)


def test_destinations_come_and_go(admin: Client, facility: Facility) -> None:
    address = reverse("worklist:destination-add", args=[facility.pk])
    admin.post(address, {"ae_title": "WS1", "host": "10.1.0.9", "port": "104"})
    saved = Destination.objects.get()
    assert (saved.ae_title, saved.host, saved.port, saved.facility) == (
        "WS1", "10.1.0.9", 104, facility,
    )  # fmt: skip
    for field, value, words in (
        ("port", "x", "number from 1 to 65535"),
        ("port", "70000", "number from 1 to 65535"),
        ("host", "http://a/", "name or an address"),
        ("ae_title", "A\\B", "backslash"),
    ):
        fields = {"ae_title": "WS2", "host": "h", "port": "104", field: value}
        response = admin.post(address, fields)
        assert response.status_code == 422
        assert words in response.text
    admin.post(reverse("worklist:destination-remove", args=[facility.pk, saved.pk]))
    assert not Destination.objects.exists()


def test_an_echo_is_a_job_whose_answer_stays_on_the_row(
    admin: Client, destination: Destination
) -> None:
    address = reverse("worklist:destination-echo", args=[destination.pk])
    assert admin.post(address).json()["is_pending"] is True
    assert admin.post(address).json()["is_pending"] is True
    assert Job.objects.filter(kind="destination.echo").count() == 1

    runner.drain()

    found = admin.get(address).json()
    assert found["is_pending"] is False
    assert found["is_success"] is False
    # Port 1 of this machine: nothing listens there.
    assert "Nothing listens at 127.0.0.1 port 1" in found["message"]
    assert found["at"] is not None


def test_an_echo_to_a_destination_that_is_gone_is_no_failure(destination: Destination) -> None:
    destinations.request_echo(system_actor("tests"), destination)
    destination.delete()
    runner.drain()
    assert Job.objects.get(kind="destination.echo").state == "done"


def test_only_administrators_send_echoes(
    member: Client, destination: Destination, other_facility: Facility
) -> None:
    address = reverse("worklist:destination-echo", args=[destination.pk])
    assert member.get(address).status_code == 200
    assert member.post(address).status_code == 403
    Destination.objects.update(facility=other_facility)
    assert member.get(address).status_code == 403
    assert Client().get(address).status_code == 401
    assert not Job.objects.exists()


def test_a_failed_job_is_queued_again_once(facility: Facility, destination: Destination) -> None:
    destinations.request_echo(system_actor("tests"), destination)
    Job.objects.update(state="failed", attempts=6)
    failed = Job.objects.get()
    assert jobs.retry_failed([failed.pk]) == 1
    failed.refresh_from_db()
    assert (failed.state, failed.attempts) == ("queued", 0)
    assert jobs.retry_failed([failed.pk]) == 0
