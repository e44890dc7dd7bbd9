"""Where programs elsewhere send what they found (docs/api/analyses.md)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import TypeVar

from anyio import to_thread
from django.conf import settings
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from accounts import shares
from archive import analysis_results, remote_analyses, remote_programs, webhooks
from archive.models import AnalysisRun
from fastapi_app import gate, limits
from fastapi_app.auth import NotSignedInError
from fastapi_app.services.analysis_results import Reception

router = APIRouter(prefix="/api/v1/analyses", tags=["Analyses"])

T = TypeVar("T")

_MOST_BYTES = analysis_results.MOST_BYTES + 2 * analysis_results.MOST_JSON_BYTES
_REFUSED = (
    "Send the 'authorization' that the request named, and sign the body with the program's secret: "
    "webhook-id, webhook-timestamp, webhook-signature (https://www.standardwebhooks.com)."
)
_BINARY = {"schema": {"type": "string", "format": "binary"}}


@router.post(
    "/{run}/results",
    summary="What a program found in a study",
    openapi_extra={
        "requestBody": {
            "content": {
                "multipart/form-data": _BINARY,
                "multipart/related": _BINARY,
                "application/json": {"schema": {"type": "object"}},
            }
        }
    },
)
async def take_results(request: Request, run: str) -> Response:
    """Answer with how much was taken; the same body again takes nothing twice.

    422 says what is wrong with the results: better ones may be sent while the time lasts. 409: they
    came already, or nobody waits for them.
    """
    row, check = await _in_thread(lambda: _awaiting(request, run))
    reception = Reception(request.headers.get("content-type"), check)
    try:
        await _receive(limits.bounded(request, _MOST_BYTES), reception)
        count = await _in_thread(lambda: _take(request, row, reception))
    finally:
        await to_thread.run_sync(reception.discard)
    return JSONResponse({"id": str(row.pk), "taken": count}, HTTPStatus.OK)


def _awaiting(request: Request, key: str) -> tuple[AnalysisRun, webhooks.Check]:
    """Return what is waited for; a stranger's body is not read."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    known = remote_analyses.awaiting(key, token.strip()) if scheme.lower() == "bearer" else None
    check = known and webhooks.begin(remote_programs.secret_of(known[1]), request.headers)
    if known is None or check is None:
        shares.count_stranger(gate.address_of(request))
        raise NotSignedInError(_REFUSED)
    remote_analyses.check_open(known[0])
    return known[0], check


async def _receive(request: Request, reception: Reception) -> None:
    pieces = request.stream().__aiter__()
    try:
        while True:
            async with asyncio.timeout(settings.HTTP_BODY_TIMEOUT_S):
                piece = await anext(pieces, None)
            if piece is None:
                break
            if piece:
                await to_thread.run_sync(reception.feed, piece)
    except (TimeoutError, ClientDisconnect) as error:
        raise HTTPException(
            HTTPStatus.REQUEST_TIMEOUT, "The body did not come to its end. Send it again."
        ) from error


def _take(request: Request, row: AnalysisRun, reception: Reception) -> int:
    if not reception.is_signed(request.headers.get("webhook-signature", "")):
        shares.count_stranger(gate.address_of(request))
        raise NotSignedInError(_REFUSED)
    reception.finish()
    return remote_analyses.take(row, reception.folder, reception.digest)


async def _in_thread(work: Callable[[], T]) -> T:
    def run() -> T:
        with gate.database():
            return work()

    return await to_thread.run_sync(run)
