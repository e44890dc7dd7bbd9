"""Files with other values, addresses of the viewer, deletion and restoring, the log of uploads."""

from __future__ import annotations

import io
import json
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client
from django.utils import timezone
from pydicom import dcmread
from pydicom.dataset import Dataset
from pytest_django import Settings

from accounts.models import Role, User
from archive import viewer_links
from archive.errors import ForbiddenError
from archive.models import AuditEvent
from tests import factories
from tests.codestreams import noise
from tests.dicom import make_instance, to_bytes
from tests.sidecar import Caller, Sidecar, assert_problem
from worklist.models import DicomImage, Facility, Study

pytestmark = pytest.mark.django_db(transaction=True)
API = "/api/v1/dicom"
JOHN = {"PatientName": "DOE^JOHN", "PatientID": "TEST001"}


def modify(caller: Caller, content: bytes, tags: object) -> Any:
    text = tags if isinstance(tags, str) else json.dumps(tags)
    files = {"file": ("a.dcm", content, "application/dicom")}
    return caller.post(f"{API}/modify-tags", files=files, data={"tags": text})


def send(caller: Caller, content: bytes, **fields: str) -> Any:
    return caller.post(f"{API}/upload", files={"file": ("a.dcm", content)}, data=fields)


def stored(facility: Facility, **keywords: Any) -> Study:
    content = to_bytes(make_instance(noise(4, 4), **keywords))
    return Study.objects.get(pk=factories.store_bytes(content, facility).study_id)


# Other values ----------------------------------------------------------------------------------


def test_files_of_a_study_that_are_changed_alike_stay_together(caller: Caller) -> None:
    first = make_instance(noise(4, 4))
    second = make_instance(
        noise(4, 4, 2),
        StudyInstanceUID=first.StudyInstanceUID,
        SeriesInstanceUID=first.SeriesInstanceUID,
        InstanceNumber=2,
    )
    made = [modify(caller, to_bytes(ds), JOHN | {"InstanceNumber": 7}) for ds in (first, second)]
    assert [answer.status_code for answer in made] == [200, 200]
    assert made[0].headers["content-type"] == "application/dicom"
    assert modify(caller, to_bytes(first), JOHN | {"InstanceNumber": 7}).status_code == 200
    assert DicomImage.objects.count() == 0
    for answer in made:
        assert send(caller, answer.content).json()["status"] == "uploaded"
    study = Study.objects.get()
    assert (study.instance_count, study.series_count) == (2, 1)
    assert (study.patient_identifier, study.patient_name) == ("TEST001", "DOE^JOHN")
    assert study.study_instance_uid != first.StudyInstanceUID
    event = AuditEvent.objects.filter(verb="file.modify").order_by("pk").first()
    assert event is not None
    assert event.detail["source"] == first.SOPInstanceUID
    assert event.detail["keywords"] == ["InstanceNumber", "PatientID", "PatientName"]


def test_what_is_stored_stays_as_it_is(caller: Caller, facility: Facility) -> None:
    ds = make_instance(noise(4, 4))
    assert send(caller, to_bytes(ds)).status_code == 200
    made = modify(caller, to_bytes(ds), {"StudyDescription": "Neck"})
    assert send(caller, made.content).json()["status"] == "uploaded"
    study = Study.objects.get()
    assert (study.instance_count, study.study_description) == (2, "Head")
    was = dcmread(io.BytesIO(made.content)).OriginalAttributesSequence[0]
    assert was.ModifiedAttributesSequence[0].SOPInstanceUID == ds.SOPInstanceUID


