"""Event reports of work items, from a real web process to programs that subscribed by web."""

from __future__ import annotations

import base64
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom.dataset import Dataset
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from imaging import ups
from tests.factories import PASSWORD
from tests.product import environment, free_port
from tests.workitems import completed, item, scheduled, state

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
for name, owner in (("nora", north), ("ned", north), ("sam", south)):
    person = factories.user(name, Role.TECHNOLOGIST, [owner])
    client = Client()
    client.force_login(person)
    cookie = client.cookies["noctis_session"].value
    found[name] = {"token": ApiToken.issue(person, expires_at=None)[1], "cookie": cookie}
print(json.dumps(found))
"""


@dataclass
class Site:
    """One web process, and people's ways to sign in."""

    port: int
    keys: dict[str, dict[str, str]]

    def socket(self, title: str, headers: dict[str, str], origin: str = "") -> ClientConnection:
        return connect(
            f"ws://127.0.0.1:{self.port}/ws/subscribers/{title}",
            origin=origin or None,  # type: ignore[arg-type]
            additional_headers=headers,
            open_timeout=60,
        )

    def bearer(self, name: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.keys[name]['token']}"}

    def send(
        self, name: str, path: str, content: Dataset | None = None, method: str = "POST"
    ) -> httpx.Response:
        return httpx.request(
            method,
            f"http://127.0.0.1:{self.port}/dicom-web/workitems{path}",
            content=json.dumps(content.to_json_dict()) if content is not None else None,
            headers={**self.bearer(name), "Content-Type": "application/dicom+json"},
            timeout=60,
        )

    def create(self, name: str, **keywords: Any) -> str:
        answer = self.send(name, "", scheduled(**keywords))
        assert answer.status_code == 201, answer.text
        return answer.headers["location"].rsplit("/", 1)[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    environ = environment(tmp_path_factory.mktemp("site"))
    environ["DJANGO_SETTINGS_MODULE"] = "noctis_pro.settings"
    environ["PYTHONPATH"] = str(PROJECT)
    # Where the tests have a Redis, the product shares it, as it would in production.
    environ["REDIS_URL"] = os.environ.get("REDIS_URL", "")
    _run(environ, "manage.py", "migrate", "--verbosity", "0")
    made = _run(environ, "-c", f"import django; django.setup()\n{_PREPARE}")
    found = Site(free_port(), json.loads(made.splitlines()[-1]))
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "daphne", "-b", "127.0.0.1", "-p", str(found.port)),
            "noctis_pro.asgi:application",
        ],
        cwd=PROJECT,
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
    )
    try:
        _wait_for(found.port)
        yield found
    finally:
        process.terminate()
        process.wait(20)


def _run(environ: dict[str, str], *arguments: str) -> str:
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=PROJECT, env=environ, check=True, capture_output=True, text=True, timeout=240
    ).stdout


def _wait_for(port: int) -> None:
    until = time.monotonic() + 120
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/health/live")
            if connection.getresponse().status == 200:
                return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
        finally:
            connection.close()


def heard(socket: ClientConnection) -> tuple[int, str, Dataset]:
    """Wait for the next event report; returns type, UID of the work item, and the whole."""
    report = Dataset.from_json(json.loads(socket.recv(timeout=30)))
    assert report[0x00000002].value == ups.EVENT
    return report[0x00001002].value, report[0x00001000].value, report


