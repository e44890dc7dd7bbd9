"""Files that programs bring to the EHR routes: one or many, for an order or a patient."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, BinaryIO

from archive import filetypes, upload
from archive.access import Actor
from archive.errors import InvalidInputError, NotDicomError
from orders import intake

Document = dict[str, Any]


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
    destination = intake.destination_of(actor, fields)
    kind, _ = filetypes.recognise(stream.read(filetypes.HEAD_BYTES))
    stream.seek(0)
    if kind in (filetypes.Kind.ZIP, filetypes.Kind.OTHER_ARCHIVE):
        raise NotDicomError("This is an archive. Send it to /api/v1/dicom/upload-multiple.")
    intake.require_free(destination, stream)
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
    return intake.described(result) | intake.link(actor, destination, results)


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:].rstrip('.')}."


def upload_many(
    actor: Actor, files: list[tuple[str, BinaryIO]], fields: Mapping[str, str]
) -> Document:
    """Store many files, and the members of zip archives among them; each has its own result."""
    destination = intake.destination_of(actor, fields)
    if not files:
        raise InvalidInputError("Send at least one file in the field 'files'.")
    for _, stream in files:
        intake.require_free(destination, stream)
    of_files = upload.ingest_uploads(
        actor, destination.facility, files, expected_patient_id=destination.patient_id
    )
    results = list(itertools.chain.from_iterable(of_files))
    return intake.summary(results) | intake.link(actor, destination, results)
