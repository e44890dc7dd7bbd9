"""The event socket on two real web processes, fed by a third process that stores images."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.product import environment, free_port

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).resolve().parents[2]
_PREPARE = """
import json
from django.test import Client
from accounts.models import Role
from tests import factories
north = factories.facility("NORTH", "North Clinic")
south = factories.facility("SOUTH", "South Clinic")
found = {}
for name, owner in (("nora", north), ("sam", south)):
    client = Client()
    client.force_login(factories.user(name, Role.RADIOLOGIST, [owner]))
    found[name] = client.cookies["noctis_session"].value
print(json.dumps(found))
"""
_STORE = """
import sys, time
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
print(result.study_id, time.time())
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

    def store(self, code: str, count: int = 1) -> tuple[str, float]:
        """Store a new study in a process of its own; returns its id and when it was answered."""
        study_id, at = self.python(_STORE, code, str(count)).splitlines()[-1].split()
        return study_id, float(at)


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    environ = environment(tmp_path_factory.mktemp("site"))
    environ["DJANGO_SETTINGS_MODULE"] = "noctis_pro.settings"
    environ["PYTHONPATH"] = str(PROJECT)
    manage = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    subprocess.run(manage, cwd=PROJECT, env=environ, check=True, timeout=120)
    found = Web([free_port(), free_port()], environ, {})
    found.sessions = json.loads(found.python(_PREPARE).splitlines()[-1])
    processes = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "daphne", "-b", "127.0.0.1", "-p", str(port)),
                "noctis_pro.asgi:application",
            ],
            cwd=PROJECT,
            env=environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
        )
        for port in found.ports
    ]
    try:
        for port in found.ports:
            _wait_for(port)
        yield found
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(20)


def _wait_for(port: int) -> None:
    until = time.monotonic() + 60
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


def messages_until(
    socket: ClientConnection, seconds: float, kind: str | None = None
) -> list[tuple[float, dict[str, Any]]]:
    """Return what comes within `seconds`, or until the first message of `kind`."""
    found = []
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        try:
            text = socket.recv(timeout=left)
        except TimeoutError:
            break
        found.append((time.time(), json.loads(text)))
        if found[-1][1]["type"] == kind:
            break
    return found


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


def test_a_study_is_told_once_on_every_process_within_a_second(web: Web) -> None:
    waits = []
    for _ in range(3):
        with web.open("nora", 0) as one, web.open("nora", 1) as two, web.open("sam", 0) as other:
            for socket in (one, two, other):
                assert json.loads(socket.recv(timeout=10))["type"] == "hello"
            study_id, answered_at = web.store("NORTH", 5)
            heard = {n: messages_until(s, 5, "study.new") for n, s in enumerate((one, two))}
            waits += [entries[-1][0] - answered_at for entries in heard.values()]
            for number, socket in enumerate((one, two)):
                heard[number] += messages_until(socket, 0.7)
            for entries in heard.values():
                told = [message for _, message in entries if message["type"].startswith("study.")]
                assert [m["study_id"] for m in told if m["type"] == "study.new"] == [study_id]
                assert {m["study_id"] for m in told} == {study_id}
            others = [message["type"] for _, message in messages_until(other, 0.1)]
            assert set(others) <= {"heartbeat"}
    assert max(waits) < 1.0, waits


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
            if name == "Set-Cookie" and value.startswith("noctis_csrf=")
        )
        headers = {"Cookie": f"{cookie}; noctis_csrf={token}", "X-CSRFToken": token}
        connection.request("POST", "/accounts/logout/", headers=headers)
        assert connection.getresponse().status == 302
        connection.close()
        began = time.monotonic()
        for socket in (one, two):
            with pytest.raises(ConnectionClosed) as caught:
                socket.recv(timeout=10)
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 4401
        assert time.monotonic() - began < 7
