"""Records and files of an earlier installation: brought over once, however often it is tried."""

from __future__ import annotations

import hashlib
import io
import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from PIL import Image

from orders.models import Order
from radiology.models import OfflineImage
from tests.dicom import make_instance, to_bytes
from worklist.models import DicomImage, Facility, Study

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def own_key(tmp_path: Path, settings: object) -> None:
    settings.DATA_DIR = tmp_path  # type: ignore[attr-defined]
    settings.SIGNING_KEY = ""  # type: ignore[attr-defined]


@pytest.fixture
def order(facility: Facility) -> Order:
    return Order.objects.create(
        facility=facility, patient_identifier="P1", patient_name="Test^Anna", order_category="CR",
        accession_number="A-7", study_instance_uid="1.2.9", description="Chest X-Ray",
    )  # fmt: skip


class Old:
    """An earlier installation: its dump, its media folder, its orders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: list[dict[str, Any]] = []

    def add(self, model: str, key: int, **fields: Any) -> None:
        self.rows.append({"model": f"radiology.{model}", "pk": key, "fields": fields})

    def file(self, name: str, content: bytes) -> str:
        path = self.folder / "media" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return name

    def migrate(self, *options: str, orders: str = "41,A-7\n") -> tuple[str, str]:
        """Run the command; returns what it says and what it complains of."""
        (self.folder / "dump.json").write_text(json.dumps(self.rows))
        (self.folder / "orders.csv").write_text(orders)
        (self.folder / "media").mkdir(exist_ok=True)
        out, err = StringIO(), StringIO()
        try:
            call_command(
                "migrate_radiology", str(self.folder / "dump.json"), str(self.folder / "media"),
                "--orders", str(self.folder / "orders.csv"), *options, stdout=out, stderr=err,
            )  # fmt: skip
        except SystemExit:
            # Programs see by the exit status that something was refused.
            assert "1 refused" in out.getvalue() or "5 refused" in out.getvalue()
        return out.getvalue().strip(), err.getvalue()


@pytest.fixture
def old(tmp_path: Path) -> Old:
    return Old(tmp_path)


def png() -> bytes:
    out = io.BytesIO()
    Image.new("L", (8, 8), 70).save(out, "PNG")
    return out.getvalue()


def test_images_with_studies_and_series_come_over(store: Path, order: Order, old: Old) -> None:
    content = png()
    old.add("radiologystudy", 1, study_uid="8f06e605-e810-4418-85cb-6304772f152e",
            radiology_order=41, study_description="Chest X-Ray", modality="DX")  # fmt: skip
    old.add("radiologyseries", 5, study=1, series_uid="1.2.77", series_number=3,
            series_description="PA View")  # fmt: skip
    old.add("radiologyimage", 9, series=5, image_uid="1.2.77.1", instance_number=4,
            file_key=old.file("radiology/a/b/c/pa.png", content), filename="pa view.png",
            checksum=hashlib.sha256(content).hexdigest())  # fmt: skip
    assert old.migrate() == ("1 migrated, 0 here already, 0 refused.", "")
    assert old.migrate() == ("0 migrated, 1 here already, 0 refused.", "")
    row = OfflineImage.objects.get()
    assert row.state == "ACK_RECEIVED"
    assert row.order == order
    image = DicomImage.objects.get()
    assert (image.sop_instance_uid, image.instance_number) == ("1.2.77.1", 4)
    assert (image.series.series_instance_uid, image.series.series_number) == ("1.2.77", 3)
    assert image.series.study.study_instance_uid.startswith("2.25.")
    assert image.series.study.modality == "DX"


def test_records_of_before_get_a_study_for_each_order(store: Path, order: Order, old: Old) -> None:
    for key in (1, 2):
        out = io.BytesIO()
        Image.new("L", (8, 8), key).save(out, "JPEG")
        old.add("radiologyimage", key, radiology_order=41,
                image_file=old.file(f"xray{key}.jpg", out.getvalue()))  # fmt: skip
    ds = make_instance()
    old.add("radiologyimage", 3, radiology_order=41, image_file=old.file("ct.dcm", to_bytes(ds)))
    assert old.migrate() == ("3 migrated, 0 here already, 0 refused.", "")
    study = Study.objects.get(study_instance_uid=order.study_instance_uid)
    assert (study.series_count, study.instance_count) == (1, 2)
    # A DICOM file says itself what it is of.
    assert DicomImage.objects.get(
        series__study__study_instance_uid=ds.StudyInstanceUID
    ).sop_instance_uid == ds.SOPInstanceUID  # fmt: skip
    assert OfflineImage.objects.filter(state="ACK_RECEIVED").count() == 3


def test_a_dicom_file_needs_no_order_a_picture_does(
    store: Path, facility: Facility, old: Old
) -> None:
    old.add("radiologyimage", 1, image_file=old.file("ct.dcm", to_bytes(make_instance())))
    old.add("radiologyimage", 2, radiology_order=8, image_file=old.file("x.png", png()))
    said, complaint = old.migrate("--facility", facility.code)
    assert said == "1 migrated, 0 here already, 1 refused."
    assert "image 2: This is image/png, and nothing says whose it is: name order 8" in complaint
    assert DicomImage.objects.get().facility == facility
    assert old.migrate("--facility", facility.code)[0] == "0 migrated, 1 here already, 1 refused."


def test_what_cannot_come_over_is_named_and_the_rest_comes(
    store: Path, order: Order, old: Old
) -> None:
    (old.folder / "secret.dcm").write_bytes(to_bytes(make_instance()))
    old.add("radiologyimage", 1, radiology_order=41, image_file="gone.dcm")
    old.add("radiologyimage", 2, radiology_order=41, image_file="../secret.dcm")
    old.add("radiologyimage", 3, radiology_order=41)
    old.add("radiologyimage", 4, radiology_order=41, checksum="0" * 64,
            image_file=old.file("changed.png", png()))  # fmt: skip
    text = old.file("text.dcm", b"a text")
    old.add("radiologyimage", 5, radiology_order=41, image_file=text)
    old.add("radiologyimage", 6, radiology_order=41, image_file=old.file("x.png", png()))
    said, complaint = old.migrate()
    assert said == "1 migrated, 0 here already, 5 refused."
    for words in (
        "image 1: The file gone.dcm is not there",
        "image 2: The record names a file outside of the media folder",
        "image 3: The record names no file",
        "image 4: The file is not what its record says",
        "image 5: ",
    ):
        assert words in complaint


@pytest.mark.parametrize(
    ("dump", "words"),
    [("no JSON", "cannot be read"), ("[]", "dumpdata radiology"), ("{}", "dumpdata radiology")],
    ids=["no JSON", "empty", "object"],
)
def test_what_is_no_dump_is_refused(tmp_path: Path, dump: str, words: str, db: None) -> None:
    path = tmp_path / "dump.json"
    path.write_text(dump)
    with pytest.raises(CommandError, match=words):
        call_command("migrate_radiology", str(path), str(tmp_path))


def test_a_list_of_orders_has_two_columns(store: Path, old: Old) -> None:
    old.add("radiologyimage", 1, image_file="x")
    with pytest.raises(CommandError, match="line 2: write two columns"):
        old.migrate(orders="41,A-7\n42\n")
