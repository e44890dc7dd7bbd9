"""Planes and pictures in 3D that the worker computes: ask, follow, fetch."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import JSONResponse, Response

from archive import access
from archive import reconstructions as service
from archive.access import Actor
from archive.errors import InvalidInputError, NotFoundError
from archive.models import ReconstructionJob
from fastapi_app import gate, limits
from fastapi_app.routers.exports import stream_of

router = APIRouter(prefix="/api/v1/dicom", tags=["EHR"])

_STUDY = "/studies/{study}/reconstructions"
_ONE = "/reconstructions/{reconstruction}"
_MOST_BODY_BYTES = 16 * 1024
_NO_STORE = {"cache-control": "no-store"}


class ReconstructionBody(BaseModel):
    """What is wanted; `docs/api/viewer.md` has the meaning of each."""

    model_config = ConfigDict(extra="forbid")

    series_id: str = Field(description="Our id, or its Series Instance UID.")
    plane: str = Field(description="axial, coronal, sagittal, oblique, or volume (3D).")
    orientation: list[float] | None = Field(
        default=None, description="Of an oblique plane: right and down, x y z each (LPS)."
    )
    mode: str | None = Field(default=None, description="thin, mip, minip or average.")
    thickness_mm: float | None = None
    step_mm: float | None = None
    window_center: float | None = None
    window_width: float | None = None
    preset: str | None = Field(
        default=None, description="Of 3D: bone, skin, vessels, lung, surface, mip."
    )
    views: int | None = Field(default=None, description="Of 3D: from how many sides.")
    side: int | None = Field(default=None, description="Of 3D: pixels a side.")
    output: str | None = Field(default=None, description="png, jpeg, or series (of the study).")


@router.post(
    _STUDY,
    status_code=202,
    summary="Have planes or pictures in 3D computed",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": ReconstructionBody.model_json_schema()}},
        }
    },
)
async def ask(request: Request, study: str) -> Response:
    """Queue it; the answer says where to follow it."""
    await gate.admit(request)
    body = _body(await limits.bounded(request, _MOST_BODY_BYTES).body())

    def work(actor: Actor) -> dict[str, Any]:
        said = body.model_dump(exclude_none=True, exclude={"series_id"})
        series = access.parse_key(body.series_id, what="series")
        row = service.ask(actor, access.parse_key(study), series, said)
        return service.document(row)

    document = await gate.serve(request, work)
    return JSONResponse(document, 202, {**_NO_STORE, "location": document["url"]})


@router.get(_STUDY, summary="What was computed of a study")
async def listing(request: Request, study: str) -> Response:
    """List them, newest first."""

    def work(actor: Actor) -> dict[str, Any]:
        gate.study_for(actor, study)
        rows = service.of_study(actor, access.parse_key(study))[:200]
        return {"reconstructions": [service.document(row) for row in rows]}

    return JSONResponse(await gate.serve(request, work), headers=_NO_STORE)


@router.get(_ONE, summary="How far a reconstruction is")
async def one(request: Request, reconstruction: str) -> Response:
    """Answer with its state, and the addresses of its result."""

    def work(actor: Actor) -> dict[str, Any]:
        return service.document(_row(actor, reconstruction))

    return JSONResponse(await gate.serve(request, work), headers=_NO_STORE)


@router.get(
    f"{_ONE}/pictures/{{number}}",
    summary="One picture of a reconstruction",
    response_class=Response,
    responses={200: {"content": {"image/png": {}, "image/jpeg": {}}}},
)
async def picture(request: Request, reconstruction: str, number: str) -> Response:
    """Answer with a PNG or JPEG; numbers are from 1."""

    def work(actor: Actor) -> tuple[bytes, str]:
        row = _row(actor, reconstruction)
        if not (number.isascii() and number.isdigit() and len(number) <= 4):
            raise NotFoundError("Pictures are numbered from 1.")
        return service.picture(actor, row, int(number))

    content, kind = await gate.serve(request, work)
    return Response(content, media_type=kind, headers={"cache-control": "private, max-age=3600"})


@router.get(
    f"{_ONE}/zip",
    summary="All pictures of a reconstruction",
    response_class=Response,
    responses={200: {"content": {"application/zip": {}}}},
)
async def as_zip(request: Request, reconstruction: str) -> Response:
    """Answer with a zip archive of the pictures, and a text of what to know about them."""
    return await gate.serve(
        request, lambda actor: stream_of(service.as_zip(actor, _row(actor, reconstruction)))
    )


@router.post(f"{_ONE}/cancel", summary="Stop a reconstruction")
async def cancel(request: Request, reconstruction: str) -> Response:
    """Work on it no more; what was made of it goes."""
    return await _change(request, reconstruction, service.cancel)


@router.post(f"{_ONE}/retry", summary="Do a reconstruction again")
async def retry(request: Request, reconstruction: str) -> Response:
    """Begin again what failed, was cancelled, or was removed after a while."""
    return await _change(request, reconstruction, service.retry)


def _body(content: bytes) -> ReconstructionBody:
    """Read a request's body, once it is known who sends it."""
    try:
        return ReconstructionBody.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        raise InvalidInputError(
            f"The body is a JSON object with 'series_id', 'plane' and what goes with them. In "
            f"{where}: {first['msg']}."
        ) from None


async def _change(request: Request, reconstruction: str, change: Any) -> Response:  # noqa: ANN401
    def work(actor: Actor) -> dict[str, Any]:
        row = _row(actor, reconstruction)
        change(actor, row)
        return service.document(_row(actor, reconstruction))

    return JSONResponse(await gate.serve(request, work), headers=_NO_STORE)


def _row(actor: Actor, text: str) -> ReconstructionJob:
    try:
        key = UUID(text)
    except ValueError:
        raise NotFoundError("There is no such reconstruction.") from None
    return service.one_for(actor, key)
