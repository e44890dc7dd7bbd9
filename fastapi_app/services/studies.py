"""What the EHR routes do: lists by DICOM keyword, single objects, uploads, a look into a file."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any, BinaryIO
from urllib.parse import urlencode
from uuid import UUID

from django.core.cache import cache
from django.db.models import Sum

from archive import access, audit, deletions, facilities, filetypes, query, retrieve, upload
from archive.access import Actor
from archive.errors import (
    ArchiveError,
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    NotDicomError,
    NotFoundError,
    TooLargeError,
    UndecodableError,
)
from archive.query import StudyQuery
from archive.rendering import Form, rendering_of
from archive.upload import UploadOutcome, UploadResult
from fastapi_app import gate
from fastapi_app.services import documents
from imaging import errors as imaging_errors
from imaging import header, tags
from imaging.values import parse_date

Document = dict[str, Any]

_TEXTS = {
    "PatientID": "patient_id",
    "PatientName": "patient_name",
    "AccessionNumber": "accession_number",
    "StudyInstanceUID": "study_instance_uid",
    "StudyDescription": "study_description",
    "status": "status",
    "text": "text",
    "sort": "sort",
    "cursor": "cursor",
}
LIST_PARAMETERS = (*_TEXTS, "StudyDate", "ModalitiesInStudy", "facility", "limit")
_MOST_IMAGES = 5000
_STATS_KEPT_S = 10
_LONGEST_VALUE = 1024


def study_query(parameters: Mapping[str, str]) -> StudyQuery:
    """Read a list's parameters.

    Raises
    ------
    InvalidInputError
        For a parameter that is not known (a misspelt one would list everybody), or a bad value.
    """
    unknown = sorted(set(parameters) - set(LIST_PARAMETERS))
    if unknown:
        raise InvalidInputError(
            f"Unknown parameter {unknown[0][:64]!r}. Known are {', '.join(LIST_PARAMETERS)}."
        )
    if any(len(value) > _LONGEST_VALUE or "\0" in value for value in parameters.values()):
        raise InvalidInputError("A parameter's value is too long, or no text.")
    first, last = _range(parameters.get("StudyDate", ""))
    limit = parameters.get("limit", "50")
    if not re.fullmatch(r"[0-9]{1,6}", limit):
        raise InvalidInputError("'limit' is a whole number.")
    modalities = re.split(r"[,\\]", parameters.get("ModalitiesInStudy", ""))
    values: dict[str, Any] = {
        field: parameters[name] for name, field in _TEXTS.items() if parameters.get(name)
    }
    return StudyQuery(
        date_from=first,
        date_to=last,
        modalities=tuple(code.strip() for code in modalities if code.strip()),
        limit=int(limit),
        is_exact=True,
        **values,
    )


def _range(text: str) -> tuple[date | None, date | None]:
    """Read a date or a range of dates (PS3.4 C.2.2.2.5): `20260101`, `20260101-`, `-20260131`."""
    if not text:
        return None, None
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        text = text.replace("-", "")
    first, dash, last = text.partition("-")
    ends = [parse_date(end) for end in (first, last or ("" if dash else first))]
    if any(end is None and given for end, given in zip(ends, (first, last), strict=True)):
        raise InvalidInputError("'StudyDate' is a date or a range: 20260101 or 20260101-20260131.")
    return ends[0], ends[1]


def find(actor: Actor, parameters: Mapping[str, str]) -> tuple[list[Document], str]:
    """Return a page of studies, and the address parameters of the next one (empty at the end)."""
    wanted = study_query(parameters)
    if code := parameters.get("facility"):
        facility = _facility(actor, code)
        wanted = replace(wanted, facility_ids=(facility,))
    page = query.find_studies(actor.scope, wanted)
    audit.record(actor, "studies.search", count=len(page.items), by=sorted(parameters))
    following = urlencode({**parameters, "cursor": page.cursor}) if page.cursor else ""
    return [documents.study(row) for row in page.items], following


def _facility(actor: Actor, code: str) -> UUID:
    facility = facilities.facility_by_code(code)
    if not actor.scope.includes(facility.pk):
        raise ForbiddenError("You are not a member of this facility.")
    return facility.pk


def study(actor: Actor, text: str) -> Document:
    """Return one study."""
    return documents.study(gate.study_for(actor, text))


def delete(actor: Actor, text: str, reason: str) -> Document:
    """Delete a study; the answer says until when an administrator can restore it."""
    deletion = deletions.delete_study(actor, access.parse_key(text), reason)
    return {
        "status": "deleted",
        "id": str(deletion.study_id),
        "StudyInstanceUID": deletion.study_instance_uid,
        "instances": deletion.instance_count,
        "reason": deletion.reason,
        "restorable_until": deletion.keep_until.isoformat(),
    }


def series_of(actor: Actor, text: str) -> list[Document]:
    """Return the series of a study."""
    rows = gate.study_for(actor, text).series.order_by("series_number", "id")
    return [documents.series(row) for row in rows]


def images_of(actor: Actor, text: str, parameters: Mapping[str, str]) -> list[Document]:
    """Return the images of a series in instance order, `limit` of them from `offset` on."""
    series = gate.series_for(actor, text)
    start, count = _whole(parameters, "offset", 0), _whole(parameters, "limit", _MOST_IMAGES)
    if not 1 <= count <= _MOST_IMAGES:
        raise InvalidInputError(f"'limit' is a number from 1 to {_MOST_IMAGES}.")
    rows = series.images.order_by("instance_number", "id")
    return [documents.image(row) for row in rows[start : start + count]]


def _whole(parameters: Mapping[str, str], name: str, default: int) -> int:
    text = parameters.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,7}", text):
        raise InvalidInputError(f"'{name}' is a whole number.")
    return int(text)


def image(actor: Actor, text: str, parameters: Mapping[str, str]) -> Document:
    """Return an image's facts and its windowed picture as a data URI (`frame`, `wc`, `ww` ...)."""
    row = gate.image_for(actor, text)
    document = documents.image(row)
    study = row.series.study
    document |= {
        "StudyInstanceUID": study.study_instance_uid,
        "SeriesInstanceUID": row.series.series_instance_uid,
        "Modality": row.series.modality or None,
        "frame_number": None,
        "image_data": None,
        "window_center": None,
        "window_width": None,
    }
    if not row.has_pixels:
        return document
    number = _whole(parameters, "frame", 1)
    try:
        picture = retrieve.frame(row, number, rendering_of(Form.PNG, parameters))
    except UndecodableError as error:
        return document | {"problem": str(error)}
    encoded = base64.b64encode(picture.content).decode("ascii")
    return document | {
        "frame_number": number,
        "image_data": f"data:{picture.content_type};base64,{encoded}",
        "window_center": picture.window_center,
        "window_width": picture.window_width,
    }


