"""UPS-RS: work items, their states, and who is told of them (PS3.18 chapter 11)."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from pydicom.dataset import Dataset
from starlette.responses import Response

from archive.access import Actor
from fastapi_app import gate
from fastapi_app.services.dicomweb import payload, workitems
from fastapi_app.services.dicomweb.asking import Asked

router = APIRouter(tags=["DICOMweb: work items"])

_CONTENT = {
    "application/dicom+json": {"schema": {"type": "object"}},
    "application/dicom+xml": {"schema": {"type": "string"}},
}
_BODY: dict[str, Any] = {"required": True, "content": _CONTENT}
_LIST: dict[str, Any] = {
    "application/dicom+json": {},
    'multipart/related; type="application/dicom+xml"': {},
}
_ITEM = "/workitems/{workitem}"
_SUBSCRIBER = f"{_ITEM}/subscribers/{{aetitle}}"


def _parameter(name: str, description: str, kind: str = "string") -> dict[str, Any]:
    schema = {"type": kind}
    return {"name": name, "in": "query", "description": description, "schema": schema}


_FACILITY = _parameter("facility", "Code of the facility, for members of several.")


async def _with_body(
    request: Request, work: Callable[[Asked, Actor, str | None, Dataset], Response]
) -> Response:
    """Read one data set, then do the work with it."""
    await gate.admit(request)
    asked = Asked.of(request)
    kind, body = await payload.read(request)
    code = request.query_params.get("facility")

    def with_actor(actor: Actor) -> Response:
        return work(asked, actor, code, payload.data_set_of(kind, body))

    return await gate.serve(request, with_actor)


@router.post(
    "/workitems",
    summary="Create a work item",
    operation_id="create_workitem",
    status_code=HTTPStatus.CREATED,
    openapi_extra={
        "parameters": [
            _parameter("workitem", "UID of the new work item; without it, one is made."),
            _FACILITY,
        ],
        "requestBody": _BODY,
    },
)
async def create_workitem(request: Request) -> Response:
    """Answer 201 with the address of the new work item."""
    return await _with_body(request, workitems.create)


async def search_workitems(request: Request) -> Response:
    """Answer with the work items that match, in the order of their planned start."""
    asked = Asked.of(request)
    return await gate.serve(request, lambda actor: workitems.find(asked, actor))


router.head("/workitems", include_in_schema=False)(search_workitems)
router.get(
    "/workitems",
    summary="Search for work items",
    operation_id="search_workitems",
    openapi_extra={
        "parameters": [
            _parameter("ProcedureStepState", "Any attribute by keyword or tag matches like this."),
            _parameter("includefield", "Further attributes, parted by commas, or 'all'."),
            _parameter("fuzzymatching", "Words of names match by their beginning.", "boolean"),
            _parameter("limit", "At most so many.", "integer"),
            _parameter("offset", "Leave out the first so many.", "integer"),
        ],
        "responses": {"200": {"description": "Matches", "content": _LIST}},
    },
)(search_workitems)


async def retrieve_workitem(request: Request, workitem: str) -> Response:
    """Answer with all attributes of the work item but its Transaction UID."""
    asked = Asked.of(request)
    code = request.query_params.get("facility")
    return await gate.serve(request, lambda actor: workitems.retrieve(asked, actor, code, workitem))


router.head(_ITEM, include_in_schema=False)(retrieve_workitem)
router.get(
    _ITEM,
    summary="A work item",
    operation_id="retrieve_workitem",
    openapi_extra={
        "parameters": [_FACILITY],
        "responses": {"200": {"description": "The work item", "content": _LIST}},
    },
)(retrieve_workitem)


@router.post(
    _ITEM,
    summary="Change a work item",
    operation_id="update_workitem",
    openapi_extra={
        "parameters": [
            _parameter("transaction-uid", "Of the claim, while the item is in progress."),
            _FACILITY,
        ],
        "requestBody": _BODY,
    },
)
async def update_workitem(request: Request, workitem: str) -> Response:
    """Answer 200 when the attributes were taken."""
    return await _with_body(
        request, lambda asked, actor, code, ds: workitems.update(asked, actor, code, workitem, ds)
    )


@router.put(
    f"{_ITEM}/state",
    summary="Claim, complete or cancel a work item",
    operation_id="change_workitem_state",
    openapi_extra={"parameters": [_FACILITY], "requestBody": _BODY},
)
async def change_workitem_state(request: Request, workitem: str) -> Response:
    """Answer 200 when the work item is in the state that the body names."""
    return await _with_body(
        request,
        lambda asked, actor, code, ds: workitems.change_state(asked, actor, code, workitem, ds),
    )


@router.post(
    f"{_ITEM}/cancelrequest",
    summary="Ask that a work item be canceled",
    operation_id="request_workitem_cancellation",
    status_code=HTTPStatus.ACCEPTED,
    openapi_extra={
        "parameters": [_FACILITY],
        "requestBody": {"required": False, "content": _CONTENT},
    },
)
async def request_workitem_cancellation(request: Request, workitem: str) -> Response:
    """Answer 202: an unclaimed item is canceled, of another the performer is told."""
    await gate.admit(request)
    kind, body = await payload.read_optional(request)
    code = request.query_params.get("facility")

    def work(actor: Actor) -> Response:
        data_set = payload.data_set_of(kind, body) if body.strip() else Dataset()
        return workitems.request_cancel(actor, code, workitem, data_set)

    return await gate.serve(request, work)


@router.post(
    _SUBSCRIBER,
    summary="Subscribe to a work item, to all, or to those that match",
    operation_id="subscribe_workitem",
    status_code=HTTPStatus.CREATED,
    openapi_extra={
        "parameters": [
            _parameter("deletionlock", "Keep ended work items until it ends.", "boolean"),
            _parameter("filter", "Attribute=value, parted by commas."),
            _FACILITY,
        ]
    },
)
async def subscribe_workitem(request: Request, workitem: str, aetitle: str) -> Response:
    """Answer 201 with the address of the socket that tells of events."""
    asked = Asked.of(request)
    code = request.query_params.get("facility")
    return await gate.serve(
        request, lambda actor: workitems.subscribe(asked, actor, code, workitem, aetitle)
    )


@router.delete(
    _SUBSCRIBER,
    summary="End a subscription",
    operation_id="unsubscribe_workitem",
    openapi_extra={"parameters": [_FACILITY]},
)
async def unsubscribe_workitem(request: Request, workitem: str, aetitle: str) -> Response:
    """Answer 200 when the subscription is over."""
    code = request.query_params.get("facility")
    return await gate.serve(
        request, lambda actor: workitems.unsubscribe(actor, code, workitem, aetitle)
    )


@router.post(
    f"{_SUBSCRIBER}/suspend",
    summary="Subscribe to no further work items",
    operation_id="suspend_worklist_subscription",
)
async def suspend_worklist_subscription(request: Request, workitem: str, aetitle: str) -> Response:
    """Answer 200 when new work items are no longer told."""
    return await gate.serve(request, lambda actor: workitems.suspend(actor, workitem, aetitle))
