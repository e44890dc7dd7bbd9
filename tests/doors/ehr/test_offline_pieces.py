"""Offline images whose files came in pieces: stored by their own step, if they are one's own."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from django.conf import settings as django_settings

from accounts.models import Role
from archive import runner
from tests import factories
from tests.doors.ehr.offline import BINARY, Sender, dicom
from tests.sidecar import Caller, Sidecar, assert_problem
from worklist.models import DicomImage, Facility

pytestmark = pytest.mark.django_db(transaction=True)

UPLOADS = "/api/v1/dicom/uploads"
PIECE = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}


def in_pieces(caller: Caller, content: bytes, *, concat: str = "partial") -> str:
    """Send a file as tus clients do; returns the address of the upload."""
    head = {"Tus-Resumable": "1.0.0", "Upload-Length": str(len(content))}
    if concat:
        head["Upload-Concat"] = concat
    where = caller.post(UPLOADS, headers=head).headers["location"]
    half = len(content) // 2
    for start, part in ((0, content[:half]), (half, content[half:])):
        headers = PIECE | {"Upload-Offset": str(start)}
        answer = caller.request("PATCH", where, content=part, headers=headers)
        assert answer.status_code == 204, answer.text
    return str(where)


def hand_in(caller: Caller, body: Any, upload: str) -> httpx.Response:
    return caller.post(BINARY, data={"image_uuid": body["image_uuid"], "upload": upload})


def test_a_file_that_came_in_pieces_is_stored_by_its_own_step(
    sender: Sender, caller: Caller
) -> None:
    content = dicom()
    body = sender.body(content)
    where = in_pieces(caller, content)
    assert_problem(hand_in(caller, body, where), 404, "Upload its metadata first")
    assert sender.announce(body).status_code == 200
    runner.drain()
    assert not DicomImage.objects.exists()  # pieces are stored by this step alone
    stored = hand_in(caller, body, where)
    assert stored.status_code == 200, stored.text
    assert stored.json()["status"] == "BINARY_UPLOADED"
    # Its answer was lost: asked again, it says the same, and the pieces are gone.
    again = hand_in(caller, body, where)
    assert (again.status_code, again.json() | {"warning": None}) == (200, stored.json())
    assert caller.get(where).status_code == 404
    assert list((django_settings.DICOM_ROOT / "uploads").iterdir()) == []
    assert sender.ask(body).json()["receipt"]["checksum"] == body["checksum"]
    assert DicomImage.objects.get().sop_instance_uid == body["image_metadata"]["image_uid"]


def test_wrong_pieces_are_refused_and_not_kept(sender: Sender, caller: Caller) -> None:
    content = dicom()
    body = sender.body(content)
    sender.announce(body)
    where = in_pieces(caller, content[:-1] + bytes([content[-1] ^ 1]))
    assert_problem(hand_in(caller, body, where), 422, "checksum")
    assert caller.get(where).status_code == 404
    assert not DicomImage.objects.exists()
    assert_problem(hand_in(caller, body, where), 404, "Begin a new one")
    assert_problem(hand_in(caller, body, "nowhere"), 404, "no upload of this site")
    assert hand_in(caller, body, in_pieces(caller, content)).status_code == 200


def test_only_ones_own_whole_pieces_are_taken(
    sender: Sender, caller: Caller, sidecar: Sidecar, facility: Facility
) -> None:
    content = dicom()
    body = sender.body(content)
    sender.announce(body)
    whole = in_pieces(caller, content, concat="")
    assert_problem(hand_in(caller, body, whole), 409, "partial")
    begun = caller.post(
        UPLOADS,
        headers={"Tus-Resumable": "1.0.0", "Upload-Length": "9", "Upload-Concat": "partial"},
    ).headers["location"]
    assert_problem(hand_in(caller, body, begun), 409, "not complete")
    other = sidecar.by_token(factories.user("theo", Role.TECHNOLOGIST, [facility]))
    theirs = in_pieces(other, content)
    assert_problem(hand_in(caller, body, theirs), 403, "somebody else's")
    assert other.get(theirs).status_code == 200
    assert not DicomImage.objects.exists()
