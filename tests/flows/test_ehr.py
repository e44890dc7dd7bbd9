"""An EHR at work with the running sidecar and real files: orders, uploads, viewing, deleting.

Each test has a patient and an order of its own; files are brought to that patient by
`modify-tags`, as an EHR does with images from outside.
"""

from __future__ import annotations

import io
import itertools
import json
import tempfile
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid

from tests.serving import new_site

API = "/api/v1/dicom"
VIEWER = "http://localhost:3001/viewer"
CT = "study_ct_sr/1001/Kopf_nativ__5.0__H42s__00009.dcm"
MR = "study_mr_multiseries/1002/t2_tse_tra_5mm__00010.dcm"
XRAY = "cr_dx_mg/gdcm-CR-MONO1-10-chest.dcm"
US = "us/gdcm-US-RGB-8-epicard.dcm"
SITE = """
from accounts.models import ApiToken, Role
from tests import factories
for code, name in (("NORTH", "ehr"), ("SOUTH", "other"), (None, "boss")):
    members = [factories.facility(code, code.title())] if code else []
    role = Role.TECHNOLOGIST if code else Role.ADMIN
    user = factories.user(name, role, members)
    print(ApiToken.issue(user, expires_at=None)[1])
"""
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def site() -> Iterator[tuple[str, list[str]]]:
    """A running sidecar: its address, and the tokens of an EHR, another one's, the boss's."""
    with tempfile.TemporaryDirectory(prefix="noctis-ehr-") as folder:
        made = new_site(Path(folder) / "var", SITE, OHIF_VIEWER_URL=VIEWER)
        with made.serving() as serving:
            yield serving.url, made.said


def client_of(site: tuple[str, list[str]], number: int | None) -> httpx.Client:
    url, tokens = site
    headers = {} if number is None else {"Authorization": f"Bearer {tokens[number]}"}
    return httpx.Client(base_url=url, headers=headers, timeout=60)


@pytest.fixture
def ehr(site: tuple[str, list[str]]) -> Iterator[httpx.Client]:
    with client_of(site, 0) as client:
        yield client


