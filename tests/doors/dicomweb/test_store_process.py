"""STOW-RS as others speak it: dicomweb-client, curl and dcmtk's files against a running sidecar."""

from __future__ import annotations

import csv
import http.client
import io
import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import imagecodecs
import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient
from dicomweb_client.session_utils import create_session

from imaging import header, part10
from tests import serving, stow
from tests.codestreams import noise
from tests.dicom import make_instance, to_bytes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

_SITE = """
from accounts.models import ApiToken, Role
from tests import factories
place = factories.facility("NORTH", "North Clinic")
print(ApiToken.issue(factories.user("tina", Role.TECHNOLOGIST, [place]), expires_at=None)[1])
"""
# One file of each kind of encoding, small ones.
_MOST_BYTES = 400_000


@dataclass
class Running:
    """A sidecar in a process of its own."""

    process: subprocess.Popen[bytes]
    url: str
    token: str
    data_dir: Path

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def spooled(self) -> list[Path]:
        return list((self.data_dir / "media/dicom/spool").glob("*"))

    def client(self) -> DICOMwebClient:
        session = create_session()
        session.headers.update(self.headers)
        return DICOMwebClient(url=f"{self.url}/dicom-web", session=session)

    def file(self, retrieve_url: str) -> bytes:
        """The file behind the address that a store request was answered with."""
        accept = {"Accept": "application/dicom; transfer-syntax=*"}
        answer = httpx.get(retrieve_url, headers={**self.headers, **accept})
        assert answer.status_code == 200, answer.text
        return answer.content


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    site = serving.new_site(tmp_path_factory.mktemp("site"), _SITE)
    with site.serving() as here:
        yield Running(here.process, here.url, site.said[-1], site.data_dir)


def real_files(data: Path) -> list[Path]:
    """One real file of each transfer syntax and modality, small ones."""
    chosen: dict[tuple[str, str], Path] = {}
    with (data / "manifest.csv").open(newline="") as handle:
        for row in csv.DictReader(handle):
            if int(row["bytes"]) <= _MOST_BYTES and row["transfer_syntax"]:
                chosen.setdefault((row["transfer_syntax"], row["modality"]), data / row["path"])
    return list(chosen.values())


def data_set_of(content: bytes) -> bytes:
    return content[part10.read_container(io.BytesIO(content), None).data_set_offset :]


def test_real_files_come_back_byte_for_byte(sidecar: Running, data: Path) -> None:
    # Some are one instance in several encodings; an archive takes the first.
    by_uid: dict[str, Path] = {}
    for path in real_files(data):
        uid = header.read_index(path, require_identity=False).sop_instance_uid
        by_uid.setdefault(uid, path)
    assert len(by_uid) > 20
    content = {uid: path.read_bytes() for uid, path in by_uid.items()}
    boundary = "a boundary that no picture holds"
    body = stow.parts(*((stow.DICOM, one) for one in content.values()))
    answer = httpx.post(
        f"{sidecar.url}/dicom-web/studies",
        content=body.replace(b"--frontier", f"--{boundary}".encode()),
        headers={
            **sidecar.headers,
            "Content-Type": f'multipart/related; type="{stow.DICOM}"; boundary="{boundary}"',
        },
        timeout=120,
    )
    assert answer.status_code in (200, 202), answer.text
    stored = stow.uids(answer, stow.STORED)
    for uid, told in zip(stored, stow.items(answer, stow.STORED), strict=True):
        (url,) = told[stow.URL]["Value"]
        assert data_set_of(sidecar.file(url)) == data_set_of(content[uid]), by_uid[uid].name
    # Of the public files a few have UIDs that PS3.5 9.1 does not allow.
    refused = stow.reasons(answer, stow.FAILED) + stow.reasons(answer, stow.OTHER)
    assert len(stored) + len(refused) == len(by_uid)
    assert set(refused) <= {0xA900}
    assert len(refused) < len(by_uid) / 10
    assert sidecar.spooled() == []


def test_dicomweb_client_stores_and_reads_the_answer(sidecar: Running) -> None:
    study = make_instance().StudyInstanceUID
    instances = [make_instance(noise(16, 16), StudyInstanceUID=study) for _ in range(3)]
    answer = sidecar.client().store_instances(instances, study_instance_uid=study)
    assert [item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence] == [
        ds.SOPInstanceUID for ds in instances
    ]
    assert answer.RetrieveURL.endswith(f"/dicom-web/studies/{study}")
    found = sidecar.client().search_for_instances(study)
    assert len(found) == 3
    # The same with a stranger among them: told apart, in both forms of the answer.
    mixed = [*instances, make_instance(noise(16, 16))]
    answer = sidecar.client().store_instances(mixed, study_instance_uid=study)
    (failed,) = answer.FailedSOPSequence
    assert failed.ReferencedSOPInstanceUID == mixed[-1].SOPInstanceUID
    assert failed.FailureReason == 0xA900


