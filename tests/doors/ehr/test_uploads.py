"""Uploads to the EHR interface, and a look into files that are not kept."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pytest_django import Settings

from accounts.models import Role, User
from archive.models import AuditEvent, InstanceConflict
from tests import factories
from tests.codestreams import noise
from tests.dicom import make_instance, to_bytes
from tests.doors.ehr.studies import API, PNG, orthanc_id, store_one, uids
from tests.sidecar import Caller, Sidecar, assert_problem
from worklist.models import DicomImage, Facility, Patient

pytestmark = pytest.mark.django_db(transaction=True)


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
