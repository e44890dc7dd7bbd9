"""Files that are sent for a patient or an order: whose they are, and what they are linked with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO
from uuid import UUID

from archive import access, identifiers, upload
from archive.access import Actor
from archive.errors import ConflictError, NotFoundError
from archive.upload import UploadOutcome, UploadResult
from imaging import header
from imaging.errors import ImagingError
from orders import arrivals, services
from orders.models import Order
from worklist.models import Facility

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Destination:
    """Whose an upload is.

    Attributes
    ----------
    patient_id : Patient ID that every file must carry; None where no patient was named
    """

    facility: Facility
    patient_id: str | None = None
    order: Order | None = None


def destination_of(actor: Actor, fields: Mapping[str, str]) -> Destination:
    """Decide whose an upload is: an order and a patient name their facility.

    Parameters
    ----------
    fields : `facility` (code), `patient_id` and `order_id` (ours), each where it was said

    Raises
    ------
    NotFoundError, ForbiddenError, InvalidInputError
    ConflictError
        When order or patient belong to another facility than the one that is named.
    """
    order = patient = None
    if fields.get("order_id"):
        order = services.order_for(actor.scope, _key(fields["order_id"], "order"))
    if fields.get("patient_id"):
        patient = access.patient_for(actor.scope, _key(fields["patient_id"], "patient"))
    named = order or patient
    code = fields.get("facility") or (named.facility.code if named is not None else "")
    facility = access.facility_for_upload(actor, code or None)
    for what, row in (("order", order), ("patient", patient)):
        if row is not None and row.facility_id != facility.pk:
            raise ConflictError(f"The {what} belongs to another facility than {facility.name}.")
    return Destination(facility, patient.patient_id if patient else None, order)


def _key(text: str, what: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFoundError(f"There is no such {what}.") from None


def require_free(destination: Destination, stream: BinaryIO) -> None:
    """Refuse a file for an order whose study another order has; `stream` is left at its start.

    Raises
    ------
    ConflictError
    """
    if destination.order is None:
        return
    try:
        index = header.read_index(stream)
    except ImagingError:
        return  # the ingest says in words what is wrong with it
    finally:
        stream.seek(0)
    arrivals.require_free(destination.order, index.study_instance_uid)


def link(actor: Actor, destination: Destination, results: Sequence[UploadResult]) -> Document:
    """Link what was stored with the order that it was sent for; returns what to say of it."""
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


_STATES = {
    UploadOutcome.STORED: "uploaded",
    UploadOutcome.DUPLICATE: "duplicate",
    UploadOutcome.CONFLICT: "conflict",
    UploadOutcome.REFUSED: "failed",
    UploadOutcome.SKIPPED: "skipped",
}
_OUTCOMES = {state: outcome for outcome, state in _STATES.items()}


def outcome_of(status: str) -> UploadOutcome:
    """Return the outcome behind the `status` of a described file."""
    return _OUTCOMES[status]


def described(result: UploadResult) -> Document:
    """Return what became of one file, as JSON."""
    document: Document = {"status": _STATES[result.outcome]}
    if result.instance is not None:
        where = result.instance
        document |= {
            "study_instance_uid": where.study_instance_uid,
            "series_instance_uid": where.series_instance_uid,
            "sop_instance_uid": where.sop_instance_uid,
            "orthanc_study_id": identifiers.orthanc_study_id(
                where.patient_id, where.study_instance_uid
            ),
            "study_id": str(where.study_id),
            "image_id": str(where.image_id),
        }
    if result.reason:
        document["detail"] = result.reason
    return document


def summary(results: Sequence[UploadResult]) -> Document:
    """Return what became of many files, as JSON."""
    counts = upload.summarise(results).counts
    return {
        "total_files": len(results) - counts[UploadOutcome.SKIPPED],
        "successful": counts[UploadOutcome.STORED] + counts[UploadOutcome.DUPLICATE],
        "failed": counts[UploadOutcome.REFUSED] + counts[UploadOutcome.CONFLICT],
        "duplicates": counts[UploadOutcome.DUPLICATE],
        "skipped": counts[UploadOutcome.SKIPPED],
        "results": [{"filename": result.name, **described(result)} for result in results],
    }
