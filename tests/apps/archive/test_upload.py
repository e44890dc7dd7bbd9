"""Uploaded files and archives: what is taken, and in which words the rest is refused.

Not covered here: HTTP (tests/doors/test_upload_http.py) and what a DICOM object must look like
(test_ingest.py).
"""

from __future__ import annotations

import io
import struct
import threading
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from accounts.models import Role
from archive import filetypes, upload
from archive.access import Actor, actor_of
from archive.errors import (
    ForbiddenError,
    NotDicomError,
    StoreUnavailableError,
    TooLargeError,
)
from archive.models import AuditEvent
from archive.upload import UploadOutcome, UploadResult
from blobs import BlobStoreUnavailableError, FileSystemStore
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import DicomImage, Facility, Study

STORED, DUPLICATE = UploadOutcome.STORED, UploadOutcome.DUPLICATE
REFUSED, SKIPPED, CONFLICT = UploadOutcome.REFUSED, UploadOutcome.SKIPPED, UploadOutcome.CONFLICT
PNG = b"\x89PNG\r\n\x1a\n" + bytes(200)


@pytest.fixture
def actor(facility: Facility) -> Actor:
    return actor_of(factories.user("tess", Role.TECHNOLOGIST, [facility]))


@pytest.fixture
def send(store: Path, actor: Actor, facility: Facility) -> Callable[..., list[UploadResult]]:
    def send_bytes(content: bytes, name: str = "a.dcm") -> list[UploadResult]:
        return upload.ingest_upload(actor, facility, name, io.BytesIO(content))

    return send_bytes


