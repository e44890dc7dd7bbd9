"""A study as a disc: every byte as stored, a directory that other programs read, a page."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from pydicom import Dataset, dcmread

from accounts.models import User
from archive import access, stores
from archive.models import AuditEvent
from tests import factories
from tests.dicom import make_instance, to_bytes
from tests.sidecar import Sidecar, assert_problem
from worklist.models import DicomImage, Facility, Study

pytestmark = pytest.mark.django_db(transaction=True)

STUDY = "1.2.826.0.1.3680043.10.1338.2"
EVIL = "</script><script>alert(1)</script>"


@pytest.fixture
def study(facility: Facility, store: Path) -> Study:
    for series in (1, 2):
        for number in (1, 2):
            made = make_instance(
                StudyInstanceUID=STUDY,
                SeriesInstanceUID=f"{STUDY}.{series}",
                SeriesNumber=series,
                InstanceNumber=number,
                # What discs need and files lack.
                StudyID="",
                StudyTime=None,
                PatientName=EVIL,
            )
            study_id = factories.store_bytes(to_bytes(made), facility).study_id
    return access.study_for(access.EVERYTHING, study_id)


def fetched(sidecar: Sidecar, user: User, study: Study, query: str = "") -> zipfile.ZipFile:
    answer = sidecar.by_token(user).get(f"/api/v1/dicom/studies/{study.pk}/disc{query}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/zip"
    assert str(study.pk) in answer.headers["content-disposition"]
    length = answer.headers.get("content-length")
    assert length == (None if query else str(len(answer.content)))
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    return archive


def paths_in(directory: Dataset) -> dict[str, str]:
    """Where a directory says which instance lies."""
    return {
        "/".join(record.ReferencedFileID): record.ReferencedSOPInstanceUIDInFile
        for record in directory.DirectoryRecordSequence
        if "ReferencedFileID" in record and record.ReferencedFileID
    }


@pytest.mark.peers
def test_other_programs_read_the_directory(
    sidecar: Sidecar, radiologist: User, study: Study, tmp_path: Path
) -> None:
    archive = fetched(sidecar, radiologist, study)
    archive.extractall(tmp_path)
    told = subprocess.run(
        ["dcmdump", "-q", tmp_path / "DICOMDIR"], capture_output=True, text=True, check=True
    ).stdout
    assert told.count("CS [IMAGE]") == 4
    assert told.count("CS [SERIES]") == 2
    # dcmtk takes names and contents of the files into a directory of its own.
    made = subprocess.run(
        ["dcmmkdir", "-Pgp", "+I", "+r", "+id", tmp_path, "+D", tmp_path / "THEIRS", "PT000000"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    directory, theirs = dcmread(tmp_path / "DICOMDIR"), dcmread(tmp_path / "THEIRS")
    assert directory.FileSetID == "NOCTISPRO"
    listed = paths_in(directory)
    assert listed == paths_in(theirs)
    (tmp_path / "THEIRS").unlink()
    sums = set(DicomImage.objects.values_list("sha256", flat=True))
    assert {hashlib.sha256((tmp_path / path).read_bytes()).hexdigest() for path in listed} == sums
    for name in archive.namelist():
        parts = name.split("/")
        assert len(parts) <= 8
        assert all(len(Path(part).stem) <= 8 and part == part.upper() for part in parts)
    event = AuditEvent.objects.get(verb="study.export")
    assert event.target_id == str(study.pk)
    assert event.detail == {"how": "disc", "instances": 4}


def test_the_page_has_every_picture_and_runs_no_text(
    sidecar: Sidecar, radiologist: User, study: Study
) -> None:
    archive = fetched(sidecar, radiologist, study, "?viewer=1")
    script = archive.read("VIEWER/DATA.JS").decode()
    assert "<" not in script
    about = json.loads(script.removeprefix("window.STUDY = ").rstrip().rstrip(";"))
    assert EVIL.split("^", maxsplit=1)[0] in about["patient"]
    assert [len(series["pictures"]) for series in about["series"]] == [2, 2]
    for series in about["series"]:
        for path in series["pictures"]:
            assert Image.open(io.BytesIO(archive.read(path))).size == (64, 64)
    page = archive.read("INDEX.HTM").decode()
    assert "http:" not in page
    assert "https:" not in page
    assert "INDEX.HTM" in archive.read("README.TXT").decode()


def test_a_file_that_has_changed_is_not_given_out(
    sidecar: Sidecar, radiologist: User, study: Study
) -> None:
    image = DicomImage.objects.order_by("pk").first()
    assert image is not None
    path = stores.instances().path(image.storage_key)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)
    try:
        answer = sidecar.by_token(radiologist).get(f"/api/v1/dicom/studies/{study.pk}/disc")
    except Exception:  # noqa: BLE001 - the answer breaks off, however the client names that
        return
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO(answer.content))


def test_nothing_for_strangers(sidecar: Sidecar, other_facility: Facility, study: Study) -> None:
    stranger = factories.user("sven", members_of=[other_facility])
    path = f"/api/v1/dicom/studies/{study.pk}/disc"
    assert_problem(sidecar.by_token(stranger).get(path), 403)
    assert not AuditEvent.objects.filter(verb="study.export").exists()
