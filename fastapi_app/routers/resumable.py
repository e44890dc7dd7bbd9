"""Uploads in pieces that go on after a lost connection: tus 1.0."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from anyio import to_thread
from django.conf import settings
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from archive import resumable
from archive.access import Actor
from archive.errors import ForbiddenError, InvalidInputError, NotDicomError
from archive.models import ResumableUpload
from archive.resumable import Appending
from fastapi_app import errors, gate, paging
from fastapi_app.services import tus


class _SpokenRoute(APIRoute):
    """A route whose refusals carry the protocol's version too, as each of its answers has to."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers."""
        inner = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                response = await inner(request)
            except Exception as error:  # noqa: BLE001 - the request's edge: what is not meant is logged
                response = errors.answer_of(error, is_browser=errors.is_browser(request))
            response.headers.setdefault("tus-resumable", tus.VERSION)
            return response

        return answer


router = APIRouter(prefix=tus.PREFIX, tags=["Resumable uploads"], route_class=_SpokenRoute)

_WRITE_BYTES = 1024 * 1024


def _header(name: str, description: str, *, required: bool = True) -> dict[str, Any]:
    schema = {"type": "string"}
    return {
        "name": name,
        "in": "header",
        "required": required,
        "description": description,
        "schema": schema,
    }


_VERSION = _header("Tus-Resumable", tus.VERSION)
_CHECKSUM = _header("Upload-Checksum", "sha1, sha256 or md5, and the digest.", required=False)
_PIECE = {
    "requestBody": {"content": {tus.PIECE_TYPE: {"schema": {"type": "string", "format": "binary"}}}}
}


@router.options("", summary="What of tus this server speaks", status_code=204)
async def ask_capabilities(request: Request) -> Response:
    """Answer with version, extensions, the largest file and the checksums."""
    await gate.admit(request)
    return tus.capabilities()


@router.post(
    "",
    summary="Begin an upload in pieces",
    status_code=HTTPStatus.CREATED,
    response_class=Response,
    openapi_extra={
        **_PIECE,
        "parameters": [
            _VERSION,
            _header("Upload-Length", "Bytes of the whole file.", required=False),
            _header(
                "Upload-Metadata",
                "filename, facility, order_id, patient_id: each with its value in base64.",
                required=False,
            ),
            _header("Upload-Concat", "partial; or final; and the parts.", required=False),
            _CHECKSUM,
        ],
    },
)
async def begin_upload(request: Request) -> Response:
    """Answer 201 with the address of the upload; the first piece may come with the request."""
    await gate.admit(request)
    if (refusal := tus.wrong_version(request.headers.get("tus-resumable"))) is not None:
        return refusal
    wanted = tus.creation_of(request.headers)
    checksum = tus.checksum_of(request.headers)
    row = await gate.serve(request, lambda actor: tus.begin(actor, wanted))
    if (
        request.headers.get("content-type") == tus.PIECE_TYPE
        and wanted.parts is None
        and row.length
    ):
        appending = await gate.serve(
            request, lambda actor: resumable.append(actor, row.pk, 0, checksum=checksum)
        )
        try:
            row = await _receive(request, appending)
        except resumable.ChecksumError as error:
            return tus.mismatch(error)
    headers = {"location": f"{tus.PREFIX}/{row.pk}", **tus.state_headers(row)}
    return tus.spoken(HTTPStatus.CREATED, headers)


@router.head("/{upload}", include_in_schema=False)
async def ask_offset(request: Request, upload: str) -> Response:
    """Answer how far the upload is."""
    if (refusal := tus.wrong_version(request.headers.get("tus-resumable"))) is not None:
        await gate.admit(request)
        return refusal
    row = await gate.serve(
        request, lambda actor: resumable.upload_for(actor, paging.identifier(upload, "upload"))
    )
    headers = {"upload-length": str(row.length), **tus.state_headers(row)}
    headers |= tus.repeated_headers(row)
    return tus.spoken(HTTPStatus.OK, headers)