def zip_of(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def spool_is_empty(root: Path) -> bool:
    return not (root / "spool").is_dir() or not list((root / "spool").iterdir())


def files_below(root: Path) -> list[Path]:
    return [p for p in root.rglob("*") if p.is_file()]


def test_a_file_is_stored_once_and_audited(store: Path, send: Any, facility: Facility) -> None:
    content = to_bytes(make_instance())

    first = send(content, "folder/IM0001")
    again = send(content, "renamed.txt")

    assert [(r.name, r.outcome) for r in first] == [("folder/IM0001", STORED)]
    assert [(r.name, r.outcome) for r in again] == [("renamed.txt", DUPLICATE)]
    assert first[0].instance is not None
    assert again[0].instance is not None
    assert first[0].instance.image_id == again[0].instance.image_id == DicomImage.objects.get().pk
    events = list(AuditEvent.objects.filter(verb="upload").order_by("id"))
    assert [event.detail for event in events] == [
        {"stored": 1, "studies": [str(first[0].instance.study_id)]},
        {"duplicate": 1, "studies": [str(first[0].instance.study_id)]},
    ]
    assert events[0].actor == "tess"
    assert events[0].target_id == str(facility.pk)
    assert spool_is_empty(store)


def test_other_content_under_a_taken_uid_says_so(send: Any) -> None:
    ds = make_instance()
    send(to_bytes(ds))
    ds.PatientName = "Somebody^Else"

    [result] = send(to_bytes(ds))

    assert result.outcome is CONFLICT
    assert "kept aside" in result.reason


def test_a_zip_gives_each_member_its_result(store: Path, send: Any) -> None:
    one, two = make_instance(InstanceNumber=1), make_instance(InstanceNumber=2)
    content = zip_of(
        {
            "CD/DICOM/IM1": to_bytes(one),
            "CD/DICOM/IM2": to_bytes(two),
            "CD/DICOM/again.dcm": to_bytes(one),
            "CD/cover.png": PNG,
            "CD/letter.pdf": b"%PDF-1.4\n" + bytes(50),
            "CD/": b"",
            "CD/autorun.exe": b"MZ" + bytes(300),
            "CD/nothing": b"",
        }
    )

    results = send(content, "study.zip")

    assert [(r.name, r.outcome, r.reason) for r in results] == [
        ("study.zip/CD/DICOM/IM1", STORED, ""),
        ("study.zip/CD/DICOM/IM2", STORED, ""),
        ("study.zip/CD/DICOM/again.dcm", DUPLICATE, ""),
        ("study.zip/CD/cover.png", REFUSED, "not DICOM (PNG)"),
        ("study.zip/CD/letter.pdf", REFUSED, "not DICOM (PDF)"),
        ("study.zip/CD/autorun.exe", REFUSED, "not DICOM (program)"),
        ("study.zip/CD/nothing", REFUSED, "not DICOM (empty file)"),
    ]
    assert str(upload.summarise(results)) == (
        "2 stored, 1 already here, 4 refused: not DICOM (PNG); not DICOM (PDF); "
        "not DICOM (program); not DICOM (empty file)"
    )
    assert DicomImage.objects.count() == 2
    assert spool_is_empty(store)


def test_the_line_for_people_is_short(send: Any) -> None:
    results = send(zip_of({"a": to_bytes(make_instance()), "b.png": PNG, "c.png": PNG}))
    assert str(upload.summarise(results)) == "1 stored, 2 refused: not DICOM (PNG)"
    assert str(upload.summarise([])) == "nothing to store"


@pytest.mark.parametrize(
    "name",
    [
        "__MACOSX/CD/._IM1",
        "CD/.DS_Store",
        "CD/Thumbs.db",
        "CD/THUMBS.DB",
        "desktop.ini",
        ".hidden/IM1",
        "a\\__MACOSX\\b",
        "@eaDir/x",
    ],
)
def test_what_operating_systems_leave_is_ignored(send: Any, name: str) -> None:
    results = send(zip_of({name: PNG, "IM1": to_bytes(make_instance())}))
    assert [r.outcome for r in results] == [STORED]
    assert send(PNG, name) == []


@pytest.mark.parametrize(
    "name", ["../../../../etc/cron.d/x", "/etc/passwd", "..\\..\\x", "C:\\x.dcm", "a/../../b"]
)
def test_a_members_name_never_becomes_a_path(
    store: Path, tmp_path: Path, send: Any, name: str
) -> None:
    before = set(files_below(tmp_path))

    [result] = send(zip_of({name: to_bytes(make_instance())}))

    assert result.outcome is STORED
    new = set(files_below(tmp_path)) - before
    assert new == {store / DicomImage.objects.get().storage_key}


def test_names_are_safe_to_show(send: Any) -> None:
    [result] = send(PNG, "line\nbreak\x1b[31m\u202e" + "x" * 300 + ".png")
    assert result.name.isprintable()
    assert len(result.name) == 255
    assert result.name.endswith("x.png")
    [short] = send(PNG, "a\nb.png")
    assert short.name == "a?b.png"


def test_names_of_64_characters_are_kept(send: Any) -> None:
    name = "n" * 60 + ".dcm"
    [result] = send(zip_of({name: to_bytes(make_instance(PatientName="N" * 64))}), "z.zip")
    assert result.name == f"z.zip/{name}"
    assert Study.objects.get().patient_name == "N" * 64


def test_an_archive_inside_an_archive_is_skipped_with_the_reason(send: Any) -> None:
    inner = zip_of({"IM1": to_bytes(make_instance())})
    results = send(zip_of({"inner.zip": inner, "inner.tar.gz": b"\x1f\x8b\x08" + bytes(40)}))
    assert [r.outcome for r in results] == [SKIPPED, SKIPPED]
    assert "inside an archive" in results[0].reason
    assert not DicomImage.objects.exists()


def test_a_dicomdir_is_skipped_politely(send: Any, data: Path) -> None:
    index = next(p for p in (data / "dicomdir").rglob("*") if p.name.startswith("DICOMDIR"))
    [alone] = send(index.read_bytes(), "DICOMDIR")
    assert (alone.outcome, alone.error) == (SKIPPED, None)
    assert "index of a disc" in alone.reason
    results = send(zip_of({"DICOMDIR": index.read_bytes(), "IM1": to_bytes(make_instance())}))
    assert [r.outcome for r in results] == [SKIPPED, STORED]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"", "empty file", id="empty"),
        pytest.param(PNG, "PNG", id="png"),
        pytest.param(b"\xff\xd8\xff\xe0" + bytes(50), "JPEG", id="jpeg"),
        pytest.param(b"%PDF-1.7\n", "PDF", id="pdf"),
        pytest.param("Befund: unauffällig\n".encode() * 9, "text", id="text"),
        pytest.param("é".encode() * filetypes.HEAD_BYTES, "text", id="text-cut-in-a-character"),
        pytest.param(b"<!DOCTYPE html><html>", "HTML", id="html"),
        pytest.param(b"<?xml version='1.0'?><a/>", "XML", id="xml"),
        pytest.param(b"<?xml version='1.0'?><svg xmlns=''/>", "SVG", id="svg"),
        pytest.param(b'{"a": 1}', "JSON or text", id="json"),
        pytest.param(b"MZ\x90\x00" + bytes(500), "program", id="exe"),
        pytest.param(b"\x7fELF" + bytes(500), "program", id="elf"),
        pytest.param(b"PK\x03\x04" + bytes(26) + b"[Content_Types].xml", "Office", id="docx"),
        pytest.param(b"\x00\x00\x00\x18ftypmp42" + bytes(99), "video", id="mp4"),
        pytest.param(bytes(344) + b"n+1\x00", "NIfTI", id="nifti"),
        pytest.param(b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0" + bytes(99), "BMP", id="bmp"),
        pytest.param(b"Rar!\x1a\x07\x01" + bytes(99), "RAR archive", id="rar"),
    ],
)
def test_what_is_not_dicom_is_named(send: Any, content: bytes, words: str) -> None:
    [result] = send(content, "claims-to-be.dcm")
    assert result.outcome is REFUSED
    assert isinstance(result.error, NotDicomError)
    assert f"not DICOM ({words}" in result.reason


