"""Uploads in pieces (tus 1.0): the protocol, word by word. A foreign client is in tests/flows."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from accounts.models import Role, User
from archive import access, resumable, runner, stores
from archive.models import AuditEvent, OutboxEvent, ResumableUpload
from notifications import feed
from orders.models import Order
from tests import factories
from tests.codestreams import noise
from tests.dicom import make_instance, to_bytes
from tests.sidecar import Caller, Sidecar, assert_problem
from worklist.models import DicomImage, Facility, Study

pytestmark = pytest.mark.django_db(transaction=True)
UPLOADS = "/api/v1/dicom/uploads"
TUS = {"Tus-Resumable": "1.0.0"}
PIECE = TUS | {"Content-Type": "application/offset+octet-stream"}


def encoded(**values: str) -> str:
    return ",".join(f"{k} {base64.b64encode(v.encode()).decode()}" for k, v in values.items())


def begin(caller: Caller, length: int, content: bytes = b"", **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    kind = PIECE if content else TUS
    return caller.post(
        UPLOADS, content=content, headers=kind | {"Upload-Length": str(length)} | named
    )


def begun(caller: Caller, length: int, **headers: str) -> str:
    answer = begin(caller, length, **headers)
    assert answer.status_code == 201, answer.text
    return str(answer.headers["location"])


def piece(caller: Caller, where: str, offset: int, content: bytes, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return caller.request(
        "PATCH", where, content=content, headers=PIECE | {"Upload-Offset": str(offset)} | named
    )


def offset_of(caller: Caller, where: str) -> int:
    answer = caller.request("HEAD", where, headers=TUS)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    return int(answer.headers["upload-offset"])


def checksum(content: bytes, algorithm: str = "sha1") -> str:
    digest = hashlib.new(algorithm, content).digest()
    return f"{algorithm} {base64.b64encode(digest).decode()}"


def files_of(store: Path) -> list[Path]:
    folder = store / "uploads"
    return sorted(folder.iterdir()) if folder.is_dir() else []


def stored_as(content: bytes) -> bool:
    """Whether the only instance is this file, under a header of the archive's."""
    image = DicomImage.objects.get()
    with stores.instances().open(image.storage_key) as file:
        data_set = file.read()[image.data_set_offset :]
    return content.endswith(data_set)


@pytest.fixture
def content() -> bytes:
    return to_bytes(make_instance(noise(32, 32), PatientID="TEST001"))


# One file ---------------------------------------------------------------------------------------


def test_a_file_comes_in_pieces_and_is_stored(
    caller: Caller, store: Path, content: bytes, tech: User
) -> None:
    name = encoded(filename="a.dcm", filetype="application/dicom")
    where = begun(caller, len(content), Upload_Metadata=name)
    assert offset_of(caller, where) == 0
    half = len(content) // 2
    first = piece(caller, where, 0, content[:half])
    assert (first.status_code, first.headers["upload-offset"]) == (204, str(half))
    assert first.headers["tus-resumable"] == "1.0.0"
    assert first.headers["upload-expires"].endswith("GMT")
    assert offset_of(caller, where) == half
    assert caller.get(where).json()["state"] == "receiving"
    last = piece(caller, where, half, content[half:])
    assert (last.status_code, last.headers["upload-offset"]) == (204, str(len(content)))
    assert caller.get(where).json()["state"] == "processing"
    runner.drain()
    document = caller.get(where).json()
    assert (document["state"], document["offset"]) == ("stored", len(content))
    assert document["filename"] == "a.dcm"
    (result,) = document["result"]["results"]
    assert (result["status"], result["filename"]) == ("uploaded", "a.dcm")
    assert stored_as(content)
    assert not files_of(store)
    event = AuditEvent.objects.get(verb="upload")
    assert (event.actor, event.user_id) == ("tess", tech.pk)
    messages = feed.translate(OutboxEvent.objects.filter(kind="upload.progress").order_by("pk"))
    assert [(m.message["state"], m.message["offset"]) for m in messages] == [
        ("receiving", half),
        ("processing", len(content)),
        ("stored", len(content)),
    ]
    assert {m.user_id for m in messages} == {tech.pk}


def test_the_first_piece_comes_with_the_creation(caller: Caller, content: bytes) -> None:
    answer = begin(caller, len(content), content[:100])
    assert (answer.status_code, answer.headers["upload-offset"]) == (201, "100")
    assert piece(caller, answer.headers["location"], 100, content[100:]).status_code == 204
    whole = begin(caller, len(content), content)
    assert whole.headers["upload-offset"] == str(len(content))
    runner.drain()
    assert DicomImage.objects.count() == 1
    assert caller.get(whole.headers["location"]).json()["result"]["duplicates"] == 1


