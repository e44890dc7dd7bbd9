"""Offline images by HTTP: the three steps in their order and repeated; and links."""

from __future__ import annotations

import base64
import io
import json
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.conf import settings as django_settings
from django.utils import timezone
from pytest_django import Settings

from accounts.models import Role, User
from archive import conflicts, stores
from archive.access import actor_of
from archive.models import AuditEvent, InstanceConflict, UploadLog
from orders.models import StudyMatch
from radiology.models import OfflineImage
from tests import factories
from tests.dicom import make_instance, to_bytes
from tests.doors.ehr.offline import (
    BASE,
    Sender,
    dicom,
    path_of,
    picture,
)
from tests.sidecar import Caller, Sidecar, assert_problem
from worklist.models import DicomImage, Facility, Study

pytestmark = pytest.mark.django_db(transaction=True)


def test_three_steps_lead_to_a_receipt(sender: Sender, order: dict[str, Any]) -> None:
    content = dicom()
    body = sender.body(content)
    announced = sender.announce(body).json()
    assert announced["status"] == "METADATA_UPLOADED"
    assert announced["image_uuid"] == body["image_uuid"]
    assert announced["safe_to_delete"] is False
    assert not DicomImage.objects.exists()
    stored = sender.send(body, content).json()
    assert stored["status"] == "BINARY_UPLOADED"
    assert stored["safe_to_delete"] is False
    uids = body["image_metadata"]
    assert {name: stored[name] for name in uids} == uids
    assert stored["file_key"] == (
        f"radiology/{uids['study_uid']}/{uids['series_uid']}/{uids['image_uid']}/chest_xray.dcm"
    )
    image = DicomImage.objects.get(pk=stored["id"])
    assert image.sop_instance_uid == uids["image_uid"]
    acknowledged = sender.ask(body).json()
    assert acknowledged["status"] == "ACK_RECEIVED"
    assert acknowledged["safe_to_delete"] is True
    assert acknowledged["acknowledged_at"]
    assert acknowledged["receipt"]["checksum"] == body["checksum"]
    match = StudyMatch.objects.get()
    assert (str(match.order_id), match.state) == (order["id"], "linked")
    verbs = set(AuditEvent.objects.values_list("verb", flat=True))
    assert {"offline.announce", "offline.store", "offline.acknowledge"} <= verbs
    assert [row.action for row in UploadLog.objects.all()] == ["uploaded"]


def test_every_step_repeats_without_harm(sender: Sender) -> None:
    content = dicom()
    body = sender.body(content)
    for _ in range(2):
        assert sender.announce(body).json()["status"] == "METADATA_UPLOADED"
    stored = [sender.send(body, content).json() for _ in range(2)]
    assert stored[0] == stored[1]
    acknowledged = [sender.ask(body).json() for _ in range(2)]
    assert acknowledged[0] == acknowledged[1]
    # Whoever heard nothing begins again at the beginning.
    assert sender.announce(body).json() == acknowledged[0]
    assert sender.send(body, content).json()["receipt"] == acknowledged[0]["receipt"]
    assert sender.ask(body).json() == acknowledged[0]
    assert (DicomImage.objects.count(), OfflineImage.objects.count()) == (1, 1)
    assert UploadLog.objects.count() == 1


def test_an_answer_that_was_lost_before_the_state_moved_costs_nothing(sender: Sender) -> None:
    for content, mime_type in ((dicom(), "application/dicom"), (picture(), "image/png")):
        body = sender.body(content, mime_type)
        sender.announce(body)
        first = sender.send(body, content).json()
        OfflineImage.objects.filter(pk=body["image_uuid"]).update(
            state="METADATA_UPLOADED", image=None, stored_at=None
        )
        # What the order says has changed meanwhile.
        row = OfflineImage.objects.get(pk=body["image_uuid"])
        assert row.order is not None
        row.order.description = f"For {mime_type}"
        row.order.save()
        again = sender.send(body, content)
        assert again.json() == first
        assert not InstanceConflict.objects.exists()


