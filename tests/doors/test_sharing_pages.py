"""The pages by which studies are shared, and what a stranger's browser gets by a link."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.http import HttpResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone
from pytest_django import Settings

from accounts.models import Role, User
from archive import links
from archive.access import Actor
from archive.links import IssuedLink, LinkDraft
from archive.models import LinkOutcome, LinkPurpose, SharedLink
from dicom_viewer import ohif
from tests import factories
from tests.codestreams import noise
from tests.dicom import make_instance, to_bytes
from worklist.models import Facility, Study

pytestmark = pytest.mark.django_db(transaction=True)

ORIGIN = {"Origin": "http://testserver"}
PIN = "402711"


@pytest.fixture(autouse=True)
def no_counts() -> None:
    cache.clear()


def stored(facility: Facility) -> Study:
    result = factories.store_bytes(
        to_bytes(make_instance(noise(16, 16), PatientName="Shared^Sarah")), facility
    )
    return Study.objects.get(series__images=result.image_id)


@pytest.fixture
def study(store: Path, facility: Facility) -> Study:
    return stored(facility)


@pytest.fixture
def stranger() -> Client:
    return Client(REMOTE_ADDR="203.0.113.9")


@pytest.fixture
def with_ohif(monkeypatch: pytest.MonkeyPatch) -> None:
    build = ohif.Ohif(version="3", script="app.js", style="app.css")
    monkeypatch.setattr(ohif, "installed", lambda: build)


def shared(reader: Actor, study: Study, **options: Any) -> IssuedLink:
    return links.share(reader, study.pk, LinkDraft(**options))


def opened(client: Client, issued: IssuedLink, pin: str = "", **headers: str) -> HttpResponse:
    return client.post(  # type: ignore[return-value]
        "/shared/api/open/",
        json.dumps({"link": issued.text, "pin": pin}),
        content_type="application/json",
        headers=ORIGIN | headers,
    )


def detail(response: HttpResponse) -> str:
    return str(json.loads(response.content)["detail"])


# Making and looking after links ---------------------------------------------------------------


def test_a_study_is_shared_from_its_page_and_the_link_looked_after(
    site: Client, study: Study
) -> None:
    page = site.get(f"/worklist/studies/{study.pk}/").content.decode()
    assert f'href="/shared/studies/{study.pk}/"' in page
    assert "None was made yet" in site.get(f"/shared/studies/{study.pk}/").content.decode()
    made = site.post(
        f"/shared/studies/{study.pk}/",
        {"audience": "Dr. Weber", "purpose": "view", "seconds": "86400", "views": "3", "pin": PIN},
    )
    link = SharedLink.objects.get()
    content = made.content.decode()
    assert links.text_of(link) in content
    assert PIN in content
    assert "<svg" in content
    assert (link.audience, link.most_views, link.needs_pin) == ("Dr. Weber", 3, True)
    assert link.expires_at - link.made_at == timedelta(days=1)
    # Later the link is shown again; the PIN is nowhere kept.
    again = site.get(f"/shared/links/{link.pk}/").content.decode()
    assert links.text_of(link) in again
    assert PIN not in again
    listed = site.get("/shared/links/").content.decode()
    assert "Dr. Weber" in listed
    assert links.text_of(link) not in listed
    answer = site.post(f"/shared/links/{link.pk}/revoke/")
    assert answer.headers["Location"] == f"/shared/links/{link.pk}/"
    ended = site.get(f"/shared/links/{link.pk}/").content.decode()
    assert "Withdrawn" in ended
    assert links.text_of(link) not in ended


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"pin": "1"}, "A PIN has 4 to 32"),
        ({"seconds": "5"}, "60 seconds to 30 days"),
        ({"seconds": "soon"}, "how long the link is good"),
        ({"views": "9999"}, "1 to 1000 times"),
        ({"purpose": "analysis"}, "where the study opens"),
        ({"purpose": "ohif"}, "where the study opens"),
    ],
)
def test_a_form_that_cannot_be_is_shown_again(
    site: Client, study: Study, form: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ohif, "installed", lambda: None)
    answer = site.post(f"/shared/studies/{study.pk}/", {"audience": "Keep <me>", **form})
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert "Keep &lt;me&gt;" in answer.content.decode()
    assert not SharedLink.objects.exists()


def test_who_gets_which_page(
    study: Study, reader: Actor, facility: Facility, other_facility: Facility, admin_user: User
) -> None:
    issued = shared(reader, study)
    people = {
        "viewer": factories.user("vera", Role.VIEWER, [facility]),
        "stranger": factories.user("sven", Role.RADIOLOGIST, [other_facility]),
        "colleague": factories.user("tom", Role.TECHNOLOGIST, [facility]),
        "admin": admin_user,
    }
    table = {
        f"/shared/studies/{study.pk}/": {"viewer": 403, "stranger": 403, "colleague": 200},
        f"/shared/links/{issued.link.pk}/": {"viewer": 403, "stranger": 403, "colleague": 403},
        "/shared/links/": {"viewer": 200, "stranger": 200, "colleague": 200},
        "/shared/links/0197f0c4-0000-7000-8000-000000000000/": dict.fromkeys(people, 404),
    }
    for path, statuses in table.items():
        assert Client().get(path).status_code == 302
        for name, status in ({"admin": 200} | statuses).items():
            client = Client()
            client.force_login(people[name])
            assert client.get(path).status_code == status, (path, name)
    colleague = Client()
    colleague.force_login(people["colleague"])
    assert colleague.post(f"/shared/links/{issued.link.pk}/revoke/").status_code == 403
    # An administrator withdraws what others shared, and does not get to hand it on.
    boss = Client()
    boss.force_login(admin_user)
    page = boss.get(f"/shared/links/{issued.link.pk}/").content.decode()
    assert issued.text not in page
    assert boss.post(f"/shared/links/{issued.link.pk}/revoke/").status_code == 302
    assert SharedLink.objects.get().revoked_by_name == "ada"


# Opening one ----------------------------------------------------------------------------------


def test_a_stranger_opens_the_shared_study_and_nothing_else(
    stranger: Client, study: Study, reader: Actor, facility: Facility, other_facility: Facility
) -> None:
    issued = shared(reader, study)
    answer = opened(stranger, issued)
    assert json.loads(answer.content) == {"url": f"/viewer/{study.pk}/"}
    cookie = answer.cookies["noctis_link"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert issued.text not in str(answer.headers) + str(answer.cookies)
    page = stranger.get(f"/viewer/{study.pk}/")
    assert page.status_code == 200
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert page.headers["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    assert "Shared^Sarah" in page.content.decode()
    series = study.series.get()
    for path in (
        f"/viewer/api/studies/{study.pk}/",
        f"/viewer/api/studies/{study.pk}/derived/",
        f"/viewer/api/series/{series.pk}/uptake/",
        f"/viewer/api/images/{series.images.get().pk}/metadata/",
        "/shared/api/visit/",
    ):
        assert stranger.get(path).status_code == 200, path
    for other in (stored(facility), stored(other_facility)):
        image = other.series.get().images.get()
        for path in (
            f"/viewer/{other.pk}/",
            f"/viewer/api/studies/{other.pk}/",
            f"/viewer/api/studies/{other.pk}/derived/",
            f"/viewer/api/series/{image.series_id}/uptake/",
            f"/viewer/api/images/{image.pk}/metadata/",
        ):
            assert stranger.get(path).status_code == 403, path
    (use,) = links.uses_of(issued.link)
    assert (use.outcome, use.address) == (LinkOutcome.OPENED, "203.0.113.9")


def test_a_guest_is_told_of_the_pictures_alone(
    stranger: Client, study: Study, reader: Actor
) -> None:
    opened(stranger, shared(reader, study))
    manifest = stranger.get(f"/viewer/api/studies/{study.pk}/").json()
    assert manifest["measurements"] == manifest["priors"] == []
    assert set(manifest["links"]) == {"self", "measurements", "derived", "batch"}
    assert not any(manifest["user"][name] for name in ("can_write", "can_report"))
    assert manifest["guest"]["shared_by"] == "rita"
    study.refresh_from_db()
    assert study.status == "unread"


def _routes(patterns: list[Any], prefix: str = "") -> list[str]:
    found = []
    for one in patterns:
        if isinstance(one, URLResolver):
            found += _routes(one.url_patterns, prefix + str(one.pattern))
        elif isinstance(one, URLPattern):
            found.append(prefix + str(one.pattern))
    return found


GUEST_PAGES = {
    "viewer/<uuid:study_id>/",
    "viewer/api/studies/<uuid:study_id>/",
    "viewer/api/studies/<uuid:study_id>/derived/",
    "viewer/api/images/<uuid:image_id>/derived/",
    "viewer/api/series/<uuid:series_id>/uptake/",
    "viewer/api/images/<uuid:image_id>/metadata/",
}
OPEN_TO_ALL = {
    "", "favicon.ico", "health/live", "health/ready", "metrics", "shared/", "shared/api/open/",
    "shared/api/visit/", "accounts/login/", "accounts/second-factor/", "admin/login/",
    "admin/logout/", "accounts/language/", "offline/", "offline/session/", "offline/worker.js",
    "offline/manifest.webmanifest",
}  # fmt: skip


def test_every_other_page_is_closed_to_guests(
    stranger: Client, study: Study, reader: Actor
) -> None:
    opened(stranger, shared(reader, study))
    series = study.series.get()
    names = {"study_id": study.pk, "series_id": series.pk, "image_id": series.images.get().pk}
    closed = 0
    for route in _routes(get_resolver().url_patterns):
        if route in GUEST_PAGES | OPEN_TO_ALL or "^" in route or "\\" in route:
            continue
        path = "/" + route
        for name, value in names.items():
            path = path.replace(f"<uuid:{name}>", str(value))
        # What a route wants besides the study is anything: nobody is asked for it.
        while "<" in path:
            head, _, rest = path.partition("<")
            kind, _, rest = rest.partition(">")
            value = str(study.pk) if kind.startswith("uuid") else "1"
            path = head + value + rest
        for method in (stranger.get, stranger.post):
            answer = method(path)
            is_sent_away = answer.status_code == 302 and "/login/" in answer.headers["Location"]
            assert is_sent_away or answer.status_code in {401, 403, 404, 405}, (
                route,
                answer.status_code,
                answer.headers.get("Location"),
            )
            closed += 1
    assert closed > 150


def test_media_is_open_to_nobody(
    stranger: Client, site: Client, study: Study, reader: Actor, store: Path
) -> None:
    opened(stranger, shared(reader, study))
    key = study.series.get().images.get().storage_key
    for client in (Client(), stranger, site):
        for path in ("/media/", f"/media/dicom/{key}", f"/{key}", f"/static/{key}"):
            assert client.get(path).status_code == 404, path


def test_a_pin_is_asked_for_and_the_sixth_wrong_one_waits(
    stranger: Client, study: Study, reader: Actor
) -> None:
    issued = shared(reader, study, pin=PIN)
    asked = opened(stranger, issued)
    assert asked.status_code == 403
    assert json.loads(asked.content)["needs_pin"] is True
    for _ in range(5):
        answer = opened(stranger, issued, "000000")
        assert (answer.status_code, "noctis_link" in answer.cookies) == (403, False)
    sixth = opened(stranger, issued, "000000")
    assert sixth.status_code == 429
    assert opened(stranger, issued, PIN).status_code == 429
    SharedLink.objects.update(pin_waits_until=timezone.now())
    assert opened(stranger, issued, PIN).status_code == 200


def end_time(issued: IssuedLink, maker: User) -> None:
    SharedLink.objects.filter(pk=issued.link.pk).update(expires_at=timezone.now())


def withdraw(issued: IssuedLink, maker: User) -> None:
    SharedLink.objects.filter(pk=issued.link.pk).update(revoked_at=timezone.now())


def leave(issued: IssuedLink, maker: User) -> None:
    maker.facilities.clear()


@pytest.mark.parametrize(
    ("change", "words"), [(end_time, "over"), (withdraw, "withdrawn"), (leave, "not shared")]
)
def test_what_is_over_says_so_in_finished_words(
    stranger: Client, study: Study, reader: Actor, radiologist: User,
    change: Callable[[IssuedLink, User], None], words: str,
) -> None:  # fmt: skip
    issued = shared(reader, study)
    opened(stranger, issued)
    change(issued, radiologist)
    page = stranger.get(f"/viewer/{study.pk}/")
    assert page.status_code == 403
    assert words in page.content.decode()
    assert "This link has ended" in page.content.decode()
    for path in (f"/viewer/api/studies/{study.pk}/", "/shared/api/visit/"):
        answer = stranger.get(path)
        assert (answer.status_code, words in detail(answer)) == (403, True)
    again = opened(Client(), issued)
    assert (again.status_code, words in detail(again)) == (403, True)


def test_texts_that_are_no_links_are_limited_by_address(study: Study, reader: Actor) -> None:
    issued = shared(reader, study)
    wrong = IssuedLink(issued.link, issued.text[:-1] + "A" * (issued.text[-1] != "A") + "x")
    client = Client(REMOTE_ADDR="203.0.113.7")
    statuses = [opened(client, wrong).status_code for _ in range(12)]
    assert statuses == [403] * 10 + [429] * 2
    assert opened(Client(REMOTE_ADDR="203.0.113.8"), issued).status_code == 200


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": ""}]
)
def test_another_sites_page_cannot_open_links_in_somebodys_browser(
    stranger: Client, study: Study, reader: Actor, headers: dict[str, str]
) -> None:
    answer = opened(stranger, shared(reader, study), **headers)
    assert (answer.status_code, "noctis_link" in answer.cookies) == (403, False)


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"link": 1}'])
def test_a_body_that_is_none_is_refused_in_words(stranger: Client, body: str) -> None:
    answer = stranger.post(
        "/shared/api/open/", body, content_type="application/json", headers=ORIGIN
    )
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


def test_who_is_signed_in_opens_it_as_themselves(
    site: Client, study: Study, reader: Actor, other_facility: Facility
) -> None:
    issued = shared(reader, study, most_views=1)
    answer = opened(site, issued)
    assert (answer.status_code, "noctis_link" in answer.cookies) == (200, False)
    foreign = Client()
    foreign.force_login(factories.user("sven", Role.RADIOLOGIST, [other_facility]))
    refused = opened(foreign, issued)
    assert (refused.status_code, "private window" in detail(refused)) == (409, True)
    issued.link.refresh_from_db()
    assert issued.link.views == 0


# OHIF and frames ------------------------------------------------------------------------------


@pytest.mark.usefixtures("with_ohif")
def test_a_link_for_ohif_opens_ohif_and_not_our_viewer(
    stranger: Client, study: Study, reader: Actor
) -> None:
    answer = opened(stranger, shared(reader, study, purpose=LinkPurpose.OHIF))
    url = json.loads(answer.content)["url"]
    assert url == f"/ohif/viewer?StudyInstanceUIDs={study.study_instance_uid}"
    page = stranger.get(url)
    assert page.status_code == 200
    assert 'id="visit"' in page.content.decode()
    for path in ("/ohif/", "/ohif/local", f"/viewer/{study.pk}/"):
        assert stranger.get(path).status_code == 403, path
    other = Client()
    opened(other, shared(reader, study))
    assert other.get(url).status_code == 403
    end_time(IssuedLink(SharedLink.objects.get(purpose="ohif"), ""), User.objects.get())
    assert "This link has ended" in stranger.get(url).content.decode()


@pytest.mark.usefixtures("with_ohif")
def test_only_named_sites_frame_what_a_link_opens(
    stranger: Client, site: Client, study: Study, reader: Actor, settings: Settings
) -> None:
    settings.EMBED_ORIGINS = ["https://portal.example"]
    answer = stranger.post(
        "/shared/api/open/",
        json.dumps({"link": shared(reader, study, purpose=LinkPurpose.OHIF).text}),
        content_type="application/json",
        headers={"Origin": "https://testserver"},
        secure=True,
    )
    cookie = answer.cookies["noctis_link"].OutputString()
    assert {"SameSite=None", "Secure", "Partitioned", "HttpOnly"} <= set(cookie.split("; "))
    for path in ("/shared/", json.loads(answer.content)["url"]):
        page = stranger.get(path, secure=True)
        assert page.status_code == 200, path
        assert "X-Frame-Options" not in page.headers
        assert "frame-ancestors https://portal.example;" in (
            page.headers["Content-Security-Policy"] + ";"
        )
    # Nothing that is for people with accounts is framed, nor the same page of theirs.
    for path in ("/worklist/studies/", f"/viewer/{study.pk}/", "/ohif/viewer", "/shared/links/"):
        page = site.get(path)
        assert page.headers["X-Frame-Options"] == "DENY", path
        assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    # Without HTTPS the cookie stays one that no frame of another site gets.
    plain = opened(Client(), shared(reader, study)).cookies["noctis_link"].OutputString()
    assert "SameSite=Lax" in plain
    assert "Partitioned" not in plain