@pytest.mark.parametrize(
    ("tags", "status", "words"),
    [
        ("", 422, "'tags'"),
        ("{", 422, "'tags'"),
        ("[]", 422, "'tags'"),
        ("{}", 422, "'tags'"),
        ("[" * 100_000, 422, "'tags'"),
        (json.dumps({f"A{number}": 1 for number in range(201)}), 422, "'tags'"),
        ('{"Colour": "red"}', 422, "Colour"),
        ('{"PixelData": ""}', 422, "PixelData"),
        ('{"PatientID": "\\ud800"}', 422, "PatientID"),
    ],
    ids=["nothing", "cut off", "list", "empty", "deep", "many", "unknown", "pixels", "surrogate"],
)
def test_values_that_cannot_be_set(caller: Caller, tags: str, status: int, words: str) -> None:
    assert_problem(modify(caller, to_bytes(make_instance(noise(4, 4))), tags), status, words)


def test_files_that_cannot_be_changed(caller: Caller, sidecar: Sidecar, facility: Facility) -> None:
    assert_problem(modify(caller, b"hello", JOHN), 415)
    ds: Dataset = make_instance(noise(4, 4))
    assert_problem(modify(caller, to_bytes(ds)[:-5], JOHN), 415)
    looker = sidecar.by_token(factories.user("vera", Role.VIEWER, [facility]))
    assert_problem(modify(looker, to_bytes(ds), JOHN), 403, "role")


# The viewer ------------------------------------------------------------------------------------


def test_a_study_has_an_address_in_the_viewer(
    caller: Caller, facility: Facility, tech: User, settings: Settings
) -> None:
    study = stored(facility)
    before = timezone.now()
    answer = caller.get(f"{API}/viewer/url/{study.study_instance_uid}").json()
    assert answer["study_count"] == 1
    assert answer["study_instance_uid"] == study.study_instance_uid
    assert study.study_instance_uid in answer["url"]
    assert answer["url"].startswith(f"http://testserver/viewer/{study.pk}/?")
    assert answer["expires_in"] == 3600
    ends = datetime.fromisoformat(answer["expires_at"])
    assert timedelta(seconds=3599) <= ends - before <= timedelta(seconds=3660)
    browser = Client()
    path = answer["url"].removeprefix("http://testserver")
    assert browser.get(path).status_code == 302  # to the sign-in page
    browser.force_login(tech)
    assert browser.get(path).status_code == 200
    assert AuditEvent.objects.filter(verb="study.link", target_id=str(study.pk)).count() == 1
    settings.SIGNED_URL_TTL_S = -1
    late = caller.get(f"{API}/viewer/url/{study.study_instance_uid}").json()["url"]
    assert browser.get(late.removeprefix("http://testserver")).status_code == 403


def test_a_changed_link_opens_nothing(caller: Caller, facility: Facility) -> None:
    study, other = stored(facility), stored(facility)
    answer = caller.get(f"{API}/viewer/url/{study.pk}").json()
    (link,) = parse_qs(urlsplit(answer["url"]).query)[viewer_links.PARAMETER]
    viewer_links.check(link, study.pk)
    with pytest.raises(ForbiddenError, match="another study"):
        viewer_links.check(link, other.pk)
    for bad in (link[:-1], "x" + link, ""):
        with pytest.raises(ForbiddenError, match="changed"):
            viewer_links.check(bad, study.pk)


def test_an_external_viewer_is_named(
    caller: Caller, facility: Facility, settings: Settings
) -> None:
    settings.OHIF_VIEWER_URL = "http://localhost:3001/viewer"
    study = stored(facility, StudyInstanceUID="1.2.3")
    answer = caller.get(f"{API}/viewer/url/{study.pk}").json()
    assert answer["url"] == "http://localhost:3001/viewer?StudyInstanceUIDs=1.2.3"