def test_unknown_bytes_get_the_readers_words(send: Any) -> None:
    [result] = send(bytes(range(256)) * 20)
    assert result.outcome is REFUSED
    assert "not a DICOM file" in result.reason


@pytest.mark.parametrize("preamble", [b"MZ", b"II*\x00", b"<html>", b"PK\x03\x04"])
def test_a_preamble_of_another_format_is_still_dicom(send: Any, preamble: bytes) -> None:
    ds = make_instance()
    ds.preamble = preamble.ljust(128, b" ")
    [result] = send(to_bytes(ds))
    assert result.outcome is STORED


def test_a_bare_data_set_is_not_taken_for_something_else(send: Any) -> None:
    content = to_bytes(make_instance())
    meta_end = 144 + struct.unpack_from("<I", content, 140)[0]
    [result] = send(content[meta_end:])
    assert result.outcome is STORED


def test_the_role_and_the_facility_decide(
    store: Path, facility: Facility, other_facility: Facility
) -> None:
    content = to_bytes(make_instance())
    viewer = actor_of(factories.user("vic", Role.VIEWER, [facility]))
    stranger = actor_of(factories.user("sue", Role.TECHNOLOGIST, [other_facility]))
    for actor in (viewer, stranger):
        with pytest.raises(ForbiddenError, match="North Clinic"):
            upload.ingest_upload(actor, facility, "a", io.BytesIO(content))
    assert not DicomImage.objects.exists()


def test_a_stream_that_cannot_seek_will_do(store: Path, actor: Actor, facility: Facility) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: int) -> int:
            raise io.UnsupportedOperation

    content = zip_of({"IM1": to_bytes(make_instance())})
    [result] = upload.ingest_upload(actor, facility, "z.zip", Pipe(content))
    assert result.outcome is STORED
    assert spool_is_empty(store)


# Damaged and hostile archives ------------------------------------------------------------------


def test_a_damaged_archive_is_one_refusal(send: Any) -> None:
    content = zip_of({"IM1": to_bytes(make_instance())})
    for broken in (content[:-30], content[:200], b"PK\x03\x04" + bytes(100)):
        [result] = send(broken, "z.zip")
        assert result.outcome is REFUSED
        assert "damaged or incomplete" in result.reason
    assert not DicomImage.objects.exists()


def test_an_archive_without_files_says_so(send: Any) -> None:
    for content in (zip_of({}), zip_of({".DS_Store": b"x"})):
        [result] = send(content, "z.zip")
        assert result.outcome is REFUSED
        assert "holds no files" in result.reason


def test_a_member_with_a_wrong_checksum_is_not_stored(store: Path, send: Any) -> None:
    good = to_bytes(make_instance())
    bad = to_bytes(make_instance())
    content = bytearray(zip_of({"bad": bad, "good": good}, zipfile.ZIP_STORED))
    at = content.find(bad) + len(bad) - 10
    content[at] ^= 0xFF

    results = send(bytes(content), "z.zip")

    assert [r.outcome for r in results] == [REFUSED, STORED]
    assert "damaged inside the archive" in results[0].reason
    assert DicomImage.objects.count() == 1
    assert spool_is_empty(store)


