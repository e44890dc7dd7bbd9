"""A foreign client of tus (tuspy) sends real files; the sidecar is killed while they come."""

from __future__ import annotations

import base64
import hashlib
import io
import socket
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from tusclient.client import TusClient

from tests import product
from tests.serving import Serving, Site, new_site

PATH = "/api/v1/dicom/uploads"
CT = "study_ct_sr/1001/Kopf_nativ__5.0__H42s__00009.dcm"
MR = "study_mr_multiseries/1002/t2_tse_tra_5mm__00010.dcm"
SITE = """
from accounts.models import ApiToken, Role
from tests import factories
user = factories.user("ehr", Role.TECHNOLOGIST, [factories.facility("NORTH", "North")])
print(ApiToken.issue(user, expires_at=None)[1])
"""
DRAIN = "import django; django.setup()\nfrom archive import runner\nrunner.drain()"
TUS = {"Tus-Resumable": "1.0.0"}


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="noctis-tus-") as folder:
        yield new_site(Path(folder) / "var", SITE)


def authorised(site: Site) -> dict[str, str]:
    return {"Authorization": f"Bearer {site.said[0]}"}


def client_of(site: Site, serving: Serving) -> TusClient:
    return TusClient(f"{serving.url}{PATH}", headers=authorised(site))


def store_what_came(site: Site) -> None:
    """Do what the worker does."""
    environ = {"DJANGO_SETTINGS_MODULE": "noctis_pro.settings", **site.environ}
    done = product.run([sys.executable, "-c", DRAIN], environ)
    assert done.returncode == 0, done.stderr


def result_of(site: Site, url: str) -> dict[str, object]:
    return dict(httpx.get(url, headers=authorised(site)).json())


def data_set_of(site: Site, serving: Serving, url: str) -> bytes:
    """The file as the archive gives it back."""
    (result,) = result_of(site, url)["result"]["results"]  # type: ignore[index]
    path = f"/api/v1/dicom/image/{result['image_id']}/file"
    answer = httpx.get(f"{serving.url}{path}", headers=authorised(site))
    assert answer.status_code == 200
    return answer.content


def test_an_upload_goes_on_after_the_server_was_killed(site: Site, data: Path) -> None:
    source = data / CT
    half = 256 * 1024
    with site.serving(is_killed=True) as killed:
        sender = client_of(site, killed).uploader(
            file_stream=io.BytesIO(source.read_bytes()),
            chunk_size=half,
            metadata={"filename": source.name},
            upload_checksum=True,
        )
        sender.upload(stop_at=half)
        assert sender.offset == half
        address = sender.url.removeprefix(killed.url)
        # What came without an answer does not count: it is sent again.
        with socket.create_connection(("127.0.0.1", killed.port)) as line:
            head = {**TUS, **authorised(site), "Upload-Offset": str(half), "Host": "localhost"}
            head |= {"Content-Type": "application/offset+octet-stream", "Content-Length": "99999"}
            lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
            line.sendall(f"PATCH {address} HTTP/1.1\r\n{lines}\r\n".encode() + b"x" * 5000)
            killed.process.kill()
            killed.process.wait()
    with site.serving() as serving:
        resumed = client_of(site, serving).uploader(
            file_stream=io.BytesIO(source.read_bytes()),
            url=f"{serving.url}{address}",
            chunk_size=half,
            upload_checksum=True,
        )
        assert resumed.offset == half
        resumed.upload()
        assert result_of(site, resumed.url)["state"] == "processing"
        store_what_came(site)
        assert result_of(site, resumed.url)["state"] == "stored"
        stored = data_set_of(site, serving, resumed.url)
        assert stored[-400_000:] == source.read_bytes()[-400_000:]


def test_parts_come_at_the_same_time(site: Site, data: Path) -> None:
    content = (data / MR).read_bytes()
    third = len(content) // 3 + 1
    pieces = [content[at : at + third] for at in range(0, len(content), third)]
    with site.serving() as serving:
        headers = {**TUS, **authorised(site)}

        def send(piece: bytes) -> str:
            digest = base64.b64encode(hashlib.sha256(piece).digest()).decode()
            answer = httpx.post(
                f"{serving.url}{PATH}",
                content=piece,
                headers={
                    **headers,
                    "Upload-Length": str(len(piece)),
                    "Upload-Concat": "partial",
                    "Upload-Checksum": f"sha256 {digest}",
                    "Content-Type": "application/offset+octet-stream",
                },
            )
            assert answer.status_code == 201, answer.text
            return answer.headers["location"]

        with ThreadPoolExecutor(3) as pool:
            parts = list(pool.map(send, pieces))
        joined = {"Upload-Concat": f"final;{' '.join(parts)}"}
        answer = httpx.post(f"{serving.url}{PATH}", headers=headers | joined)
        assert answer.status_code == 201, answer.text
        store_what_came(site)
        url = f"{serving.url}{answer.headers['location']}"
        assert result_of(site, url)["state"] == "stored"
        assert data_set_of(site, serving, url)[-200_000:] == content[-200_000:]
        assert httpx.head(f"{serving.url}{parts[0]}", headers=headers).status_code == 404