@pytest.mark.parametrize(("kind", "mime_type"), [("PNG", "image/png"), ("JPEG", "image/jpeg")])
def test_pictures_become_images_of_the_order_and_come_back(
    sender: Sender, order: dict[str, Any], kind: str, mime_type: str
) -> None:
    content = picture(kind)
    said = {
        "study_uid": "8f06e605-e810-4418-85cb-6304772f152e",
        "series_uid": "d98553c6-4595-45ff-8adf-666daf4ad91a",
        "image_uid": "f23b2e7a-f916-4865-95ab-290eb39a296f",
        "study_description": "Chest X-Ray", "modality": "CR", "series_number": "1",
        "series_description": "PA View", "instance_number": 3, "device": {"any": "thing"},
    }  # fmt: skip
    done = sender.through(content, mime_type, filename="a b/ché.x", image_metadata=said)
    assert done["study_uid"] == f"2.25.{uuid.UUID(said['study_uid']).int}"
    assert done["file_key"].endswith("/ch_.x")
    study = Study.objects.get(study_instance_uid=done["study_uid"])
    assert study.patient_identifier == "TEST001"
    assert study.accession_number == order["accession_number"]
    assert (study.study_description, study.modality) == ("Chest X-Ray", "CR")
    image = DicomImage.objects.get(pk=done["id"])
    assert (image.rows, image.columns, image.instance_number) == (12, 12, 3)
    shown = sender.caller.get(f"/api/v1/dicom/image/{image.pk}/frames/1.png")
    assert shown.status_code == 200
    link = sender.caller.get(f"{BASE}/images/{image.pk}/url/").json()
    answer = sender.caller.as_().get(path_of(link["url"]))
    assert answer.content == content
    assert answer.headers["content-type"] == mime_type
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_dicom_file_comes_back_with_its_data_set(sender: Sender) -> None:
    content = dicom()
    done = sender.through(content)
    link = sender.caller.get(f"{BASE}/images/{done['id']}/url/").json()
    assert link["expires_in"] == 3600
    answer = sender.caller.as_().get(path_of(link["url"]))
    assert answer.status_code == 200
    ours, theirs = (pydicom.dcmread(io.BytesIO(one)) for one in (answer.content, content))
    assert ours == theirs
    start = content.index(b"\x08\x00\x16\x00UI")
    assert answer.content.endswith(content[start:])
    assert answer.headers["content-type"] == "application/dicom"


def test_a_study_shows_its_images_in_order(sender: Sender, order: dict[str, Any]) -> None:
    study = "1.2.9"
    for series, number in ((2, 1), (1, 10), (1, 2)):
        content = dicom(
            StudyInstanceUID=study, SeriesInstanceUID=f"1.2.9.{series}", SeriesNumber=series,
            InstanceNumber=number, SOPInstanceUID=f"1.2.9.{series}.{number}",
        )  # fmt: skip
        sender.through(
            content, filename=f"{series}-{number}.dcm",
            image_metadata={"visit_id": "V-1", "consultation_id": "C-1"},
        )  # fmt: skip
    document = sender.caller.get(f"{BASE}/studies/{study}/images/").json()
    assert document["study"]["study_uid"] == study
    assert document["study"]["order"] == {
        "id": order["id"], "accession_number": order["accession_number"],
        "description": order["description"], "visit_id": "V-1", "consultation_id": "C-1",
    }  # fmt: skip
    assert [one["series_uid"] for one in document["series"]] == ["1.2.9.1", "1.2.9.2"]
    first = document["series"][0]
    assert first["series_number"] == 1
    assert [one["instance_number"] for one in first["images"]] == [2, 10]
    assert first["images"][0]["file_key"] == "radiology/1.2.9/1.2.9.1/1.2.9.1.2/1-2.dcm"
    by_id = sender.caller.get(f"{BASE}/studies/{document['study']['id']}/images/").json()
    assert by_id == document
    viewer = sender.caller.get(f"{BASE}/studies/{study}/viewer-url/").json()
    assert study in viewer["url"]
    assert viewer["expires_in"] == 3600
    assert viewer["expires_at"]


def test_an_order_is_named_by_its_accession_number_too(
    sender: Sender, order: dict[str, Any]
) -> None:
    content = dicom()
    done = sender.through(content, radiology_order_id=order["accession_number"])
    assert done["radiology_order_id"] == order["id"]


