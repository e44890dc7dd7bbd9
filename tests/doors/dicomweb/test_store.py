"""STOW-RS in process: what is stored, what is refused with which reason, and what stays behind.

What a real client and a real server make of it is in test_store_process.py.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import httpx
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pytest_django import Settings

from accounts.models import Role, User
from archive import deletions
from archive.access import actor_of
from archive.models import AuditEvent, InstanceConflict
from fastapi_app.main import app
from tests import factories, stow
from tests.dicom import make_instance, to_bytes
from tests.sidecar import Caller, Sidecar, assert_problem
from tests.stow import FAILED, OTHER, STORED
from worklist.models import DicomImage, Facility, Study

pytestmark = pytest.mark.django_db(transaction=True)

STUDIES = "/dicom-web/studies"


@pytest.fixture
def sender(facility: Facility) -> User:
    return factories.user("tina", Role.TECHNOLOGIST, [facility])


@pytest.fixture
def caller(sidecar: Sidecar, sender: User) -> Caller:
    return sidecar.by_token(sender)


def instance(**keywords: Any) -> Dataset:
    return make_instance(np.arange(64, dtype=np.uint16).reshape(8, 8), **keywords)


def left_over(store: Path) -> list[str]:
    spool = store / "spool"
    return [path.name for path in spool.iterdir()] if spool.is_dir() else []


def stored_file(caller: Caller, image: DicomImage) -> bytes:
    return caller.get(f"/api/v1/dicom/image/{image.pk}/file").content


def test_instances_are_stored_and_told_with_their_addresses(
    caller: Caller, facility: Facility, store: Path
) -> None:
    study = generate_uid()
    one, other = instance(StudyInstanceUID=study), instance(StudyInstanceUID=study)
    answer = stow.send(caller, to_bytes(one), to_bytes(other))
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == stow.JSON
    assert stow.uids(answer, STORED) == [one.SOPInstanceUID, other.SOPInstanceUID]
    assert FAILED not in answer.json()
    url = f"http://testserver/dicom-web/studies/{study}"
    assert answer.json()[stow.URL] == {"vr": "UR", "Value": [url]}
    first = stow.items(answer, STORED)[0]
    assert first[stow.URL]["Value"] == [
        f"{url}/series/{one.SeriesInstanceUID}/instances/{one.SOPInstanceUID}"
    ]
    assert Study.objects.get(study_instance_uid=study).facility == facility
    assert left_over(store) == []
    event = AuditEvent.objects.get(verb="upload")
    assert (event.actor, event.target_id, event.detail["by"]) == ("tina", str(facility.pk), "stow")
    assert event.detail["stored"] == 2


def test_a_single_instance_needs_no_parts(caller: Caller) -> None:
    ds = instance()
    answer = caller.post(STUDIES, content=to_bytes(ds), headers={"Content-Type": stow.DICOM})
    assert answer.status_code == 200, answer.text
    assert stow.uids(answer, STORED) == [ds.SOPInstanceUID]


def test_the_answer_comes_as_xml_where_it_is_liked(caller: Caller) -> None:
    ds = instance()
    answer = stow.send(caller, to_bytes(ds), b"no dicom", accept=stow.XML)
    assert answer.status_code == 202
    assert answer.headers["content-type"] == stow.XML
    root = ET.fromstring(answer.content)  # noqa: S314 - our own answer
    names = {element.get("keyword"): element for element in root}
    assert set(names) == {"RetrieveURL", "ReferencedSOPSequence", "OtherFailuresSequence"}
    values = [value.text for value in names["ReferencedSOPSequence"].iter() if value.text]
    assert str(ds.SOPInstanceUID) in values


def test_who_leaves_in_the_middle_leaves_what_came_whole(caller: Caller, store: Path) -> None:
    one, other = instance(), instance()
    body = stow.parts((stow.DICOM, to_bytes(one)), (stow.DICOM, to_bytes(other)))
    # All of the first, which is far less than what is handled at a time, and a bit of the second.
    came = body[: body.index(str(other.SOPInstanceUID).encode())]
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": came, "more_body": True},
        {"type": "http.disconnect"},
    ]
    headers = {**caller.headers, "Content-Type": stow.related(), "Host": "testserver"}
    scope = {
        "type": "http",
        "method": "POST",
        "path": STUDIES,
        "query_string": b"",
        "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()],
        "client": ("192.0.2.1", 1),
        "server": ("testserver", 80),
        "scheme": "http",
    }

    async def receive() -> dict[str, Any]:
        return messages.pop(0) if len(messages) > 1 else messages[0]

    async def send(_: dict[str, Any]) -> None:
        """Nobody listens."""

    caller.portal.call(app, scope, receive, send)
    assert [image.sop_instance_uid for image in DicomImage.objects.all()] == [one.SOPInstanceUID]
    assert left_over(store) == []


def test_what_cannot_be_answered_is_not_stored(caller: Caller) -> None:
    assert_problem(stow.send(caller, to_bytes(instance()), accept="image/png"), 406)
    assert not DicomImage.objects.exists()


def test_the_same_again_is_success_and_one_copy(caller: Caller) -> None:
    file = to_bytes(instance())
    assert stow.send(caller, file).status_code == 200
    assert stow.send(caller, file, file).status_code == 200
    assert DicomImage.objects.count() == 1


def test_other_content_under_a_known_uid_is_kept_aside_and_told(caller: Caller) -> None:
    ds = instance()
    assert stow.send(caller, to_bytes(ds)).status_code == 200
    ds.PatientName = "Another^Anna"
    other = instance()
    answer = stow.send(caller, to_bytes(ds), to_bytes(other))
    assert answer.status_code == 202
    assert stow.uids(answer, STORED) == [other.SOPInstanceUID]
    assert stow.uids(answer, FAILED) == [ds.SOPInstanceUID]
    assert stow.reasons(answer) == [0x0111]
    assert InstanceConflict.objects.get().sop_instance_uid == ds.SOPInstanceUID
    assert stow.send(caller, to_bytes(ds)).status_code == 409


def test_what_was_deleted_is_refused_with_the_reason(caller: Caller, admin_user: User) -> None:
    ds = instance()
    assert stow.send(caller, to_bytes(ds)).status_code == 200
    study = Study.objects.get()
    deletions.delete_study(actor_of(admin_user), study.pk, "wrong patient")
    answer = stow.send(caller, to_bytes(ds))
    assert answer.status_code == 409
    assert stow.reasons(answer) == [0x0110]
    assert "Deleted here" in stow.comments(answer)[0]
    assert not DicomImage.objects.exists()


def test_instances_of_other_studies_than_the_addressed_one_are_refused(caller: Caller) -> None:
    mine, other = instance(), instance()
    answer = stow.send(caller, to_bytes(mine), to_bytes(other), study=mine.StudyInstanceUID)
    assert answer.status_code == 202
    assert stow.uids(answer, STORED) == [mine.SOPInstanceUID]
    assert stow.uids(answer, FAILED) == [other.SOPInstanceUID]
    assert stow.reasons(answer) == [0xA900]
    assert [image.sop_instance_uid for image in DicomImage.objects.all()] == [mine.SOPInstanceUID]
    alone = stow.send(caller, to_bytes(other), study=mine.StudyInstanceUID)
    assert alone.status_code == 409


SPOILT: tuple[tuple[Callable[[bytes], bytes], str, int], ...] = (
    (lambda _file: b"", OTHER, 0xC000),
    (lambda _file: b"GIF89a and so on", OTHER, 0xC000),
    # Cut off in the pixels, and in the header.
    (lambda file: file[:-20], FAILED, 0xC000),
    (lambda file: file[:600], FAILED, 0xC000),
    # A UID with a component that begins with zero.
    (lambda file: file.replace(b"3680043.8.498", b"3680043.8.098"), OTHER, 0xA900),
)


def test_bad_instances_are_told_apart_from_good_ones(caller: Caller, store: Path) -> None:
    for number, (spoil, tag, reason) in enumerate(SPOILT, start=1):
        good = instance()
        answer = stow.send(caller, spoil(to_bytes(instance())), to_bytes(good))
        assert answer.status_code == 202, answer.text
        assert stow.uids(answer, STORED) == [good.SOPInstanceUID]
        assert stow.reasons(answer, tag) == [reason]
        assert DicomImage.objects.count() == number
    assert left_over(store) == []


def test_parts_of_another_type_are_refused_by_name(caller: Caller) -> None:
    body = stow.parts(("image/png", b"x"), (stow.DICOM, to_bytes(instance())))
    answer = caller.post(STUDIES, content=body, headers={"Content-Type": stow.related()})
    assert answer.status_code == 202
    assert stow.reasons(answer, OTHER) == [0xC000]
    assert "image/png" in stow.comments(answer, OTHER)[0]


def test_too_large_instances_are_refused_and_the_next_one_is_taken(
    caller: Caller, settings: Settings, store: Path
) -> None:
    small = to_bytes(instance())
    settings.MAX_INSTANCE_BYTES = len(small)
    large = to_bytes(make_instance())
    answer = stow.send(caller, large, small)
    assert answer.status_code == 202
    assert stow.reasons(answer, OTHER) == [0xA700]
    alone = stow.send(caller, large)
    assert alone.status_code == 413
    assert left_over(store) == []


NO_REQUESTS: tuple[tuple[str, bytes, int, str], ...] = (
    ("multipart/related; type=application/dicom", b"x", 400, "boundary"),
    (stow.related(), b"", 400, "boundary"),
    (stow.related(), b"--frontier--\r\n", 400, "no instance"),
    (stow.related(), b"nothing of the kind", 400, "boundary"),
    ("multipart/form-data; boundary=frontier", b"x", 415, "multipart/related"),
    ("text/plain", b"x", 415, "multipart/related"),
    ("", b"x", 415, "multipart/related"),
    # Bulk data without metadata.
    (stow.related("image/jpeg"), b"x", 415, "application/dicom+json"),
)


def test_requests_that_are_none(caller: Caller) -> None:
    for content_type, content, status, words in NO_REQUESTS:
        answer = caller.post(STUDIES, content=content, headers={"Content-Type": content_type})
        assert_problem(answer, status, words)


def test_compressed_bodies_and_unlawful_addresses_are_refused(caller: Caller) -> None:
    headers = {"Content-Type": stow.related(), "Content-Encoding": "gzip"}
    assert_problem(caller.post(STUDIES, content=b"x", headers=headers), 415, "gzip")
    assert_problem(stow.send(caller, b"x", study="1.02"), 400, "UID")


def test_what_came_whole_before_the_body_broke_is_stored_and_told(
    caller: Caller, store: Path
) -> None:
    one, two = instance(), instance()
    body = stow.parts((stow.DICOM, to_bytes(one)), (stow.DICOM, to_bytes(two)))[:-100]
    answer = caller.post(STUDIES, content=body, headers={"Content-Type": stow.related()})
    assert answer.status_code == 202
    assert stow.uids(answer, STORED) == [one.SOPInstanceUID]
    assert stow.reasons(answer, OTHER) == [0x0110]
    assert [image.sop_instance_uid for image in DicomImage.objects.all()] == [one.SOPInstanceUID]
    assert left_over(store) == []


def test_a_body_that_stalls_is_given_up(
    caller: Caller, store: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.HTTP_BODY_TIMEOUT_S = 0.05
    one = instance()
    body = stow.parts((stow.DICOM, to_bytes(one)), (stow.DICOM, to_bytes(instance())))
    release = threading.Event()

    async def dribble() -> AsyncIterator[bytes]:
        yield body[:-100]
        import anyio

        while not release.is_set():  # the answer comes first
            await anyio.sleep(0.01)

    try:
        answer = caller.post(STUDIES, content=dribble(), headers={"Content-Type": stow.related()})
    finally:
        release.set()
    assert_problem(answer, 408)
    assert left_over(store) == []


def test_nobody_and_readers_store_nothing(
    sidecar: Sidecar, facility: Facility, other_facility: Facility, sender: User
) -> None:
    file = to_bytes(instance())
    assert_problem(stow.send(sidecar.nobody, file), 401)
    viewer = factories.user("vera", Role.VIEWER, [facility])
    assert_problem(stow.send(sidecar.by_token(viewer), file), 403)
    answer = stow.send(sidecar.by_token(sender), file, facility=other_facility.code)
    assert_problem(answer, 403, "SOUTH")
    cookie = sidecar.by_session(sender)
    assert_problem(stow.send(cookie, file), 403, "CSRF")
    assert not DicomImage.objects.exists()


def test_a_member_of_several_facilities_names_one(
    sidecar: Sidecar, facility: Facility, other_facility: Facility
) -> None:
    both = factories.user("bob", Role.TECHNOLOGIST, [facility, other_facility])
    caller = sidecar.by_token(both)
    file = to_bytes(instance())
    assert_problem(stow.send(caller, file), 422, "facility")
    assert stow.send(caller, file, facility="south").status_code == 200
    assert DicomImage.objects.get().facility == other_facility


def test_disk_full_is_told_and_nothing_is_stored(
    caller: Caller, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    real = os.write

    def full(descriptor: int, data: Any) -> int:
        if Path(f"/proc/self/fd/{descriptor}").readlink().is_relative_to(store):
            raise OSError(28, "No space left on device")
        return real(descriptor, data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        answer = stow.send(caller, to_bytes(instance()), to_bytes(instance()))
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert stow.reasons(answer, OTHER) == [0xA700, 0xA700]
    assert not DicomImage.objects.exists()
    assert left_over(store) == []
    assert stow.send(caller, to_bytes(instance())).status_code == 200


def test_many_senders_of_one_study_store_each_instance_once(
    caller: Caller, facility: Facility
) -> None:
    study, series = generate_uid(), generate_uid()
    files = [to_bytes(instance(StudyInstanceUID=study, SeriesInstanceUID=series)) for _ in range(6)]
    answers: list[httpx.Response] = []

    def store_all() -> None:
        answers.append(stow.send(caller, *files, study=study))

    senders = [threading.Thread(target=store_all) for _ in range(4)]
    for one in senders:
        one.start()
    for one in senders:
        one.join()
    assert [answer.status_code for answer in answers] == [200] * 4
    assert DicomImage.objects.count() == 6
    assert Study.objects.get().instance_count == 6


def test_private_transfer_syntaxes_and_odd_headers_come_back_byte_for_byte(
    caller: Caller, sidecar: Sidecar, radiologist: User
) -> None:
    ds = instance()
    file = to_bytes(ds)
    # Another preamble and another implementation in group 2: the data set is what counts.
    sent = b"II*\0" + file[4:]
    assert stow.send(caller, sent).status_code == 200
    got = stored_file(sidecar.by_token(radiologist), DicomImage.objects.get())
    at = file.index(b"\x08\x00\x16\x00UI")
    assert got[got.index(b"\x08\x00\x16\x00UI") :] == file[at:]
    assert got[:128] == bytes(128)
