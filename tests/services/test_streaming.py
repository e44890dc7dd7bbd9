"""What is promised while equipment sends: its servers are killed, and it is backed up.

PostgreSQL and Redis are ended by SIGKILL and come back; web, receiver and Celery stay up all the
time and go on by themselves.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psycopg
import pytest
from psycopg.rows import dict_row

from tests import product
from tests.pdu import IMPLICIT_LE, VERIFICATION, RawPeer, read_part10
from tests.services import servers
from tests.services.servers import Server
from tests.services.streams import LONGEST_S, Stream, is_put_off, is_success
from tests.siege import Ledger

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(300)]

ADMIN, PASSWORD = "boss", "a-long-enough-word"
WORKLIST, STUDIES = "/worklist/studies/", "/api/v1/dicom/studies"
_COOKIE = re.compile(r"(noctis_\w+)=([^;]+)")
BASIC = {"Authorization": "Basic " + base64.b64encode(f"{ADMIN}:{PASSWORD}".encode()).decode()}


# One process for all of it: starting Django costs more than what it does here.
RESTORE = """
import os
import django; django.setup()
from django.core.management import CommandError, call_command
call_command("restore", os.environ["COPY"])
call_command("verify_storage", full=True)
call_command("migrate", check_unapplied=True)
try:
    call_command("restore", os.environ["COPY"])
except CommandError as error:
    assert "Nothing was overwritten" in str(error), error
else:
    raise AssertionError("A second restore went through.")