@pytest.fixture
def patient(ehr: httpx.Client) -> dict[str, Any]:
    body = {
        "first_name": "John",
        "last_name": "Doe",
        "mrn": f"TEST{next(_numbers):03}",
        "dob": "1980-01-01",
    }
    answer = ehr.post("/api/v1/patients", json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


@pytest.fixture
def order(ehr: httpx.Client, patient: dict[str, Any]) -> dict[str, Any]:
    body = {
        "patient_id": patient["id"],
        "order_type": "IMAGING",
        "order_category": "CT",
        "description": "CT Brain with Contrast",
        "status": "scheduled",
    }
    answer = ehr.post("/api/v1/orders", json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def theirs(ehr: httpx.Client, patient: dict[str, Any], path: Path, **tags: str) -> bytes:
    """A real file as the patient's."""
    values = {
        "PatientID": patient["mrn"],
        "PatientName": patient["PatientName"],
        "PatientBirthDate": "19800101",
        **tags,
    }
    answer = ehr.post(
        f"{API}/modify-tags",
        files={"file": (path.name, path.read_bytes(), "application/dicom")},
        data={"tags": json.dumps(values)},
    )
    assert answer.status_code == 200, answer.text
    return answer.content


def upload(ehr: httpx.Client, content: bytes, **fields: str) -> httpx.Response:
    files = {"file": ("image.dcm", content, "application/dicom")}
    return ehr.post(f"{API}/upload", files=files, data=fields)


def uploaded(ehr: httpx.Client, content: bytes, **fields: str) -> dict[str, Any]:
    answer = upload(ehr, content, **fields)
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "uploaded"
    return dict(answer.json())


# Uploads -------------------------------------------------------------------------------------


def test_single_file_upload(
    ehr: httpx.Client, data: Path, patient: dict[str, Any], order: dict[str, Any]
) -> None:
    content = theirs(ehr, patient, data / CT)
    answer = uploaded(ehr, content, order_id=order["id"], patient_id=patient["id"])
    assert answer["orthanc_study_id"]
    found = ehr.get(f"/api/v1/orders/{order['id']}").json()
    assert found["study_instance_uid"] == answer["study_instance_uid"]
    assert found["status"] == "in_progress"


def test_multiple_files_upload(
    ehr: httpx.Client, data: Path, patient: dict[str, Any], order: dict[str, Any]
) -> None:
    files = [
        ("files", (path, theirs(ehr, patient, data / path), "application/dicom"))
        for path in (CT, MR)
    ]
    answer = ehr.post(
        f"{API}/upload-multiple",
        files=files,
        data={"order_id": order["id"], "patient_id": patient["id"]},
    )
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert (document["total_files"], document["successful"], document["failed"]) == (2, 2, 0)


def test_upload_with_tag_modification(
    ehr: httpx.Client, data: Path, patient: dict[str, Any], order: dict[str, Any]
) -> None:
    source = (data / CT).read_bytes()
    read = ehr.post(f"{API}/read-tags", files={"file": ("brain_ct.dcm", source)})
    assert read.json()["tags"]["PatientID"] == dcmread(io.BytesIO(source)).PatientID
    number = order["accession_number"]
    content = theirs(ehr, patient, data / CT, AccessionNumber=number)
    uploaded(ehr, content, order_id=order["id"], patient_id=patient["id"])
    (study,) = ehr.get(f"{API}/studies", params={"AccessionNumber": number}).json()
    assert (study["PatientID"], study["PatientName"]) == (patient["mrn"], "Doe^John")


# Queries -------------------------------------------------------------------------------------


def test_patient_studies(
    ehr: httpx.Client, data: Path, patient: dict[str, Any], order: dict[str, Any]
) -> None:
    content = theirs(ehr, patient, data / CT)
    uploaded(ehr, content, order_id=order["id"], patient_id=patient["id"])
    answer = ehr.get(f"{API}/studies/patient/{patient['id']}")
    assert answer.status_code == 200
    (study,) = answer.json()
    assert study["StudyInstanceUID"]
    assert study["PatientID"] == patient["mrn"]


def test_order_studies(
    ehr: httpx.Client, data: Path, patient: dict[str, Any], order: dict[str, Any]
) -> None:
    answer = uploaded(ehr, theirs(ehr, patient, data / CT), order_id=order["id"])
    studies = ehr.get(f"{API}/studies/order/{order['id']}").json()
    assert [study["StudyInstanceUID"] for study in studies] == [answer["study_instance_uid"]]


# The viewer ------------------------------------------------------------------------------------


def test_viewer_url_for_study(
    ehr: httpx.Client, data: Path, patient: dict[str, Any], order: dict[str, Any]
) -> None:
    uid = uploaded(ehr, theirs(ehr, patient, data / CT), order_id=order["id"])["study_instance_uid"]
    answer = ehr.get(f"{API}/viewer/url/{uid}")
    assert answer.status_code == 200
    assert uid in answer.json()["url"]
    assert VIEWER in answer.json()["url"]
    assert answer.json()["expires_at"]


def test_viewer_url_for_order(
    ehr: httpx.Client, data: Path, patient: dict[str, Any], order: dict[str, Any]
) -> None:
    uploaded(ehr, theirs(ehr, patient, data / CT), order_id=order["id"])
    answer = ehr.get(f"{API}/viewer/url/order/{order['id']}")
    assert answer.status_code == 200
    assert answer.json()["url"].startswith(VIEWER)
    assert answer.json()["order_id"] == order["id"]


def test_viewer_url_for_patient(ehr: httpx.Client, data: Path, patient: dict[str, Any]) -> None:
    for path in (CT, MR):
        uploaded(ehr, theirs(ehr, patient, data / path), patient_id=patient["id"])
    answer = ehr.get(f"{API}/viewer/url/patient/{patient['id']}")
    assert answer.status_code == 200
    assert answer.json()["url"].startswith(VIEWER)
    assert answer.json()["study_count"] == 2


# Deletion --------------------------------------------------------------------------------------


def test_delete_study(
    site: tuple[str, list[str]], ehr: httpx.Client, data: Path, patient: dict[str, Any]
) -> None:
    uid = uploaded(ehr, theirs(ehr, patient, data / CT))["study_instance_uid"]
    where = f"{API}/studies/{uid}"
    with client_of(site, 2) as boss:
        assert boss.delete(where, params={"reason": "Test deletion"}).status_code == 200
        assert boss.get(where).status_code == 404
        assert ehr.get(where).status_code == 404
        logs = boss.get(f"{API}/upload-logs", params={"StudyInstanceUID": uid}).json()
        assert [(line["action"], line["reason"]) for line in logs] == [
            ("deleted", "Test deletion"),
            ("uploaded", None),
        ]


# The service -----------------------------------------------------------------------------------


def test_health(ehr: httpx.Client) -> None:
    answer = ehr.get(f"{API}/health")
    assert answer.status_code == 200
    assert answer.json() == {"status": "healthy", "orthanc_version": None}


def test_storage_statistics(ehr: httpx.Client) -> None:
    answer = ehr.get(f"{API}/stats")
    assert answer.status_code == 200
    assert {"total_studies", "total_series", "total_instances"} <= set(answer.json())


# Much at once ----------------------------------------------------------------------------------


def copies(path: Path, patient: dict[str, Any], count: int) -> list[bytes]:
    """A series of small images, made of a real one."""
    ds = dcmread(path)
    ds.PatientID, ds.PatientName = patient["mrn"], patient["PatientName"]
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
    made = []
    for number in range(1, count + 1):
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        ds.InstanceNumber = number
        out = io.BytesIO()
        ds.save_as(out, enforce_file_format=True)
        made.append(out.getvalue())
    return made


def test_large_study_upload(
    ehr: httpx.Client, data: Path, patient: dict[str, Any], order: dict[str, Any]
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number, content in enumerate(copies(data / "malformed/CT_small.dcm", patient, 120)):
            archive.writestr(f"series/{number}.dcm", content)
    answer = ehr.post(
        f"{API}/upload-multiple",
        files=[("files", ("brain.zip", packed.getvalue(), "application/zip"))],
        data={"order_id": order["id"], "patient_id": patient["id"]},
    )
    assert answer.status_code == 200, answer.text
    assert (answer.json()["total_files"], answer.json()["successful"]) == (120, 120)
    (study,) = ehr.get(f"{API}/studies/order/{order['id']}").json()
    assert study["NumberOfStudyRelatedInstances"] == 120


@pytest.mark.parametrize("is_same", [True, False], ids=["the same file", "files of a series"])
def test_concurrent_uploads(
    ehr: httpx.Client, data: Path, patient: dict[str, Any], order: dict[str, Any], is_same: bool
) -> None:
    path = data / "malformed/CT_small.dcm"
    contents = copies(path, patient, 1) * 5 if is_same else copies(path, patient, 5)
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda c: upload(ehr, c, order_id=order["id"]), contents))
    assert [answer.status_code for answer in answers] == [200] * 5, [a.text for a in answers]
    (study,) = ehr.get(f"{API}/studies/order/{order['id']}").json()
    assert study["NumberOfStudyRelatedInstances"] == (1 if is_same else 5)


@pytest.mark.parametrize("name", [XRAY, US])
def test_upload_of_a_small_file(ehr: httpx.Client, data: Path, name: str) -> None:
    assert upload(ehr, (data / name).read_bytes()).status_code == 200


def test_upload_of_a_large_file(ehr: httpx.Client, data: Path, patient: dict[str, Any]) -> None:
    ds = dcmread(io.BytesIO(copies(data / "malformed/CT_small.dcm", patient, 1)[0]))
    ds.Rows = ds.Columns = 4096
    ds.PixelData = bytes(2 * 4096 * 4096)
    out = io.BytesIO()
    ds.save_as(out, enforce_file_format=True)
    assert upload(ehr, out.getvalue(), patient_id=patient["id"]).status_code == 200
    (study,) = ehr.get(f"{API}/studies/patient/{patient['id']}").json()
    assert study["size_bytes"] > 2**25


def test_list_of_studies(ehr: httpx.Client, data: Path, patient: dict[str, Any]) -> None:
    uploaded(ehr, theirs(ehr, patient, data / CT))
    answer = ehr.get(f"{API}/studies")
    assert answer.status_code == 200
    assert answer.json()[0]["StudyInstanceUID"]


def test_ten_uploads_at_once(ehr: httpx.Client, data: Path, patient: dict[str, Any]) -> None:
    contents = copies(data / "malformed/CT_small.dcm", patient, 10)
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda content: upload(ehr, content), contents))
    assert [answer.status_code for answer in answers] == [200] * 10


# Who may ---------------------------------------------------------------------------------------


def test_unauthorized_access(site: tuple[str, list[str]], data: Path) -> None:
    with client_of(site, None) as nobody:
        assert upload(nobody, (data / CT).read_bytes()).status_code == 401
        nobody.headers["Authorization"] = "Bearer npt_unknown"
        assert nobody.get(f"{API}/studies").status_code == 401


def test_access_to_another_facility_s_study(
    site: tuple[str, list[str]], ehr: httpx.Client, data: Path, patient: dict[str, Any]
) -> None:
    content = theirs(ehr, patient, data / CT)
    uid = uploaded(ehr, content, patient_id=patient["id"])["study_instance_uid"]
    with client_of(site, 1) as other:
        body = {"first_name": "Jane", "last_name": "Smith", "mrn": "TEST002"}
        assert other.post("/api/v1/patients", json=body).status_code == 201
        assert other.get(f"{API}/studies/{uid}").status_code == 403
        assert other.get(f"{API}/studies/patient/{patient['id']}").status_code == 403
