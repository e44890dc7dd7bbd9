"""What came in pieces is stored: a job, so that it goes on after a restart."""

from __future__ import annotations

from typing import BinaryIO, cast
from uuid import UUID

from archive import jobs, resumable, upload
from archive.access import Actor
from archive.errors import PermanentError
from archive.models import ResumableUpload
from orders import intake


@jobs.handler(resumable.FINISH_JOB)
def finish_upload(upload_id: str) -> None:
    """Store a whole file; doing it again finds it as a duplicate and says so."""
    row = resumable.processing(UUID(upload_id))
    if row is None:
        return  # ended before, or taken back
    actor = resumable.actor_of(row)
    try:
        result = _store(actor, row)
    except PermanentError as error:
        resumable.end(row, {"detail": str(error)}, is_stored=False)
        return
    resumable.end(row, result, is_stored=result["successful"] > 0)


def _store(actor: Actor, row: ResumableUpload) -> intake.Document:
    fields = {**row.fields, "facility": row.facility.code}
    destination = intake.destination_of(actor, fields)
    with resumable.path_of(row.pk).open("rb") as file:
        stream = cast("BinaryIO", file)
        intake.require_free(destination, stream)
        results = upload.ingest_upload(
            actor,
            destination.facility,
            row.fields.get("filename", ""),
            stream,
            expected_patient_id=destination.patient_id,
        )
    return intake.summary(results) | intake.link(actor, destination, results)
