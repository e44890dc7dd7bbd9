"""The EHR interface: lists, single objects, uploads, a look into files, health, the description.

Who may call what is in test_sidecar_access.py.
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import io
import json
import re
import threading
import zipfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.cache import cache
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pytest_django import Settings

from accounts.models import Role, User
from archive.models import AuditEvent, InstanceConflict
from tests import factories
from tests.codestreams import noise
from tests.dicom import make_instance, to_bytes
from tests.sidecar import Caller, Sidecar, assert_problem, running
from worklist.models import DicomImage, Facility, Patient, Study

pytestmark = pytest.mark.django_db(transaction=True)
API = "/api/v1/dicom"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(200)


@pytest.fixture
def sidecar(store: Path) -> Iterator[Sidecar]:
    with running() as started:
        yield started


@pytest.fixture
def tech(facility: Facility) -> User:
    return factories.user("tess", Role.TECHNOLOGIST, [facility])


@pytest.fixture
def caller(sidecar: Sidecar, tech: User) -> Caller:
    return sidecar.by_token(tech)


def store_one(facility: Facility, **keywords: Any) -> DicomImage:
    keywords.setdefault("PixelData", bytes(8))
    ds = make_instance(np.zeros((2, 2), np.uint16), **keywords)
    return DicomImage.objects.get(pk=factories.store_bytes(to_bytes(ds), facility).image_id)


def orthanc_id(patient_id: str, study_uid: str) -> str:
    """As Orthanc's DicomInstanceHasher makes it."""
    digest = hashlib.sha1(f"{patient_id}|{study_uid}".encode(), usedforsecurity=False).hexdigest()
    return "-".join(re.findall("." * 8, digest))


def uids(response: Any) -> list[str]:
    assert response.status_code == 200, response.text
    return [row["StudyInstanceUID"] for row in response.json()]


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


# Uploads -------------------------------------------------------------------------------------


def send(caller: Caller, content: bytes, name: str = "a.dcm", **fields: str) -> Any:
    return caller.post(f"{API}/upload", files={"file": (name, content)}, data=fields)


def test_a_file_is_stored_once(caller: Caller, tech: User) -> None:
    ds = make_instance(noise(8, 8), PatientID="TEST001")
    content = to_bytes(ds)
    first = send(caller, content)
    assert first.status_code == 200
    assert {
        "status": "uploaded",
        "study_instance_uid": ds.StudyInstanceUID,
        "series_instance_uid": ds.SeriesInstanceUID,
        "sop_instance_uid": ds.SOPInstanceUID,
        "orthanc_study_id": orthanc_id("TEST001", ds.StudyInstanceUID),
    }.items() <= first.json().items()
    second = send(caller, content)
    assert second.status_code == 200
    assert second.json() == first.json() | {"status": "duplicate"}
    assert DicomImage.objects.count() == 1
    assert AuditEvent.objects.filter(verb="upload", actor="tess").count() == 2
    assert uids(caller.get(f"{API}/studies")) == [ds.StudyInstanceUID]


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (PNG, 415, "PNG"),
        (b"hello", 415, ""),
        (b"", 415, ""),
        (b"PK\x03\x04" + bytes(100), 415, "upload-multiple"),
        (to_bytes(make_instance(noise(4, 4)))[:-3], 415, ""),
        (
            to_bytes(make_instance(noise(4, 4), StudyInstanceUID="1.2.3")).replace(
                b"1.2.3\0", b"1.02.3"[:6]
            ),
            422,
            "Study Instance UID",
        ),
    ],
    ids=["png", "text", "nothing", "zip", "cut off", "bad UID"],
)
def test_what_is_no_dicom_is_refused_with_the_reason(
    caller: Caller, store: Path, content: bytes, status: int, words: str
) -> None:
    assert_problem(send(caller, content), status, words)
    assert DicomImage.objects.count() == 0
    assert not [path for path in store.rglob("*") if path.is_file()]


def test_other_content_under_a_known_uid_is_a_conflict(caller: Caller) -> None:
    ds = make_instance(noise(8, 8))
    send(caller, to_bytes(ds))
    ds.PixelData = noise(8, 8, 9).tobytes()
    assert_problem(send(caller, to_bytes(ds)), 409, "kept aside")
    assert (DicomImage.objects.count(), InstanceConflict.objects.count()) == (1, 1)


def test_requests_without_a_file_are_refused(caller: Caller) -> None:
    for path in ("upload", "parse", "read-tags"):
        assert_problem(caller.post(f"{API}/{path}", files={"other": ("a", b"x")}), 422, "'file'")
        assert_problem(caller.post(f"{API}/{path}"), 422, "'file'")
        assert_problem(caller.post(f"{API}/{path}", data={"file": "text"}), 422, "'file'")
    assert_problem(caller.post(f"{API}/upload-multiple", data={"a": "b"}), 422, "'files'")
    broken = caller.post(
        f"{API}/upload",
        content=b"no multipart",
        headers={"Content-Type": "multipart/form-data; boundary=x"},
    )
    assert broken.status_code in (400, 422)
    assert broken.headers["content-type"] == "application/problem+json"


def test_too_large_a_body_is_refused_before_it_is_stored(
    caller: Caller, store: Path, settings: Settings
) -> None:
    settings.MAX_INSTANCE_BYTES = 50_000
    content = to_bytes(make_instance(noise(200, 200)))
    assert_problem(send(caller, content), 413, "50000 bytes")

    async def endless() -> Any:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(100):
            yield bytes(1000)

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    response = caller.post(f"{API}/upload", content=endless(), headers=headers)
    assert_problem(response, 413)
    assert DicomImage.objects.count() == 0


