"""The event socket on two real web processes, fed by a third process that stores images."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from notifications import relay
from tests import serving

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).resolve().parents[2]
_PREPARE = """
import json
from django.test import Client
from accounts.models import ApiToken, Role
from tests import factories
north = factories.facility("NORTH", "North Clinic")
south = factories.facility("SOUTH", "South Clinic")
found = {}
for name, owner in (("nora", north), ("sam", south)):
    client = Client()
    client.force_login(factories.user(name, Role.RADIOLOGIST, [owner]))
    found[name] = client.cookies["noctis_session"].value
sender = factories.user("tess", Role.TECHNOLOGIST, [north])
client = Client()
client.force_login(sender)
found["tess"] = client.cookies["noctis_session"].value
found["token of tess"] = ApiToken.issue(sender, expires_at=None)[1]
print(json.dumps(found))
"""
_STORE = """
import sys
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import Facility
owner = Facility.objects.get(code=sys.argv[1])
contents = []
first = make_instance()
for number in range(int(sys.argv[2])):
    contents.append(to_bytes(make_instance(StudyInstanceUID=first.StudyInstanceUID)))
for content in contents:
    result = factories.store_bytes(content, owner)
print(result.study_id)
"""


@dataclass
class Web:
    """Web processes on one database."""

    ports: list[int]
    environ: dict[str, str]
    sessions: dict[str, str]

    def open(self, user: str | None, place: int = 0, **headers: str) -> ClientConnection:
        port = self.ports[place]
        origin = headers.pop("origin", f"http://127.0.0.1:{port}")
        cookie = {"Cookie": f"noctis_session={self.sessions[user]}"} if user else {}
        return connect(
            f"ws://127.0.0.1:{port}/ws/events/",
            origin=origin or None,  # type: ignore[arg-type]
            additional_headers=cookie,
            open_timeout=20,
        )

    def python(self, code: str, *arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", f"import django; django.setup()\n{code}", *arguments],
            cwd=PROJECT,
            env=self.environ,
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        ).stdout.strip()

    def store(self, code: str, count: int = 1) -> str:
        """Store a new study in a process of its own; returns its id."""
        return self.python(_STORE, code, str(count)).splitlines()[-1]


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    site = serving.new_site(
        tmp_path_factory.mktemp("site"),
        _PREPARE,
        DJANGO_SETTINGS_MODULE="noctis_pro.settings",
        PYTHONPATH=str(PROJECT),
    )
    daphne = ("daphne", "-b", "127.0.0.1", "-p", "{port}", "noctis_pro.asgi:application")
    uvicorn = ("uvicorn", "noctis_pro.asgi:application", "--port", "{port}", "--lifespan", "off")
    # Behind nginx it is the first, under `make run` the other.
    with site.serving(daphne) as one, site.serving(uvicorn) as other:
        yield Web([other.port, one.port], site.environ, json.loads(" ".join(site.said)))


def told_until_new(socket: ClientConnection, study_id: str) -> list[dict[str, Any]]:
    """Return what is told of studies until this one is told as new."""
    found: list[dict[str, Any]] = []
    while True:
        message = json.loads(socket.recv(timeout=30))
        if message["type"].startswith("study."):
            found.append(message)
            if (message["type"], message["study_id"]) == ("study.new", study_id):
                return found


def until_closed(socket: ClientConnection) -> None:
    """Read what was told before, and signs of life."""
    while True:
        socket.recv(timeout=30)


@pytest.mark.parametrize(
    "origin", ["", "null", "https://evil.example", "http://127.0.0.1:1", "http://localhost"]
)
def test_foreign_pages_get_403(web: Web, origin: str) -> None:
    with pytest.raises(InvalidStatus) as caught:
        web.open("nora", origin=origin)
    assert caught.value.response.status_code == 403


def test_without_a_session_it_closes_with_4401(web: Web) -> None:
    with web.open(None) as socket, pytest.raises(ConnectionClosed) as caught:
        socket.recv(timeout=10)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 4401


def test_a_study_is_told_once_on_every_process_to_those_who_may_see_it(web: Web) -> None:
    with web.open("nora", 0) as one, web.open("nora", 1) as two, web.open("sam", 0) as other:
        for socket in (one, two, other):
            assert json.loads(socket.recv(timeout=10))["type"] == "hello"
        first, last = web.store("NORTH", 5), web.store("NORTH")
        elsewhere = web.store("SOUTH")
        for socket in (one, two):
            # What is told comes in order: all about the first is there when the last is.
            told = told_until_new(socket, last)
            assert [m["study_id"] for m in told if m["type"] == "study.new"] == [first, last]
            assert {m["study_id"] for m in told} == {first, last}
        assert [m["study_id"] for m in told_until_new(other, elsewhere)] == [elsewhere]
    # The processes look for news often enough to tell them within a second.
    assert relay.POLL_S <= 0.5


def test_progress_of_an_upload_is_told_to_its_sender_alone(web: Web) -> None:
    uploads = f"http://127.0.0.1:{web.ports[1]}/api/v1/dicom/uploads"
    headers = {
        "Tus-Resumable": "1.0.0",
        "Authorization": f"Bearer {web.sessions['token of tess']}",
    }
    kind = {"Content-Type": "application/offset+octet-stream"}
    with web.open("tess", 0) as mine, web.open("nora", 0) as other:
        for socket in (mine, other):
            assert json.loads(socket.recv(timeout=10))["type"] == "hello"
        begun = httpx.post(uploads, headers={**headers, "Upload-Length": "10"})
        assert begun.status_code == 201, begun.text
        address = f"{uploads}/{begun.headers['location'].rpartition('/')[2]}"
        for offset, piece in ((0, b"1234"), (4, b"567")):
            at = {**headers, **kind, "Upload-Offset": str(offset)}
            assert httpx.patch(address, headers=at, content=piece).status_code == 204
        told = [json.loads(mine.recv(timeout=30)) for _ in range(2)]
        assert {message["type"] for message in told} == {"upload.progress"}
        assert [(one["state"], one["offset"], one["length"]) for one in told] == [
            ("receiving", 4, 10), ("receiving", 7, 10),
        ]  # fmt: skip
        other.send('{"type": "ping"}')
        assert json.loads(other.recv(timeout=10))["type"] == "pong"
        assert httpx.delete(address, headers=headers).status_code == 204


def test_signing_out_closes_every_socket(web: Web) -> None:
    with web.open("sam", 0) as one, web.open("sam", 1) as two:
        for socket in (one, two):
            assert json.loads(socket.recv(timeout=10))["type"] == "hello"
        port = web.ports[0]
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        cookie = f"noctis_session={web.sessions['sam']}"
        connection.request("GET", "/accounts/password/", headers={"Cookie": cookie})
        answer = connection.getresponse()
        answer.read()
        token = next(
            value.split("=", 1)[1].split(";")[0]
            for name, value in answer.getheaders()
            if name.lower() == "set-cookie" and value.startswith("noctis_csrf=")
        )
        headers = {"Cookie": f"{cookie}; noctis_csrf={token}", "X-CSRFToken": token}
        connection.request("POST", "/accounts/logout/", headers=headers)
        assert connection.getresponse().status == 302
        connection.close()
        for socket in (one, two):
            with pytest.raises(ConnectionClosed) as caught:
                until_closed(socket)
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 4401
    # The processes look who is still signed in often enough.
    assert relay.RECHECK_S <= 5
