"""The list of refused callers: who is on it, who is let in, and who stays away."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from accounts.models import User
from archive import callers, facilities
from archive.access import actor_of
from archive.models import AuditEvent, KnockState
from tests import factories
from tests.apps.worklist.refused import knock
from worklist.models import Facility

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def forget_state() -> None:
    cache.clear()


def test_a_member_gets_no_knocks(member: Client) -> None:
    refused = knock()
    assert member.get(reverse("worklist:knock-list")).status_code == 403
    assert member.get(reverse("worklist:knock-rows")).status_code == 403
    for name in ("knock-admit", "knock-dismiss"):
        assert member.post(reverse(f"worklist:{name}", args=[refused.pk])).status_code == 403
    refused.refresh_from_db()
    assert refused.state == KnockState.OPEN


def test_the_live_test_shows_a_refused_caller_with_a_button(
    admin: Client, member: Client, facility: Facility
) -> None:
    address = reverse("worklist:facility-live", args=[facility.pk])
    since = admin.get(address).json()["now"]
    refused = knock()
    shown = admin.get(address, {"since": since}).json()["calls"]
    assert "CT_2" in shown
    assert "belongs to no facility yet" in shown
    assert reverse("worklist:knock-admit", args=[refused.pk]) in shown
    assert member.get(address, {"since": since}).json()["calls"].strip() == ""


def test_a_knock_says_who_what_and_why(admin: Client) -> None:
    knock(implementation="SCANNER_1")
    knock()
    page = admin.get(reverse("worklist:knock-list")).text
    for words in (
        "CT_2", "10.9.9.9", "belongs to no facility yet", "2 calls", "SCANNER_1",
        "CT Image Storage (2 transfer syntaxes)", "NOCTIS_SCP",
    ):  # fmt: skip
        assert words in page


def test_admitting_lets_the_caller_in(admin: Client, facility: Facility) -> None:
    refused = knock()
    response = admin.post(
        reverse("worklist:knock-admit", args=[refused.pk]), {"facility": str(facility.pk)}
    )
    assert response.status_code == 302
    entry = callers.entry_of("CT_2")
    assert entry is not None
    assert entry.facility == facility
    refused.refresh_from_db()
    assert (refused.state, refused.admitted_to) == (KnockState.ADMITTED, facility)
    assert AuditEvent.objects.filter(verb="knock.admit", actor="ada").exists()
    assert "CT_2" not in admin.get(reverse("worklist:knock-rows")).text
    assert "CT_2" in admin.get(reverse("worklist:knock-list"), {"state": "admitted"}).text


def test_admitting_by_address_widens_the_networks(admin: Client, facility: Facility) -> None:
    Facility.objects.filter(pk=facility.pk).update(address_ranges=["10.1.0.0/16"])
    refused = knock("CT_NORTH", "address")
    page = admin.get(reverse("worklist:knock-list")).text
    assert "Let it call from 10.9.9.9" in page
    admin.post(reverse("worklist:knock-admit", args=[refused.pk]), {"facility": str(facility.pk)})
    facility.refresh_from_db()
    assert facility.address_ranges == ["10.1.0.0/16", "10.9.9.9/32"]
    assert facility.allows_address("10.9.9.9")


def test_what_cannot_be_admitted_says_why(
    admin: Client, facility: Facility, other_facility: Facility
) -> None:
    taken = knock("CT_SOUTH")
    response = admin.post(
        reverse("worklist:knock-admit", args=[taken.pk]), {"facility": str(facility.pk)}
    )
    assert response.status_code == 422
    assert "belongs to South Clinic" in response.text
    no_choice = admin.post(reverse("worklist:knock-admit", args=[taken.pk]))
    assert no_choice.status_code == 422
    assert "Choose the facility" in no_choice.text
    wrong_name = knock("CT_9", "called-ae")
    response = admin.post(
        reverse("worklist:knock-admit", args=[wrong_name.pk]), {"facility": str(facility.pk)}
    )
    assert response.status_code == 422
    assert "correct it on the equipment" in response.text


def test_a_dismissed_caller_stays_off_the_list(admin: Client) -> None:
    refused = knock()
    admin.post(reverse("worklist:knock-dismiss", args=[refused.pk]))
    knock()
    refused.refresh_from_db()
    assert (refused.state, refused.count) == (KnockState.DISMISSED, 2)
    assert "Nobody waits" in admin.get(reverse("worklist:knock-rows")).text


def test_an_admitted_caller_refused_again_comes_back(admin: Client, facility: Facility) -> None:
    refused = knock()
    actor = actor_of(User.objects.get(username="ada"))
    entry = facilities.admit_knock(actor, refused, facility)
    knock()
    refused.refresh_from_db()
    assert refused.state == KnockState.ADMITTED  # a refusal from before the admission took effect
    facilities.remove_ae_title(actor, facility, entry.pk)
    knock()
    refused.refresh_from_db()
    assert refused.state == KnockState.OPEN


def test_adding_the_ae_title_settles_the_knock(admin: Client, facility: Facility) -> None:
    refused = knock()
    wrong_name = knock(code="called-ae")
    admin.post(reverse("worklist:ae-title-add", args=[facility.pk]), {"ae_title": "CT_2"})
    refused.refresh_from_db()
    wrong_name.refresh_from_db()
    assert refused.state == KnockState.ADMITTED
    assert wrong_name.state == KnockState.OPEN


def test_the_suggested_facility_is_the_one_with_that_network(
    admin: Client, facility: Facility, other_facility: Facility
) -> None:
    Facility.objects.filter(pk=other_facility.pk).update(address_ranges=["10.9.0.0/16"])
    knock()
    page = admin.get(reverse("worklist:knock-rows")).text
    assert f'<option value="{other_facility.pk}" selected>' in page


def test_the_way_back_stays_on_this_site(admin: Client, facility: Facility) -> None:
    for back, expected in (
        (f"/worklist/facilities/{facility.pk}/", f"/worklist/facilities/{facility.pk}/"),
        ("https://evil.example/", "/worklist/knocks/"),
        ("//evil.example/", "/worklist/knocks/"),
        ("", "/worklist/knocks/"),
    ):
        refused = knock(calling=f"A{len(back)}")
        response = admin.post(
            reverse("worklist:knock-admit", args=[refused.pk]),
            {"facility": str(facility.pk), "next": back},
        )
        assert response["Location"] == expected


def test_knocks_take_few_queries(admin: Client, django_assert_max_num_queries: Any) -> None:
    for n in range(3):
        factories.facility(f"K{n}", f"K {n}")
    address = reverse("worklist:knock-rows")
    counts = []
    for start in (0, 30):
        for n in range(30):
            knock(calling=f"CT_{start + n}")
        with django_assert_max_num_queries(8) as queries:
            admin.get(address)
        counts.append(len(queries))
    assert counts[0] == counts[1]
