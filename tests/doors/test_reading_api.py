"""What readers keep, over HTTP: conflicts of reports, the ledger, keys, the test pattern's page.

Who may ask at all is in test_viewer_api.py's table.
"""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from accounts.models import Role
from archive import access
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import DicomImage, Facility

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]


@pytest.fixture
def image(facility: Facility, store: object) -> DicomImage:
    result = factories.store_bytes(to_bytes(make_instance()), facility)
    return access.image_for(access.EVERYTHING, result.image_id)


def send(client: Client, method: str, url: str, body: object) -> HttpResponse:
    response: HttpResponse = client.generic(
        method, url, json.dumps(body), content_type="application/json"
    )  # type: ignore[assignment]
    return response


def draft(text: str, base_version: int = 0, **more: Any) -> dict[str, Any]:
    return {"revision_id": str(uuid4()), "base_version": base_version, "text": text, **more}


def test_a_report_comes_back_with_what_its_marks_stand_for(image: DicomImage, site: Client) -> None:
    url = reverse("dicom_viewer:report", args=[image.series.study_id])
    assert site.get(url).json()["version"] == 0
    references = [
        {
            "mark": "M1",
            "kind": "measurement",
            "measurement_id": str(uuid4()),
            "version": 1,
            "words": "Length 12.3 mm, image 12 of series 3",
        },
        {
            "mark": "K1",
            "kind": "image",
            "SOPInstanceUID": image.sop_instance_uid,
            "frame_number": 1,
            "words": "image 1 of series 1",
        },
    ]
    kept = send(site, "PUT", url, draft("Nodule [M1].", references=references))
    assert kept.status_code == 200
    assert site.get(url).json() == kept.json()
    assert kept.json()["references"] == references


def test_whoever_comes_too_late_is_answered_with_the_other_text(
    image: DicomImage, site: Client, facility: Facility
) -> None:
    url = reverse("dicom_viewer:report", args=[image.series.study_id])
    otto = Client()
    otto.force_login(factories.user("otto", Role.RADIOLOGIST, [facility]))
    assert send(otto, "PUT", url, draft("Theirs.")).status_code == 200
    mine = draft("Mine.")
    late = send(site, "PUT", url, mine)
    assert late.status_code == 409
    assert late["Content-Type"] == "application/problem+json"
    assert "otto changed the report meanwhile" in late.json()["detail"]
    assert late.json()["current"]["text"] == "Theirs."
    revisions = reverse("dicom_viewer:report-revisions", args=[image.series.study_id])
    listed = site.get(revisions).json()["revisions"]
    assert [(row["is_aside"], row["user"]["name"]) for row in listed] == [
        (True, "rita"),
        (False, "otto"),
    ]
    assert site.get(f"{revisions}{mine['revision_id']}/").json()["text"] == "Mine."


@pytest.mark.parametrize(
    "change",
    [
        {"text": "x" * 60_001},
        {"base_version": -1},
        {"revision_id": "1"},
        {"references": [{"mark": "<b>", "kind": "image", "SOPInstanceUID": "1", "words": ""}]},
        {"references": [{"mark": "M1", "kind": "film", "words": ""}]},
    ],
    ids=["too long", "version", "id", "mark", "kind"],
)
def test_drafts_that_cannot_be_kept(
    image: DicomImage, site: Client, change: dict[str, Any]
) -> None:
    url = reverse("dicom_viewer:report", args=[image.series.study_id])
    response = send(site, "PUT", url, {**draft("Text."), **change})
    assert response.status_code == 422
    assert next(iter(change)) in response.json()["detail"]
    assert site.get(url).json()["version"] == 0


def test_what_was_shown_is_answered_to_its_reader_and_to_administrators(
    image: DicomImage, site: Client, admin_user: Any
) -> None:
    study_id = image.series.study_id
    url = reverse("dicom_viewer:shown", args=[study_id])
    body = {"viewing_id": str(uuid4()), "shown": [[str(image.pk), 1, 640]]}
    assert send(site, "POST", url, body).json() == {"entered": 1}
    assert site.get(url).json() == {"shown": {str(image.pk): {"1": 640}}}
    for wrong in ([[str(image.pk), 0, 1]], [[str(image.pk), 1, 0]], [[str(image.pk), 1]]):
        assert send(site, "POST", url, {**body, "shown": wrong}).status_code == 422
    assert site.get(url, {"user": "me"}).status_code == 422
    assert site.get(url, {"user": str(admin_user.pk)}).status_code == 403
    boss = Client()
    boss.force_login(admin_user)
    (person,) = boss.get(reverse("dicom_viewer:shown-people", args=[study_id])).json()["people"]
    assert (person["user"]["name"], person["frame_count"], person["shown_ms"]) == ("rita", 1, 640)
    answer = boss.get(url, {"user": person["user"]["id"]}).json()
    assert answer == {"shown": {str(image.pk): {"1": 640}}}


def test_keys_are_kept_for_the_person(site: Client, image: DicomImage) -> None:
    url = reverse("dicom_viewer:shortcuts")
    chosen = {"tool-length": ["n", "F6"], "reset": []}
    assert send(site, "PUT", url, {"shortcuts": chosen}).json() == {"shortcuts": chosen}
    manifest = reverse("dicom_viewer:study", args=[image.series.study_id])
    assert site.get(manifest).json()["user"]["shortcuts"] == chosen
    for wrong in ({"": ["a"]}, {"a b": ["a"]}, {"cine": ["a"] * 5}, {"cine": [""]}, {"cine": "c"}):
        assert send(site, "PUT", url, {"shortcuts": wrong}).status_code == 422
    assert site.delete(url).json() == {"shortcuts": {}}
    other = Client()
    other.force_login(factories.user("otto", Role.VIEWER))
    assert other.get(url).json() == {"shortcuts": {}}


def test_the_test_pattern_needs_a_person_and_no_study(site: Client) -> None:
    url = reverse("dicom_viewer:test-pattern")
    assert Client().get(url)["Location"] == f"/accounts/login/?next={url}"
    assert "Test pattern" in site.get(url).content.decode()
