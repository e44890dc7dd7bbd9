"""The EHR interface: lists, single objects, health, the description.

Uploads are in ehr/test_uploads.py; who may call what is in test_sidecar_access.py.
"""

from __future__ import annotations

import base64
import http.server
import io
import json
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from PIL import Image
from pytest_django import Settings

from accounts.models import Role, User
from archive.models import AuditEvent
from tests import factories
from tests.codestreams import noise
from tests.dicom import make_instance, to_bytes
from tests.doors.ehr.studies import API, orthanc_id, store_one, uids
from tests.sidecar import Caller, Sidecar, assert_problem
from worklist.models import DicomImage, Facility, Study

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def tech(facility: Facility) -> User:
    return factories.user("tess", Role.TECHNOLOGIST, [facility])


@pytest.fixture
def caller(sidecar: Sidecar, tech: User) -> Caller:
    return sidecar.by_token(tech)


# Lists ---------------------------------------------------------------------------------------


@pytest.fixture
def studies(store: Path, facility: Facility) -> None:
    rows: list[dict[str, Any]] = [
        {"PatientID": "P1", "PatientName": "Müller^Anna", "StudyDate": "20260101", "Modality": "CT",
         "AccessionNumber": "ACC-2026-00001"},
        {"PatientID": "P10", "PatientName": "Meier^Bo", "StudyDate": "20260115", "Modality": "MR",
         "AccessionNumber": "ACC-2026-00002"},
        {"PatientID": "p1", "PatientName": "Smith^Cy", "StudyDate": "20260131", "Modality": "US",
         "AccessionNumber": "X1"},
    ]  # fmt: skip
    for number, keywords in enumerate(rows, start=1):
        store_one(
            facility,
            SpecificCharacterSet="ISO_IR 192",
            StudyInstanceUID=f"1.2.{number}",
            **keywords,
        )


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["1.2.3", "1.2.2", "1.2.1"]),
        ("PatientID=P1", ["1.2.1"]),
        ("PatientID=P1*", ["1.2.3", "1.2.2", "1.2.1"]),
        ("PatientID=P1?", ["1.2.2"]),
        ("PatientID=%25", []),
        ("PatientID=.*", []),
        ("PatientName=muller", ["1.2.1"]),
        ("PatientName=m", ["1.2.3", "1.2.2", "1.2.1"]),
        ("AccessionNumber=ACC-2026-00002", ["1.2.2"]),
        ("AccessionNumber=ACC-2026", []),
        ("AccessionNumber=ACC-2026*", ["1.2.2", "1.2.1"]),
        ("StudyDate=20260115", ["1.2.2"]),
        ("StudyDate=2026-01-15", ["1.2.2"]),
        ("StudyDate=20260102-20260131", ["1.2.3", "1.2.2"]),
        ("StudyDate=20260115-", ["1.2.3", "1.2.2"]),
        ("StudyDate=-20260115", ["1.2.2", "1.2.1"]),
        ("ModalitiesInStudy=MR,US", ["1.2.3", "1.2.2"]),
        ("ModalitiesInStudy=CT", ["1.2.1"]),
        ("StudyInstanceUID=1.2.2", ["1.2.2"]),
        ("StudyInstanceUID=1.2", []),
        ("facility=NORTH&status=unread", ["1.2.3", "1.2.2", "1.2.1"]),
        ("status=read", []),
        ("sort=name", ["1.2.3", "1.2.1", "1.2.2"]),
        ("PatientID=P1&ModalitiesInStudy=MR", []),
    ],
)
def test_studies_are_found_by_keyword(
    caller: Caller, studies: None, query: str, expected: list[str]
) -> None:
    assert uids(caller.get(f"{API}/studies?{query}")) == expected


