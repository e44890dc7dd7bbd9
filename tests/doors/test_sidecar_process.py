"""The sidecar as processes run it: both ways to start uvicorn, and mounted in the web process.

What it answers is tested in process; here: that it starts, finds the site's data, and lives on.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests import product
from tests.codestreams import noise

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 60

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

# A process of its own has a site of its own: made by a program, as an administrator makes it.
SITE = """
import sys
import django; django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from accounts.models import ApiToken, Role
from tests import factories
from tests.codestreams import compressed_instance, jpeg_2000, noise
from tests.dicom import make_instance, to_bytes
place = factories.facility("NORTH", "North Clinic")
user = factories.user("rita", Role.RADIOLOGIST, [place])
plain = factories.store_bytes(to_bytes(make_instance(noise(64, 64))), place)
coded = factories.store_bytes(compressed_instance([jpeg_2000(noise(64, 64))], 64, 64), place)
print(ApiToken.issue(user, expires_at=None)[1], plain.image_id, coded.image_id)
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("site")
    return product.environment(folder, DJANGO_SETTINGS_MODULE="noctis_pro.settings")


@pytest.fixture(scope="module")
def site(environment: dict[str, str]) -> tuple[str, str, str]:
    """Token, an uncompressed image, a compressed one."""
    result = subprocess.run(
        [sys.executable, "-c", SITE],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    token, plain, coded = result.stdout.split()[-3:]
    return token, plain, coded


@contextmanager
def running(
    command: list[str], folder: Path, environment: dict[str, str], port: int, log: Path
) -> Iterator[str]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=output,
        )
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
        assert process.poll() is None, log.read_text()
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.parametrize(
    ("command", "folder"),
    [
        (["uvicorn", "fastapi_app.main:app", "--port", "{port}"], "."),
        (["uvicorn", "main:app", "--port", "{port}"], "fastapi_app"),
        (["daphne", "-b", "127.0.0.1", "-p", "{port}", "noctis_pro.asgi:application"], "."),
    ],
    ids=["from the checkout", "from its own folder", "mounted in the web process"],
)
def test_every_way_to_start_serves_pictures(
    command: list[str],
    folder: str,
    environment: dict[str, str],
    site: tuple[str, str, str],
    tmp_path: Path,
) -> None:
    token, plain, coded = site
    port = product.free_port()
    arguments = [part.format(port=port) for part in command]
    # Started from its own folder, the settings module is not named either.
    bare = {k: v for k, v in environment.items() if k != "DJANGO_SETTINGS_MODULE"}
    with (
        running(arguments, ROOT / folder, bare, port, tmp_path / "log") as origin,
        httpx.Client(base_url=origin, timeout=60) as client,
    ):
        assert client.get("/api/v1/dicom/health").status_code == 401
        client.headers["Authorization"] = f"Bearer {token}"
        assert client.get("/api/v1/dicom/health").json()["status"] == "healthy"
        for image in (plain, coded):
            for _ in range(2):
                answer = client.get(f"/api/v1/dicom/image/{image}/frames/1.raw")
                assert answer.content == noise(64, 64).tobytes()
                assert client.get(f"/api/v1/dicom/image/{image}/frames/1.jphc").status_code == 200
            head = client.head(f"/api/v1/dicom/image/{image}/frames/1.png")
            assert (head.status_code, head.content) == (200, b"")
        assert client.get("/api/docs").status_code == 200
        assert client.get("/api/v1/nothing").status_code == 404
