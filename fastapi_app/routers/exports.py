"""What leaves as one file: a study as a zip archive with its DICOMDIR."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from archive import access, discs
from archive.access import Actor
from fastapi_app import gate
from fastapi_app.services.dicomweb import streams

router = APIRouter(prefix="/api/v1/dicom", tags=["EHR"])

_ZIP = {"application/zip": {"schema": {"type": "string", "format": "binary"}}}
_TRUE = {"1", "true", "yes", "on"}


def stream_of(archive: discs.Archive) -> Response:
    """Return a zip archive as it is made."""
    return streams.Stream(
        archive.pieces,
        media_type="application/zip",
        length=archive.size_bytes,
        headers={
            "content-disposition": f'attachment; filename="{archive.name}"',
            "cache-control": "no-store",
        },
    )


@router.get(
    "/studies/{study}/disc",
    summary="A study as a zip archive with DICOMDIR",
    response_class=Response,
    responses={200: {"content": _ZIP}},
    openapi_extra={
        "parameters": [
            {
                "name": "viewer",
                "in": "query",
                "required": False,
                "description": "1: with a page that shows the pictures without a network.",
                "schema": {"type": "boolean"},
            }
        ]
    },
)
async def get_disc(request: Request, study: str) -> Response:
    """Answer with every file of a study as stored, its directory, and a page if it is wanted."""
    with_viewer = request.query_params.get("viewer", "").lower() in _TRUE

    def make(actor: Actor) -> Response:
        key = access.parse_key(study)
        return stream_of(discs.study_on_disc(actor, key, with_viewer=with_viewer))

    return await gate.serve(request, make)