@router.get("/{upload}", summary="How far an upload is, and what became of it")
async def get_upload(request: Request, upload: str) -> Response:
    """Answer with `state`: receiving, processing, stored or failed; and then the `result`."""
    return JSONResponse(
        await gate.serve(
            request,
            lambda actor: tus.document(
                resumable.upload_for(actor, paging.identifier(upload, "upload"))
            ),
        )
    )


@router.patch(
    "/{upload}",
    summary="Send a piece",
    status_code=204,
    openapi_extra={
        **_PIECE,
        "parameters": [_VERSION, _header("Upload-Offset", "Where it begins."), _CHECKSUM],
    },
)
async def send_piece(request: Request, upload: str) -> Response:
    """Answer 204 with the new offset when the piece is safe; the last one has the file stored.

    460: the checksum is wrong and nothing of the piece counts. 409: the upload is at another
    offset, or another request writes to it.
    """
    await gate.admit(request)
    if (refusal := tus.wrong_version(request.headers.get("tus-resumable"))) is not None:
        return refusal
    if request.headers.get("content-type") != tus.PIECE_TYPE:
        raise NotDicomError(f"Send pieces as '{tus.PIECE_TYPE}'.")
    offset = tus.offset_of(request.headers)
    checksum = tus.checksum_of(request.headers)
    upload_id = paging.identifier(upload, "upload")

    def begin(actor: Actor) -> Appending:
        if tus.is_joined(resumable.upload_for(actor, upload_id)):
            raise ForbiddenError("This upload was joined of others: nothing is added to it.")
        return resumable.append(actor, upload_id, offset, checksum=checksum)

    appending = await gate.serve(request, begin)
    try:
        row = await _receive(request, appending)
    except resumable.ChecksumError as error:
        return tus.mismatch(error)
    return tus.spoken(HTTPStatus.NO_CONTENT, tus.state_headers(row))


@router.post("/{upload}", include_in_schema=False)
async def do_by_post(request: Request, upload: str) -> Response:
    """Do what `X-HTTP-Method-Override` names, for clients in networks that let POST alone pass."""
    method = request.headers.get("x-http-method-override", "").upper()
    if method == "PATCH":
        return await send_piece(request, upload)
    if method == "DELETE":
        return await terminate_upload(request, upload)
    if method == "HEAD":
        return await ask_offset(request, upload)
    raise HTTPException(
        HTTPStatus.METHOD_NOT_ALLOWED, headers={"allow": "HEAD, GET, PATCH, DELETE"}
    )


@router.delete("/{upload}", summary="Take an upload back", status_code=204)
async def terminate_upload(request: Request, upload: str) -> Response:
    """Answer 204; what was stored of it already stays."""
    await gate.serve(
        request,
        lambda actor: resumable.terminate(actor, paging.identifier(upload, "upload")),
    )
    return tus.spoken(HTTPStatus.NO_CONTENT)


async def _receive(request: Request, appending: Appending) -> ResumableUpload:
    """Write a body behind what came before; what a lost connection has brought counts."""
    waiting = bytearray()
    pieces = request.stream().__aiter__()
    try:
        try:
            while True:
                async with asyncio.timeout(settings.HTTP_BODY_TIMEOUT_S):
                    piece = await anext(pieces, None)
                if piece is None:
                    break
                waiting += piece
                if len(waiting) >= _WRITE_BYTES:
                    await gate.go_on(request, _write(appending, bytes(waiting)))
                    waiting.clear()
        except (ClientDisconnect, TimeoutError) as error:
            await gate.go_on(request, _write(appending, bytes(waiting)))
            await gate.go_on(request, appending.keep)
            raise InvalidInputError("The piece broke off. Ask for the offset and go on.") from error
        await gate.go_on(request, _write(appending, bytes(waiting)))
        return await gate.go_on(request, appending.finish)
    finally:
        await to_thread.run_sync(appending.close)


def _write(appending: Appending, piece: bytes) -> Any:  # noqa: ANN401 - a piece of work
    return lambda: appending.write(piece)
