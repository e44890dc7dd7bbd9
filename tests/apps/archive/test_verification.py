"""Rows against files: what is missing, damaged or left over is found, and nothing is changed."""

from __future__ import annotations

import io
import os
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from archive import verification
from archive.models import AuditEvent, Destination, InstanceConflict
from tests import databases, factories, product
from tests.dicom import make_instance, to_bytes
from worklist.models import DicomImage, Facility, FacilityAE, Study

pytestmark = pytest.mark.django_db


@pytest.fixture
def images(store: Path, facility: Facility) -> list[DicomImage]:
    """Three instances, and a fourth kept aside."""
    first = make_instance(PatientID="P1234567")
    for ds in (first, make_instance(), make_instance()):
        factories.store_bytes(to_bytes(ds), facility)
    first.PatientName = "Somebody^Else"
    factories.store_bytes(to_bytes(first), facility)
    return list(DicomImage.objects.order_by("pk"))


def make_old(path: Path) -> None:
    long_ago = time.time() - 3600
    os.utime(path, (long_ago, long_ago))


def run(*arguments: str) -> tuple[int, str]:
    out = io.StringIO()
    try:
        call_command("verify_storage", *arguments, stdout=out)
    except SystemExit as stopped:
        return int(stopped.code or 0), out.getvalue()
    return 0, out.getvalue()


def test_a_sound_store_is_sound(images: list[DicomImage]) -> None:
    report = verification.verify(is_full=True)
    assert report.is_sound
    assert (report.rows, report.files, report.in_flight) == (4, 4, 0)
    assert report.size_bytes == sum(image.size_bytes for image in images) + (
        InstanceConflict.objects.get().size_bytes
    )
    code, said = run("--full")
    assert code == 0
    assert "Checked 4 rows and 4 files" in said
    assert "Every row has its file, and every file its row." in said


def test_a_missing_file_is_found(store: Path, images: list[DicomImage]) -> None:
    (store / images[1].storage_key).unlink()
    report = verification.verify()
    assert report.missing.items == [f"{images[1].storage_key} (row {images[1].pk})"]
    code, said = run()
    assert code == 1
    assert "1 rows without their file" in said
    assert images[1].storage_key in said
    assert "backup" in said


def test_a_cut_off_file_is_found_by_its_size(store: Path, images: list[DicomImage]) -> None:
    path = store / images[0].storage_key
    path.write_bytes(path.read_bytes()[:-1])
    [found] = verification.verify().damaged.items
    assert f"{images[0].size_bytes} were stored" in found


def test_a_flipped_byte_is_found_in_a_full_run(store: Path, images: list[DicomImage]) -> None:
    path = store / images[0].storage_key
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    assert verification.verify().is_sound
    [found] = verification.verify(is_full=True).damaged.items
    assert images[0].storage_key in found
    assert run("--full")[0] == 1


def test_a_file_without_a_row_is_found_unless_it_is_being_stored(
    store: Path, images: list[DicomImage]
) -> None:
    orphan = store / "ab" / "cd" / "abcdef0123456789.dcm"
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"x")
    report = verification.verify()
    assert (report.is_sound, report.in_flight) == (True, 1)
    make_old(orphan)
    report = verification.verify()
    assert report.orphans.items == ["ab/cd/abcdef0123456789.dcm"]
    code, said = run()
    assert code == 1
    assert "1 files without a row" in said


def test_what_is_kept_aside_is_checked_too(store: Path, images: list[DicomImage]) -> None:
    key = InstanceConflict.objects.get().storage_key
    (store / "conflicts" / key).unlink()
    assert verification.verify().missing.items[0].startswith(f"conflicts/{key}")


def test_spool_and_thumbnails_are_no_orphans(store: Path, images: list[DicomImage]) -> None:
    for folder in ("spool", "thumbnails"):
        path = store / folder / "x.dcm"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
        make_old(path)
    assert verification.verify().is_sound


def test_wrong_counters_are_found(images: list[DicomImage]) -> None:
    study = Study.objects.order_by("pk").first()
    assert study is not None
    Study.objects.filter(pk=study.pk).update(instance_count=7)
    [found] = verification.verify().counters.items
    assert f"study {study.pk} counts 7 instances; 1 are stored." == found