"""


@dataclass
class Running:
    """The product, and the servers that it stands on."""

    site: product.Site
    postgres: Server
    redis: Server
    session: dict[str, str]

    @property
    def processes(self) -> Mapping[str, int]:
        return self.site.children()

    def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        with psycopg.connect(self.postgres.url, row_factory=dict_row) as connection:
            return connection.execute(query, values).fetchall()

    def status(self, path: str, headers: Mapping[str, str]) -> int:
        """What a request is answered; within what a person waits, or it fails."""
        return self.site.get(path, **headers)[0]

    def stream(self) -> Stream:
        return Stream(self.site.dicom_port, "CT_NORTH")

    def verify(self, ledger: Ledger) -> None:
        """What was answered is there, and what is there is what was sent."""
        check(self.postgres.url, Path(self.site.environ["NOCTIS_DATA_DIR"]), ledger)


def check(database: str, data_dir: Path, ledger: Ledger) -> None:
    found = {}
    with psycopg.connect(database, row_factory=dict_row) as connection:
        rows = connection.execute("SELECT * FROM worklist_dicomimage").fetchall()
    for row in rows:
        raw = (data_dir / "media" / "dicom" / row["storage_key"]).read_bytes()
        assert hashlib.sha256(raw).hexdigest() == row["sha256"]
        found[row["sop_instance_uid"]] = hashlib.sha256(read_part10(raw).data).hexdigest()
    assert ledger.answered.items() <= found.items()
    sent = {uid: digest for uid, digest in found.items() if uid in ledger.sent}
    assert sent.items() <= ledger.sent.items()


def sign_in(site: product.Site) -> dict[str, str]:
    """Sign in as a browser does; returns the header of its next requests."""
    with closing(
        http.client.HTTPConnection("127.0.0.1", site.web_port, timeout=LONGEST_S)
    ) as connection:
        connection.request("GET", "/accounts/login/")
        answer = connection.getresponse()
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', answer.read().decode())
        assert token
        jar = dict(_COOKIE.findall(str(answer.msg)))
        form = {"username": ADMIN, "password": PASSWORD, "csrfmiddlewaretoken": token[1]}
        headers = {
            "Cookie": "; ".join(f"{name}={value}" for name, value in jar.items()),
            "Content-Type": "application/x-www-form-urlencoded",
        }
        connection.request("POST", "/accounts/login/", urlencode(form), headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 302
        jar |= dict(_COOKIE.findall(str(answer.msg)))
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in jar.items())}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("streaming")
    with servers.postgres_server() as postgres, servers.redis_server() as redis:
        environ = product.environment(
            folder / "var",
            DATABASE_URL=postgres.url,
            REDIS_URL=redis.url,
            NOCTIS_ADMIN_USER=ADMIN,
            NOCTIS_ADMIN_PASSWORD=PASSWORD,
        )
        with product.started(environ, folder / "terminal") as site:
            site.wait_for("NoctisPro is ready", 120)
            done = site.manage("add_facility", "North", "--code", "NORTH", "--aet", "CT_NORTH")
            assert done.returncode == 0, done.stderr
            yield Running(site, postgres, redis, sign_in(site))


def eventually(look: Callable[[], object], what: str, timeout_s: float = LONGEST_S) -> None:
    """Wait for what must come back by itself: a deadline, not a measurement."""
    deadline = time.monotonic() + timeout_s
    while not look():
        assert time.monotonic() < deadline, f"{what} did not come back"
        time.sleep(0.05)


def works_again(running: Running, since: object) -> Callable[[], bool]:
    """Whether the worker has looked at anything that happened after `since`."""
    query = "SELECT 1 FROM archive_outboxevent WHERE created_at > %s AND dispatched_at > %s LIMIT 1"
    return lambda: bool(running.rows(query, since, since))


def test_requests_leave_no_connection_behind(running: Running) -> None:
    """Pages, DICOMweb and the interface for programs, asked by sixteen at once."""
    paths = (WORKLIST, "/dicom-web/studies?limit=5", STUDIES)
    count = "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database()"

    def ask(number: int) -> int:
        return running.status(paths[number % len(paths)], running.session)

    def held_after(requests: int) -> int:
        with ThreadPoolExecutor(16) as callers:
            assert set(callers.map(ask, range(requests))) <= {200, 204}
        (row,) = running.rows(count)
        return int(row["n"])

    (row,) = running.rows(count)
    held = [int(row["n"]), held_after(100), held_after(200)]
    print(f"connections before, after 100 requests, after 200 more: {held}")
    # Of the shared ones there are 20 and 8 for reading.
    assert held[1] - held[0] <= 28
    assert held[2] <= held[1] + 4


def test_postgresql_is_killed_and_comes_back(running: Running) -> None:
    before = running.processes
    with (
        running.stream() as stream,
        RawPeer(
            running.site.dicom_port,
            [(VERIFICATION, [IMPLICIT_LE])],
            calling="CT_NORTH",
            timeout_s=LONGEST_S,
        ) as caller,
    ):
        stream.wait_for(20, is_success, 30)
        running.postgres.kill()
        try:
            stream.wait_for(6, is_put_off, 2 * LONGEST_S)
            # What needs no database goes on; what needs it says so in time.
            assert caller.echo().status == 0
            assert running.status("/health/live", {}) == 200
            assert running.status("/health/ready", {}) == 503
            assert running.status(WORKLIST, running.session) == 503
            assert running.status(STUDIES, BASIC) == 503
            assert running.status(STUDIES, {"Authorization": "Bearer nonsense"}) == 503
        finally:
            running.postgres.start()
        stream.wait_for(20, is_success, LONGEST_S)
        (row,) = running.rows("SELECT now() AS at")
        eventually(lambda: running.status("/health/ready", {}) == 200, "readiness")
        eventually(lambda: running.status(WORKLIST, running.session) == 200, "the worklist")
        eventually(lambda: running.status(STUDIES, BASIC) == 200, "the interface for programs")
        eventually(works_again(running, row["at"]), "the worker")
    assert {status for status in stream.statuses if not is_success(status)} <= {0xA700}
    # While nobody can be looked up, whoever calls anew is asked to try again (PS3.8 9.3.4).
    assert set(stream.rejections) <= {(2, 3, 1)}
    assert stream.troubles == []
    assert running.processes == before
    running.verify(stream.ledger)


def test_redis_is_killed_and_comes_back(running: Running) -> None:
    before = running.processes
    with running.stream() as stream:
        stream.wait_for(10, is_success, 30)
        running.redis.kill()
        try:
            # Receiving and reading do without it.
            stream.wait_for(20, is_success, 2 * LONGEST_S)
            assert running.status(WORKLIST, running.session) == 200
            assert running.status("/worklist/api/state/", running.session) == 200
            assert running.status(STUDIES, BASIC) == 200
            assert running.status("/health/ready", {}) == 200
            sign_in(running.site)
        finally:
            running.redis.start()
        (row,) = running.rows("SELECT now() AS at")
        eventually(works_again(running, row["at"]), "the worker")
        assert running.status(WORKLIST, running.session) == 200
    assert set(stream.statuses) == {0}
    assert stream.rejections == []
    assert stream.troubles == []
    assert running.processes == before
    running.verify(stream.ledger)


def test_a_backup_while_instances_arrive_is_restored_elsewhere(
    running: Running, tmp_path: Path
) -> None:
    copy, elsewhere = tmp_path / "copy", tmp_path / "elsewhere"
    with running.stream() as stream:
        stream.wait_for(20, is_success, 30)
        before = Ledger(dict(stream.ledger.answered))
        done = running.site.manage("backup", str(copy))
        assert done.returncode == 0, done.stdout + done.stderr
        during = len(stream.ledger.answered) - len(before.answered)
        stream.wait_for(5, is_success, 30)
    assert during > 0
    before.sent = stream.ledger.sent
    sums = ["sha256sum", "--quiet", "-c", "files.sha256"]
    checked = subprocess.run(sums, cwd=copy, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stdout

    with psycopg.connect(running.postgres.url, autocommit=True) as connection:
        # As an administrator who gives nobody more than a database makes it.
        connection.execute("CREATE ROLE owner LOGIN")
        connection.execute("CREATE DATABASE elsewhere OWNER owner")
    database = running.postgres.url.replace("/postgres", "/elsewhere")
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION pg_trgm")
    database = database.replace("//noctis@", "//owner@")
    environ = product.environment(
        elsewhere,
        DATABASE_URL=database,
        COPY=str(copy),
        DJANGO_SETTINGS_MODULE="noctis_pro.settings",
    )
    done = product.run([sys.executable, "-c", RESTORE], environ)
    assert done.returncode == 0, done.stdout + done.stderr
    check(database, elsewhere, before)
