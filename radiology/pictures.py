"""JPEG and PNG that are handed in: as objects of the archive, and as the files that they were."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from django.utils import timezone

from archive import access, captures, stores
from archive.errors import InvalidInputError
from archive.ingest import IngestResult, Outcome
from archive.spool import Spooled
from blobs import BlobMissingError
from imaging import capture
from imaging.capture import CaptureFacts
from orders.models import Order
from radiology.models import OfflineImage
from worklist.models import DicomImage

# Said by the sender, with DICOM's lengths (PS3.5 6.2).
_TEXTS = {
    "study_description": 64,
    "series_description": 64,
    "body_part_examined": 16,
}
_CODE = re.compile(r"[A-Z0-9 _]{1,16}", re.ASCII)
_DIGITS = re.compile(r"[0-9]{1,12}", re.ASCII)
_NUMBERS = ("series_number", "instance_number")
_MOST_NUMBER = 2**31 - 1


def check(row: OfflineImage) -> None:
    """Refuse values that no DICOM object can have, before a picture is sent for them.

    Raises
    ------
    InvalidInputError
    """
    _facts(row.image_metadata)


def _facts(metadata: Mapping[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for name, longest in _TEXTS.items():
        value = metadata.get(name)
        if value is None:
            continue
        text = value.strip() if isinstance(value, str) else ""
        if not isinstance(value, str) or len(text) > longest or "\\" in text:
            raise InvalidInputError(
                f"'image_metadata.{name}' is a text of at most {longest} characters."
            )
        if text and not text.isprintable():
            raise InvalidInputError(f"'image_metadata.{name}' holds a control character.")
        facts[name] = text
    for name in _NUMBERS:
        value = metadata.get(name)
        if value is None:
            continue
        if isinstance(value, str) and _DIGITS.fullmatch(value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or abs(value) > _MOST_NUMBER:
            raise InvalidInputError(f"'image_metadata.{name}' is a whole number.")
        facts[name] = value
    for name, allowed in (("modality", None), ("laterality", ("R", "L"))):
        value = metadata.get(name)
        if value in (None, ""):
            continue
        code = value.strip().upper() if isinstance(value, str) else ""
        if not _CODE.fullmatch(code) or (allowed and code not in allowed):
            raise InvalidInputError(
                f"'image_metadata.{name}' is a DICOM code, such as {'R or L' if allowed else 'CR'}."
            )
        facts[name] = code
    if metadata.get("study_date"):
        try:
            facts["study_date"] = date.fromisoformat(str(metadata["study_date"]))
        except ValueError:
            raise InvalidInputError(
                "'image_metadata.study_date' is a date: 20260131 or 2026-01-31."
            ) from None
    return facts


def as_dicom(row: OfflineImage, picture: Spooled) -> Spooled:
    """Return a picture as a DICOM file of the order's patient; it is its caller's to remove.

    Raises
    ------
    InvalidInputError
        When it cannot be decoded, or the order is gone, which says whose it is.
    TooLargeError
        For too many pixels.
    """
    order = row.order
    if order is None:
        raise InvalidInputError(
            "The order of this picture is gone, so nobody knows whose it is. Announce it for "
            "another order."
        )
    facts = _facts(row.image_metadata)
    facts["modality"] = facts.get("modality") or order.order_category or "OT"
    facts["study_description"] = facts.get("study_description") or order.description
    # Images of one order stand under one date, whichever of them comes first.
    facts.setdefault("study_date", timezone.localtime(order.created_at).date())
    return captures.write(
        picture,
        CaptureFacts(
            study_instance_uid=row.study_uid,
            series_instance_uid=row.series_uid,
            sop_instance_uid=row.image_uid,
            at=timezone.localtime(row.announced_at),
            patient=_patient(order),
            **facts,
        ),
    )


def _patient(order: Order) -> dict[str, str]:
    born = order.patient_birth_date
    values = {
        "PatientName": order.patient_name,
        "PatientID": order.patient_identifier,
        "PatientBirthDate": born.strftime("%Y%m%d") if born else "",
        "PatientSex": order.patient_sex,
        "AccessionNumber": order.accession_number,
        "ReferringPhysicianName": order.referring_physician_name,
        "StudyID": order.requested_procedure_id,
    }
    if order.issuer_of_patient_id:
        values["IssuerOfPatientID"] = order.issuer_of_patient_id
    return values


def stored(row: OfflineImage) -> IngestResult | None:
    """Return where a picture is that was stored before its answer was lost.

    What its order says may have changed since, so that the same picture would become another
    object now.
    """
    image = image_of(row)
    if image is None:
        return None
    content = original(row, image)
    if content is None or hashlib.sha256(content).hexdigest() != row.checksum:
        return None
    study = image.series.study
    if (study.study_instance_uid, image.series.series_instance_uid) != (
        row.study_uid,
        row.series_uid,
    ):
        return None
    return IngestResult(
        outcome=Outcome.DUPLICATE,
        image_id=image.pk,
        study_id=study.pk,
        study_instance_uid=study.study_instance_uid,
        series_instance_uid=image.series.series_instance_uid,
        sop_instance_uid=image.sop_instance_uid,
        patient_id=study.patient_identifier,
        sop_class_uid=image.sop_class_uid,
    )


def image_of(row: OfflineImage) -> DicomImage | None:
    """Return the stored instance of an image; None before it came, and where it was deleted."""
    found = access.images_named(access.EVERYTHING, row.facility_id, [row.image_uid])
    return found.get(row.image_uid)


def original(row: OfflineImage, image: DicomImage) -> bytes | None:
    """Return the picture that an object was made from; None where it is not in there."""
    try:
        with stores.instances().open(image.storage_key) as handle:
            return capture.original(
                handle, image.size_bytes, image.transfer_syntax_uid, row.file_size
            )
    except BlobMissingError:
        return None