@pytest.mark.parametrize("role", [Role.VIEWER, Role.REFERRER])
def test_who_may_not_upload(sidecar: Sidecar, facility: Facility, role: Role) -> None:
    user = factories.user("vera", role, [facility])
    response = send(sidecar.by_token(user), to_bytes(make_instance(noise(4, 4))))
    assert_problem(response, 403, "role")
    assert DicomImage.objects.count() == 0


def test_whose_an_upload_is(
    sidecar: Sidecar, facility: Facility, other_facility: Facility, tech: User
) -> None:
    caller = sidecar.by_token(tech)
    assert_problem(send(caller, to_bytes(make_instance(noise(4, 4))), facility="SOUTH"), 403)
    tech.facilities.add(other_facility)
    both = sidecar.by_token(tech)
    assert_problem(send(both, to_bytes(make_instance(noise(4, 4)))), 422, "'facility'")
    assert send(both, to_bytes(make_instance(noise(4, 4))), facility="south").status_code == 200
    assert DicomImage.objects.get().facility == other_facility


def test_a_file_of_another_patient_is_refused(
    sidecar: Sidecar, caller: Caller, facility: Facility, other_facility: Facility
) -> None:
    store_one(facility, PatientID="P1")
    store_one(other_facility, PatientID="P1")
    mine = Patient.objects.get(facility=facility)
    theirs = Patient.objects.get(facility=other_facility)
    own = to_bytes(make_instance(noise(4, 4), PatientID="P1"))
    other = to_bytes(make_instance(noise(4, 4), PatientID="P2"))
    assert send(caller, own, patient_id=str(mine.pk)).status_code == 200
    assert_problem(send(caller, other, patient_id=str(mine.pk)), 409, "another Patient ID")
    assert_problem(send(caller, own, patient_id=str(theirs.pk)), 403)
    assert_problem(send(caller, own, patient_id="nonsense"), 404)
    assert_problem(send(caller, own, order_id="17"), 404, "order")
    assert DicomImage.objects.count() == 3


def test_many_files_each_have_their_result(caller: Caller) -> None:
    one, two, three = (to_bytes(make_instance(noise(4, 4, seed))) for seed in range(3))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("folder/2.dcm", two)
        archive.writestr("folder/3.dcm", three)
        archive.writestr("folder/readme.txt", b"hello, this is text")
    response = caller.post(
        f"{API}/upload-multiple",
        files=[
            ("files", ("1.dcm", one)),
            ("files", ("1-again.dcm", one)),
            ("files", ("picture.png", PNG)),
            ("files", ("study.zip", packed.getvalue())),
        ],
    )
    assert response.status_code == 200
    document = response.json()
    results = document.pop("results")
    assert document == {
        "total_files": 6,
        "successful": 4,
        "failed": 2,
        "duplicates": 1,
        "skipped": 0,
    }
    assert [(result["filename"], result["status"]) for result in results] == [
        ("1.dcm", "uploaded"),
        ("1-again.dcm", "duplicate"),
        ("picture.png", "failed"),
        ("study.zip/folder/2.dcm", "uploaded"),
        ("study.zip/folder/3.dcm", "uploaded"),
        ("study.zip/folder/readme.txt", "failed"),
    ]
    assert "PNG" in results[2]["detail"]
    assert DicomImage.objects.count() == 3


# A look into files ---------------------------------------------------------------------------


def test_tags_are_read_and_nothing_is_stored(caller: Caller, store: Path) -> None:
    ds = make_instance(noise(4, 4), PatientName="山田^太郎", SpecificCharacterSet="ISO_IR 192")
    item, inner = Dataset(), Dataset()
    inner.CodeValue = "T-1"
    item.ReferencedSOPInstanceUID = "1.2.3"
    item.PurposeOfReferenceCodeSequence = Sequence([inner])
    second = Dataset()
    second.ReferencedSOPInstanceUID = "1.2.4"
    ds.ReferencedImageSequence = Sequence([item, second])
    ds.add_new(0x00091001, "LO", "private words")
    response = caller.post(f"{API}/read-tags", files={"file": ("a.dcm", to_bytes(ds))})
    tags = response.json()["tags"]
    assert tags["PatientName"] == "山田^太郎"
    assert tags["Rows"] == "4"
    assert tags["(0009,1001)"] == "private words"
    references = tags["ReferencedImageSequence"]
    assert [reference["ReferencedSOPInstanceUID"] for reference in references] == [
        "1.2.3",
        "1.2.4",
    ]
    assert references[0]["PurposeOfReferenceCodeSequence"] == [{"CodeValue": "T-1"}]
    assert tags["InstanceNumber"] == "1"
    assert DicomImage.objects.count() == 0


def test_parsing_says_geometry_and_pixels(caller: Caller) -> None:
    ds = make_instance(noise(4, 6), PixelSpacing=[0.5, 0.25], WindowCenter=40, WindowWidth=400)
    document = caller.post(f"{API}/parse", files={"file": ("a.dcm", to_bytes(ds))}).json()
    assert document["study_instance_uid"] == ds.StudyInstanceUID
    assert document["tags"]["Modality"] == "CT"
    assert {"Rows": 4, "Columns": 6, "BitsStored": 16}.items() <= document["pixels"].items()
    assert document["geometry"]["PixelSpacing"] == [0.5, 0.25]
    assert document["has_pixels"] is True
    assert DicomImage.objects.count() == 0


def test_what_cannot_be_read_is_refused(caller: Caller) -> None:
    for path in ("parse", "read-tags"):
        assert_problem(caller.post(f"{API}/{path}", files={"file": ("a", PNG)}), 415)


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
