"""Offline images that are handed in without whose they are: nothing of it is found anywhere.

Not covered here: the profile itself (tests/doors/test_export_anonymised.py).
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from django.conf import settings as django_settings
from django.core import serializers
from pydicom.dataset import FileDataset

from archive import stores
from archive.models import AuditEvent, UploadLog
from radiology import deidentified
from radiology.models import OfflineImage
from tests.dicom import make_instance, to_bytes
from tests.doors.ehr.test_offline_images import Sender, picture
from tests.sidecar import Caller, assert_problem
from worklist.models import DicomImage, Patient, Study

pytestmark = pytest.mark.django_db(transaction=True)

ALONE: dict[str, Any] = {"radiology_order_id": None, "facility": "NORTH", "deidentify": True}
SECRETS = ("Geheimnis", "Gerda", "SECRET-77", "ACC-SECRET", "19331224", "20240229", "holiday")


@pytest.fixture
def sender(caller: Caller, order: dict[str, Any]) -> Sender:
    return Sender(caller, order["id"])


def telling(**keywords: Any) -> FileDataset:
    """An object that says in many places whose it is."""
    values: dict[str, Any] = {
        "PatientName": "Geheimnis^Gerda",
        "PatientID": "SECRET-77",
        "PatientBirthDate": "19331224",
        "AccessionNumber": "ACC-SECRET",
        "StudyDate": "20240229",
        "StudyDescription": "Gerda Geheimnis, after the holiday",
        "BurnedInAnnotation": "NO",
    }
    return make_instance(np.arange(64, dtype=np.uint16).reshape(8, 8), **{**values, **keywords})


def told(content: bytes, secrets: Iterator[str] | tuple[str, ...]) -> list[str]:
    return [each for each in secrets if each.casefold().encode() in content.lower()]


def test_nothing_of_whose_it_is_is_kept_anywhere(sender: Sender) -> None:
    ds = telling()
    content = to_bytes(ds)
    secrets = (*SECRETS, ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID)
    said = {"study_description": "Gerda", "note": "ask Gerda"}
    body = sender.body(content, **ALONE, filename="Geheimnis_Gerda.dcm", image_metadata=said)
    answers = [
        step.json()
        for _ in range(2)
        for step in (sender.announce(body), sender.send(body, content), sender.ask(body))
    ]
    done = answers[-1]
    assert done["status"] == "ACK_RECEIVED"
    assert done["deidentified"] is True
    assert answers[3]["receipt"] == done["receipt"]
    receipt = done["receipt"]
    assert (receipt["checksum"], receipt["file_size"]) == (body["checksum"], len(content))
    assert receipt["deidentified"] is True
    assert receipt["stored_sha256"] != receipt["checksum"]

    image = DicomImage.objects.get(pk=done["id"])
    with stores.instances().open(image.storage_key) as handle:
        stored = handle.read()
    assert told(stored, secrets) == []
    after = pydicom.dcmread(io.BytesIO(stored))
    assert after.PatientIdentityRemoved == "YES"
    assert after.SOPInstanceUID == done["image_uid"] == image.sop_instance_uid
    assert after.StudyInstanceUID == done["study_uid"]
    assert after.PixelData == ds.PixelData

    rows: list[Any] = [
        *OfflineImage.objects.all(), *UploadLog.objects.all(), *AuditEvent.objects.all(),
        *Study.objects.all(), *Patient.objects.all(), *DicomImage.objects.all(),
    ]  # fmt: skip
    assert told(serializers.serialize("json", rows).encode(), secrets) == []
    assert told(json.dumps(answers).encode(), secrets) == []
    assert not [path for path in django_settings.DICOM_SPOOL_DIR.iterdir() if path.is_file()]


def test_a_study_stays_together_and_is_the_facilitys(sender: Sender) -> None:
    first = telling()
    second = telling(StudyInstanceUID=first.StudyInstanceUID)
    found = [sender.through(to_bytes(ds), **ALONE) for ds in (first, second)]
    assert found[0]["study_id"] == found[1]["study_id"]
    assert found[0]["image_uid"] != found[1]["image_uid"]
    study = Study.objects.get()
    assert study.facility.code == "NORTH"
    assert study.patient_identifier.startswith("ANON-")


def test_what_cannot_be_hidden_is_refused_at_once(sender: Sender) -> None:
    body = sender.body(to_bytes(telling()), **ALONE)
    ordered = body | {"radiology_order_id": sender.order_id}
    assert_problem(sender.announce(ordered), 422, "order says whose")
    large = body | {"file_size": deidentified.MOST_BYTES + 1}
    assert_problem(sender.announce(large), 413, "not de-identified")
    drawn = sender.body(picture(), "image/png", **ALONE | {"radiology_order_id": sender.order_id})
    assert_problem(sender.announce(drawn), 422)
    assert not OfflineImage.objects.exists()


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"BurnedInAnnotation": "YES"}, "burned into"),
        ({"Modality": "US", "BurnedInAnnotation": None}, "words in it"),
    ],
    ids=["burned in", "ultrasound"],
)
def test_a_picture_that_may_show_a_name_is_not_stored(
    sender: Sender, keywords: dict[str, Any], words: str, store: Path
) -> None:
    content = to_bytes(telling(**keywords))
    body = sender.body(content, **ALONE)
    assert sender.announce(body).status_code == 200
    answer = sender.send(body, content)
    assert_problem(answer, 422, words)
    assert told(answer.content, SECRETS) == []
    assert not DicomImage.objects.exists()
    (log,) = UploadLog.objects.all()
    assert told(serializers.serialize("json", [log]).encode(), SECRETS) == []


def test_another_objects_uids_are_not_taken(sender: Sender) -> None:
    content = to_bytes(telling())
    body = sender.body(content, **ALONE)
    body["image_metadata"]["image_uid"] = "1.2.3.4.5"
    sender.announce(body)
    answer = sender.send(body, content)
    assert_problem(answer, 422, "UIDs are others")
    assert "1.2.3.4.5" not in answer.text
    assert not DicomImage.objects.exists()