def test_a_visit_is_one_patients(sender: Sender, caller: Caller) -> None:
    content = dicom()
    sender.through(content, image_metadata={"visit_id": "V-1"})
    other = caller.post(
        "/api/v1/patients", json={"first_name": "Eva", "last_name": "Roe", "mrn": "TEST002"}
    ).json()
    order = caller.post("/api/v1/orders", json={"patient_id": other["id"]}).json()
    theirs = Sender(caller, order["id"])
    body = theirs.body(dicom(), image_metadata={"visit_id": "V-1"})
    assert_problem(theirs.announce(body), 409, "another patient's")
    body = theirs.body(dicom(), image_metadata={"consultation_id": "C-1"})
    assert_problem(theirs.announce(body), 422, "visit_id")
    assert OfflineImage.objects.count() == 1


def test_another_patients_file_says_so(sender: Sender) -> None:
    content = to_bytes(make_instance(np.zeros((8, 8), np.uint16), PatientID="OTHER"))
    body = sender.body(content)
    sender.announce(body)
    assert "OTHER" in sender.send(body, content).json()["warning"]


def test_others_see_and_do_nothing(
    sender: Sender, stranger: Caller, sidecar: Sidecar, facility: Facility
) -> None:
    content = dicom()
    body = sender.body(content)
    theirs = Sender(stranger, sender.order_id)
    assert_problem(theirs.announce(body), 403)
    done = sender.through(content)
    body["image_uuid"] = done["image_uuid"]
    for answer in (
        theirs.send(body, content),
        theirs.ask(body),
        stranger.get(f"{BASE}/offline-images/{done['image_uuid']}/"),
        stranger.get(f"{BASE}/studies/{done['study_id']}/images/"),
        stranger.get(f"{BASE}/studies/{done['study_id']}/viewer-url/"),
        stranger.get(f"{BASE}/images/{done['id']}/url/"),
        stranger.get(f"{BASE}/images/{done['id']}/content/"),
    ):
        assert_problem(answer, 403)
    viewer = sidecar.by_token(factories.user("vera", Role.VIEWER, [facility]))
    looking = Sender(viewer, sender.order_id)
    assert_problem(looking.announce(sender.body(dicom())), 403)
    assert_problem(looking.send(body, content), 403)
    assert_problem(looking.ask(body), 403)
    assert viewer.get(f"{BASE}/studies/{done['study_id']}/images/").status_code == 200


def test_a_receipt_is_checked_with_the_published_key_alone(sender: Sender) -> None:
    receipt = sender.through(dicom())["receipt"]
    published = sender.caller.get(f"{BASE}/receipt-keys/").json()
    (key,) = [one for one in published["keys"] if one["key_id"] == receipt["key_id"]]
    said = {name: value for name, value in receipt.items() if name not in {"key_id", "signature"}}
    message = json.dumps(said, sort_keys=True, separators=(",", ":")).encode()
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key["public_key"]))
    # Raises where it is wrong.
    public.verify(base64.b64decode(receipt["signature"]), b"noctis-pro offline-receipt\n" + message)


def test_nothing_is_acknowledged_that_the_disk_does_not_have(sender: Sender, store: Path) -> None:
    content = dicom()
    body = sender.body(content)
    sender.announce(body)
    stored = sender.send(body, content).json()
    path = stores.instances().path(DicomImage.objects.get(pk=stored["id"]).storage_key)
    whole = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert sender.ask(body).status_code == 500
    assert OfflineImage.objects.get().state == "BINARY_UPLOADED"
    path.write_bytes(whole)
    assert sender.ask(body).json()["safe_to_delete"] is True


def test_what_was_deleted_is_not_acknowledged_again(sender: Sender, admin: Caller) -> None:
    content = dicom()
    body = sender.body(content)
    sender.announce(body)
    stored = sender.send(body, content).json()
    gone = admin.request("DELETE", f"/api/v1/dicom/studies/{stored['study_id']}?reason=wrong")
    assert gone.status_code == 200
    assert_problem(sender.ask(body), 409, "deleted here")
    assert_problem(sender.caller.get(f"{BASE}/images/{stored['id']}/content/"), 404)