@pytest.mark.parametrize(
    "query",
    [
        "PatientId=P1",
        "patient=P1",
        "StudyDate=yesterday",
        "StudyDate=20260230",
        "StudyDate=20260101-x",
        "limit=0",
        "limit=501",
        "limit=ten",
        "limit=-1",
        "cursor=nonsense",
        "sort=colour",
        "PatientID=" + "x" * 5000,
        "PatientID=a%00b",
    ],
)
def test_a_query_that_makes_no_sense_is_refused(caller: Caller, studies: None, query: str) -> None:
    assert_problem(caller.get(f"{API}/studies?{query}"), 422)


def test_pages_follow_each_other_without_gap_or_repeat(
    caller: Caller, store: Path, facility: Facility
) -> None:
    for number in range(7):
        store_one(facility, StudyInstanceUID=f"1.2.{number}", StudyDate="20260101")
    seen: list[str] = []
    path: str | None = f"{API}/studies?limit=3&ModalitiesInStudy=CT"
    pages = 0
    while path:
        response = caller.get(path)
        seen += uids(response)
        pages += 1
        path = response.links.get("next", {}).get("url")
        if pages == 1:
            store_one(facility, StudyInstanceUID="1.2.99", StudyDate="20270101")
    assert sorted(seen) == [f"1.2.{number}" for number in range(7)]
    assert pages == 3


def test_a_study_says_what_lists_need(caller: Caller, store: Path, facility: Facility) -> None:
    image = store_one(
        facility, StudyInstanceUID="1.2.3", PatientID=" P1 ", StudyTime="030405.25", Modality="CT"
    )
    row = caller.get(f"{API}/studies/1.2.3").json()
    assert row == caller.get(f"{API}/studies/{row['id']}").json()
    assert row == caller.get(f"{API}/studies").json()[0]
    expected = {
        "id": str(image.series.study_id),
        "StudyInstanceUID": "1.2.3",
        "StudyDate": "2026-01-02",
        "StudyTime": "03:04:05",
        "PatientID": "P1",
        "PatientName": "Test^Anna",
        "PatientBirthDate": "1970-01-01",
        "PatientSex": "F",
        "AccessionNumber": "A1",
        "StudyDescription": "Head",
        "ReferringPhysicianName": None,
        "ModalitiesInStudy": ["CT"],
        "NumberOfStudyRelatedSeries": 1,
        "NumberOfStudyRelatedInstances": 1,
        "facility": {"code": "NORTH", "name": "North Clinic"},
        "orthanc_study_id": orthanc_id("P1", "1.2.3"),
    }
    assert expected.items() <= row.items()


def test_series_and_images_lead_to_the_pictures(
    caller: Caller, store: Path, facility: Facility
) -> None:
    for number in (2, 1, 3):
        store_one(
            facility,
            StudyInstanceUID="1.2.3",
            SeriesInstanceUID="1.2.3.1",
            InstanceNumber=number,
            ImagePositionPatient=[0, 0, number * 2.5],
            RescaleSlope=1,
        )
    (series,) = caller.get(f"{API}/studies/1.2.3/series").json()
    assert series["SeriesInstanceUID"] == "1.2.3.1"
    assert series["NumberOfSeriesRelatedInstances"] == 3
    images = caller.get(series["images_url"]).json()
    assert images == caller.get(f"{API}/series/1.2.3.1/images").json()
    assert [image["InstanceNumber"] for image in images] == [1, 2, 3]
    assert images[1]["ImagePositionPatient"] == [0, 0, 5.0]
    assert (images[0]["Rows"], images[0]["transport"], images[0]["problem"]) == (2, "jphc", None)
    for key in ("thumbnail_url", "file_url", "png_url"):
        response = caller.get(images[0][key])
        assert response.status_code == 200
        assert "immutable" in response.headers["cache-control"]
    assert caller.get(images[0]["frame_url"].format(n=1) + ".jphc").status_code == 200
    page = caller.get(f"{API}/series/1.2.3.1/images?limit=1&offset=1").json()
    assert page == images[1:2]
    for bad in ("limit=0", "limit=5001", "offset=-1", "offset=x"):
        assert_problem(caller.get(f"{API}/series/1.2.3.1/images?{bad}"), 422)


