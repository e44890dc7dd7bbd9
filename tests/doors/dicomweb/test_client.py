"""A client that others wrote (dicomweb-client), plain HTTP, and a sidecar in a process of its own.

The data are real: an MR study of several series, and a film of an ultrasound machine.
"""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient
from dicomweb_client.session_utils import create_session
from PIL import Image
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

from tests import multipart, serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

STUDY = "study_mr_multiseries/1002"
FILM = "us/cine"
_SITE = """
import sys
from pathlib import Path
from accounts.models import ApiToken, Role
from tests import factories
place = factories.facility("NORTH", "North Clinic")
for name in sys.argv[1:]:
    factories.store_file(Path(name), place)
print(ApiToken.issue(factories.user("rita", Role.RADIOLOGIST, [place]), expires_at=None)[1])
"""


@dataclass
class Site:
    """A sidecar with two studies, and their files as pydicom reads them."""

    url: str
    token: str
    study: list[Dataset]
    film: Dataset

    def client(self) -> DICOMwebClient:
        session = create_session()
        session.headers["Authorization"] = f"Bearer {self.token}"
        return DICOMwebClient(url=f"{self.url}/dicom-web", session=session)

    def get(self, path: str, accept: str = "*/*") -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}", "Accept": accept}
        return httpx.get(f"{self.url}/dicom-web{path}", headers=headers, timeout=60)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Iterator[Site]:
    files = sorted(path for path in (data / STUDY).rglob("*") if path.is_file())
    films = sorted((data / FILM).iterdir(), key=lambda path: path.stat().st_size)
    names = [str(path.resolve()) for path in (*files, films[0])]
    made = serving.new_site(tmp_path_factory.mktemp("site"), _SITE, *names)
    study = [pydicom.dcmread(path) for path in files]
    with made.serving() as here:
        yield Site(here.url, made.said[-1], study, pydicom.dcmread(films[0]))


def values(models: list[dict[str, dict]], keyword: str) -> list[str]:
    tag = f"{tag_for_keyword(keyword):08X}"
    return [model[tag]["Value"][0] for model in models]


def test_searches(site: Site) -> None:
    client, study = site.client(), site.study
    uid = study[0].StudyInstanceUID
    assert uid in values(client.search_for_studies(), "StudyInstanceUID")
    filters = {"PatientID": study[0].PatientID, "StudyDate": study[0].StudyDate}
    (found,) = client.search_for_studies(search_filters=filters, fields=["StudyDescription"])
    told = Dataset.from_json(found)
    assert told.StudyInstanceUID == uid
    assert told.NumberOfStudyRelatedInstances == len(study)
    series = {one.SeriesInstanceUID for one in study}
    assert told.NumberOfStudyRelatedSeries == len(series)
    assert set(values(client.search_for_series(uid), "SeriesInstanceUID")) == series
    instances = client.search_for_instances(uid)
    assert set(values(instances, "SOPInstanceUID")) == {one.SOPInstanceUID for one in study}
    one = study[0]
    mine = [other for other in study if other.SeriesInstanceUID == one.SeriesInstanceUID]
    assert len(client.search_for_instances(uid, one.SeriesInstanceUID)) == len(mine)
    # Page by page, by the client's own way.
    assert len(client.search_for_instances(uid, limit=5, get_remaining=True)) == len(study)
    assert client.search_for_studies(search_filters={"PatientID": "nobody"}) == []


def test_objects_of_every_level(site: Site) -> None:
    client, study = site.client(), site.study
    one = study[0]
    expected = {other.SOPInstanceUID: other for other in study}
    found = client.retrieve_study(one.StudyInstanceUID)
    assert {other.SOPInstanceUID for other in found} == set(expected)
    for other in found:
        assert other == expected[other.SOPInstanceUID]
    series = client.retrieve_series(one.StudyInstanceUID, one.SeriesInstanceUID)
    assert {other.SeriesInstanceUID for other in series} == {one.SeriesInstanceUID}
    streamed = list(client.iter_series(one.StudyInstanceUID, one.SeriesInstanceUID))
    assert streamed == series
    single = client.retrieve_instance(*names(one))
    assert single == one
    coded = client.retrieve_instance(
        *names(one), media_types=(("application/dicom", "1.2.840.10008.1.2.4.80"),)
    )
    assert coded.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.80"


def names(one: Dataset) -> tuple[str, str, str]:
    return one.StudyInstanceUID, one.SeriesInstanceUID, one.SOPInstanceUID


