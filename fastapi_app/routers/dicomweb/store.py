"""STOW-RS: instances come in; and DELETE, which is no part of PS3.18 but of every archive."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from functools import partial
from http import HTTPStatus
from typing import Any

from django.conf import settings
from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from archive import access, deletions, storing
from archive.access import Actor
from archive.errors import ArchiveError
from archive.ingest import Provenance
from archive.storing import Deposit
from fastapi_app import gate
from fastapi_app.services.dicomweb import store, store_answer
from fastapi_app.services.dicomweb.asking import Asked, bad_request
from fastapi_app.services.dicomweb.related import BrokenBodyError
from fastapi_app.services.dicomweb.store import Reception
from imaging.uid import is_valid_uid
from worklist.models import Facility

logger = logging.getLogger(__name__)
router = APIRouter(tags=["DICOMweb: store"])

# Of the body, at a time into a thread: each change of threads costs some 0.1 ms.
_BATCH_BYTES = 512 * 1024
_FACILITY = {
    "name": "facility",
    "in": "query",
    "description": "Code of the facility whose the instances become.",
    "schema": {"type": "string"},
}
_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_STORE: dict[str, Any] = {
    "parameters": [_FACILITY],
    "requestBody": {
        "required": True,
        "content": {
            'multipart/related; type="application/dicom"': _BINARY,
            'multipart/related; type="application/dicom+json"': _BINARY,
            'multipart/related; type="application/dicom+xml"': _BINARY,
            "application/dicom": _BINARY,
        },
    },
}


@router.post(
    "/studies", summary="Store instances", operation_id="stow_studies", openapi_extra=_STORE
)
async def store_instances(request: Request) -> Response:
    """Answer when all that could be stored is durable, and say of the rest why it was not."""
    return await _store(request, None)


@router.post(
    "/studies/{study}",
    summary="Store instances of one study",
    operation_id="stow_study",
    openapi_extra=_STORE,
)
async def store_study(request: Request, study: str) -> Response:
    """Answer as the other one; instances of other studies are refused."""
    return await _store(request, study)


async def _store(request: Request, study: str | None) -> Response:
    code = request.query_params.get("facility")
    actor, facility = await gate.serve(
        request, lambda actor: (actor, access.facility_for_upload(actor, code))
    )
    asked = Asked.of(request)
    asked.choose(store_answer.OFFERS)
    if study is not None and not is_valid_uid(study):
        raise bad_request("The Study Instance UID in the address is no lawful UID (PS3.5 9.1).")
    coding = request.headers.get("content-encoding", "identity")
    if coding.lower() != "identity":
        raise _unsupported(
            f"A body in the content coding {coding[:40]} is not taken; send it plain."
        )
    content_type = request.headers.get("content-type")
    reception = _reception(content_type, storing.provenance_of(actor, facility, study))
    try:
        await _receive(request, reception)
    finally:
        await gate.go_on(request, partial(_end, actor, facility, reception))
    if not reception.deposits:
        raise bad_request("The request holds no instance.")
    return store_answer.answer(asked, reception.deposits)


def _reception(content_type: str | None, provenance: Provenance) -> Reception:
    try:
        reception = store.reception_of(content_type, provenance)
    except BrokenBodyError as error:
        raise bad_request(str(error)) from error
    if reception is None:
        raise _unsupported(
            "Send multipart/related with type application/dicom, application/dicom+json or "
            "application/dicom+xml, or a single application/dicom."
        )
    return reception


def _unsupported(detail: str) -> HTTPException:
    return HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail)


async def _receive(request: Request, reception: Reception) -> None:
    """Give the body to the reception; what was stored before it broke stays, and is told."""
    try:
        try:
            async for chunk in _batches(request):
                await gate.go_on(request, partial(reception.feed, chunk))
            await gate.go_on(request, reception.close)
        finally:
            await gate.go_on(request, reception.settle)
    except BrokenBodyError as error:
        if not reception.deposits:
            raise bad_request(str(error)) from error
        reception.note(Deposit(failure_reason=storing.PROCESSING_FAILURE, sentence=str(error)))
    except ArchiveError as error:
        if not reception.deposits:
            raise
        reception.note(storing.refused(error))
    except (ClientDisconnect, TimeoutError) as error:
        logger.info("A store request broke off after %d instances.", len(reception.deposits))
        raise HTTPException(
            HTTPStatus.REQUEST_TIMEOUT,
            "The body did not come to its end. Instances that came whole are stored; send the "
            "request again.",
        ) from error


async def _batches(request: Request) -> AsyncIterator[bytes]:
    """Yield the body in pieces worth a thread's while; a sender that stalls is given up."""
    held: list[bytes] = []
    size = 0
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(settings.HTTP_BODY_TIMEOUT_S):
                chunk = await anext(stream, None)
        except (ClientDisconnect, TimeoutError):
            # An instance that came whole may end in what is held.
            if held:
                yield b"".join(held)
            raise
        if chunk is None:
            break
        held.append(chunk)
        size += len(chunk)
        if size >= _BATCH_BYTES:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


def _end(actor: Actor, facility: Facility, reception: Reception) -> None:
    """Forget what is not stored, and write the audit event."""
    reception.discard()
    if reception.deposits:
        storing.record(actor, facility, reception.deposits)


_DELETE: dict[str, Any] = {
    "parameters": [
        {
            "name": "reason",
            "in": "query",
            "description": "Why; needed, and kept. The header X-Reason says the same.",
            "schema": {"type": "string"},
        },
        {**_FACILITY, "description": "Whose, where several facilities have it."},
    ]
}


def _add_delete(path: str, what: str) -> None:
    async def delete(request: Request) -> Response:
        names = request.path_params
        reason = request.query_params.get("reason") or request.headers.get("x-reason", "")
        where = deletions.Place(
            study_instance_uid=names["study"],
            series_instance_uid=names.get("series", ""),
            sop_instance_uid=names.get("instance", ""),
            facility=request.query_params.get("facility", ""),
        )
        await gate.serve(request, lambda actor: deletions.delete_at(actor, where, reason))
        return Response(status_code=HTTPStatus.NO_CONTENT)

    router.delete(
        path,
        summary=f"Delete {what}",
        description="Hidden from every reader at once; restorable for a while.",
        operation_id=f"delete_{what.rsplit(maxsplit=1)[-1]}",
        status_code=HTTPStatus.NO_CONTENT,
        openapi_extra=_DELETE,
    )(delete)


_add_delete("/studies/{study}", "a study")
_add_delete("/studies/{study}/series/{series}", "a series")
_add_delete("/studies/{study}/series/{series}/instances/{instance}", "an instance")
