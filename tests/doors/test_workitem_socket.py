"""Event reports of work items, from real web processes to programs that subscribed by web."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from pydicom.dataset import Dataset
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from imaging import ups
from tests import product, serving
from tests.factories import PASSWORD
from tests.workitems import completed, item, scheduled, state

pytestmark = pytest.mark.slow

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
    """Web processes of either server, a sidecar of its own, and people's ways to sign in."""

    webs: dict[str, int]
    sidecar: int
    keys: dict[str, dict[str, str]]

    def socket(
        self, title: str, headers: dict[str, str], origin: str = "", server: str = "uvicorn"
    ) -> ClientConnection:
        return connect(
            f"ws://127.0.0.1:{self.webs[server]}/ws/subscribers/{title}",
            origin=origin or None,  # type: ignore[arg-type]
            additional_headers=headers,
            open_timeout=60,
        )

    def bearer(self, name: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.keys[name]['token']}"}

    def send(
        self, name: str, path: str, content: Dataset | None = None, method: str = "POST"
    ) -> httpx.Response:
        """Ask the sidecar: what it does is heard by way of the web processes."""
        return httpx.request(
            method,
            f"http://127.0.0.1:{self.sidecar}/dicom-web/workitems{path}",
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
    made = serving.new_site(
        tmp_path_factory.mktemp("site"),
        _PREPARE,
        # Where the tests have a Redis, the processes share it, as they would in production.
        REDIS_URL=os.environ.get("REDIS_URL", ""),
        DJANGO_SETTINGS_MODULE="noctis_pro.settings",
        PYTHONPATH=str(product.PROJECT),
    )
    web = "noctis_pro.asgi:application"
    with (
        made.serving(("uvicorn", web, "--port", "{port}", "--lifespan", "off")) as embedded,
        made.serving(("daphne", "-b", "127.0.0.1", "-p", "{port}", web)) as daphne,
        made.serving() as sidecar,
    ):
        webs = {"uvicorn": embedded.port, "daphne": daphne.port}
        yield Site(webs, sidecar.port, json.loads(" ".join(made.said)))


def heard(socket: ClientConnection) -> tuple[int, str, Dataset]:
    """Wait for the next event report; returns type, UID of the work item, and the whole."""
    report = Dataset.from_json(json.loads(socket.recv(timeout=30)))
    assert report[0x00000002].value == ups.EVENT
    return report[0x00001002].value, report[0x00001000].value, report


def test_a_subscriber_hears_all_that_becomes_of_an_item(site: Site) -> None:
    uid = site.create("nora")
    with (
        site.socket("WATCHER", site.bearer("nora")) as socket,
        site.socket("WATCHER", site.bearer("nora"), server="daphne") as other,
    ):
        answer = site.send("nora", f"/{uid}/subscribers/WATCHER")
        assert answer.status_code == 201
        assert answer.headers["content-location"].endswith("/ws/subscribers/WATCHER")
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
        # Every connection under the title hears the same, in the same order.
        assert [heard(other)[0] for _ in range(5)] == [1, 1, 3, 2, 1]


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


@pytest.mark.parametrize("server", ["uvicorn", "daphne"])
def test_who_may_open_it(site: Site, server: str) -> None:
    own = f"http://127.0.0.1:{site.webs[server]}"
    cookie = {"Cookie": f"noctis_session={site.keys['nora']['cookie']}"}
    basic = base64.b64encode(f"nora:{PASSWORD}".encode()).decode()
    for headers, origin in (
        (cookie, own),
        ({"Authorization": f"Basic {basic}"}, ""),
        (site.bearer("nora"), own),
    ):
        with site.socket("WATCHER", headers, origin, server):
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
            site.socket(title, headers, origin, server)
        assert caught.value.response.status_code == 403


def test_a_revoked_token_ends_it(site: Site) -> None:
    with site.socket("WATCHER", site.bearer("ned")) as socket:
        answer = httpx.delete(
            f"http://127.0.0.1:{site.sidecar}/api/v1/auth/token", headers=site.bearer("ned")
        )
        assert answer.is_success
        with pytest.raises(ConnectionClosed) as caught:
            socket.recv(timeout=30)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 4401
