"""The EHR interface: studies, series, images and uploads as JSON."""

from __future__ import annotations

from typing import Any, BinaryIO

from django.conf import settings
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.datastructures import FormData, UploadFile
from starlette.responses import Response

from archive.errors import InvalidInputError
from fastapi_app import gate, limits, paging
from fastapi_app.services import editing, peer, studies, uploads, viewing

router = APIRouter(prefix="/api/v1/dicom", tags=["EHR"])

_MOST_FIELDS = 50


def _query(name: str, description: str, kind: str = "string") -> dict[str, Any]:
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": description,
        "schema": {"type": kind},
    }


def _form(properties: dict[str, Any], required: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": [required]}
    content = {"multipart/form-data": {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}}


_FILE = {"type": "string", "format": "binary"}
_TEXT = {"type": "string"}
_LIST = {
    "parameters": [
        _query("PatientID", "Exact, or with * and ?."),
        _query("PatientName", "Any part of the name, any case, accents ignored."),
        _query("AccessionNumber", "Exact, or with * and ?."),
        _query("StudyInstanceUID", "Exact."),
        _query("StudyDescription", "Its beginning, or with * and ?."),
        _query("StudyDate", "20260101, or a range: 20260101-20260131, 20260101-, -20260131."),
        _query("ModalitiesInStudy", "One or several, parted by commas."),
        _query("facility", "The code of a facility."),
        _query("status", "unread, opened or read."),
        _query("text", "Words that stand anywhere in name, ID, accession number, description."),
        _query("sort", "date, received, name, patient_id, modality, accession or images."),
        _query("limit", "Studies a page, 1 to 500; 50 by default.", "integer"),
        _query("cursor", "From the Link header of the page before."),
    ]
}


_PAGE = [
    _query("limit", "Studies a page, 1 to 500; 50 by default.", "integer"),
    _query("cursor", "From the Link header of the page before."),
]


@router.get("/studies", summary="List studies", openapi_extra=_LIST)
async def list_studies(request: Request) -> Response:
    """Answer with a page of studies, newest first; `Link: rel="next"` leads to the next page."""
    parameters = dict(request.query_params)
    items, following = await gate.serve(request, lambda actor: studies.find(actor, parameters))
    return paging.answer(request, items, following)


@router.get(
    "/studies/patient/{patient}",
    summary="The studies of a patient",
    openapi_extra={"parameters": _PAGE},
)
async def list_studies_of_patient(request: Request, patient: str) -> Response:
    """Answer with a page of a patient's studies, newest first."""
    parameters = dict(request.query_params)
    items, following = await gate.serve(
        request, lambda actor: studies.find_of_patient(actor, patient, parameters)
    )
    return paging.answer(request, items, following)


@router.get(
    "/studies/order/{order}",
    summary="The studies of an order",
    openapi_extra={"parameters": _PAGE},
)
async def list_studies_of_order(request: Request, order: str) -> Response:
    """Answer with a page of the studies that fulfil an order."""
    parameters = dict(request.query_params)
    items, following = await gate.serve(
        request, lambda actor: studies.find_of_order(actor, order, parameters)
    )
    return paging.answer(request, items, following)


@router.get("/viewer/url/order/{order}", summary="Where the studies of an order open")
async def get_viewer_url_of_order(request: Request, order: str) -> Response:
    """Answer with an address and until when it is good."""
    origin = gate.origin_of(request)
    return JSONResponse(
        await gate.serve(request, lambda actor: viewing.of_order(actor, order, origin))
    )


@router.get("/viewer/url/patient/{patient}", summary="Where the studies of a patient open")
async def get_viewer_url_of_patient(request: Request, patient: str) -> Response:
    """Answer with an address and until when it is good; the latest study is shown first."""
    origin = gate.origin_of(request)
    return JSONResponse(
        await gate.serve(request, lambda actor: viewing.of_patient(actor, patient, origin))
    )


@router.get("/viewer/url/{study}", summary="Where a study opens in the viewer")
async def get_viewer_url(request: Request, study: str) -> Response:
    """Answer with an address and until when it is good; whoever opens it signs in."""
    origin = gate.origin_of(request)
    return JSONResponse(
        await gate.serve(request, lambda actor: viewing.of_study(actor, study, origin))
    )


@router.get(
    "/upload-logs",
    summary="What was brought by HTTP and what was deleted",
    openapi_extra={
        "parameters": [
            _query("StudyInstanceUID", "Exact."),
            _query(
                "action",
                "uploaded, duplicate, conflict, failed, skipped, deleted, restored, destroyed.",
            ),
            _query("limit", "Lines a page, 1 to 500; 100 by default.", "integer"),
            _query("cursor", "From the Link header of the page before."),
        ]
    },
)
async def list_upload_logs(request: Request) -> Response:
    """Answer with a page of the log, the latest first."""
    parameters = dict(request.query_params)
    items, following = await gate.serve(request, lambda actor: studies.log(actor, parameters))
    return paging.answer(request, items, following)


@router.get("/studies/{study}", summary="One study, by Study Instance UID or id")
async def get_study(request: Request, study: str) -> Response:
    """Answer with a study."""
    return JSONResponse(await gate.serve(request, lambda actor: studies.study(actor, study)))


@router.delete(
    "/studies/{study}",
    summary="Delete a study",
    openapi_extra={"parameters": [_query("reason", "Why; needed, and kept.")]},
)
async def delete_study(request: Request, study: str) -> Response:
    """Hide a study from every reader; an administrator can restore it for a while."""
    reason = request.query_params.get("reason", "")
    return JSONResponse(
        await gate.serve(request, lambda actor: studies.delete(actor, study, reason))
    )


@router.post("/studies/{study}/restore", summary="Show a deleted study again")
async def restore_study(request: Request, study: str) -> Response:
    """Answer with the study, for administrators, until its retention period has ended."""
    return JSONResponse(await gate.serve(request, lambda actor: studies.restore(actor, study)))


@router.get("/studies/{study}/series", summary="The series of a study")
async def list_series(request: Request, study: str) -> Response:
    """Answer with the series in order of their number."""
    return JSONResponse(await gate.serve(request, lambda actor: studies.series_of(actor, study)))


@router.get(
    "/series/{series}/images",
    summary="The images of a series",
    openapi_extra={
        "parameters": [
            _query("limit", "At most so many, up to 5000.", "integer"),
            _query("offset", "From this one on, 0 by default.", "integer"),
        ]
    },
)
async def list_images(request: Request, series: str) -> Response:
    """Answer with the images in order of their Instance Number."""
    parameters = request.query_params
    return JSONResponse(
        await gate.serve(request, lambda actor: studies.images_of(actor, series, parameters))
    )


@router.get(
    "/image/{image}",
    summary="An image's facts and its windowed picture as base64 PNG",
    openapi_extra={
        "parameters": [
            _query("frame", "Frame number, from 1.", "integer"),
            _query("wc", "Window centre in modality values.", "number"),
            _query("ww", "Window width.", "number"),
            _query("width", "Of the picture in pixels.", "integer"),
            _query("invert", "Reverse black and white.", "boolean"),
        ]
    },
)
async def get_image(request: Request, image: str) -> Response:
    """Answer with facts and a data URI; where nothing can be shown, `problem` says why."""
    parameters = request.query_params
    return JSONResponse(
        await gate.serve(request, lambda actor: studies.image(actor, image, parameters))
    )


@router.post(
    "/upload",
    summary="Store one DICOM file",
    openapi_extra=_form(
        {"file": _FILE, "facility": _TEXT, "patient_id": _TEXT, "order_id": _TEXT}, "file"
    ),
)
async def upload(request: Request) -> Response:
    """Answer when the file is durable; `status` is `uploaded`, or `duplicate` for a known one."""
    await gate.admit(request)
    async with _form_of(request, settings.MAX_INSTANCE_BYTES) as form:
        name, stream = _file_of(form)
        fields = _fields_of(form)
        return JSONResponse(
            await gate.serve(request, lambda actor: uploads.upload_one(actor, name, stream, fields))
        )


@router.post(
    "/upload-multiple",
    summary="Store many DICOM files, zip archives among them",
    openapi_extra=_form(
        {
            "files": {"type": "array", "items": _FILE},
            "facility": _TEXT,
            "patient_id": _TEXT,
            "order_id": _TEXT,
        },
        "files",
    ),
)
async def upload_multiple(request: Request) -> Response:
    """Answer with a result a file, when all that is stored is durable."""
    await gate.admit(request)
    async with _form_of(request, settings.MAX_ARCHIVE_BYTES) as form:
        files = [
            (value.filename or "", value.file)
            for _, value in form.multi_items()
            if isinstance(value, UploadFile)
        ]
        fields = _fields_of(form)
        return JSONResponse(
            await gate.serve(request, lambda actor: uploads.upload_many(actor, files, fields))
        )


@router.post(
    "/read-tags", summary="Read a file's elements", openapi_extra=_form({"file": _FILE}, "file")
)
async def read_tags(request: Request) -> Response:
    """Answer with keyword and value of every element; the file is not stored."""
    await gate.admit(request)
    async with _form_of(request, settings.MAX_INSTANCE_BYTES) as form:
        _, stream = _file_of(form)
        return JSONResponse(await gate.serve(request, lambda _: studies.read_tags(stream)))


@router.post(
    "/parse",
    summary="Read a file's elements, pixel facts and geometry",
    openapi_extra=_form({"file": _FILE}, "file"),
)
async def parse(request: Request) -> Response:
    """Answer with what the archive would know of the file; it is not stored."""
    await gate.admit(request)
    async with _form_of(request, settings.MAX_INSTANCE_BYTES) as form:
        _, stream = _file_of(form)
        return JSONResponse(await gate.serve(request, lambda _: studies.parse(stream)))


@router.post(
    "/modify-tags",
    summary="Make a file with other values",
    response_class=Response,
    responses={200: {"content": {"application/dicom": {"schema": _FILE}}}},
    openapi_extra=_form(
        {
            "file": _FILE,
            "tags": {
                "type": "string",
                "description": "JSON object: values by keyword; null takes one away.",
                "example": '{"PatientName": "DOE^JOHN", "PatientID": "TEST001"}',
            },
        },
        "file",
    ),
)
async def modify_tags(request: Request) -> Response:
    """Answer with a new file; what is stored never changes.

    It has a SOP Instance UID of its own, with another person a new study and series too, and keeps
    what it was in Original Attributes Sequence.
    """
    await gate.admit(request)
    async with _form_of(request, editing.MOST_BYTES) as form:
        _, stream = _file_of(form)
        text = _fields_of(form).get("tags")
        made = await gate.serve(request, lambda actor: editing.modify(actor, stream, text))
    return Response(
        made.content,
        media_type="application/dicom",
        headers={"content-disposition": f'attachment; filename="{made.sop_instance_uid}.dcm"'},
    )


@router.get("/health", summary="Does the service work")
async def health(request: Request) -> Response:
    """Answer `healthy` when the database answers; `orthanc_version` is the configured peer's."""
    return JSONResponse(await gate.serve(request, lambda _: peer.health()))


@router.get("/stats", summary="How much is stored, as far as the caller may see")
async def stats(request: Request) -> Response:
    """Answer with counts."""
    return JSONResponse(await gate.serve(request, studies.stats))


def _form_of(request: Request, most_bytes: int) -> Any:  # noqa: ANN401 - Starlette does not name it
    """Read a form; files past 1 MiB wait on disk and are removed at the end."""
    return limits.bounded(request, most_bytes).form(
        max_files=settings.DATA_UPLOAD_MAX_NUMBER_FILES, max_fields=_MOST_FIELDS
    )


def _file_of(form: FormData) -> tuple[str, BinaryIO]:
    value = form.get("file")
    if not isinstance(value, UploadFile):
        raise InvalidInputError("Send the file in the multipart field 'file'.")
    return value.filename or "", value.file


def _fields_of(form: FormData) -> dict[str, str]:
    return {name: value for name, value in form.items() if isinstance(value, str)}
