"""What the EHR routes do: lists by DICOM keyword, single objects, uploads, a look into a file."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any, BinaryIO
from uuid import UUID

from django.core.cache import cache
from django.db.models import Sum

from archive import access, audit, deletions, facilities, identifiers, query, retrieve, upload_log
from archive.access import Actor
from archive.errors import ForbiddenError, InvalidInputError, UndecodableError
from archive.query import StudyQuery
from archive.rendering import Form, rendering_of
from fastapi_app import gate, paging
from fastapi_app.services import documents, ordering, refusals
from imaging import errors as imaging_errors
from imaging import header, tags
from imaging.values import parse_date
from orders import services as orders

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
LOG_PARAMETERS = ("StudyInstanceUID", "action", "limit", "cursor")
_MOST_IMAGES = 5000
_STATS_KEPT_S = 10


def study_query(parameters: Mapping[str, str]) -> StudyQuery:
    """Read a list's parameters.

    Raises
    ------
    InvalidInputError
        For a parameter that is not known (a misspelt one would list everybody), or a bad value.
    """
    paging.check(parameters, LIST_PARAMETERS)
    first, last = _range(parameters.get("StudyDate", ""))
    modalities = re.split(r"[,\\]", parameters.get("ModalitiesInStudy", ""))
    values: dict[str, Any] = {
        field: parameters[name] for name, field in _TEXTS.items() if parameters.get(name)
    }
    return StudyQuery(
        date_from=first,
        date_to=last,
        modalities=tuple(code.strip() for code in modalities if code.strip()),
        limit=paging.whole(parameters, "limit", 50),
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
    audit.note_read(actor, "studies.search", count=len(page.items), by=sorted(parameters))
    items = [documents.study(row) for row in page.items]
    return items, paging.following(parameters, page.cursor)


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


def restore(actor: Actor, text: str) -> Document:
    """Show a deleted study again; returns it."""
    deletion = deletions.restore_study(actor, access.parse_key(text))
    return documents.study(gate.study_for(actor, str(deletion.study_id)))


def find_of_order(
    actor: Actor, text: str, parameters: Mapping[str, str]
) -> tuple[list[Document], str]:
    """Return a page of the studies that fulfil an order."""
    order = ordering.order_for(actor, text)
    ids = tuple(orders.studies_of_order(order))
    return _page(actor, StudyQuery(study_ids=ids), parameters, "order")


def find_of_patient(
    actor: Actor, text: str, parameters: Mapping[str, str]
) -> tuple[list[Document], str]:
    """Return a page of a patient's studies, those of linked identities among them."""
    patient = access.patient_for(actor.scope, paging.identifier(text, "patient"))
    return _page(actor, StudyQuery(patient=patient.pk), parameters, "patient")


def _page(
    actor: Actor, wanted: StudyQuery, parameters: Mapping[str, str], by: str
) -> tuple[list[Document], str]:
    paging.check(parameters, ("limit", "cursor"))
    limit = paging.whole(parameters, "limit", 50)
    cursor = parameters.get("cursor", "")
    page = query.find_studies(actor.scope, replace(wanted, limit=limit, cursor=cursor))
    audit.note_read(actor, "studies.search", count=len(page.items), by=[by])
    items = [documents.study(row) for row in page.items]
    return items, paging.following(parameters, page.cursor)


def log(actor: Actor, parameters: Mapping[str, str]) -> tuple[list[Document], str]:
    """Return a page of the log of uploads and deletions."""
    if not actor.can_upload:
        raise ForbiddenError("Your role does not read the log of uploads. Ask an administrator.")
    paging.check(parameters, LOG_PARAMETERS)
    page = upload_log.find(
        actor.scope,
        study_instance_uid=parameters.get("StudyInstanceUID", ""),
        action=parameters.get("action", ""),
        before=paging.cursor(parameters),
        limit=paging.whole(parameters, "limit", 100),
    )
    audit.note_read(actor, "upload_log.read", count=len(page.items))
    items = [documents.log_line(row) for row in page.items]
    return items, paging.following(parameters, page.cursor)


def series_of(actor: Actor, text: str) -> list[Document]:
    """Return the series of a study."""
    rows = gate.study_for(actor, text).series.order_by("series_number", "id")
    return [documents.series(row) for row in rows]


def images_of(actor: Actor, text: str, parameters: Mapping[str, str]) -> list[Document]:
    """Return the images of a series in instance order, `limit` of them from `offset` on."""
    series = gate.series_for(actor, text)
    start, count = (
        paging.whole(parameters, "offset", 0),
        paging.whole(parameters, "limit", _MOST_IMAGES),
    )
    if not 1 <= count <= _MOST_IMAGES:
        raise InvalidInputError(f"'limit' is a number from 1 to {_MOST_IMAGES}.")
    rows = series.images.order_by("instance_number", "id")
    return [documents.image(row) for row in rows[start : start + count]]


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
    number = paging.whole(parameters, "frame", 1)
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
    key = f"sidecar.stats.{identifiers.orthanc_study_id(name, 'stats')}"
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


def read_tags(stream: BinaryIO) -> Document:
    """Return the elements of a file that is not stored."""
    try:
        return {"tags": documents.tags(tags.read_tags(stream))}
    except imaging_errors.ImagingError as error:
        raise refusals.refusal(error) from error


def parse(stream: BinaryIO) -> Document:
    """Return the elements, the pixel facts and the geometry of a file that is not stored."""
    document = read_tags(stream)
    stream.seek(0)
    try:
        index = header.read_index(stream)
    except imaging_errors.ImagingError as error:
        raise refusals.refusal(error) from error
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