def test_a_zip_and_its_order(
    caller: Caller, order: dict[str, Any], patient: dict[str, Any]
) -> None:
    uids = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.1", "PatientID": "TEST001"}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number in range(3):
            ds = make_instance(noise(8, 8, number), InstanceNumber=number, **uids)
            archive.writestr(f"{number}.dcm", to_bytes(ds))
        archive.writestr("other.dcm", to_bytes(make_instance(noise(8, 8), PatientID="P9")))
    body = packed.getvalue()
    said = encoded(filename="study.zip", order_id=order["id"], patient_id=patient["id"])
    where = begin(caller, len(body), body, Upload_Metadata=said).headers["location"]
    runner.drain()
    result = caller.get(where).json()["result"]
    assert (result["successful"], result["failed"], result["order_id"]) == (3, 1, order["id"])
    assert Order.objects.get().study_instance_uid == "1.2.3"
    assert Study.objects.get().instance_count == 3


def test_what_is_no_dicom_is_refused_in_words(caller: Caller, store: Path) -> None:
    where = begin(caller, 5, b"hello").headers["location"]
    empty = begun(caller, 0)
    runner.drain()
    for address in (where, empty):
        document = caller.get(address).json()
        assert (document["state"], document["result"]["failed"]) == ("failed", 1)
        assert "not DICOM" in document["result"]["results"][0]["detail"]
    assert not files_of(store)
    assert_problem(piece(caller, where, 5, b""), 409, "complete")


def test_a_job_that_is_done_twice_stores_once(caller: Caller, content: bytes) -> None:
    where = begin(caller, len(content), content).headers["location"]
    runner.drain()
    from orders import intake_jobs

    intake_jobs.finish_upload(where.rpartition("/")[2])
    assert DicomImage.objects.count() == 1
    ResumableUpload.objects.update(state="processing")
    path = resumable.path_of(ResumableUpload.objects.get().pk)
    path.write_bytes(content)  # killed between storing and saying so
    intake_jobs.finish_upload(where.rpartition("/")[2])
    assert caller.get(where).json()["result"]["duplicates"] == 1
    assert DicomImage.objects.count() == 1


# Pieces that do not fit -------------------------------------------------------------------------


def test_pieces_at_another_place_change_nothing(caller: Caller, content: bytes) -> None:
    where = begun(caller, len(content))
    assert piece(caller, where, 0, content[:50]).status_code == 204
    for offset in (0, 49, 51, len(content)):
        assert_problem(piece(caller, where, offset, b"x"), 409, "at 50 bytes")
    assert_problem(piece(caller, where, 50, content[50:] + b"x"), 413, "More bytes")
    assert offset_of(caller, where) == 50
    assert piece(caller, where, 50, content[50:]).status_code == 204
    runner.drain()
    assert DicomImage.objects.count() == 1


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "md5"])
def test_a_piece_with_a_wrong_checksum_does_not_count(
    caller: Caller, content: bytes, algorithm: str
) -> None:
    where = begun(caller, len(content))
    wrong = piece(caller, where, 0, content, Upload_Checksum=checksum(b"other", algorithm))
    assert wrong.status_code == 460
    assert wrong.json()["detail"].startswith("The checksum")
    assert offset_of(caller, where) == 0
    right = piece(caller, where, 0, content, Upload_Checksum=checksum(content, algorithm))
    assert right.status_code == 204
    runner.drain()
    assert DicomImage.objects.count() == 1


def test_what_was_not_counted_is_cut_off(caller: Caller, content: bytes) -> None:
    where = begun(caller, len(content))
    assert piece(caller, where, 0, content[:100]).status_code == 204
    path = resumable.path_of(ResumableUpload.objects.get().pk)
    path.write_bytes(content[:100] + b"left by a killed process" * 1000)
    assert offset_of(caller, where) == 100
    assert piece(caller, where, 100, content[100:]).status_code == 204
    assert path.read_bytes() == content
    runner.drain()
    assert stored_as(content)


def test_two_senders_do_not_write_at_once(caller: Caller, tech: User, content: bytes) -> None:
    where = begun(caller, len(content))
    row = ResumableUpload.objects.get()
    other = resumable.append(access.actor_of(tech), row.pk, 0)
    assert_problem(piece(caller, where, 0, content), 409, "Another request")
    other.write(content[:10])
    other.keep()
    other.close()
    assert offset_of(caller, where) == 10
    assert piece(caller, where, 10, content[10:]).status_code == 204


# Parts ------------------------------------------------------------------------------------------


