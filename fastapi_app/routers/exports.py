"""What leaves as one file: a study as a zip archive with its DICOMDIR."""

from __future__ import annotations

from typing import Any, cast

from fastapi import APIRouter, Request
from starlette.responses import Response

from archive import access, discs
from archive.access import Actor
from archive.errors import InvalidInputError
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


def _query(name: str, description: str, **schema: object) -> dict[str, Any]:
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": description,
        "schema": {"type": "boolean", **schema},
    }


@router.get(
    "/studies/{study}/disc",
    summary="A study as a zip archive with DICOMDIR",
    response_class=Response,
    responses={200: {"content": _ZIP}},
    openapi_extra={
        "parameters": [
            _query("viewer", "1: with a page that shows the pictures without a network.")
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


@router.get(
    "/studies/{study}/anonymised",
    summary="A study as a zip archive, de-identified by PS3.15 Annex E",
    response_class=Response,
    responses={200: {"content": _ZIP}},
    openapi_extra={
        "parameters": [
            _query("subject", "What the person is called instead.", type="string"),
            _query(
                "dates",
                "removed, kept, or shifted by one offset a patient.",
                type="string",
                enum=["removed", "kept", "shifted"],
            ),
            _query("patient", "Retain patient characteristics."),
            _query("device", "Retain device identity."),
            _query("uids", "Retain UIDs."),
            _query("descriptors", "Keep descriptions, cleaned."),
            _query("private", "Retain safe private attributes."),
            _query("pixels", "Blank ultrasound pictures outside of their regions."),
        ]
    },
)
async def get_anonymised(request: Request, study: str) -> Response:
    """Answer with the pictures of a study that can leave; a read-me counts those left out."""
    query = request.query_params

    def make(actor: Actor) -> Response:
        # Loaded where somebody exports: the table of attributes takes its time and memory.
        from archive import anonymise  # noqa: PLC0415
        from imaging.deidentify import Dates, Options  # noqa: PLC0415

        dates = query.get("dates") or "removed"
        if dates not in ("removed", "kept", "shifted"):
            raise InvalidInputError("'dates' is removed, kept or shifted.")
        names = ("patient", "device", "uids", "descriptors", "private", "pixels")
        chosen = {name: query.get(name, "").lower() in _TRUE for name in names}
        options = Options(dates=cast("Dates", dates), **chosen)
        key = access.parse_key(study)
        subject = query.get("subject", "")
        return stream_of(anonymise.study_anonymised(actor, key, options, subject=subject))

    return await gate.serve(request, make)
