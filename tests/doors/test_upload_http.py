"""The upload address: who may send, what comes back, and what hostile files do not do.

Not covered here: what a DICOM object must look like (tests/apps/archive/test_ingest.py) and the
page in a browser (tests/browser/test_upload.py).
"""

from __future__ import annotations

import csv
import io
import resource
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from accounts.models import Role, User
from archive import access, resumable
from archive.models import AuditEvent, ResumableUpload
from orders.intake_jobs import finish_upload
from tests.dicom import make_instance, to_bytes
from worklist.models import DicomImage, Facility, Study

pytestmark = pytest.mark.django_db

PNG = b"\x89PNG\r\n\x1a\n" + bytes(200)


@pytest.fixture
def tech(facility: Facility) -> User:
    return member("tess", Role.TECHNOLOGIST, facility)


@pytest.fixture
def client(tech: User, store: Path) -> Client:
    return signed_in(tech)


def member(name: str, role: Role, *places: Facility) -> User:
    user = User.objects.create(username=name, role=role)
    user.facilities.set(places)
    return user


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def post(client: Client, *files: tuple[str, bytes], **fields: Any) -> Any:
    parts = [SimpleUploadedFile(name, content) for name, content in files]
    return client.post(reverse("worklist:upload-file"), {"file": parts, **fields})