def test_many_rows_take_few_queries(
    images: list[DicomImage], django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(8):
        verification.verify()


def test_the_report_shows_no_patient_id(images: list[DicomImage]) -> None:
    said = run()[1]
    assert "P***7" in said
    assert "P1234567" not in said
    assert verification.masked("P1") == "***"
    assert verification.masked("") == "-"


def test_the_script_says_the_same(tmp_path: Path) -> None:
    """`scripts/verify_storage.py` in a process of its own, on an empty archive."""
    databases.place(tmp_path / "var")
    done = product.run(
        [sys.executable, "scripts/verify_storage.py"], product.environment(tmp_path / "var")
    )
    assert done.returncode == 0, done.stderr
    assert "Checked 0 rows and 0 files" in done.stdout
    assert "DICOM instances" in done.stdout


# Bulk import ---------------------------------------------------------------------------------


def import_dicom(*arguments: str) -> tuple[int, str]:
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("import_dicom", *arguments, stdout=out, stderr=err)
    except SystemExit as stopped:
        return int(stopped.code or 0), out.getvalue() + err.getvalue()
    return 0, out.getvalue()


def test_an_import_takes_folders_and_archives_and_goes_on(
    store: Path, facility: Facility, tmp_path: Path
) -> None:
    disc = tmp_path / "disc"
    (disc / "IMAGES").mkdir(parents=True)
    (disc / "IMAGES" / "IM1").write_bytes(to_bytes(make_instance()))
    (disc / ".DS_Store").write_bytes(b"x")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("IM2", to_bytes(make_instance()))
    (disc / "more.zip").write_bytes(packed.getvalue())

    assert import_dicom(str(disc), "--facility", "north") == (0, "North Clinic: 2 stored\n")
    assert import_dicom(str(disc), "--facility", "NORTH") == (0, "North Clinic: 2 already here\n")

    (disc / "IMAGES" / "notes.txt").write_text("Befund")
    code, said = import_dicom(str(disc), "--facility", "NORTH")
    assert code == 1
    assert "2 already here, 1 refused: not DICOM (text)" in said
    assert "IMAGES/notes.txt" in said
    assert AuditEvent.objects.filter(verb="import").count() == 3
    assert set(Study.objects.values_list("facility__code", flat=True)) == {"NORTH"}


def test_a_dicomdir_stands_for_its_disc(store: Path, db: None, data: Path) -> None:
    index = next(p for p in (data / "dicomdir").rglob("DICOMDIR"))
    said = import_dicom(str(index))[1]
    assert "This site: " in said
    assert "skipped" in said
    assert DicomImage.objects.count() >= 30


def test_an_import_says_what_is_wrong_with_its_arguments(store: Path, db: None) -> None:
    with pytest.raises(CommandError, match="nothing at"):
        call_command("import_dicom", "/no/such/path")
    with pytest.raises(CommandError, match="no facility with the code NOWHERE"):
        call_command("import_dicom", str(Path(__file__)), "--facility", "NOWHERE")


def test_an_import_stops_when_the_store_takes_nothing(store: Path, db: None, data: Path) -> None:
    store.mkdir(parents=True)
    (store / "spool").write_text("in the way")
    code, said = import_dicom(str(data / "malformed" / "CT_small.dcm"))
    assert code == 130
    assert "Run the same command again" in said


# Facilities and destinations from the command line ---------------------------------------------


def test_add_facility_creates_and_updates(db: None) -> None:
    out = io.StringIO()
    call_command(
        "add_facility", "East", "--code", "EAST", "--aet", "CT_E", "--cidr", "10.2.0.0/16",
        stdout=out,
    )  # fmt: skip
    assert out.getvalue() == "East (EAST) may send as CT_E from 10.2.0.0/16.\n"
    call_command("add_facility", "East Clinic", "--code", "EAST", "--aet", "MR_E", stdout=out)
    facility = Facility.objects.get(code="EAST")
    assert facility.name == "East Clinic"
    assert facility.address_ranges == ["10.2.0.0/16"]
    assert set(FacilityAE.objects.values_list("ae_title", flat=True)) == {"CT_E", "MR_E"}
    with pytest.raises(CommandError, match="16"):
        call_command("add_facility", "X", "--code", "X", "--aet", "A" * 17)
    assert not Facility.objects.filter(code="X").exists()


def test_add_destination_creates_and_updates(facility: Facility) -> None:
    out = io.StringIO()
    call_command("add_destination", "WS1", "10.0.0.9", "104", stdout=out)
    assert out.getvalue() == "We may send to WS1 at 10.0.0.9:104, without TLS.\n"
    call_command("add_destination", "WS1", "ws.example", "2762", "--tls", "--facility", "NORTH")
    saved = Destination.objects.get()
    assert (saved.host, saved.port, saved.uses_tls) == ("ws.example", 2762, True)
    assert saved.facility == facility
    for wrong in (("WS2", "http://evil/", "104"), ("WS2", "host", "0"), ("A\\B", "host", "104")):
        with pytest.raises(CommandError):
            call_command("add_destination", *wrong)
    assert Destination.objects.count() == 1