def curl(sidecar: Running, *arguments: str) -> tuple[int, bytes]:
    command = [
        "curl",
        "-sS",
        "-w",
        "\n%{http_code}",
        "-H",
        f"Authorization: Bearer {sidecar.token}",
    ]
    result = subprocess.run([*command, *arguments], capture_output=True, check=True, timeout=60)
    content, _, status = result.stdout.rpartition(b"\n")
    return int(status), content


def test_curl_stores_what_dcmtk_makes(sidecar: Running, tmp_path: Path) -> None:
    # dcmtk makes a secondary capture of a JPEG.
    picture, made = tmp_path / "a.jpg", tmp_path / "a.dcm"
    picture.write_bytes(imagecodecs.jpeg8_encode(noise(32, 32).astype("uint8"), 90))
    subprocess.run(["img2dcm", str(picture), str(made)], check=True)
    header = ["-H", "Content-Type: application/dicom", "-H", "Accept: application/dicom+json"]
    upload = ["--data-binary", f"@{made}", f"{sidecar.url}/dicom-web/studies"]
    status, content = curl(sidecar, *header, *upload)
    assert status == 200, content
    # In chunks, without a length.
    chunked = ["-H", "Transfer-Encoding: chunked", "-H", "Accept: application/dicom+xml"]
    status, content = curl(sidecar, header[0], header[1], *chunked, *upload)
    assert status == 200, content
    assert content.startswith(b"<?xml")
    assert b"ReferencedSOPSequence" in content
    ds = pydicom.dcmread(made)
    series = f"/dicom-web/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}"
    url = f"{sidecar.url}{series}/instances/{ds.SOPInstanceUID}"
    assert data_set_of(sidecar.file(url)) == data_set_of(made.read_bytes())


def test_a_connection_that_breaks_leaves_what_was_whole(sidecar: Running) -> None:
    # What the server has read but not handed on is lost with the connection: some 300 KB. What
    # comes after the first instance is more than that.
    one, other = make_instance(noise(64, 64)), make_instance(noise(1024, 1024))
    body = stow.parts((stow.DICOM, to_bytes(one)), (stow.DICOM, to_bytes(other)))
    host = sidecar.url.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=30)
    connection.putrequest("POST", "/dicom-web/studies")
    for name, value in sidecar.headers.items():
        connection.putheader(name, value)
    connection.putheader("Content-Type", stow.related())
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body[:-2000])
    connection.close()
    deadline = time.monotonic() + 30
    path = f"{sidecar.url}/dicom-web/studies/{one.StudyInstanceUID}/instances"
    while httpx.get(path, headers=sidecar.headers).status_code != 200 or sidecar.spooled():
        assert time.monotonic() < deadline, sidecar.spooled()
        time.sleep(0.05)
    found = httpx.get(path, headers=sidecar.headers).json()
    assert [model["00080018"]["Value"] for model in found] == [[one.SOPInstanceUID]]
    gone = f"{sidecar.url}/dicom-web/studies/{other.StudyInstanceUID}/instances"
    assert httpx.get(gone, headers=sidecar.headers).status_code == 404


def test_large_requests_do_not_fill_the_memory(sidecar: Running) -> None:
    def rss() -> int:
        status = Path(f"/proc/{sidecar.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0])

    filler = b"\0" * (1 << 20)

    def body() -> Iterator[bytes]:
        # 300 MiB that are no DICOM, as one part; then metadata of which the same is said.
        yield f"--{stow.BOUNDARY}\r\nContent-Type: {stow.DICOM}\r\n\r\n".encode()
        for _ in range(300):
            yield filler
        yield f"\r\n--{stow.BOUNDARY}--".encode()

    before = rss()
    for kind in (stow.DICOM, stow.JSON):
        answer = httpx.post(
            f"{sidecar.url}/dicom-web/studies",
            content=body(),
            headers={**sidecar.headers, "Content-Type": stow.related(kind)},
            timeout=120,
        )
        assert answer.status_code in (400, 409), answer.text
    assert rss() - before < 128 * 1024
    assert sidecar.spooled() == []


def test_the_sidecar_answers_in_json_that_others_read(sidecar: Running) -> None:
    status, content = curl(
        sidecar, "-X", "OPTIONS", "-H", "Accept: application/json", f"{sidecar.url}/dicom-web"
    )
    assert status == 200
    assert json.loads(content)["base"] == f"{sidecar.url}/dicom-web"