def stats(actor: Actor) -> Document:
    """Return how much lies in the archive, as far as the caller may know."""
    ids = actor.scope.facility_ids
    name = "all" if ids is None else ",".join(sorted(map(str, ids)))
    key = f"sidecar.stats.{documents.orthanc_study_id(name, 'stats')}"
    known: Document | None = cache.get(key)
    if known is None:
        rows = query.filtered(actor.scope, StudyQuery())
        sums = rows.aggregate(
            series=Sum("series_count"), instances=Sum("instance_count"), size=Sum("size_bytes")
        )
        known = {
            "total_studies": rows.count(),
            "total_series": sums["series"] or 0,
            "total_instances": sums["instances"] or 0,
            "total_size_bytes": sums["size"] or 0,
        }
        cache.set(key, known, _STATS_KEPT_S)
    return known


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
    facility = access.facility_for_upload(actor, fields.get("facility") or None)
    kind, _ = filetypes.recognise(stream.read(filetypes.HEAD_BYTES))
    stream.seek(0)
    if kind in (filetypes.Kind.ZIP, filetypes.Kind.OTHER_ARCHIVE):
        raise NotDicomError("This is an archive. Send it to /api/v1/dicom/upload-multiple.")
    if fields.get("order_id"):
        raise NotFoundError("There is no such order.")
    if fields.get("patient_id"):
        _check_patient(actor, fields["patient_id"], stream)
    results = upload.ingest_upload(actor, facility, filename, stream)
    if not results:
        raise NotDicomError("This file was left behind by an operating system; it is not DICOM.")
    result = results[0]
    if result.error is not None:
        # The reason is written to stand after a file's name; here it stands alone.
        raise type(result.error)(_sentence(str(result.error))) from result.error
    if result.instance is None:
        raise InvalidInputError(f"Nothing was stored: {result.reason}.")
    return _uploaded(result)


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:].rstrip('.')}."


