"""What modalities do beside storing: commitment, their worklist, performed steps."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from archive.access import Actor
from fastapi_app import gate
from fastapi_app.services.dicomweb import payload, store_answer, workflow
from fastapi_app.services.dicomweb.asking import Asked

router = APIRouter(tags=["DICOMweb: workflow"])

_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/dicom+json": {"schema": {"type": "object"}},
        "application/dicom+xml": {"schema": {"type": "string"}},
    },
}
_FACILITY = {
    "name": "facility",
    "in": "query",
    "description": "Code of the facility that it is about, for members of several.",
    "schema": {"type": "string"},
}
_COMMITMENT = "/commitment-requests/{transaction}"
_STEP = "/modality-performed-procedure-steps/{step}"


@router.post(
    _COMMITMENT,
    summary="Ask whether instances are safe here",
    operation_id="request_commitment",
    openapi_extra={"parameters": [_FACILITY], "requestBody": _BODY},
)
async def request_commitment(request: Request, transaction: str) -> Response:
    """Answer with the result, or with 202 while the files are still read again."""
    await gate.admit(request)
    asked = Asked.of(request)
    asked.choose(store_answer.OFFERS)
    kind, body = await payload.read(request)
    code = request.query_params.get("facility")

    def work(actor: Actor) -> Response:
        data_set = payload.data_set_of(kind, body)
        return workflow.request_commitment(asked, actor, code, transaction, data_set)

    return await gate.serve(request, work)


@router.get(
    _COMMITMENT,
    summary="The result of a commitment request",
    operation_id="check_commitment",
    openapi_extra={"parameters": [_FACILITY]},
)
async def check_commitment(request: Request, transaction: str) -> Response:
    """Answer with the result, or with 202 while it is not there yet."""
    asked = Asked.of(request)

    def work(actor: Actor) -> Response:
        asked.choose(store_answer.OFFERS)
        return workflow.commitment_result(asked, actor, transaction)

    return await gate.serve(request, work)


@router.post(
    _STEP,
    summary="Begin a performed step; with ?update change one",
    operation_id="performed_step",
    openapi_extra={
        "parameters": [
            {
                "name": "update",
                "in": "query",
                "description": "There (without a value): change the step, do not create one.",
                "schema": {"type": "string"},
                "allowEmptyValue": True,
            },
            _FACILITY,
        ],
        "requestBody": _BODY,
    },
    status_code=HTTPStatus.CREATED,
)
async def performed_step(request: Request, step: str) -> Response:
    """Answer 201 for a new step, 200 for one that was changed."""
    await gate.admit(request)
    asked = Asked.of(request)
    kind, body = await payload.read(request)
    code = request.query_params.get("facility")
    is_update = "update" in request.query_params

    def work(actor: Actor) -> Response:
        data_set = payload.data_set_of(kind, body)
        if is_update:
            return workflow.change_step(actor, code, step, data_set)
        return workflow.create_step(asked, actor, code, step, data_set)

    return await gate.serve(request, work)


@router.get(
    _STEP,
    summary="A performed step",
    operation_id="retrieve_step",
    openapi_extra={"parameters": [_FACILITY]},
)
async def retrieve_step(request: Request, step: str) -> Response:
    """Answer with all attributes of the step."""
    asked = Asked.of(request)
    code = request.query_params.get("facility")

    def work(actor: Actor) -> Response:
        asked.choose(store_answer.OFFERS)
        return workflow.retrieve_step(asked, actor, code, step)

    return await gate.serve(request, work)


@router.get(
    "/modality-scheduled-procedure-steps",
    summary="Search the modality worklist",
    operation_id="modality_worklist",
    openapi_extra={
        "parameters": [
            {
                "name": name,
                "in": "query",
                "description": words,
                "schema": {"type": kind},
            }
            for name, kind, words in (
                ("PatientID", "string", "Any attribute by keyword or tag matches like this."),
                (
                    "ScheduledProcedureStepSequence.Modality",
                    "string",
                    "Attributes of the step stand behind its sequence and a dot.",
                ),
                ("includefield", "string", "Further attributes, parted by commas, or 'all'."),
                ("fuzzymatching", "boolean", "Words of names match by their beginning."),
                ("limit", "integer", "At most so many."),
                ("offset", "integer", "Leave out the first so many."),
            )
        ]
    },
)
async def modality_worklist(request: Request) -> Response:
    """Answer with the steps that are still to be done, in the order of their start."""
    await gate.admit(request)
    asked = Asked.of(request)
    return await gate.serve(request, lambda actor: workflow.worklist(asked, actor))
