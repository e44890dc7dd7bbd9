"""The one way in: what is stored, what is refused, and what two senders of one UID get.

Not covered here: the doors that lead to it, and power loss (tests/doors, tests/flows).
"""

from __future__ import annotations

import hashlib
import subprocess
import threading
from pathlib import Path

import pydicom
import pytest
from django.db import connection
from pydicom.dataset import Dataset

from archive import ingest, spool, stores
from archive.errors import InvalidInputError, NotDicomError, StoreUnavailableError, TooLargeError
from archive.ingest import Outcome, Provenance
from archive.models import InstanceConflict, OutboxEvent
from blobs import protocol
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import DicomImage, Facility, Patient, Series, Study


def files_of(root: Path) -> list[str]:
    return sorted(
        p.relative_to(root).as_posix()
        for p in root.rglob("*")
        if p.is_file() and "spool" not in p.parts
    )


def data_set_of(part10: bytes) -> bytes:
    """The bytes after the File Meta Information, found by its group length (PS3.10 7.1)."""
    assert part10[128:136] == b"DICM\x02\x00\x00\x00"
    length = int.from_bytes(part10[140:144], "little")
    return part10[144 + length :]


def padded(uid: str) -> bytes:
    return uid.encode() + b"\0" * (len(uid) % 2)


def test_a_stored_instance_has_its_file_rows_and_event(store: Path, facility: Facility) -> None:
    ds = make_instance(PatientID="P7", Modality="CT", InstanceNumber=3)
    content = to_bytes(ds)

    result = factories.store_bytes(content, facility)

    assert result.outcome is Outcome.STORED
    image = DicomImage.objects.get()
    assert image.pk == result.image_id
    digest = hashlib.sha256(ds.SOPInstanceUID.encode()).hexdigest()
    assert image.storage_key == f"{digest[:2]}/{digest[2:4]}/{digest[:16]}.dcm"
    stored = (store / image.storage_key).read_bytes()
    assert stored[:128] == bytes(128)
    assert data_set_of(stored) == data_set_of(content)
    assert image.sha256 == hashlib.sha256(stored).hexdigest()
    assert image.size_bytes == len(stored)
    assert stored[image.data_set_offset :] == data_set_of(stored)
    assert stored[image.pixel_data_offset :][: image.pixel_data_length] == ds.PixelData
    study = Study.objects.get()
    assert (study.series_count, study.instance_count, study.modality) == (1, 1, "CT")
    assert study.size_bytes == len(stored)
    assert Patient.objects.get().patient_id == "P7"
    event = OutboxEvent.objects.get()
    assert event.kind == "instance.stored"
    assert event.facility_id == facility.pk
    assert event.payload["image_id"] == str(image.pk)
    assert files_of(store) == [image.storage_key]
    assert list((store / "spool").iterdir()) == []


def test_the_same_instance_again_changes_nothing(store: Path, facility: Facility) -> None:
    content = to_bytes(make_instance())
    first = factories.store_bytes(content, facility)
    before = files_of(store)

    again = factories.store_bytes(content, facility)

    assert again.outcome is Outcome.DUPLICATE
    assert again.image_id == first.image_id
    assert files_of(store) == before
    assert Study.objects.get().instance_count == 1
    assert OutboxEvent.objects.count() == 1


def test_a_foreign_preamble_and_meta_group_do_not_make_another_instance(
    store: Path, facility: Facility
) -> None:
    ds = make_instance()
    factories.store_bytes(to_bytes(ds), facility)
    ds.file_meta.SourceApplicationEntityTitle = "SOMEBODY"
    ds.preamble = b"MZ" + bytes(126)

    again = factories.store_bytes(to_bytes(ds), facility)

    assert again.outcome is Outcome.DUPLICATE
    assert (store / DicomImage.objects.get().storage_key).read_bytes()[:128] == bytes(128)


def test_other_content_under_a_taken_uid_is_kept_aside(store: Path, facility: Facility) -> None:
    ds = make_instance()
    first = factories.store_bytes(to_bytes(ds), facility)
    kept_bytes = (store / DicomImage.objects.get().storage_key).read_bytes()
    ds.PatientName = "Somebody^Else"
    other = to_bytes(ds)

    result = factories.store_bytes(other, facility)
    again = factories.store_bytes(other, facility)

    assert result.outcome is Outcome.CONFLICT
    assert again.outcome is Outcome.CONFLICT
    assert (store / DicomImage.objects.get().storage_key).read_bytes() == kept_bytes
    conflict = InstanceConflict.objects.get()
    assert conflict.kept_id == first.image_id
    with stores.conflicts().open(conflict.storage_key) as handle:
        aside = handle.read()
    assert data_set_of(aside) == data_set_of(other)
    assert hashlib.sha256(aside).hexdigest() == conflict.sha256