def test_parts_are_joined_in_their_order(caller: Caller, store: Path, content: bytes) -> None:
    cut = len(content) // 3
    halves = [content[:cut], content[cut:]]
    parts = [begun(caller, len(half), Upload_Concat="partial") for half in halves]
    joined = {"Upload-Concat": f"final;{parts[0]} http://testserver{parts[1]}"}
    assert_problem(caller.post(UPLOADS, headers=TUS | joined), 409, "not complete")
    for where, half in reversed(list(zip(parts, halves, strict=True))):
        assert piece(caller, where, 0, half).status_code == 204
    runner.drain()
    assert DicomImage.objects.count() == 0
    answer = caller.post(UPLOADS, headers=TUS | joined)
    assert (answer.status_code, answer.headers["upload-offset"]) == (201, str(len(content)))
    assert caller.request("HEAD", parts[0], headers=TUS).status_code == 404
    runner.drain()
    assert caller.get(answer.headers["location"]).json()["state"] == "stored"
    assert stored_as(content)
    assert not files_of(store)


def test_what_cannot_be_joined(caller: Caller, stranger: Caller, content: bytes) -> None:
    whole = begun(caller, len(content))
    part = begin(caller, 5, b"hello", Upload_Concat="partial").headers["location"]
    for concat, status in (
        (f"final;{whole}", 409),
        (f"final;{part} {part}", 422),
        ("final;", 422),
        ("final;nonsense", 404),
        ("final;/0197f0c4-0000-7000-8000-000000000000", 404),
        ("both", 422),
    ):
        answer = caller.post(UPLOADS, headers=TUS | {"Upload-Concat": concat})
        assert_problem(answer, status)
    answer = stranger.post(UPLOADS, headers=TUS | {"Upload-Concat": f"final;{part}"})
    assert_problem(answer, 403, "somebody else")


# Ends -------------------------------------------------------------------------------------------


def test_an_upload_is_taken_back(caller: Caller, store: Path, content: bytes) -> None:
    where = begun(caller, len(content))
    assert piece(caller, where, 0, content[:10]).status_code == 204
    assert len(files_of(store)) == 1
    assert caller.request("DELETE", where, headers=TUS).status_code == 204
    assert not files_of(store)
    assert_problem(piece(caller, where, 10, content[10:]), 404)
    assert_problem(caller.request("DELETE", where, headers=TUS), 404)


def test_an_upload_ends_when_nobody_goes_on(caller: Caller, store: Path, content: bytes) -> None:
    where = begun(caller, len(content))
    waiting = begin(caller, len(content), content).headers["location"]
    ResumableUpload.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert_problem(piece(caller, where, 0, content), 404, "expired")
    resumable.request_expiry()
    resumable.expire()
    # What is whole waits until it is stored, however long that takes.
    assert [str(row.pk) for row in ResumableUpload.objects.all()] == [waiting.rpartition("/")[2]]
    assert len(files_of(store)) == 1
    runner.drain()
    assert DicomImage.objects.count() == 1


# What the protocol asks of every answer -----------------------------------------------------------


def test_what_was_said_at_the_beginning_is_repeated(caller: Caller, content: bytes) -> None:
    said = f"{encoded(filename='a.dcm')},is_confidential"
    where = begun(caller, len(content), Upload_Metadata=said)
    head = caller.request("HEAD", where, headers=TUS)
    assert head.headers["upload-metadata"] == said
    assert "upload-concat" not in head.headers
    assert head.headers["cache-control"] == "no-store"
    part = begin(caller, 5, b"hello", Upload_Concat="partial").headers["location"]
    joined = TUS | {"Upload-Concat": f"final;{part}"}
    whole = caller.post(UPLOADS, headers=joined).headers["location"]
    head = caller.request("HEAD", whole, headers=TUS)
    assert head.headers["upload-concat"] == f"final;{part}"
    assert_problem(piece(caller, whole, 5, b"x"), 403, "joined of others")


def test_refusals_speak_the_protocol_too(sidecar: Sidecar, caller: Caller, content: bytes) -> None:
    where = begun(caller, len(content))
    refusals = [
        piece(caller, where, 3, b"x"),
        piece(caller, f"{UPLOADS}/x", 0, b"x"),
        begin(caller, 5, Upload_Length="x"),
        sidecar.nobody.request("PATCH", where, headers=PIECE),
    ]
    assert [answer.status_code for answer in refusals] == [409, 404, 422, 401]
    assert {answer.headers.get("tus-resumable") for answer in refusals} == {"1.0.0"}


