"""Offline images that are refused: fields, steps out of order, other bytes than announced.

What goes well is in test_offline_images.py."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pytest

from archive.models import InstanceConflict, UploadLog
from orders.models import StudyMatch
from radiology.models import OfflineImage
from tests.dicom import make_instance, to_bytes
from tests.doors.ehr.offline import (
    BASE,
    METADATA,
    Sender,
    dicom,
    picture,
)
from tests.sidecar import assert_problem
from worklist.models import DicomImage

pytestmark = pytest.mark.django_db(transaction=True)


def test_steps_out_of_order_are_refused(sender: Sender) -> None:
    content = dicom()
    body = sender.body(content)
    assert_problem(sender.send(body, content), 409, "metadata come first")
    assert_problem(sender.ask(body), 404)
    sender.announce(body)
    assert_problem(sender.ask(body), 409, "Nothing was stored")
    assert not DicomImage.objects.exists()


FIELDS = ["image_uuid", "radiology_order_id", "filename", "file_size", "mime_type", "checksum",
          "image_metadata"]  # fmt: skip


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_is_needed(sender: Sender, name: str) -> None:
    body = sender.body(dicom())
    del body[name]
    assert_problem(sender.announce(body), 422, name)
    assert not OfflineImage.objects.exists()


@pytest.mark.parametrize("name", ["study_uid", "series_uid", "image_uid"])
def test_every_uid_is_needed_and_lawful(sender: Sender, name: str) -> None:
    body = sender.body(dicom())
    for wrong in ("1.02.3", "../../etc", "1" * 65, "", "x" * 200):
        body["image_metadata"][name] = wrong
        assert_problem(sender.announce(body), 422, name)
    del body["image_metadata"][name]
    assert_problem(sender.announce(body), 422, name)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"checksum": "a1b2c3"}, 422),
        ({"file_size": 0}, 422),
        ({"file_size": 2**60}, 422),
        ({"mime_type": "application/pdf"}, 422),
        ({"image_uuid": "1.2.3"}, 422),
        ({"radiology_order_id": 123}, 404),
        ({"radiology_order_id": "0197f0c4-0000-7000-8000-000000000000"}, 404),
        ({"filename": ""}, 422),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else str(value),
)
def test_values_that_cannot_be_are_refused(
    sender: Sender, change: dict[str, Any], status: int
) -> None:
    answer = sender.announce(sender.body(dicom(), **change))
    if change.get("file_size") == 2**60:
        status = 413
    assert_problem(answer, status)
    assert not OfflineImage.objects.exists()


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_a_number_that_no_database_keeps_is_refused(sender: Sender, number: str) -> None:
    body = sender.body(dicom(), image_metadata={"dose": 0.125})
    text = json.dumps(body).replace("0.125", number)
    answer = sender.caller.post(METADATA, content=text)
    assert_problem(answer, 422, "image_metadata")
    assert not OfflineImage.objects.exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("modality", "not a code at all"), ("modality", 7), ("laterality", "B"),
        ("series_number", "one"), ("instance_number", 2**40), ("study_date", "yesterday"),
        ("study_description", "x" * 65), ("series_description", "a\\b"),
        ("body_part_examined", "line\nbreak"),
    ],
)  # fmt: skip
def test_what_dicom_has_no_room_for_is_refused_at_once(
    sender: Sender, name: str, value: Any
) -> None:
    content = picture()
    body = sender.body(content, "image/png", image_metadata={name: value})
    assert_problem(sender.announce(body), 422, f"image_metadata.{name}")


def test_what_an_object_says_itself_is_not_asked_of_its_sender(sender: Sender) -> None:
    said = {"modality": "not a code at all", "series_number": "one", "study_description": "x" * 99}
    done = sender.through(dicom(), image_metadata=said)
    assert DicomImage.objects.get(pk=done["id"]).series.modality == "CT"


def test_an_object_comes_for_a_facility_without_an_order(sender: Sender) -> None:
    content = dicom()
    alone = {"radiology_order_id": None, "facility": "NORTH"}
    done = sender.through(content, **alone)
    assert done["status"] == "ACK_RECEIVED"
    assert done["radiology_order_id"] is None
    assert done["receipt"]["facility"] == "NORTH"
    assert DicomImage.objects.get(pk=done["id"]).series.study.facility.code == "NORTH"
    assert not StudyMatch.objects.filter(state="linked").exists()


@pytest.mark.parametrize(
    ("mime_type", "change", "status", "words"),
    [
        ("application/dicom", {"radiology_order_id": None}, 422, "facility"),
        ("application/dicom", {"radiology_order_id": "", "facility": "NORTH"}, 422, "empty"),
        ("application/dicom", {"radiology_order_id": None, "facility": "SOUTH"}, 403, "SOUTH"),
        ("image/png", {"radiology_order_id": None, "facility": "NORTH"}, 422, "whose it is"),
    ],
    ids=["no-facility", "empty", "foreign", "picture"],
)
def test_without_an_order_something_else_says_whose_it_is(
    sender: Sender, mime_type: str, change: dict[str, Any], status: int, words: str
) -> None:
    content = dicom() if mime_type == "application/dicom" else picture()
    assert_problem(sender.announce(sender.body(content, mime_type, **change)), status, words)
    assert not OfflineImage.objects.exists()


def test_other_bytes_than_announced_are_refused(sender: Sender) -> None:
    content = dicom()
    body = sender.body(content)
    sender.announce(body)
    flipped = content[:-1] + bytes([content[-1] ^ 1])
    assert_problem(sender.send(body, flipped), 422, "checksum")
    assert_problem(sender.send(body, content[:-2]), 422, "bytes")
    assert_problem(sender.send(body, content + b"more"), 422, "bytes")
    assert not DicomImage.objects.exists()
    assert sender.caller.get(f"{BASE}/offline-images/{body['image_uuid']}/").json()["status"] == (
        "METADATA_UPLOADED"
    )
    assert sender.send(body, content).status_code == 200
    for other in (flipped, content[:-2], content + b"more"):
        assert_problem(sender.send(body, other), 409, "other bytes")


def test_what_was_announced_does_not_change(sender: Sender) -> None:
    body = sender.body(dicom())
    sender.announce(body)
    assert_problem(sender.announce(body | {"filename": "other.dcm"}), 409, "other values")
    assert_problem(sender.announce(body | {"checksum": "0" * 64}), 409, "other values")


def test_one_image_uid_has_one_content(sender: Sender) -> None:
    ds = make_instance(np.zeros((8, 8), np.uint16), PatientID="TEST001")
    sender.through(to_bytes(ds))
    ds.PixelData = b"\1" * 128
    other = to_bytes(ds)
    body = sender.body(other)
    sender.announce(body)
    assert_problem(sender.send(body, other), 409, "kept aside")
    assert InstanceConflict.objects.count() == 1
    assert_problem(sender.ask(body), 409)
    first, second = picture(), picture(size=13)
    sender.through(first, "image/png")
    body = sender.body(second, "image/png")
    sender.announce(body)
    assert_problem(sender.send(body, second), 409, "kept aside")


def test_a_file_has_the_uids_that_were_announced(sender: Sender) -> None:
    content = dicom()
    for name in ("study_uid", "series_uid", "image_uid"):
        body = sender.body(content, image_metadata={name: "1.2.3.99"})
        sender.announce(body)
        assert_problem(sender.send(body, content), 422, name)
    assert not DicomImage.objects.exists()


def test_a_file_is_what_it_was_announced_as(sender: Sender) -> None:
    for content, mime_type, status in (
        (picture(), "image/jpeg", 422),
        (dicom(), "image/png", 422),
        (b"GIF89a", "image/png", 422),
        (b"no DICOM at all, but text", "application/dicom", 415),
    ):
        body = sender.body(dicom()) | {
            "mime_type": mime_type,
            "file_size": len(content),
            "checksum": hashlib.sha256(content).hexdigest(),
        }
        sender.announce(body)
        assert_problem(sender.send(body, content), status, "Nothing was stored")
    assert not DicomImage.objects.exists()
    assert {row.action for row in UploadLog.objects.all()} == {"failed"}