def test_a_subscriber_hears_all_that_becomes_of_an_item(site: Site) -> None:
    uid = site.create("nora")
    with site.socket("WATCHER", site.bearer("nora")) as socket:
        answer = site.send("nora", f"/{uid}/subscribers/WATCHER")
        assert answer.status_code == 201
        assert answer.headers["content-location"].endswith(f":{site.port}/ws/subscribers/WATCHER")
        kind, about, report = heard(socket)
        assert (kind, about, report.ProcedureStepState) == (1, uid, "SCHEDULED")
        assert "PatientName" not in report
        assert site.send("nora", f"/{uid}/state", state("IN PROGRESS", "1.2.3"), "PUT").is_success
        kind, _, report = heard(socket)
        assert (kind, report.ProcedureStepState) == (1, "IN PROGRESS")
        progress = item(ProcedureStepProgressInformationSequence=[item(ProcedureStepProgress="40")])
        assert site.send("nora", f"/{uid}?transaction-uid=1.2.3", progress).is_success
        kind, _, report = heard(socket)
        assert kind == 3
        (told,) = report.ProcedureStepProgressInformationSequence
        assert told.ProcedureStepProgress == 40
        asked = item(ReasonForCancellation="Too late.")
        assert site.send("ned", f"/{uid}/cancelrequest", asked).status_code == 202
        kind, _, report = heard(socket)
        assert (kind, report.ReasonForCancellation, report.RequestingAE) == (2, "Too late.", "ned")
        assert site.send("nora", f"/{uid}?transaction-uid=1.2.3", completed()).is_success
        assert site.send("nora", f"/{uid}/state", state("COMPLETED", "1.2.3"), "PUT").is_success
        kind, _, report = heard(socket)
        assert (kind, report.ProcedureStepState) == (1, "COMPLETED")
        assert report[0x00000110].value == 5


def test_a_global_subscriber_hears_of_its_facility_alone(site: Site) -> None:
    path = f"/{ups.GLOBAL}/subscribers/EARS"
    with (
        site.socket("EARS", site.bearer("nora")) as north,
        site.socket("EARS", site.bearer("sam")) as south,
        site.socket("EARS", site.bearer("ned")) as nobodys,
    ):
        assert site.send("nora", path).status_code == 201
        assert site.send("sam", path).status_code == 201
        theirs = site.create("sam")
        ours = site.create("nora")
        for socket, wanted, other in ((north, ours, theirs), (south, theirs, ours)):
            about = ""
            while about != wanted:
                _, about, _ = heard(socket)
                assert about != other
        # The same title of another account: what came before has been read, so nothing will come.
        with pytest.raises(TimeoutError):
            nobodys.recv(timeout=0.5)
        assert site.send("nora", path, method="DELETE").status_code == 200
        assert site.send("sam", path, method="DELETE").status_code == 200


def test_who_may_open_it(site: Site) -> None:
    own = f"http://127.0.0.1:{site.port}"
    cookie = {"Cookie": f"noctis_session={site.keys['nora']['cookie']}"}
    basic = base64.b64encode(f"nora:{PASSWORD}".encode()).decode()
    for headers, origin in (
        (cookie, own),
        ({"Authorization": f"Basic {basic}"}, ""),
        (site.bearer("nora"), own),
    ):
        with site.socket("WATCHER", headers, origin):
            pass
    wrong = base64.b64encode(b"nora:wrong").decode()
    for title, headers, origin in (
        ("WATCHER", {}, ""),
        ("WATCHER", cookie, ""),
        ("WATCHER", cookie, "https://evil.example"),
        ("WATCHER", cookie, "null"),
        ("WATCHER", site.bearer("nora"), "https://evil.example"),
        ("WATCHER", {"Authorization": "Bearer npt_nothing"}, ""),
        ("WATCHER", {"Authorization": f"Basic {wrong}"}, ""),
        ("WATCHER", {"Authorization": "Digest x"}, ""),
        ("X" * 17, site.bearer("nora"), ""),
    ):
        with pytest.raises(InvalidStatus) as caught:
            site.socket(title, headers, origin)
        assert caught.value.response.status_code == 403


def test_a_revoked_token_ends_it(site: Site) -> None:
    with site.socket("WATCHER", site.bearer("ned")) as socket:
        answer = httpx.delete(
            f"http://127.0.0.1:{site.port}/api/v1/auth/token", headers=site.bearer("ned")
        )
        assert answer.is_success
        with pytest.raises(ConnectionClosed) as caught:
            socket.recv(timeout=30)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 4401