def test_two_facilities_never_touch_each_others_instances(
    store: Path, facility: Facility, other_facility: Facility
) -> None:
    ds = make_instance()
    mine = factories.store_bytes(to_bytes(ds), facility)
    ds.PatientName = "Somebody^Else"

    theirs = factories.store_bytes(to_bytes(ds), other_facility)

    assert theirs.outcome is Outcome.STORED
    assert mine.study_id != theirs.study_id
    keys = set(DicomImage.objects.values_list("storage_key", flat=True))
    assert len(keys) == 2
    assert set(files_of(store)) == keys
    assert InstanceConflict.objects.count() == 0
    assert Patient.objects.count() == 2


def test_patients_without_an_id_are_not_one_person(store: Path, facility: Facility) -> None:
    for name in ("A^A", "B^B"):
        factories.store_bytes(to_bytes(make_instance(PatientID="", PatientName=name)), facility)
    assert Patient.objects.count() == 2


def test_a_study_with_two_patient_ids_says_so(store: Path, facility: Facility) -> None:
    ds = make_instance(PatientID="P1")
    factories.store_bytes(to_bytes(ds), facility)
    other = make_instance(PatientID="P2", StudyInstanceUID=ds.StudyInstanceUID)
    factories.store_bytes(to_bytes(other), facility)
    study = Study.objects.get()
    assert "P1" in study.warning
    assert "P2" in study.warning
    assert study.patient_identifier == "P1"


@pytest.mark.parametrize(
    ("content", "error"),
    [
        pytest.param(b"", NotDicomError, id="empty"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + bytes(500), NotDicomError, id="png"),
        pytest.param(b"hello " * 100, NotDicomError, id="text"),
    ],
)
def test_what_is_not_dicom_is_refused(
    store: Path, facility: Facility, content: bytes, error: type[Exception]
) -> None:
    with pytest.raises(error):
        factories.store_bytes(content, facility)
    assert files_of(store) == []
    assert not Study.objects.exists()


@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
@pytest.mark.parametrize("uid", ["", "1.2.a", "1..2", "1.02.3", "1." + "2" * 64, "../../etc"])
def test_hostile_uids_are_refused(store: Path, facility: Facility, keyword: str, uid: str) -> None:
    ds = make_instance()
    content = to_bytes(ds)
    # Patched as bytes, behind the meta group: pydicom would not write some of these.
    head, body = content[: -len(data_set_of(content))], data_set_of(content)
    old, new = padded(ds[keyword].value), padded(uid)
    patched = body.replace(
        len(old).to_bytes(2, "little") + old, len(new).to_bytes(2, "little") + new
    )
    assert patched != body
    content = head + patched
    with pytest.raises(InvalidInputError, match="UID"):
        factories.store_bytes(content, facility)
    assert files_of(store) == []


def test_a_cut_off_file_is_refused(store: Path, facility: Facility) -> None:
    content = to_bytes(make_instance())
    with pytest.raises(InvalidInputError):
        factories.store_bytes(content[:-100], facility)
    assert files_of(store) == []


def test_the_command_and_the_data_set_must_agree(store: Path, facility: Facility) -> None:
    content = to_bytes(make_instance())
    provenance = Provenance(facility, "CT1", expected_sop_instance_uid="1.2.3")
    with (
        spool.spool_chunks([content]) as spooled,
        pytest.raises(InvalidInputError, match="SOP Instance UID of the command"),
    ):
        ingest.ingest_instance(spooled, provenance)
    assert files_of(store) == []


def test_past_the_size_limit_nothing_is_left(store: Path, settings: object) -> None:
    settings.MAX_INSTANCE_BYTES = 1000  # type: ignore[attr-defined]
    with pytest.raises(TooLargeError, match="1000 bytes"):
        spool.spool_chunks([b"x" * 600, b"x" * 600])
    assert list((store / "spool").iterdir()) == []


def test_a_store_that_cannot_be_written_says_so_and_heals(store: Path, facility: Facility) -> None:
    content = to_bytes(make_instance())
    store.mkdir(parents=True)
    (store / "spool").write_text("in the way")
    with pytest.raises(StoreUnavailableError, match="Try again later"):
        factories.store_bytes(content, facility)
    (store / "spool").unlink()
    assert factories.store_bytes(content, facility).outcome is Outcome.STORED