def test_post_stands_for_methods_that_a_network_swallows(caller: Caller, content: bytes) -> None:
    where = begun(caller, len(content))

    def post(method: str, body: bytes = b"", **headers: str) -> Any:
        named = PIECE | {"X-HTTP-Method-Override": method} | headers
        return caller.post(where, content=body, headers=named)

    first = post("PATCH", content[:10], **{"Upload-Offset": "0"})
    assert (first.status_code, first.headers["upload-offset"]) == (204, "10")
    assert post("HEAD").headers["upload-offset"] == "10"
    assert_problem(post("PUT"), 405)
    assert_problem(caller.post(where, headers=TUS), 405)
    assert post("DELETE").status_code == 204
    assert caller.get(where).status_code == 404


# Words that make no sense -----------------------------------------------------------------------


def test_capabilities(caller: Caller, settings: Settings) -> None:
    answer = caller.request("OPTIONS", UPLOADS)
    assert answer.status_code == 204
    assert answer.headers["tus-version"] == "1.0.0"
    assert set(answer.headers["tus-extension"].split(",")) == {
        "creation", "creation-with-upload", "expiration", "termination", "checksum", "concatenation"
    }  # fmt: skip
    assert answer.headers["tus-max-size"] == str(settings.MAX_ARCHIVE_BYTES)
    assert answer.headers["tus-checksum-algorithm"] == "sha1,sha256,md5"


def test_requests_that_are_no_tus(caller: Caller, content: bytes) -> None:
    where = begun(caller, len(content))
    for method, path in (("POST", UPLOADS), ("PATCH", where)):
        answer = caller.request(method, path, headers={"Upload-Length": "5"})
        assert_problem(answer, 412, "Tus-Resumable")
        assert answer.headers["tus-version"] == "1.0.0"
    assert caller.request("HEAD", where, headers={"Tus-Resumable": "0.9"}).status_code == 412
    plain = caller.request("PATCH", where, content=b"x", headers=TUS | {"Upload-Offset": "0"})
    assert_problem(plain, 415, "offset+octet-stream")
    for bad in ("", "-1", "x", "1e3", "9" * 30):
        assert_problem(begin(caller, 5, Upload_Length=bad), 422, "Upload-Length")
        assert_problem(piece(caller, where, 0, b"x", Upload_Offset=bad), 422, "Upload-Offset")
    unknown = piece(caller, where, 0, b"x", Upload_Checksum="crc32 AAAA")
    assert_problem(unknown, 400, "sha1, sha256, md5")
    for bad in ("sha1 !!!", "sha1"):
        answer = piece(caller, where, 0, b"x", Upload_Checksum=bad)
        assert answer.status_code in (422, 460), bad
    for bad in ("filename !!!", "filename /w==", f"filename {'A' * 9000}", encoded(filename="a\0")):
        assert_problem(begin(caller, 5, Upload_Metadata=bad), 422, "Upload-Metadata")
    unknown = encoded(order_id="0197f0c4-0000-7000-8000-000000000000")
    assert_problem(begin(caller, 5, Upload_Metadata=unknown), 404, "order")
    assert offset_of(caller, where) == 0


def test_limits(caller: Caller, settings: Settings) -> None:
    settings.MAX_ARCHIVE_BYTES = 100
    assert_problem(begin(caller, 101), 413, "100 bytes")
    settings.MOST_RESUMABLE_UPLOADS = 2
    for _ in range(2):
        begun(caller, 100)
    assert_problem(begin(caller, 100), 409, "unfinished")


def test_uploads_are_their_sender_s(
    sidecar: Sidecar, caller: Caller, stranger: Caller, admin: Caller, content: bytes,
    facility: Facility,
) -> None:  # fmt: skip
    where = begun(caller, len(content))
    for other in (stranger, admin):
        assert_problem(other.get(where), 403, "somebody else")
        assert other.request("HEAD", where, headers=TUS).status_code == 403
        assert_problem(piece(other, where, 0, content), 403)
        assert_problem(other.request("DELETE", where, headers=TUS), 403)
    for name in ("0197f0c4-0000-7000-8000-000000000000", "x", "%2e%2e"):
        assert_problem(caller.get(f"{UPLOADS}/{name}"), 404)
        assert_problem(piece(caller, f"{UPLOADS}/{name}", 0, b"x"), 404)
    looker = sidecar.by_token(factories.user("vera", Role.VIEWER, [facility]))
    assert_problem(begin(looker, 5), 403, "role")
    assert_problem(begin(stranger, 5, Upload_Metadata=encoded(facility="NORTH")), 403)
    for method in ("POST", "OPTIONS"):
        assert_problem(sidecar.nobody.request(method, UPLOADS, headers=TUS), 401)
    for method in ("GET", "PATCH", "DELETE"):
        assert_problem(sidecar.nobody.request(method, where, headers=PIECE), 401)
