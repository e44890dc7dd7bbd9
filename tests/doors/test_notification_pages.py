"""Notification pages and their interface: whose they are, what is shown, what is refused."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Role, User
from notifications import services, urls
from notifications.models import Kind, Notification
from notifications.services import Message
from tests import factories
from worklist.models import Facility

pytestmark = pytest.mark.django_db

PROBLEM = "application/problem+json"
PAGES = {"notification-list": "GET", "preference-edit": "GET", "notification-read-all": "POST"}
API = {"api-list": "GET", "api-unread-count": "GET", "api-read-all": "POST"}
OF_ONE = {"notification-open": "POST", "api-read": "POST"}


def tell(facility: Facility, count: int = 1, **changes: Any) -> list[Notification]:
    for number in range(count):
        values = {"title": f"New CT study {number}", "url": "/worklist/studies/", **changes}
        services.notify(Message(Kind.STUDY_NEW, f"{uuid4()}", facility_id=facility.pk, **values))
    return list(Notification.objects.order_by("created_at", "id"))


def test_every_route_is_in_the_tables() -> None:
    assert set(PAGES) | set(API) | set(OF_ONE) == {pattern.name for pattern in urls.urlpatterns}


def test_the_addresses_are_those_of_the_contract() -> None:
    assert reverse("notifications:notification-list") == "/notifications/list/"
    count = "/notifications/api/notifications/unread-count/"
    assert reverse("notifications:api-unread-count") == count


def test_without_a_session(facility: Facility, radiologist: User) -> None:
    (row,) = tell(facility)
    for name, method in PAGES.items():
        response = Client().generic(method, reverse(f"notifications:{name}"))
        assert response.status_code == 302
        assert response["Location"].startswith("/accounts/login/?next=/notifications/")
    for name, method in API.items():
        response = Client().generic(method, reverse(f"notifications:{name}"))
        assert (response.status_code, response["Content-Type"]) == (401, PROBLEM)
    read = Client().post(reverse("notifications:api-read", args=[row.pk]))
    assert (read.status_code, read["Content-Type"]) == (401, PROBLEM)
    row.refresh_from_db()
    assert row.read_at is None


@pytest.mark.parametrize("role", list(Role))
def test_every_role_has_its_own(facility: Facility, role: Role) -> None:
    client = Client()
    client.force_login(factories.user("member", role, [facility]))
    for name in ("notification-list", "preference-edit", "api-list", "api-unread-count"):
        assert client.get(reverse(f"notifications:{name}")).status_code == 200


def test_somebody_elses_stay_theirs(facility: Facility, site: Client) -> None:
    theirs = factories.user("otto", Role.RADIOLOGIST, [facility])
    tell(facility)
    row = Notification.objects.get(user=theirs)
    for name in OF_ONE:
        url = reverse(f"notifications:{name}", args=[row.pk])
        assert site.post(url, HTTP_ACCEPT="application/json").status_code == 403
        gone = reverse(f"notifications:{name}", args=[uuid4()])
        assert site.post(gone, HTTP_ACCEPT="application/json").status_code == 404
    row.refresh_from_db()
    assert row.read_at is None


def test_writes_need_the_token(facility: Facility, radiologist: User) -> None:
    (row,) = tell(facility)
    client = Client(enforce_csrf_checks=True)
    client.force_login(radiologist)
    addresses = [
        reverse("notifications:api-read", args=[row.pk]),
        reverse("notifications:api-read-all"),
        reverse("notifications:notification-open", args=[row.pk]),
        reverse("notifications:notification-read-all"),
        reverse("notifications:preference-edit"),
    ]
    for url in addresses:
        assert client.post(url).status_code == 403
    row.refresh_from_db()
    assert row.read_at is None


def test_the_interface_pages_and_counts(facility: Facility, site: Client) -> None:
    rows = tell(facility, 5)
    url = reverse("notifications:api-list")
    first = site.get(url, {"limit": 3}).json()
    assert [item["id"] for item in first["items"]] == [str(row.pk) for row in rows[:1:-1]]
    assert first["unread"] == 5
    rest = site.get(url, {"limit": 3, "cursor": first["cursor"]}).json()
    assert [item["title"] for item in rest["items"]] == ["New CT study 1", "New CT study 0"]
    assert rest["cursor"] == ""
    assert site.post(reverse("notifications:api-read", args=[rows[0].pk])).json() == {"unread": 4}
    unread = site.get(url, {"state": "unread"}).json()["items"]
    assert len(unread) == 4
    assert all(item["read_at"] is None for item in unread)
    assert site.post(reverse("notifications:api-read-all")).json() == {"unread": 0}
    assert site.get(reverse("notifications:api-unread-count")).json() == {"unread": 0}
    for query in ({"limit": "0"}, {"limit": "101"}, {"limit": "x"}, {"state": "x"},
                  {"cursor": "x"}):  # fmt: skip
        response = site.get(url, query)
        assert (response.status_code, response["Content-Type"]) == (422, PROBLEM)


def test_the_list_shows_what_came_and_marks_it_read(facility: Facility, site: Client) -> None:
    url = reverse("notifications:notification-list")
    empty = site.get(url).content.decode()
    assert "No notifications yet" in empty
    rows = tell(facility, 2)
    page = site.get(url).content.decode()
    assert page.count('class="notice notice-unread"') == 2
    assert "data-mark-all hidden" not in page
    opened = site.post(reverse("notifications:notification-open", args=[rows[0].pk]))
    assert opened["Location"] == "/worklist/studies/"
    assert site.get(url).content.decode().count("notice-unread") == 1
    only_unread = site.get(url, {"state": "unread"}).content.decode()
    assert "New CT study 1" in only_unread
    assert "New CT study 0" not in only_unread
    site.post(reverse("notifications:notification-read-all"))
    assert "Nothing unread" in site.get(url, {"state": "unread"}).content.decode()
    assert "data-mark-all hidden" in site.get(url).content.decode()


def test_older_ones_are_a_page_away(facility: Facility, site: Client) -> None:
    tell(facility, 53)
    url = reverse("notifications:notification-list")
    response = site.get(url)
    page = response.context["page"]
    assert len(page.items) == 50
    older = site.get(url, {"cursor": page.cursor}).content.decode()
    assert older.count('class="notice ') == 3
    assert "Newest" in older
    assert site.get(url, {"cursor": "x"}).status_code == 422


def test_texts_are_texts_and_links_stay_on_the_site(facility: Facility, site: Client) -> None:
    evil = "<script>alert(1)</script>"
    rows = tell(facility, 1, title=evil, body=evil, url="https://evil.example/")
    page = site.get(reverse("notifications:notification-list")).content.decode()
    assert evil not in page
    assert "&lt;script&gt;alert(1)" in page
    opened = site.post(reverse("notifications:notification-open", args=[rows[0].pk]))
    assert opened["Location"] == reverse("notifications:notification-list")
    for url in ("//evil.example/", "javascript:alert(1)", "\\\\evil.example"):
        Notification.objects.update(url=url)
        opened = site.post(reverse("notifications:notification-open", args=[rows[0].pk]))
        assert opened["Location"] == reverse("notifications:notification-list"), url


def test_choices_are_kept(site: Client, radiologist: User, facility: Facility) -> None:
    url = reverse("notifications:preference-edit")
    page = site.get(url).content.decode()
    assert 'value="caller.refused"' not in page
    assert page.count(" checked aria-describedby") == 2
    assert site.post(url, {"kind": ["study.warning"]}).status_code == 302
    tell(facility)
    assert services.unread_count(radiologist.pk) == 0
    assert "Your choice is kept." in site.get(url).content.decode()
    assert site.post(url, {"kind": ["nonsense"]}).status_code == 422
    kept = {choice.kind: choice.is_in_app for choice in services.choices_of(radiologist)}
    assert kept == {
        Kind.STUDY_NEW: False,
        Kind.STUDY_CONFLICT: False,
        Kind.STUDY_WARNING: True,
    }


def test_the_number_of_queries_of_the_list_is_fixed(
    facility: Facility, site: Client, django_assert_max_num_queries: Any
) -> None:
    tell(facility, 40)
    with django_assert_max_num_queries(12):
        site.get(reverse("notifications:notification-list"))