def test_a_member_with_broken_compression_is_refused(send: Any) -> None:
    payload = to_bytes(make_instance())
    content = bytearray(zip_of({"bad": payload}))
    content[60:400] = b"\xff" * 340
    [result] = send(bytes(content), "z.zip")
    assert result.outcome is REFUSED
    assert "damaged inside the archive" in result.reason


def test_a_password_and_foreign_methods_are_named(send: Any) -> None:
    payload = to_bytes(make_instance())
    content = bytearray(zip_of({"IM1": payload}))
    for signature, flag_at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.find(signature) + flag_at] |= 1
    [locked] = send(bytes(content), "z.zip")
    assert "password" in locked.reason
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        [result] = send(zip_of({"IM1": payload}, method), "z.zip")
        assert result.outcome is REFUSED
        assert "deflate" in result.reason


def test_too_many_members(send: Any, settings: Any) -> None:
    settings.MAX_ARCHIVE_MEMBERS = 5
    assert len(send(zip_of({f"{n}.png": PNG for n in range(5)}))) == 5
    [result] = send(zip_of({f"{n}.png": PNG for n in range(6)}))
    assert isinstance(result.error, TooLargeError)
    assert "more than 5 files" in result.reason


def test_the_unpacked_size_is_limited(send: Any, settings: Any) -> None:
    settings.MAX_ARCHIVE_BYTES = 3 * 2**20
    [result] = send(zip_of({f"{n}": bytes(2**20) for n in range(4)}))
    assert isinstance(result.error, TooLargeError)
    assert "unpacks to 4 MiB; at most 3 MiB" in result.reason


def test_a_member_past_the_size_of_an_instance_is_refused_alone(send: Any, settings: Any) -> None:
    settings.MAX_INSTANCE_BYTES = 20_000
    small = to_bytes(make_instance())
    big = to_bytes(make_instance()) + bytes(20_000)
    results = send(zip_of({"big": big, "small": small}))
    assert [r.outcome for r in results] == [REFUSED, STORED]
    assert isinstance(results[0].error, TooLargeError)


def bomb(members: int, member_bytes: int) -> bytes:
    """Many members over ONE compressed block: the overlapping bomb; a few kB claim many GiB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = b"".join(packer.compress(bytes(2**20)) for _ in range(member_bytes // 2**20))
    block += packer.flush()
    crc = 0
    for _ in range(member_bytes // 2**20):
        crc = zlib.crc32(bytes(2**20), crc)
    sizes = struct.pack("<III", crc, len(block), member_bytes)
    local = b"PK\x03\x04" + struct.pack("<5H", 20, 0, 8, 0, 0) + sizes + struct.pack("<2H", 1, 0)
    body = local + b"a" + block
    entry = b"PK\x01\x02" + struct.pack("<6H", 20, 20, 0, 8, 0, 0) + sizes
    entry += struct.pack("<5HII", 1, 0, 0, 0, 0, 0, 0) + b"a"
    table = entry * members
    end = b"PK\x05\x06" + struct.pack("<4HIIH", 0, 0, members, members, len(table), len(body), 0)
    return body + table + end


def test_a_zip_bomb_costs_nothing(store: Path, send: Any) -> None:
    content = bomb(members=15, member_bytes=64 * 2**20)
    assert len(content) < 80_000
    tracemalloc.start()
    [result] = send(content, "bomb.zip")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(result.error, TooLargeError)
    assert "times its size" in result.reason
    assert peak < 16 * 2**20
    assert files_below(store) == []


def test_a_table_of_contents_of_a_million_entries_is_not_read(send: Any) -> None:
    entry = b"PK\x01\x02" + bytes(42)
    table = entry * 1_000_000
    end = b"PK\x05\x06" + struct.pack("<4HIIH", 0, 0, 0xFFFF, 0xFFFF, len(table), 0, 0)
    content = b"PK\x03\x04" + bytes(26)
    [result] = send(content + table + end, "z.zip")
    assert isinstance(result.error, TooLargeError)
    assert "more than 20000 files" in result.reason


def test_a_table_of_contents_that_lies_about_its_size_is_refused(send: Any) -> None:
    end = b"PK\x05\x06" + struct.pack("<4HIIH", 0, 0, 1, 1, 0xFFFFFF00, 0, 0)
    [result] = send(b"PK\x03\x04" + bytes(26) + end, "z.zip")
    assert result.outcome is REFUSED


def test_a_small_archive_of_blank_pictures_is_no_bomb(send: Any) -> None:
    import numpy as np

    blank = to_bytes(make_instance(np.zeros((2048, 2048), np.uint16)))
    content = zip_of({"IM1": blank})
    assert len(blank) / len(content) > 200
    [result] = send(content, "z.zip")
    assert result.outcome is STORED


def test_a_store_that_takes_nothing_stops_the_upload(
    store: Path, actor: Actor, facility: Facility
) -> None:
    store.mkdir(parents=True)
    (store / "spool").write_text("in the way")
    with pytest.raises(StoreUnavailableError, match="Try again later"):
        upload.ingest_upload(actor, facility, "a", io.BytesIO(to_bytes(make_instance())))


@pytest.fixture
def committed_actor(transactional_db: None, actor: Actor) -> Actor:
    return actor


@pytest.fixture
def several(
    store: Path, committed_actor: Actor, facility: Facility
) -> Callable[..., list[UploadResult]]:
    """Upload for real: not within a test's transaction, so that files are stored abreast."""

    def send_several(*contents: bytes) -> list[UploadResult]:
        files = [(f"{n}.dcm", io.BytesIO(content)) for n, content in enumerate(contents)]
        found = upload.ingest_uploads(committed_actor, facility, files)
        assert [len(results) for results in found] == [1] * len(contents)
        return [results[0] for results in found]

    return send_several