def test_metadata_and_the_values_behind_its_addresses(site: Site) -> None:
    client, study = site.client(), site.study
    one = study[0]
    every = client.retrieve_study_metadata(one.StudyInstanceUID)
    assert set(values(every, "SOPInstanceUID")) == {other.SOPInstanceUID for other in study}
    series = client.retrieve_series_metadata(one.StudyInstanceUID, one.SeriesInstanceUID)
    assert len(series) < len(every)
    model = client.retrieve_instance_metadata(*names(one))
    assert model["00280010"]["Value"] == [one.Rows]
    address = model["7FE00010"]["BulkDataURI"]
    # The client names the site without its port, and so does the address then.
    assert address.startswith("http://127.0.0.1/dicom-web/studies/")
    path = address.partition("/dicom-web")[2]
    told = site.get(f"/studies/{one.StudyInstanceUID}/metadata").json()
    addresses = {each["7FE00010"]["BulkDataURI"] for each in told}
    assert f"{site.url}/dicom-web{path}" in addresses
    (value,) = client.retrieve_bulkdata(f"{site.url}/dicom-web{path}")
    assert np.frombuffer(value, "<u2").tolist() == one.pixel_array.view("<u2").ravel().tolist()


def test_frames(site: Site) -> None:
    client, film = site.client(), site.film
    count = int(film.NumberOfFrames)
    frames = client.retrieve_instance_frames(*names(film), frame_numbers=[1, count])
    stored = (
        list(pydicom.encaps.generate_frames(film.PixelData, number_of_frames=count))
        if (film.file_meta.TransferSyntaxUID.is_compressed)
        else None
    )
    assert len(frames) == 2
    if stored is None:
        size = film.Rows * film.Columns * film.SamplesPerPixel * film.BitsAllocated // 8
        assert frames[0] == film.PixelData[:size]
        assert frames[1] == film.PixelData[(count - 1) * size : count * size]
    else:
        assert [frame.rstrip(b"\0") for frame in frames] in (
            [stored[0].rstrip(b"\0"), stored[-1].rstrip(b"\0")],
            [frame.tobytes().rstrip(b"\0") for frame in film.pixel_array[[0, -1]]],
        )
    one = site.study[0]
    (frame,) = list(
        client.iter_instance_frames(
            *names(one), frame_numbers=[1],
            media_types=(("application/octet-stream", "1.2.840.10008.1.2.1"),),
        )
    )  # fmt: skip
    assert frame == one.pixel_array.tobytes()


def test_pictures(site: Site) -> None:
    client, one = site.client(), site.study[0]
    for content in (
        client.retrieve_instance_rendered(*names(one), media_types=("image/png",)),
        client.retrieve_instance_frames_rendered(
            *names(one), frame_numbers=[1], media_types=("image/png",)
        ),
    ):
        found = Image.open(io.BytesIO(content))
        assert (found.format, found.size) == ("PNG", (one.Columns, one.Rows))
    small = client.retrieve_instance_rendered(
        *names(one), media_types=("image/jpeg",), params={"viewport": "64,64", "quality": 50}
    )
    assert max(Image.open(io.BytesIO(small)).size) == 64


def test_errors_reach_the_client(site: Site) -> None:
    client = site.client()
    with pytest.raises(Exception, match="404"):
        client.retrieve_study("1.2.3.4")
    with pytest.raises(Exception, match="400"):
        client.search_for_studies(search_filters={"StudyDate": "yesterday"})
    anonymous = DICOMwebClient(url=f"{site.url}/dicom-web")
    with pytest.raises(Exception, match="401"):
        anonymous.search_for_studies()


def test_plain_http(site: Site) -> None:
    one = site.study[0]
    path = f"/studies/{one.StudyInstanceUID}"
    answer = site.get(path, 'multipart/related; type="application/dicom"; transfer-syntax=*')
    assert len(multipart.parts(answer)) == len(site.study)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert site.get(path, "application/zip").content.startswith(b"PK")
    chunked = site.get(path, "multipart/related; type=image/png")
    assert_same_problem(chunked, 406)
    pictures = site.get(f"{path}/rendered", "multipart/related; type=image/png")
    assert "content-length" not in pictures.headers
    assert len(multipart.parts(pictures)) == len(site.study)
    headers = {"Authorization": f"Bearer {site.token}", "Accept": ", ".join(["a/b"] * 1000)}
    refused = httpx.get(f"{site.url}/dicom-web/studies", headers=headers)
    assert_same_problem(refused, 400)


def assert_same_problem(answer: httpx.Response, status: int) -> None:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert json.loads(answer.content)["detail"]


def test_who_goes_away_takes_nothing_with_it(site: Site) -> None:
    """Callers that leave in the middle, many at once, leave the sidecar as quick as before."""
    one = site.study[0]
    request = (
        f"GET /dicom-web/studies/{one.StudyInstanceUID} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Bearer {site.token}\r\n"
        'Accept: multipart/related; type="application/dicom"; transfer-syntax=*\r\n\r\n'
    ).encode()
    port = int(site.url.rpartition(":")[2])
    for _ in range(40):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(request)
            assert connection.recv(12).startswith(b"HTTP/1.1 ")
    # All places for long answers are free again.
    answer = site.get(
        f"/studies/{one.StudyInstanceUID}",
        'multipart/related; type="application/dicom"; transfer-syntax=*',
    )
    assert len(multipart.parts(answer)) == len(site.study)
