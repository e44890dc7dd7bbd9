"""Files that programs bring to the EHR routes: one or many, for an order or a patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from archive import access, filetypes, upload
from archive.access import Actor
from archive.errors import ConflictError, InvalidInputError, NotDicomError
from archive.upload import UploadOutcome, UploadResult
from fastapi_app import paging
from fastapi_app.services import documents, ordering
from imaging import errors as imaging_errors
from imaging import header
from orders import arrivals
from orders.models import Order
from worklist.models import Facility

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Destination:
    """Whose an upload is, as its fields say."""

    facility: Facility
    patient_id: str | None = None
    order: Order | None = None


def _destination(actor: Actor, fields: Mapping[str, str]) -> _Destination:
    """Decide whose an upload is: an order and a patient name their facility."""
    order = ordering.order_for(actor, fields["order_id"]) if fields.get("order_id") else None
    patient = None
    if fields.get("patient_id"):
        key = paging.identifier(fields["patient_id"], "patient")
        patient = access.patient_for(actor.scope, key)
    code = fields.get("facility")
    if not code and (order or patient):
        code = order.facility.code if order else patient.facility.code if patient else ""
    facility = access.facility_for_upload(actor, code or None)
    for what, row in (("order", order), ("patient", patient)):
        if row is not None and row.facility_id != facility.pk:
            raise ConflictError(f"The {what} belongs to another facility than {facility.name}.")
    return _Destination(facility, patient.patient_id if patient else None, order)


def upload_one(
    actor: Actor, filename: str, stream: BinaryIO, fields: Mapping[str, str]
) -> Document:
    """Store one DICOM file.

    Raises
    ------
    InvalidInputError, NotDicomError, TooLargeError
        With the reason; nothing is stored.
    ConflictError
        When other content is stored under its UID, or the file is another patient's.
    """
    destination = _destination(actor, fields)
    kind, _ = filetypes.recognise(stream.read(filetypes.HEAD_BYTES))
    stream.seek(0)
    if kind in (filetypes.Kind.ZIP, filetypes.Kind.OTHER_ARCHIVE):
        raise NotDicomError("This is an archive. Send it to /api/v1/dicom/upload-multiple.")
    _require_free(destination, stream)
    results = upload.ingest_upload(
        actor,
        destination.facility,
        filename,
        stream,
        expected_patient_id=destination.patient_id,
    )
    if not results:
        raise NotDicomError("This file was left behind by an operating system; it is not DICOM.")
    result = results[0]
    if result.error is not None:
        # The reason is written to stand after a file's name; here it stands alone.
        raise type(result.error)(_sentence(str(result.error))) from result.error
    if result.instance is None:
        raise InvalidInputError(f"Nothing was stored: {result.reason}.")
    return _uploaded(result) | _linked(actor, destination, results)


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:].rstrip('.')}."


def _require_free(destination: _Destination, stream: BinaryIO) -> None:
    """Refuse a file for an order whose study another order has."""
    if destination.order is None:
        return
    try:
        index = header.read_index(stream)
    except imaging_errors.ImagingError:
        return  # the ingest says in words what is wrong with it
    finally:
        stream.seek(0)
    arrivals.require_free(destination.order, index.study_instance_uid)


def _linked(actor: Actor, destination: _Destination, results: Sequence[UploadResult]) -> Document:
    """Link what was stored with the order that it was sent for."""
    order = destination.order
    if order is None:
        return {}
    studies = dict.fromkeys(result.instance.study_id for result in results if result.instance)
    warnings = [arrivals.link_sent(actor, order, study_id) for study_id in studies]
    return {
        "order_id": str(order.pk),
        "accession_number": order.accession_number,
        "warning": " ".join(filter(None, warnings)) or None,
    }


def upload_many(
    actor: Actor, files: list[tuple[str, BinaryIO]], fields: Mapping[str, str]
) -> Document:
    """Store many files, and the members of zip archives among them; each has its own result."""
    destination = _destination(actor, fields)
    if not files:
        raise InvalidInputError("Send at least one file in the field 'files'.")
    for _, stream in files:
        _require_free(destination, stream)
    results = [
        result
        for name, stream in files
        for result in upload.ingest_upload(
            actor,
            destination.facility,
            name,
            stream,
            expected_patient_id=destination.patient_id,
        )
    ]
    counts = upload.summarise(results).counts
    return {
        "total_files": len(results) - counts[UploadOutcome.SKIPPED],
        "successful": counts[UploadOutcome.STORED] + counts[UploadOutcome.DUPLICATE],
        "failed": counts[UploadOutcome.REFUSED] + counts[UploadOutcome.CONFLICT],
        "duplicates": counts[UploadOutcome.DUPLICATE],
        "skipped": counts[UploadOutcome.SKIPPED],
        "results": [{"filename": result.name, **_uploaded(result)} for result in results],
        **_linked(actor, destination, results),
    }


_STATES = {
    UploadOutcome.STORED: "uploaded",
    UploadOutcome.DUPLICATE: "duplicate",
    UploadOutcome.CONFLICT: "conflict",
    UploadOutcome.REFUSED: "failed",
    UploadOutcome.SKIPPED: "skipped",
}


def _uploaded(result: UploadResult) -> Document:
    document: Document = {"status": _STATES[result.outcome]}
    if result.instance is not None:
        where = result.instance
        document |= {
            "study_instance_uid": where.study_instance_uid,
            "series_instance_uid": where.series_instance_uid,
            "sop_instance_uid": where.sop_instance_uid,
            "orthanc_study_id": documents.orthanc_study_id(
                where.patient_id, where.study_instance_uid
            ),
            "study_id": str(where.study_id),
            "image_id": str(where.image_id),
        }
    if result.reason:
        document["detail"] = result.reason
    return document