@pytest.mark.django_db(transaction=True)
def test_an_eight_way_race_has_one_winner(store: Path) -> None:
    facility = factories.facility("RACE", "Race")
    base = make_instance()
    contents = []
    for number in range(8):
        base.PatientName = f"Race^{number}"
        contents.append(to_bytes(base))
    outcomes: list[Outcome] = []
    gate = threading.Barrier(8)

    def send(content: bytes) -> None:
        try:
            gate.wait()
            outcomes.append(factories.store_bytes(content, facility).outcome)
        finally:
            connection.close()

    threads = [threading.Thread(target=send, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(o.value for o in outcomes) == ["conflict"] * 7 + ["stored"]
    image = DicomImage.objects.get()
    assert Study.objects.get().instance_count == 1
    assert Series.objects.get().instance_count == 1
    assert InstanceConflict.objects.count() == 7
    aside = [f"conflicts/{c.storage_key}" for c in InstanceConflict.objects.all()]
    assert files_of(store) == sorted([image.storage_key, *aside])


@pytest.mark.django_db(transaction=True)
def test_counters_add_up_when_four_senders_share_a_study(store: Path) -> None:
    facility = factories.facility("FOUR", "Four")
    first = make_instance()
    errors: list[Exception] = []

    def send(sender: int) -> None:
        try:
            for number in range(6):
                ds = make_instance(
                    StudyInstanceUID=first.StudyInstanceUID,
                    SeriesInstanceUID=f"{first.SeriesInstanceUID[:50]}.{sender % 2}",
                    InstanceNumber=number,
                    Modality="CT" if sender % 2 else "MR",
                )
                factories.store_bytes(to_bytes(ds), facility)
        except Exception as error:  # noqa: BLE001 - shown by the assertion below
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=send, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    study = Study.objects.get()
    assert (study.instance_count, study.series_count) == (24, 2)
    assert sorted(study.modality_codes) == ["CT", "MR"]
    assert sorted(Series.objects.values_list("instance_count", flat=True)) == [12, 12]


WITHOUT_IDENTITY = {
    "HTJ2KLossless_08_RGB.dcm",
    "JLSL_16_15_1_1F.dcm",
    "JLSL_RGB_ILV0.dcm",
    "JLSL_RGB_ILV1.dcm",
    "JLSL_RGB_ILV2.dcm",
}


def test_real_files_come_back_byte_for_byte(store: Path, db: None, data: Path) -> None:
    """One image in many encodings shares its UID: a facility each keeps them all."""
    for number, path in enumerate(sorted((data / "transfer_syntax").rglob("*.dcm"))):
        owner = factories.facility(f"F{number}", path.name)
        if path.name in WITHOUT_IDENTITY:
            with pytest.raises(InvalidInputError, match="Instance UID"):
                factories.store_file(path, owner)
            continue
        result = factories.store_file(path, owner)
        assert result.outcome is Outcome.STORED
        image = DicomImage.objects.get(pk=result.image_id)
        stored = (store / image.storage_key).read_bytes()
        assert data_set_of(stored) == data_set_of(path.read_bytes()), path.name
        assert image.storage_key.startswith(protocol.layout_key(image.sop_instance_uid)[:22])


@pytest.mark.peers
@pytest.mark.parametrize(
    "name",
    [
        "FUJI_Basic_Text_SR_for_HL7_Radiological_Report__00001.dcm",
        "Kopf_nativ__5.0__H42s__00009.dcm",
    ],
)
def test_the_same_object_with_sequences_written_anew_is_the_same(
    name: str, store: Path, facility: Facility, data: Path, tmp_path: Path
) -> None:
    source = data / "study_ct_sr/1001" / name
    digests = set()
    for option in ("+e", "-e"):
        written = tmp_path / f"lengths{option}.dcm"
        subprocess.run(["dcmconv", option, str(source), str(written)], check=True, timeout=60)
        digests.add(hashlib.sha256(data_set_of(written.read_bytes())).hexdigest())
        factories.store_file(written, facility)
    assert len(digests) == 2, "the encodings do not differ"
    assert factories.store_file(source, facility).outcome is Outcome.DUPLICATE
    assert (DicomImage.objects.count(), InstanceConflict.objects.count()) == (1, 0)

    changed = pydicom.dcmread(tmp_path / "lengths+e.dcm")
    sequence = next(element for element in changed if element.VR == "SQ" and element.value)
    sequence.value[0].CodeMeaning = "something else"
    assert factories.store_bytes(to_bytes(changed), facility).outcome is Outcome.CONFLICT


def test_equal_headers_do_not_hide_other_pixels(store: Path, facility: Facility) -> None:
    ds = make_instance()
    item = Dataset()
    item.CodeMeaning = "a"
    ds.AnatomicRegionSequence = [item]
    factories.store_bytes(to_bytes(ds), facility)
    ds["AnatomicRegionSequence"].is_undefined_length = True
    assert factories.store_bytes(to_bytes(ds), facility).outcome is Outcome.DUPLICATE
    ds.PixelData = ds.PixelData[:-1] + b"\x77"
    assert factories.store_bytes(to_bytes(ds), facility).outcome is Outcome.CONFLICT