def test_bad_files_among_good_ones_harm_none(
    several: Callable[..., list[UploadResult]], store: Path
) -> None:
    study = make_instance().StudyInstanceUID
    good = [to_bytes(make_instance(StudyInstanceUID=study)) for _ in range(12)]
    foreign = to_bytes(make_instance(StudyInstanceUID=study, PatientID="SOMEBODY ELSE"))
    contents = [*good[:3], PNG, *good[3:6], good[6][:-40], *good[6:], foreign, b"", good[0]]

    results = several(*contents)

    expected = [STORED] * 3 + [REFUSED] + [STORED] * 3 + [REFUSED] + [STORED] * 7
    assert [r.outcome for r in results] == [*expected, REFUSED, DUPLICATE]
    assert [r.name for r in results] == [f"{n}.dcm" for n in range(len(contents))]
    assert DicomImage.objects.count() == 13
    assert {study.instance_count for study in Study.objects.filter(study_instance_uid=study)} == {
        13
    }
    assert spool_is_empty(store)
    assert AuditEvent.objects.get(verb="upload").detail["stored"] == 13


def test_of_two_files_with_one_uid_the_first_of_the_request_wins(
    several: Callable[..., list[UploadResult]], store: Path
) -> None:
    for _ in range(8):
        ds = make_instance()
        first = to_bytes(ds)
        ds.PatientComments = "changed"
        changed = to_bytes(ds)

        results = several(first, changed, first, changed)

        assert [r.outcome for r in results] == [STORED, CONFLICT, DUPLICATE, CONFLICT]
        kept = DicomImage.objects.get(sop_instance_uid=ds.SOPInstanceUID)
        assert b"changed" not in (store / kept.storage_key).read_bytes()


def test_a_disk_that_fills_in_the_middle_puts_the_request_off_and_loses_nothing(
    several: Callable[..., list[UploadResult]], store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = [to_bytes(make_instance()) for _ in range(40)]
    room = threading.Semaphore(5)
    put = FileSystemStore.put
    tried: list[str] = []

    def fill(self: FileSystemStore, source: Path, key: str) -> str:
        tried.append(key)
        if not room.acquire(blocking=False):
            raise BlobStoreUnavailableError("The store cannot take files now: full.")
        return put(self, source, key)

    with monkeypatch.context() as full:
        full.setattr(FileSystemStore, "put", fill)
        with pytest.raises(StoreUnavailableError, match="Send again later"):
            several(*contents)
    assert DicomImage.objects.count() == 5
    assert len(tried) < len(contents)
    assert spool_is_empty(store)

    results = several(*contents)

    assert {r.outcome for r in results} == {STORED, DUPLICATE}
    assert DicomImage.objects.count() == len(files_below(store)) == 40
