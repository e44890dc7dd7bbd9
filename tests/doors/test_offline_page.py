"""The page of offline uploads by HTTP: it is nobody's, and what it asks is somebody's.

Not covered here: what the page does (tests/browser/intake/test_offline.py).
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.test import Client

from accounts.models import Role
from tests import factories
from worklist import urls_offline
from worklist.models import Facility

pytestmark = pytest.mark.django_db

OPEN = {"page", "worker", "manifest"}
OF_SOMEBODY = {"session"}


def member(role: Role, *places: Facility) -> Client:
    client = Client()
    client.force_login(factories.user("tess", role, places))
    return client


def shell(client: Client) -> Any:
    text = client.get("/offline/worker.js").content.decode()
    found = re.match(r"self\.SHELL = (\{.*?\});\n", text)
    assert found, text[:200]
    return json.loads(found[1])


def test_every_route_is_in_the_tables() -> None:
    assert {pattern.name for pattern in urls_offline.urlpatterns} == OPEN | OF_SOMEBODY


@pytest.mark.parametrize("path", ["", "worker.js", "manifest.webmanifest"])
def test_what_a_browser_keeps_is_the_same_for_everybody(path: str, facility: Facility) -> None:
    answers = [Client().get(f"/offline/{path}")]
    answers.append(member(Role.TECHNOLOGIST, facility).get(f"/offline/{path}"))
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].content == answers[1].content
    for answer in answers:
        assert not answer.cookies
        assert "unsafe-inline" not in answer.headers["Content-Security-Policy"]
        assert Client().post(f"/offline/{path}").status_code == 405


def test_strangers_have_no_session() -> None:
    answer = Client().get("/offline/session/")
    assert answer.status_code == 401
    assert answer.json()["detail"].startswith("Sign in first")


def test_the_session_says_for_whom_one_may_hand_in(
    facility: Facility, other_facility: Facility
) -> None:
    client = member(Role.TECHNOLOGIST, facility)
    found = client.get("/offline/session/").json()
    assert found["user"]["name"] == "tess"
    assert found["can_upload"] is True
    assert found["facilities"] == [{"code": facility.code, "name": facility.name}]
    assert len(found["csrf_token"]) > 20
    assert client.get("/offline/session/").headers["Cache-Control"].count("no-store") == 1


@pytest.mark.parametrize(
    ("role", "has_place"),
    [(Role.VIEWER, True), (Role.TECHNOLOGIST, False)],
    ids=["reader", "nowhere"],
)
def test_who_may_not_hand_in_is_told(role: Role, has_place: bool, facility: Facility) -> None:
    client = member(role, *([facility] if has_place else []))
    assert client.get("/offline/session/").json()["can_upload"] is False


def test_all_that_is_kept_is_there_and_is_nobodys() -> None:
    client = Client()
    kept = shell(client)
    assert kept["page"] == "/offline/"
    page = client.get("/offline/").content.decode()
    loaded = set(re.findall(r'(?:src|href|data-reading)="(/static/[^"]+)"', page))
    assert loaded
    assert loaded <= set(kept["files"])
    for address in kept["files"]:
        assert address.startswith(("/offline/", "/static/"))
        answer = client.get(address)
        assert answer.status_code == 200, address
        assert not answer.cookies


def test_another_page_is_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    from worklist.views import offline

    client = Client()
    before = shell(client)
    assert shell(client) == before
    monkeypatch.setattr(offline, "_COLOUR", "#ffffff")
    assert shell(client)["version"] != before["version"]


def test_the_page_is_kept_in_the_language_of_its_reader() -> None:
    client = Client()
    assert shell(client)["language"] == "en"
    english = client.get("/offline/?language=xx").content.decode()
    assert '<html lang="en"' in english
    client.cookies["noctis_language"] = "de"
    kept = shell(client)
    assert kept["language"] == "de"
    # The worker asks without a cookie.
    page = Client().get(f"{kept['page']}?language={kept['language']}").content.decode()
    assert '<html lang="de"' in page
    assert "Hochladen ohne Netz" in page
    (messages,) = re.findall(r'src="(/static/[^"]*messages-de[^"]*)"', page)
    assert messages in kept["files"]
    assert Client().get("/offline/").content.decode() == english


def test_the_manifest_keeps_to_its_place() -> None:
    found = Client().get("/offline/manifest.webmanifest").json()
    assert found["start_url"] == found["scope"] == "/offline/"
    assert {"192x192", "512x512"} <= {icon["sizes"] for icon in found["icons"]}
    for icon in found["icons"]:
        assert Client().get(icon["src"]).status_code == 200