def test_the_studies_of_a_patient_open_together(
    caller: Caller, facility: Facility, order: dict[str, Any], patient: dict[str, Any],
    settings: Settings,
) -> None:  # fmt: skip
    assert_problem(caller.get(f"{API}/viewer/url/patient/{patient['id']}"), 404, "yet")
    assert_problem(caller.get(f"{API}/viewer/url/order/{order['id']}"), 404, "yet")
    settings.OHIF_VIEWER_URL = "http://localhost:3001/viewer"
    for number, day in ((1, "20260101"), (2, "20260201")):
        ds = make_instance(
            noise(4, 4), PatientID="TEST001", StudyInstanceUID=f"1.2.{number}", StudyDate=day
        )
        fields = {"order_id": order["id"]} if number == 1 else {"patient_id": patient["id"]}
        assert send(caller, to_bytes(ds), **fields).status_code == 200
    answer = caller.get(f"{API}/viewer/url/patient/{patient['id']}").json()
    assert answer["study_count"] == 2
    assert answer["patient_id"] == patient["id"]
    assert answer["url"].endswith("StudyInstanceUIDs=1.2.2,1.2.1")
    of_order = caller.get(f"{API}/viewer/url/order/{order['id']}").json()
    assert (of_order["order_id"], of_order["study_count"]) == (order["id"], 1)
    assert of_order["url"].endswith("StudyInstanceUIDs=1.2.1")
    first = caller.get(f"{API}/studies/patient/{patient['id']}?limit=1")
    assert [row["StudyInstanceUID"] for row in first.json()] == ["1.2.2"]
    rest = caller.get(first.links["next"]["url"])
    assert [row["StudyInstanceUID"] for row in rest.json()] == ["1.2.1"]
    assert "next" not in rest.links
    for bad in ("limit=0", "limit=x", "cursor=x", "PatientID=x"):
        assert_problem(caller.get(f"{API}/studies/patient/{patient['id']}?{bad}"), 422)


# Deletion and the log --------------------------------------------------------------------------


def test_what_was_deleted_comes_back_and_the_log_says_all(
    caller: Caller, admin: Caller, stranger: Caller
) -> None:
    ds = make_instance(noise(4, 4))
    content, uid = to_bytes(ds), ds.StudyInstanceUID
    for _ in range(2):
        assert send(caller, content).status_code == 200
    assert_problem(send(caller, b"hello"), 415)
    where = f"{API}/studies/{uid}"
    assert_problem(admin.post(f"{where}/restore"), 404, "deleted")
    deleted = admin.request("DELETE", f"{where}?reason=Sent+twice").json()
    assert_problem(caller.get(where), 404)
    assert_problem(send(caller, content), 409, "Sent twice")
    assert_problem(caller.post(f"{where}/restore"), 403)
    back = admin.post(f"{where}/restore")
    assert (back.status_code, back.json()["StudyInstanceUID"]) == (200, uid)
    assert caller.get(where).json()["NumberOfStudyRelatedInstances"] == 1
    assert_problem(admin.post(f"{API}/studies/{deleted['id']}/restore"), 404)

    lines = caller.get(f"{API}/upload-logs").json()
    assert [line["action"] for line in lines] == [
        "restored", "failed", "deleted", "failed", "duplicate", "uploaded"
    ]  # fmt: skip
    assert (lines[2]["reason"], lines[2]["actor"], lines[2]["StudyInstanceUID"]) == (
        "Sent twice", "ada", uid
    )  # fmt: skip
    assert (lines[-1]["filename"], lines[-1]["SOPInstanceUID"]) == ("a.dcm", ds.SOPInstanceUID)
    assert stranger.get(f"{API}/upload-logs").json() == []
    some = caller.get(f"{API}/upload-logs?action=uploaded&StudyInstanceUID={uid}&limit=1")
    assert [line["action"] for line in some.json()] == ["uploaded"]
    page = caller.get(f"{API}/upload-logs?limit=4")
    rest = caller.get(page.links["next"]["url"]).json()
    assert [line["action"] for line in page.json() + rest] == [line["action"] for line in lines]
    for bad in ("limit=0", "limit=501", "action=lost", "cursor=x", "colour=red"):
        assert_problem(caller.get(f"{API}/upload-logs?{bad}"), 422)