def test_what_another_image_took_the_place_of_is_not_acknowledged(
    sender: Sender, admin_user: User
) -> None:
    """An administrator decides for the second of two images with one UID."""
    ds = make_instance(np.zeros((8, 8), np.uint16), PatientID="TEST001")
    first = to_bytes(ds)
    ds.PixelData = b"\1" * 128
    second = to_bytes(ds)
    mine, other = sender.body(first), sender.body(second)
    for body, content, status in ((mine, first, 200), (other, second, 409)):
        sender.announce(body)
        assert sender.send(body, content).status_code == status
    conflict = InstanceConflict.objects.get()
    conflicts.decide(actor_of(admin_user), conflict.pk, "new", "sharper")
    assert_problem(sender.ask(mine), 409, "Another image")
    # The sender of the second finds it stored now.
    assert sender.send(other, second).json()["status"] == "BINARY_UPLOADED"
    assert sender.ask(other).json()["safe_to_delete"] is True


def test_an_acknowledged_image_that_is_deleted_later_is_not_safe_any_more(
    sender: Sender, admin: Caller
) -> None:
    done = sender.through(dicom())
    path = f"{BASE}/offline-images/{done['image_uuid']}/"
    assert sender.caller.get(path).json()["safe_to_delete"] is True
    admin.request("DELETE", f"/api/v1/dicom/studies/{done['study_id']}?reason=wrong")
    assert sender.caller.get(path).json()["safe_to_delete"] is False


def test_a_picture_of_too_many_pixels_says_so(sender: Sender, settings: Settings) -> None:
    settings.MAX_FRAME_PIXELS = 100
    content = picture()
    body = sender.body(content, "image/png")
    sender.announce(body)
    assert_problem(sender.send(body, content), 413, "12 x 12 pixels")


# Links --------------------------------------------------------------------------------------------


def test_a_link_is_one_images_one_persons_and_ends(
    sender: Sender, tech: User, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = sender.through(dicom()), sender.through(dicom())
    nobody = sender.caller.as_()
    url = path_of(sender.caller.get(f"{BASE}/images/{first['id']}/url/").json()["url"])
    base, _, link = url.partition("?link=")
    assert nobody.get(url).status_code == 200
    assert_problem(nobody.get(base), 401)
    other = f"{BASE}/images/{second['id']}/content/?link={link}"
    assert_problem(nobody.get(other), 403, "another image")
    for at in range(0, len(link), 7):
        changed = link[:at] + ("A" if link[at] != "A" else "B") + link[at + 1 :]
        assert nobody.get(f"{base}?link={changed}").status_code == 403
    assert_problem(nobody.get(f"{base}?link="), 403)
    assert_problem(nobody.get(f"{base}?link={'x' * 5000}"), 403)
    # It reads, and nothing else; it opens nothing else.
    assert nobody.post(url).status_code == 405
    assert_problem(nobody.get(f"{BASE}/images/{first['id']}/url/?link={link}"), 401)
    later = timezone.now() + timedelta(seconds=django_settings.SIGNED_URL_TTL_S + 1)
    with monkeypatch.context() as patch:
        patch.setattr("time.time", later.timestamp)
        assert_problem(nobody.get(url), 403, "over")
    tech.facilities.clear()
    assert_problem(nobody.get(url), 403)


def test_a_link_ends_with_its_makers_password_or_account(sender: Sender, tech: User) -> None:
    done = sender.through(dicom())
    nobody = sender.caller.as_()
    url = path_of(sender.caller.get(f"{BASE}/images/{done['id']}/url/").json()["url"])
    tech.set_password("another correct horse")
    tech.save()
    assert_problem(nobody.get(url), 403, "may not any more")
    url = path_of(sender.caller.get(f"{BASE}/images/{done['id']}/url/").json()["url"])
    assert nobody.get(url).status_code == 200
    tech.is_active = False
    tech.save()
    assert_problem(nobody.get(url), 403, "may not any more")


def test_without_signed_links_everybody_signs_in(sender: Sender, settings: Settings) -> None:
    settings.RADIOLOGY_SIGNED_URLS = False
    done = sender.through(dicom())
    answer = sender.caller.get(f"{BASE}/images/{done['id']}/url/").json()
    assert "link=" not in answer["url"]
    assert_problem(sender.caller.as_().get(path_of(answer["url"])), 401)
    assert sender.caller.get(path_of(answer["url"])).status_code == 200
