"""Reconstructions by the API and by their page: who may what, and what comes back."""

from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Role, User
from archive import runner
from archive.models import ReconstructionJob
from tests import factories
from tests.dicom import to_bytes
from tests.sidecar import Sidecar, assert_problem
from tests.volumes import noise, stacked
from worklist.models import Facility, Series

pytestmark = pytest.mark.django_db(transaction=True)

PLACES = [3.0 * k for k in range(4)]


@pytest.fixture
def series(store: Path, facility: Facility) -> Series:
    for ds in stacked(PLACES, noise(4, 10, 12), PatientName="O'Neill^<b>Anna"):
        factories.store_bytes(to_bytes(ds), facility)
    return Series.objects.get()


def routes(series: Series) -> str:
    return f"/api/v1/dicom/studies/{series.study_id}/reconstructions"


def test_a_program_asks_follows_and_fetches(
    sidecar: Sidecar, series: Series, radiologist: User, other_facility: Facility
) -> None:
    mine = sidecar.by_token(radiologist)
    said: dict[str, Any] = {
        "series_id": series.series_instance_uid,
        "plane": "sagittal",
        "mode": "mip",
        "thickness_mm": 3,
        "output": "jpeg",
    }
    answer = mine.post(routes(series), json=said)
    assert answer.status_code == 202, answer.text
    url = answer.headers["location"]
    assert (answer.json()["state"], answer.json()["percent"]) == ("waiting", 0)
    assert_problem(mine.get(f"{url}/pictures/1"), 404, "not done yet")
    runner.drain()
    document = mine.get(url).json()
    assert (document["state"], document["percent"]) == ("done", 100)
    assert len(document["picture_urls"]) == 12
    picture = mine.get(document["picture_urls"][0])
    assert picture.headers["content-type"] == "image/jpeg"
    assert picture.content.startswith(b"\xff\xd8\xff")
    with zipfile.ZipFile(BytesIO(mine.get(document["zip_url"]).content)) as kept:
        assert len(kept.namelist()) == 13
    listed = mine.get(routes(series)).json()["reconstructions"]
    assert [one["id"] for one in listed] == [document["id"]]
    for path in ("pictures/0", "pictures/13", "pictures/1.5", "pictures/²"):
        assert_problem(mine.get(f"{url}/{path}"), 404)
    assert_problem(mine.post(f"{url}/cancel"), 409)
    assert_problem(mine.post(f"{url}/retry"), 409)
    stranger = factories.user("sven", Role.RADIOLOGIST, [other_facility])
    theirs = sidecar.by_token(stranger)
    for path in ("", "/pictures/1", "/zip"):
        assert_problem(theirs.get(url + path), 403)
        assert_problem(sidecar.nobody.get(url + path), 401)
    for path in ("/cancel", "/retry"):
        assert_problem(theirs.post(url + path), 403)
    assert_problem(theirs.post(routes(series), json=said), 403)
    assert_problem(theirs.get(routes(series)), 403)
    assert_problem(mine.get("/api/v1/dicom/reconstructions/none"), 404)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(b"", "JSON object", id="empty"),
        pytest.param(b"[1]", "JSON object", id="list"),
        pytest.param(b'{"plane": "axial"}', "series_id", id="no-series"),
        pytest.param(b'{"series_id": "1.2", "plane": "axial", "x": 1}', "x", id="unknown"),
        pytest.param(b"[" * 20_000, "larger", id="long"),
    ],
)
def test_bodies_that_are_none_are_refused(
    sidecar: Sidecar, series: Series, radiologist: User, body: bytes, words: str
) -> None:
    answer = sidecar.by_token(radiologist).post(routes(series), content=body)
    assert answer.status_code in (413, 422)
    assert words in answer.json()["detail"]
    assert_problem(sidecar.nobody.post(routes(series), content=body), 401)


def test_the_page_asks_and_shows(site: Client, series: Series, other_facility: Facility) -> None:
    address = reverse("dicom_viewer:reconstruction-list", args=[series.study_id])
    empty = site.get(address).content.decode()
    assert "Nothing has been rendered yet" in empty
    assert "O&#x27;Neill, &lt;b&gt;Anna" in empty
    form = {"series": series.pk, "plane": "coronal", "mode": "thin", "thickness_mm": "10"}
    refused = site.post(address, {**form, "mode": "mip", "thickness_mm": "-1"})
    assert refused.status_code == 422
    assert "a number from 0 to 500" in refused.content.decode()
    assert site.post(address, {**form, "output": "png"}).status_code == 302
    row = ReconstructionJob.objects.get()
    waiting = site.get(address).content.decode()
    assert "Waiting" in waiting
    cancel = reverse("dicom_viewer:reconstruction-cancel", args=[row.pk])
    assert cancel in waiting
    assert site.get(cancel).status_code == 405
    stranger = Client()
    assert stranger.post(cancel)["Location"].startswith("/accounts/login/")
    stranger.force_login(factories.user("sven", Role.RADIOLOGIST, [other_facility]))
    assert stranger.post(cancel).status_code == stranger.post(address, form).status_code == 403
    assert site.post(cancel).status_code == 302
    retry = reverse("dicom_viewer:reconstruction-retry", args=[row.pk])
    told = site.post(retry, headers={"accept": "application/json"}).json()
    assert told == {"message": "It is done again."}
    runner.drain()
    shown = site.get(f"{address}?part=list").content.decode()
    assert shown.count("<img") == 10
    assert "All 10 pictures" in shown
    assert "<html" not in shown


def test_a_page_of_pictures_alone_offers_nothing(site: Client, facility: Facility) -> None:
    [ds] = stacked([0.0], noise(1, 8, 8))
    result = factories.store_bytes(to_bytes(ds), facility)
    address = reverse("dicom_viewer:reconstruction-list", args=[result.study_id])
    assert "nothing to reformat" in site.get(address).content.decode()
