"""An EHR at work, and offline images, on PostgreSQL, Redis, Celery and S3 at once.

The tests are those of the embedded default (tests/flows/test_ehr.py); only the site is another.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import product, swift
from tests.flows.test_ehr import *  # noqa: F403 - the same tests and fixtures
from tests.flows.test_ehr import SITE, VIEWER
from tests.services import servers

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(300)]

_WAIT_S = 120


@pytest.fixture(scope="module")
def bucket() -> Iterator[swift.ObjectServer]:
    with swift.running() as server:
        server.new_bucket(f"b{os.urandom(6).hex()}")
        yield server


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory, bucket: swift.ObjectServer
) -> Iterator[product.Site]:
    folder = tmp_path_factory.mktemp("site")
    with servers.postgres() as database, servers.redis() as redis:
        environ = product.environment(
            folder / "var",
            DATABASE_URL=database,
            REDIS_URL=redis,
            OHIF_VIEWER_URL=VIEWER,
            **bucket.environment(),
        )
        with product.started(environ, folder / "terminal") as site:
            site.wait_for("NoctisPro is ready", 120)
            yield site


@pytest.fixture(scope="module")
def site(running: product.Site) -> tuple[str, list[str]]:
    program = f"import django; django.setup()\n{SITE}"
    environ = {"DJANGO_SETTINGS_MODULE": "noctis_pro.settings", **running.environ}
    done = product.run([sys.executable, "-c", program], environ)
    assert done.returncode == 0, done.stderr
    return f"http://127.0.0.1:{running.web_port}", done.stdout.split()


def test_what_came_lies_in_the_bucket_and_is_sound(
    running: product.Site, site: tuple[str, list[str]], bucket: swift.ObjectServer
) -> None:
    store = Path(running.environ["NOCTIS_DATA_DIR"]) / "media" / "dicom"
    deadline = time.monotonic() + _WAIT_S
    while waiting := list(store.glob("[0-9a-f][0-9a-f]/*/*.dcm")):
        assert time.monotonic() < deadline, f"{len(waiting)} are not in the bucket"
        time.sleep(0.3)
    assert bucket.objects()
    done = running.manage("verify_storage", "--full", timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr


def test_offline_images_pass_all_their_tests(running: product.Site) -> None:
    done = running.manage("test_pacs_lite", timeout=200)
    assert "All 11 tests passed" in done.stdout, done.stdout + done.stderr
