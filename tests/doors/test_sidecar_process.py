"""The sidecar as processes run it: both ways to start uvicorn, and mounted in the web process.

What it answers is tested in process; here: that it starts, finds the site's data, and lives on.
"""

from __future__ import annotations

import httpx
import pytest

from tests import product, serving
from tests.codestreams import noise

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

# A process of its own has a site of its own: made by a program, as an administrator makes it.
SITE = """
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
def site(tmp_path_factory: pytest.TempPathFactory) -> serving.Site:
    return serving.new_site(tmp_path_factory.mktemp("site"), SITE)


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
    command: list[str], folder: str, site: serving.Site
) -> None:
    token, plain, coded = site.said[-3:]
    # Nothing names the settings module.
    assert "DJANGO_SETTINGS_MODULE" not in site.environ
    with (
        site.serving(command, product.PROJECT / folder) as here,
        httpx.Client(base_url=here.url, timeout=60) as client,
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
