"""WADO-URI at `/wado`: one object by query parameters, for older clients (PS3.18 section 9)."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from fastapi_app import gate
from fastapi_app.services import wado
from fastapi_app.services.dicomweb.asking import Asked

router = APIRouter(tags=["WADO-URI"])


def _parameter(name: str, description: str, *, required: bool = False) -> dict[str, Any]:
    schema = {"type": "string"}
    return {
        "name": name,
        "in": "query",
        "required": required,
        "description": description,
        "schema": schema,
    }


_PARAMETERS = [
    _parameter("requestType", "WADO.", required=True),
    _parameter("studyUID", "Study Instance UID.", required=True),
    _parameter("seriesUID", "Series Instance UID.", required=True),
    _parameter("objectUID", "SOP Instance UID.", required=True),
    _parameter(
        "contentType",
        "application/dicom, image/jpeg, image/png, image/gif, image/webp, text/html, text/plain or "
        "application/pdf, as far as the object has it; several are parted by commas.",
    ),
    _parameter("transferSyntax", "Of application/dicom; explicit little endian by default."),
    _parameter("frameNumber", "Of a picture, from 1."),
    _parameter("rows", "Height of a picture in pixels."),
    _parameter("columns", "Width of a picture in pixels."),
    _parameter("region", "left,top,right,bottom of a picture, each from 0 to 1."),
    _parameter("windowCenter", "In modality values; given together with windowWidth."),
    _parameter("windowWidth", "In modality values."),
    _parameter("imageQuality", "Of a JPEG or WebP, 1 to 100."),
    _parameter("annotation", "patient, technique, or both: words in the corners."),
    _parameter("presentationUID", "A presentation state that is applied to a picture."),
    _parameter("presentationSeriesUID", "Its series."),
]
_KINDS = (
    "application/dicom", "image/jpeg", "image/png", "image/gif", "image/webp", "text/html",
    "text/plain", "application/pdf",
)  # fmt: skip


async def _answer(request: Request) -> Response:
    await gate.admit(request)
    wanted = wado.wanted_of(Asked.of(request))
    return await gate.serve(request, wado.retrieve_object(wanted))


router.head("/wado", include_in_schema=False)(_answer)
router.get(
    "/wado",
    summary="One object as DICOM, as a picture or as a page",
    operation_id="wado_uri",
    response_class=Response,
    responses={
        200: {"content": {kind: {"schema": {"type": "string"}} for kind in _KINDS}},
        304: {"description": "Unchanged"},
    },
    openapi_extra={"parameters": _PARAMETERS},
)(_answer)