def test_lists_cost_the_same_number_of_queries_for_any_length(
    caller: Caller, store: Path, facility: Facility, django_assert_max_num_queries: Any
) -> None:
    from archive.access import EVERYTHING, Actor
    from fastapi_app.services import studies

    actor = Actor(name="tests", scope=EVERYTHING)
    for number in range(5):
        store_one(facility, StudyInstanceUID=f"1.2.{number}", SeriesInstanceUID="1.5")
        store_one(facility, StudyInstanceUID="1.2.0", SeriesInstanceUID="1.6")
    with django_assert_max_num_queries(3):  # rows, facilities, audit
        assert len(studies.find(actor, {})[0]) == 5
    series = str(Study.objects.get(study_instance_uid="1.2.0").series.get(instance_count=5).pk)
    with django_assert_max_num_queries(4):  # series, audit, images
        assert len(studies.images_of(actor, series, {})) == 5


def test_an_image_comes_with_its_picture(caller: Caller, store: Path, facility: Facility) -> None:
    pixels = noise(20, 30)
    ds = make_instance(pixels, WindowCenter=500, WindowWidth=1000, NumberOfFrames=1)
    image = DicomImage.objects.get(pk=factories.store_bytes(to_bytes(ds), facility).image_id)
    document = caller.get(f"{API}/image/{image.pk}").json()
    prefix = "data:image/png;base64,"
    assert document["image_data"].startswith(prefix)
    picture = base64.b64decode(document["image_data"].removeprefix(prefix))
    assert picture == caller.get(f"{API}/image/{image.pk}/frames/1.png").content
    assert (document["window_center"], document["window_width"]) == (500, 1000)
    assert document["SOPInstanceUID"] == ds.SOPInstanceUID
    assert document["StudyInstanceUID"] == ds.StudyInstanceUID
    small = caller.get(f"{API}/image/{image.pk}?wc=1&ww=2&width=15").json()
    raw = base64.b64decode(small["image_data"].removeprefix(prefix))
    assert Image.open(io.BytesIO(raw)).size == (15, 10)
    assert small["window_width"] == 2
    assert_problem(caller.get(f"{API}/image/{image.pk}?wc=1"), 422)
    assert_problem(caller.get(f"{API}/image/{image.pk}?frame=2"), 404)


