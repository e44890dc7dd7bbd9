"""Commands: the self test of offline synchronisation, and the check of receipts."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import uuid
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.management import CommandError, call_command
from django.test import Client

from accounts.models import Role, User
from archive import access, stores
from archive.access import Actor
from orders.models import Order
from radiology import offline, receipts, selftest
from radiology.models import (
    Consultation,
    ImmutableError,
    OfflineImage,
    RadiologyImage,
    RadiologySeries,
    RadiologyStudy,
    Visit,
    file_key,
)
from radiology.offline import Announcement
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import DicomImage, Facility, Study

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def own_key(tmp_path: Path, settings: object) -> None:
    settings.DATA_DIR = tmp_path  # type: ignore[attr-defined]
    settings.SIGNING_KEY = ""  # type: ignore[attr-defined]


@pytest.fixture
def tech(facility: Facility) -> Actor:
    return access.actor_of(factories.user("tess", Role.TECHNOLOGIST, [facility]))


@pytest.fixture
def acknowledged(store: Path, facility: Facility, tech: Actor) -> OfflineImage:
    order = Order.objects.create(
        facility=facility, patient_identifier="P1", accession_number="A-7", study_instance_uid="1.9"
    )
    ds = make_instance()
    content = to_bytes(ds)
    row = offline.declare(
        tech,
        Announcement(
            image_uuid=uuid.uuid4(), radiology_order_id=str(order.pk), filename="a.dcm",
            file_size=len(content), mime_type="application/dicom",
            checksum=hashlib.sha256(content).hexdigest(), study_uid=ds.StudyInstanceUID,
            series_uid=ds.SeriesInstanceUID, image_uid=ds.SOPInstanceUID,
        ),
    )  # fmt: skip
    offline.attach(tech, row.pk, io.BytesIO(content))
    return offline.acknowledge(tech, row.pk)


def test_the_self_test_passes_and_leaves_nothing(store: Path) -> None:
    before = (User.objects.count(), Facility.objects.count())
    out = StringIO()
    call_command("test_pacs_lite", stdout=out)
    lines = out.getvalue().splitlines()
    passed = [line for line in lines if line.startswith("PASS")]
    assert len(passed) == 11
    assert lines[-1] == "All 11 tests passed; their data are removed."
    for model in (Study, DicomImage, Order, OfflineImage, Visit, Consultation):
        assert not model._base_manager.exists(), model
    assert (User.objects.count(), Facility.objects.count()) == before
    assert not list(stores.instances().root.glob("??/??/*.dcm"))


def test_the_self_test_says_what_fails(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receipts, "PURPOSE", "another")
    monkeypatch.setattr(receipts, "message_of", lambda _: uuid.uuid4().bytes)
    out = StringIO()
    with pytest.raises(SystemExit):
        call_command("test_pacs_lite", stdout=out)
    assert "FAIL   7. ACK reception: The signature is wrong" in out.getvalue()
    assert "6 of 11 steps passed." in out.getvalue()
    assert not Study.with_deleted.exists()
    assert selftest.COUNT == 11


def checked(receipt: Any, tmp_path: Path, *options: str) -> str:
    path = tmp_path / "receipt.json"
    path.write_text(json.dumps(receipt))
    out = StringIO()
    call_command("verify_receipt", str(path), *options, stdout=out)
    return out.getvalue()


def test_a_receipt_is_right_and_a_changed_one_is_not(
    acknowledged: OfflineImage, tmp_path: Path
) -> None:
    receipt = acknowledged.receipt
    assert receipt is not None
    assert str(acknowledged.pk) in checked(receipt, tmp_path)
    # The whole answer of an acknowledgement, too.
    assert "right" in checked({"status": "ACK_RECEIVED", "receipt": receipt}, tmp_path)
    for name in receipt:
        changed = receipt | {name: "1.2.3" if name != "version" else 2}
        with pytest.raises(CommandError):
            checked(changed, tmp_path)
    with pytest.raises(CommandError, match="changed"):
        checked(receipt | {"more": 1}, tmp_path)
    with pytest.raises(CommandError, match="no receipt"):
        checked([1], tmp_path)
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("verify_receipt", str(tmp_path / "none"))


def test_receipts_are_checked_together(acknowledged: OfflineImage, tmp_path: Path) -> None:
    receipt = acknowledged.receipt
    assert receipt is not None
    assert checked([receipt, {"receipt": receipt}], tmp_path).count("The receipt is right") == 2
    with pytest.raises(CommandError, match="1 of 2"):
        checked([receipt, receipt | {"checksum": "0" * 64}], tmp_path)
    with pytest.raises(CommandError, match="no receipt"):
        checked([], tmp_path)


def test_a_receipt_is_checked_with_a_key_from_elsewhere(
    acknowledged: OfflineImage, tmp_path: Path
) -> None:
    receipt = acknowledged.receipt
    (key,) = receipts.keys()
    assert "right" in checked(receipt, tmp_path, "--public-key", key["public_key"])
    other = base64.b64encode(Ed25519PrivateKey.generate().public_key().public_bytes_raw()).decode()
    with pytest.raises(CommandError, match="another key"):
        checked(receipt, tmp_path, "--public-key", other)
    with pytest.raises(CommandError, match="Base64"):
        checked(receipt, tmp_path, "--public-key", "?")


def test_images_do_not_change(acknowledged: OfflineImage) -> None:
    """There is one copy of a stored image, and no way to write it by these names."""
    for model in (RadiologyStudy, RadiologySeries, RadiologyImage):
        row = model.objects.get()
        with pytest.raises(ImmutableError):
            row.save()
        with pytest.raises(ImmutableError):
            row.delete()
        with pytest.raises(ImmutableError):
            model.objects.filter(pk=row.pk).update(pk=row.pk)
        with pytest.raises(ImmutableError):
            model.objects.all().delete()
        with pytest.raises(ImmutableError):
            model.objects.create()
        assert model._meta.proxy
    image = RadiologyImage.objects.get()
    assert image.pk == acknowledged.image_id
    assert image.file_key.endswith(f"/{image.image_uid}/{image.image_uid}.dcm")
    acknowledged.checksum = "0" * 64
    with pytest.raises(ImmutableError):
        acknowledged.save()


@pytest.mark.parametrize(
    ("filename", "last"),
    [
        ("chest_xray.dcm", "chest_xray.dcm"),
        ("../../etc/passwd", "passwd"),
        ("C:\\x\\a b.dcm", "a_b.dcm"),
        ("..", "image"),
        ("Röntgen\n.dcm", "R_ntgen_.dcm"),
        ("x" * 300 + ".dcm", "x" * 96 + ".dcm"),
    ],
    ids=["plain", "path", "Windows path", "dots", "letters", "long"],
)
def test_keys_are_harmless(filename: str, last: str) -> None:
    assert file_key("1.2", "1.3", "1.4", filename) == f"radiology/1.2/1.3/1.4/{last}"


@pytest.mark.parametrize("model", ["offlineimage", "visit", "consultation"])
def test_administrators_look_at_rows_and_change_none(
    acknowledged: OfflineImage, admin_user: User, model: str
) -> None:
    client = Client()
    client.force_login(admin_user)
    answer = client.get(f"/admin/radiology/{model}/")
    assert answer.status_code == 200
    assert client.get(f"/admin/radiology/{model}/add/").status_code == 403
    if model == "offlineimage":
        assert str(acknowledged.pk) in answer.content.decode()
        change = f"/admin/radiology/offlineimage/{acknowledged.pk}/change/"
        assert client.get(change).status_code == 200
        assert client.post(change, {"checksum": "0" * 64}).status_code == 403