def _check_patient(actor: Actor, text: str, stream: BinaryIO) -> None:
    """Refuse a file that is not of the patient who was named."""
    try:
        patient = access.patient_for(actor.scope, UUID(text))
    except ValueError:
        raise NotFoundError("There is no such patient.") from None
    try:
        index = header.read_index(stream)
    except imaging_errors.ImagingError:
        return  # the ingest says in words what is wrong with it
    finally:
        stream.seek(0)
    if (index.patient_id or "") != patient.patient_id:
        raise ConflictError(
            "The file carries another Patient ID than the patient who was named. Nothing was "
            "stored."
        )


def upload_many(
    actor: Actor, files: list[tuple[str, BinaryIO]], fields: Mapping[str, str]
) -> Document:
    """Store many files, and the members of zip archives among them; each has its own result."""
    facility = access.facility_for_upload(actor, fields.get("facility") or None)
    if not files:
        raise InvalidInputError("Send at least one file in the field 'files'.")
    if fields.get("order_id"):
        raise NotFoundError("There is no such order.")
    if fields.get("patient_id"):
        for _, stream in files:
            _check_patient(actor, fields["patient_id"], stream)
    results = [
        result
        for name, stream in files
        for result in upload.ingest_upload(actor, facility, name, stream)
    ]
    counts = upload.summarise(results).counts
    return {
        "total_files": len(results) - counts[UploadOutcome.SKIPPED],
        "successful": counts[UploadOutcome.STORED] + counts[UploadOutcome.DUPLICATE],
        "failed": counts[UploadOutcome.REFUSED] + counts[UploadOutcome.CONFLICT],
        "duplicates": counts[UploadOutcome.DUPLICATE],
        "skipped": counts[UploadOutcome.SKIPPED],
        "results": [{"filename": result.name, **_uploaded(result)} for result in results],
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


def read_tags(stream: BinaryIO) -> Document:
    """Return the elements of a file that is not stored."""
    try:
        return {"tags": documents.tags(tags.read_tags(stream))}
    except imaging_errors.ImagingError as error:
        raise _refusal(error) from error


def parse(stream: BinaryIO) -> Document:
    """Return the elements, the pixel facts and the geometry of a file that is not stored."""
    document = read_tags(stream)
    stream.seek(0)
    try:
        index = header.read_index(stream)
    except imaging_errors.ImagingError as error:
        raise _refusal(error) from error
    return document | {
        "study_instance_uid": index.study_instance_uid,
        "series_instance_uid": index.series_instance_uid,
        "sop_instance_uid": index.sop_instance_uid,
        "sop_class_uid": index.sop_class_uid,
        "transfer_syntax_uid": index.transfer_syntax_uid,
        "has_pixels": index.has_pixels,
        "pixels": {**documents.pixel_facts(index), "LossyImageCompression": index.lossy},
        "geometry": index.display,
    }


def _refusal(error: imaging_errors.ImagingError) -> ArchiveError:
    if isinstance(error, imaging_errors.LimitError):
        return TooLargeError(str(error))
    if isinstance(error, imaging_errors.NotDicomError):
        return NotDicomError(str(error))
    return InvalidInputError(str(error))
