"""A large archive in a minute: rows made by SQL, without files.

A shortcut, and what it leaves out: the rows are those of one real instance with other identifiers,
500 in a series and two series a study; counters are right, files are missing, nothing is in the
outbox. It is good for measuring the database's part of ingest, start-up and lists, not for reading
pictures or verifying the store.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone
from pydicom.uid import generate_uid
from uuid_utils.compat import uuid7

from archive import database, rows
from archive.database import Cursor
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import DicomImage, Facility, Patient, Series, Study

_IMAGES = 500
_SERIES = 2
_BATCH = 20


def fill(instances: int) -> None:
    """Add studies of a thousand instances each until there are `instances` more."""
    facility = Facility.objects.order_by("code").first()
    assert facility is not None
    factories.store_bytes(to_bytes(make_instance()), facility)
    images, studies = instances, []
    while images > 0:
        studies.append(min(images, _IMAGES * _SERIES))
        images -= studies[-1]
    template = {
        model: _values(model.objects.order_by("-pk")[0]) for model in (Study, Series, DicomImage)
    }
    template[Patient] = _values(Patient.objects.order_by("-pk")[0])
    now = timezone.now()
    for start in range(0, len(studies), _BATCH):
        with database.written(transaction.get_connection()) as cursor:
            for number, count in enumerate(studies[start : start + _BATCH], start):
                _add_study(cursor, template, number, count, now - timedelta(minutes=number))


def _values(row: Any) -> dict[str, Any]:
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


def _add_study(
    cursor: Cursor, template: dict[type, dict[str, Any]], number: int, count: int, at: datetime
) -> None:
    patient_id, study_id = uuid7(), uuid7()
    own = {"id": patient_id, "patient_id": f"FILL{number}", "patient_name": f"Fill^{number}"}
    rows.insert(Patient, connection, cursor, [template[Patient] | own])
    study = {
        "id": study_id,
        "patient_id": patient_id,
        "patient_identifier": f"FILL{number}",
        "study_instance_uid": generate_uid(),
        "accession_number": f"F{number}",
        "sort_at": at,
        "instance_count": count,
        "series_count": -(-count // _IMAGES),
        "size_bytes": count * template[DicomImage]["size_bytes"],
    }
    rows.insert(Study, connection, cursor, [template[Study] | study])
    for first in range(0, count, _IMAGES):
        _add_series(cursor, template, study_id, min(_IMAGES, count - first))


def _add_series(
    cursor: Cursor, template: dict[type, dict[str, Any]], study_id: UUID, count: int
) -> None:
    series_id, uid = uuid7(), generate_uid()
    series = {
        "id": series_id,
        "study_id": study_id,
        "series_instance_uid": uid,
        "instance_count": count,
        "frame_count": count,
    }
    rows.insert(Series, connection, cursor, [template[Series] | series])
    images = []
    for number in range(count):
        key = uuid7()
        own = {
            "id": key,
            "series_id": series_id,
            "sop_instance_uid": f"2.25.{key.int}",
            # Random, as those of real files are.
            "storage_key": f"{key.hex[-2:]}/{key.hex[-4:-2]}/{key.hex[::-1][:16]}{number}.dcm",
            "instance_number": number + 1,
        }
        images.append(template[DicomImage] | own)
    rows.insert(DicomImage, connection, cursor, images)