def test_an_object_without_pixels_has_facts_alone(
    caller: Caller, store: Path, facility: Facility
) -> None:
    ds = make_instance(Modality="SR", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", PixelData=None)
    for keyword in ("Rows", "Columns"):
        delattr(ds, keyword)
    image = DicomImage.objects.get(pk=factories.store_bytes(to_bytes(ds), facility).image_id)
    document = caller.get(f"{API}/image/{image.pk}").json()
    assert (document["image_data"], document["kind"], document["problem"]) == (
        None,
        "document",
        None,
    )
    assert_problem(caller.get(f"{API}/image/{image.pk}/frames/1.png"), 422, "structured report")


# Health and counts ---------------------------------------------------------------------------


def test_counts(caller: Caller, facility: Facility) -> None:
    for number in range(3):
        store_one(facility, StudyInstanceUID="1.2.3", SeriesInstanceUID=f"1.2.3.{number % 2}")
    document = caller.get(f"{API}/stats").json()
    size = sum(DicomImage.objects.values_list("size_bytes", flat=True))
    assert document == {
        "total_studies": 1,
        "total_series": 2,
        "total_instances": 3,
        "total_size_bytes": size,
    }


@pytest.fixture
def orthanc() -> Iterator[tuple[str, dict[str, Any]]]:
    """A peer that answers as Orthanc's `/system` does."""
    answer: dict[str, Any] = {"status": 200, "body": json.dumps({"Version": "1.12.9"})}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(answer["status"] if self.path == "/system" else 404)
            self.end_headers()
            self.wfile.write(answer["body"].encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", answer
        server.shutdown()
        thread.join()


def test_health_names_the_peer_s_version(
    caller: Caller, settings: Settings, orthanc: tuple[str, dict[str, Any]]
) -> None:
    assert caller.get(f"{API}/health").json() == {"status": "healthy", "orthanc_version": None}
    settings.ORTHANC_URL = orthanc[0] + "/"
    assert caller.get(f"{API}/health").json()["orthanc_version"] == "1.12.9"


@pytest.mark.parametrize(
    "change", [{"status": 500}, {"body": "<html>"}, {"body": "[]"}, {"body": "{}"}]
)
def test_a_silent_peer_leaves_us_healthy(
    caller: Caller, settings: Settings, orthanc: tuple[str, dict[str, Any]], change: dict[str, Any]
) -> None:
    orthanc[1].update(change)
    settings.ORTHANC_URL = orthanc[0]
    assert caller.get(f"{API}/health").json() == {"status": "healthy", "orthanc_version": None}
    cache.clear()
    settings.ORTHANC_URL = "http://127.0.0.1:9"
    assert caller.get(f"{API}/health").json()["orthanc_version"] is None


# The description -----------------------------------------------------------------------------


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_description_needs_no_script_and_no_foreign_server(sidecar: Sidecar) -> None:
    response = sidecar.nobody.get("/api/docs")
    assert response.headers["content-security-policy"].startswith("default-src 'none'")
    assert "unsafe" not in response.headers["content-security-policy"]
    page = _Page()
    page.feed(response.text)
    assert "script" not in {tag for tag, _ in page.tags}
    addresses = [
        value
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href")
    ]
    assert set(addresses) == {"/api/docs.css", "/api/openapi.json"}
    assert not [a for _, a in page.tags if "style" in a or any(k.startswith("on") for k in a)]
    style = sidecar.nobody.get("/api/docs.css")
    assert style.headers["content-type"].startswith("text/css")
    document = sidecar.nobody.get("/api/openapi.json").json()
    for path in document["paths"]:
        assert path in response.text


def test_the_document_is_sound(sidecar: Sidecar) -> None:
    document = sidecar.nobody.get("/api/openapi.json").json()
    assert document["openapi"].startswith("3.")
    identifiers = []
    for path, operations in document["paths"].items():
        for operation in operations.values():
            identifiers.append(operation["operationId"])
            assert operation["summary"]
            named = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
            assert named == {part[1:].split("}")[0] for part in path.split("/") if "{" in part}
            is_open = path == "/api/v1/auth/token" and "requestBody" in operation
            assert bool(operation.get("security")) != is_open
    assert len(set(identifiers)) == len(identifiers)


# Deletion ---------------------------------------------------------------------------------------


def test_an_administrator_deletes_a_study_with_a_reason(
    sidecar: Sidecar, caller: Caller, facility: Facility
) -> None:
    image = store_one(facility)
    study = image.series.study
    where = f"{API}/studies/{study.study_instance_uid}"
    admin = sidecar.by_token(factories.user("ada", Role.ADMIN, []))
    assert_problem(caller.request("DELETE", f"{where}?reason=Sent+twice"), 403)
    assert_problem(admin.request("DELETE", where), 422, "Say why")
    assert_problem(admin.request("DELETE", f"{API}/studies/1.2.3?reason=Sent+twice"), 404)
    answer = admin.request("DELETE", f"{where}?reason=Sent+twice")
    assert answer.status_code == 200
    assert answer.json()["status"] == "deleted"
    assert answer.json()["instances"] == 1
    assert_problem(admin.get(where), 404)
    assert admin.get(f"{API}/studies").json() == []
    assert_problem(admin.get(f"{API}/image/{image.pk}/thumbnail"), 404)
    assert_problem(admin.request("DELETE", f"{where}?reason=Sent+twice"), 404)
    assert AuditEvent.objects.get(verb="study.delete").detail["reason"] == "Sent twice"