def zip_of(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def test_one_file_is_stored_and_leads_to_its_study(client: Client, facility: Facility) -> None:
    ds = make_instance(PatientName="Test^Anna", Modality="CT", StudyDescription="Head")

    response = post(client, ("IM1", to_bytes(ds)))

    assert response.status_code == 200
    study = Study.objects.get()
    body = response.json()
    assert body["facility"] == {"code": "NORTH", "name": "North Clinic"}
    assert body["summary"] == "1 stored"
    [result] = body["results"]
    assert (result["part"], result["name"], result["outcome"]) == (0, "IM1", "stored")
    assert result["SOPInstanceUID"] == ds.SOPInstanceUID
    assert result["image_id"] == str(DicomImage.objects.get().pk)
    [shown] = body["studies"]
    assert shown["url"] == f"/worklist/studies/{study.pk}/"
    assert shown["viewer_url"] == f"/viewer/{study.pk}/"
    assert (shown["patient"], shown["instance_count"]) == ("Test, Anna", 1)
    event = AuditEvent.objects.get(verb="upload")
    assert (event.actor, str(event.address)) == ("tess", "127.0.0.1")


def test_many_files_keep_their_order_and_names(client: Client) -> None:
    one, two = to_bytes(make_instance()), to_bytes(make_instance())
    response = post(
        client,
        ("IM1", one),
        ("cover.png", PNG),
        ("IM2", two),
        ("IM1", one),
        name=["CD/A/IM1", "CD/cover.png", "CD/B/IM2", "CD/C/IM1"],
    )
    assert response.status_code == 200
    assert [(r["part"], r["name"], r["outcome"]) for r in response.json()["results"]] == [
        (0, "CD/A/IM1", "stored"),
        (1, "CD/cover.png", "refused"),
        (2, "CD/B/IM2", "stored"),
        (3, "CD/C/IM1", "duplicate"),
    ]
    assert response.json()["summary"] == ("2 stored, 1 already here, 1 refused: not DICOM (PNG)")
    assert len(response.json()["studies"]) == 2


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        pytest.param(PNG, 415, "not DICOM (PNG)", id="png"),
        pytest.param(b"", 415, "not DICOM (empty file)", id="empty"),
        pytest.param(to_bytes(make_instance(StudyInstanceUID="")), 422, "Study", id="no-study"),
        pytest.param(zip_of(a=PNG), 415, "not DICOM (PNG)", id="zip-of-png"),
        pytest.param(b"PK\x03\x04" + bytes(99), 422, "damaged or incomplete", id="broken-zip"),
    ],
)
def test_what_is_refused_is_a_problem_document(
    client: Client, content: bytes, status: int, words: str
) -> None:
    response = post(client, ("x.dcm", content))
    assert response.status_code == status
    assert response["Content-Type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == status
    assert words in problem["detail"]
    assert problem["results"][0]["outcome"] == "refused"
    assert not DicomImage.objects.exists()


def test_too_large_is_413(client: Client, settings: Any) -> None:
    settings.MAX_INSTANCE_BYTES = 1000
    response = post(client, ("x.dcm", to_bytes(make_instance())))
    assert response.status_code == 413
    assert "1000 bytes" in response.json()["detail"]
    settings.MAX_ARCHIVE_MEMBERS = 1
    response = post(client, ("x.zip", zip_of(a=PNG, b=PNG)))
    assert response.status_code == 413


def test_other_content_under_a_taken_uid_is_409(client: Client) -> None:
    ds = make_instance()
    post(client, ("a", to_bytes(ds)))
    ds.PatientName = "Somebody^Else"
    response = post(client, ("a", to_bytes(ds)))
    assert response.status_code == 409
    assert response.json()["results"][0]["outcome"] == "conflict"
    assert "kept aside" in response.json()["detail"]


def test_a_store_that_takes_nothing_is_503(client: Client, store: Path) -> None:
    store.mkdir(parents=True)
    (store / "spool").write_text("in the way")
    response = post(client, ("a", to_bytes(make_instance())))
    assert response.status_code == 503
    assert "Try again later" in response.json()["detail"]


def test_what_is_no_form_is_415_and_an_empty_one_422(client: Client) -> None:
    address = reverse("worklist:upload-file")
    response = client.post(address, b"\0\1", content_type="application/dicom")
    assert response.status_code == 415
    assert "multipart/form-data" in response.json()["detail"]
    assert client.post(address, {}).status_code == 422
    assert client.get(address).status_code == 405


# Who may send, and whose it becomes ------------------------------------------------------------


def test_nobody_is_401(db: None, store: Path) -> None:
    response = post(Client(), ("a", to_bytes(make_instance())))
    assert response.status_code == 401
    assert response["Content-Type"] == "application/problem+json"
    assert not DicomImage.objects.exists()


def test_a_form_of_another_site_is_403(tech: User, store: Path) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(tech)
    response = post(client, ("a", to_bytes(make_instance())))
    assert response.status_code == 403
    assert response["Content-Type"] == "application/problem+json"
    assert not DicomImage.objects.exists()


@pytest.mark.parametrize("role", list(Role))
def test_the_role_decides(store: Path, facility: Facility, role: Role) -> None:
    response = post(
        signed_in(member("r", role, facility)), ("a", to_bytes(make_instance())), facility="NORTH"
    )
    may = role in {Role.ADMIN, Role.RADIOLOGIST, Role.TECHNOLOGIST, Role.FACILITY}
    assert response.status_code == (200 if may else 403)
    assert DicomImage.objects.exists() is may


def test_another_facility_is_403(client: Client, other_facility: Facility) -> None:
    response = post(client, ("a", to_bytes(make_instance())), facility="SOUTH")
    assert response.status_code == 403
    assert "SOUTH" in response.json()["detail"]
    assert not DicomImage.objects.exists()


def test_a_member_of_several_names_one(
    store: Path, facility: Facility, other_facility: Facility
) -> None:
    client = signed_in(member("m", Role.TECHNOLOGIST, facility, other_facility))
    content = to_bytes(make_instance())
    assert post(client, ("a", content)).status_code == 422
    assert post(client, ("a", content), facility="south").status_code == 200
    assert Study.objects.get().facility == other_facility


def test_an_administrators_upload_is_the_sites_own(store: Path, admin_user: User) -> None:
    assert post(signed_in(admin_user), ("a", to_bytes(make_instance()))).status_code == 200
    assert Study.objects.get().facility.code == "LOCAL"


def test_the_same_uid_of_two_facilities_stays_apart(
    client: Client, other_facility: Facility
) -> None:
    ds = make_instance()
    mine = post(client, ("a", to_bytes(ds))).json()
    ds.PatientName = "Somebody^Else"
    stranger = signed_in(member("s", Role.TECHNOLOGIST, other_facility))
    theirs = post(stranger, ("a", to_bytes(ds))).json()
    assert theirs["results"][0]["outcome"] == "stored"
    assert mine["studies"][0]["id"] != theirs["studies"][0]["id"]


# Hostile files ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def malformed(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Path:
    """Every broken or hostile variant of one sound file."""
    folder = tmp_path_factory.mktemp("malformed")
    tool = shared / "tools" / "make_malformed.py"
    good = shared / "data" / "malformed" / "CT_small.dcm"
    subprocess.run([sys.executable, tool, good, folder], check=True, capture_output=True)
    return folder


# PS3.5 9.1 forbids it, and so do we; the corpus lets a lenient receiver take it.
OURS_IS_STRICTER = {"uid_leading_zero.dcm": "reject"}


def variants(folder: Path) -> list[dict[str, str]]:
    with (folder / "variants.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_every_malformed_variant_over_http(client: Client, store: Path, malformed: Path) -> None:
    """Accepted, refused or survived as the corpus expects; a sound file works after each."""
    wrong = []
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rows = variants(malformed)
    assert len(rows) >= 80
    for row in rows:
        path = malformed / row["file"]
        DicomImage.objects.all().delete()
        Study.objects.all().delete()
        response = post(client, (path.name, path.read_bytes()))
        outcome = response.json()["results"][0]["outcome"]
        is_taken = outcome in {"stored", "duplicate", "conflict"}
        has_words = is_taken or len(response.json()["detail"]) > 10
        expected = OURS_IS_STRICTER.get(path.name, row["expect"])
        fits = {"accept": is_taken, "reject": not is_taken, "survive": True}[expected]
        if response.status_code >= 500 or not fits or not has_words:
            wrong.append((path.name, expected, response.status_code, response.json()))
        if DicomImage.objects.exists() is not is_taken:
            wrong.append((path.name, "half stored"))
    assert wrong == []
    assert not list((store / "spool").iterdir())
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 256 * 1024
    assert post(client, ("good", to_bytes(make_instance()))).status_code == 200


@pytest.mark.parametrize(
    "name",
    [
        "../../../../tmp/evil.dcm",
        "/etc/cron.d/evil",
        "..\\..\\evil.dcm",
        "a\0b.dcm",
        "<script>alert(1)</script>.dcm",
        "n" * 64,
        "x" * 5000,
        "名前.dcm",
        "",
    ],
)
def test_a_name_is_only_shown(client: Client, store: Path, tmp_path: Path, name: str) -> None:
    response = post(client, ("file.dcm", to_bytes(make_instance())), name=name)
    assert response.status_code == 200
    shown = response.json()["results"][0]["name"]
    assert len(shown) <= 255
    assert shown.isprintable()
    image = DicomImage.objects.get()
    files = {p for p in tmp_path.rglob("*") if p.is_file()}
    assert files == {store / image.storage_key}


def test_a_request_beyond_memory_waits_in_a_file(client: Client, settings: Any) -> None:
    response = post(client, ("a", to_bytes(make_instance())))
    [file] = response.wsgi_request.FILES.getlist("file")
    assert type(file).__name__ == "TemporaryUploadedFile"
    # Zero would keep whole bodies in memory: Python's SpooledTemporaryFile takes it for "never".
    assert 0 < settings.FILE_UPLOAD_MAX_MEMORY_SIZE <= 2**20


# Uploads in pieces --------------------------------------------------------------------------------


def in_pieces(user: User, facility: Facility, name: str, content: bytes) -> ResumableUpload:
    """Bring a file in one piece; it waits to be stored."""
    actor = access.actor_of(user)
    row = resumable.create(actor, facility, len(content), {"filename": name})
    appending = resumable.append(actor, row.pk, 0)
    appending.write(content)
    row = appending.finish()
    appending.close()
    return row


@pytest.mark.parametrize("is_dicom", [True, False], ids=["DICOM", "a picture"])
def test_what_became_of_an_upload_in_pieces(
    client: Client, tech: User, facility: Facility, is_dicom: bool
) -> None:
    content = to_bytes(make_instance(PatientName="Test^Anna")) if is_dicom else PNG
    row = in_pieces(tech, facility, "IM1", content)
    address = reverse("worklist:upload-result", args=[row.pk])
    assert client.get(address).json() == {"state": "processing", "results": [], "studies": []}

    finish_upload(str(row.pk))

    body = client.get(address).json()
    [result] = body["results"]
    assert (body["state"], result["name"], result["outcome"]) == (
        ("stored", "IM1", "stored") if is_dicom else ("failed", "IM1", "refused")
    )
    assert [study["patient"] for study in body["studies"]] == ["Test, Anna"] * is_dicom
    assert is_dicom or "not DICOM" in result["reason"]


def test_an_upload_that_may_not_be_stored_says_why(
    client: Client, tech: User, facility: Facility
) -> None:
    row = in_pieces(tech, facility, "IM1", to_bytes(make_instance()))
    tech.facilities.clear()
    finish_upload(str(row.pk))
    [result] = client.get(reverse("worklist:upload-result", args=[row.pk])).json()["results"]
    assert result["outcome"] == "refused"
    assert "not a member" in result["reason"]


def test_an_upload_of_somebody_else_stays_theirs(
    client: Client, tech: User, facility: Facility
) -> None:
    row = in_pieces(tech, facility, "IM1", PNG)
    other = signed_in(member("mia", Role.TECHNOLOGIST, facility))
    address = reverse("worklist:upload-result", args=[row.pk])
    assert other.get(address).status_code == 403
    assert Client().get(address).status_code == 401
