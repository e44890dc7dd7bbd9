"""The product on PostgreSQL, Redis and Celery: the same promises as on the embedded default."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests import product
from tests.dicom import make_instance, to_bytes
from tests.services import servers

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[product.Site]:
    folder = tmp_path_factory.mktemp("site")
    with servers.postgres() as database, servers.redis() as redis:
        environ = product.environment(folder / "var", DATABASE_URL=database, REDIS_URL=redis)
        with product.started(environ, folder / "terminal") as site:
            site.wait_for("NoctisPro is ready", 120)
            done = site.manage("add_facility", "North", "--code", "NORTH", "--aet", "CT_NORTH")
            assert done.returncode == 0, done.stderr
            yield site


def _count(site: product.Site, query: str) -> int:
    with psycopg.connect(site.environ["DATABASE_URL"]) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def _store(site: product.Site, folder: Path, *, times: int) -> None:
    storescu = shutil.which("storescu", path="/usr/bin:/usr/local/bin")
    assert storescu, "dcmtk is missing: apt-get install dcmtk"
    files = []
    first = make_instance()
    for number in range(1, times + 1):
        ds = make_instance(
            StudyInstanceUID=first.StudyInstanceUID,
            SeriesInstanceUID=first.SeriesInstanceUID,
            InstanceNumber=number,
        )
        path = folder / f"{number}.dcm"
        path.write_bytes(to_bytes(ds))
        files.append(str(path))
    command = [storescu, "-aet", "CT_NORTH", "-aec", "NOCTIS_SCP"]
    done = product.run([*command, "127.0.0.1", str(site.dicom_port), *files], os.environ)
    assert done.returncode == 0, done.stderr


def _wait_for(site: product.Site, query: str, least: int) -> None:
    deadline = time.monotonic() + 60
    while _count(site, query) < least:
        if time.monotonic() > deadline:
            jobs = "SELECT kind, state, last_error FROM archive_job"
            with psycopg.connect(site.environ["DATABASE_URL"]) as connection:
                pytest.fail(f"{query}: {connection.execute(jobs).fetchall()}\n{site.text()}")
        time.sleep(0.2)


def test_celery_works_instead_of_the_embedded_runner(running: product.Site) -> None:
    assert set(running.children()) == {"web", "receiver", "celery worker", "celery beat"}
    assert running.get_json("/health/ready")["status"] == "ready"


def test_an_instance_is_stored_and_its_jobs_are_done(running: product.Site, tmp_path: Path) -> None:
    _store(running, tmp_path, times=3)
    assert _count(running, "SELECT instance_count FROM worklist_study") == 3
    waiting = "SELECT count(*) FROM archive_outboxevent WHERE dispatched_at IS NOT NULL"
    _wait_for(running, waiting, 3)
    _wait_for(running, "SELECT count(*) FROM archive_job WHERE state = 'done'", 1)
    assert _count(running, "SELECT count(*) FROM archive_job WHERE state = 'failed'") == 0


def test_a_killed_worker_comes_back_and_goes_on(running: product.Site, tmp_path: Path) -> None:
    before = _count(running, "SELECT count(*) FROM archive_job WHERE state = 'done'")
    os.kill(running.children()["celery worker"], signal.SIGKILL)
    running.wait_for("Starting celery worker again.")
    _store(running, tmp_path, times=1)
    _wait_for(running, "SELECT count(*) FROM archive_job WHERE state = 'done'", before + 1)
