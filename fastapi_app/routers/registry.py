"""Patients and orders of the EHR interface."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from fastapi_app import bodies, gate, paging
from fastapi_app.services import ordering, patients
from fastapi_app.services.ordering import OrderBody
from fastapi_app.services.patients import PatientBody

router = APIRouter(prefix="/api/v1", tags=["Patients and orders"])


def _query(name: str, description: str, kind: str = "string") -> dict[str, Any]:
    schema = {"type": kind}
    return {"name": name, "in": "query", "description": description, "schema": schema}


_PAGE = [
    _query("limit", "How many a page, 1 to 100; 50 by default.", "integer"),
    _query("cursor", "From the Link header of the page before."),
]


@router.post(
    "/patients",
    summary="Register a patient",
    status_code=HTTPStatus.CREATED,
    openapi_extra=bodies.described(PatientBody, patients.EXAMPLE),
)
async def create_patient(request: Request) -> Response:
    """Answer 201 with the patient; 200 where the facility knows the same person already."""
    body = await bodies.read(request, PatientBody)
    document, is_new = await gate.serve(request, lambda actor: patients.create(actor, body))
    status = HTTPStatus.CREATED if is_new else HTTPStatus.OK
    return JSONResponse(
        document, status, headers={"location": f"/api/v1/patients/{document['id']}"}
    )


@router.get(
    "/patients",
    summary="List patients",
    openapi_extra={
        "parameters": [
            _query("PatientID", "Exact; 'mrn' says the same."),
            _query("mrn", "Exact; 'PatientID' says the same."),
            _query("PatientName", "Its words each stand in the name, in any case."),
            _query("PatientBirthDate", "20260131 or 2026-01-31."),
            *_PAGE,
        ]
    },
)
async def list_patients(request: Request) -> Response:
    """Answer with a page of patients, the latest first; `Link: rel="next"` leads on."""
    parameters = dict(request.query_params)
    items, following = await gate.serve(request, lambda actor: patients.find(actor, parameters))
    return paging.answer(request, items, following)


@router.get("/patients/{patient}", summary="One patient")
async def get_patient(request: Request, patient: str) -> Response:
    """Answer with a patient."""
    return JSONResponse(await gate.serve(request, lambda actor: patients.patient(actor, patient)))


@router.post(
    "/orders",
    summary="Make an order",
    status_code=HTTPStatus.CREATED,
    openapi_extra=bodies.described(OrderBody, ordering.EXAMPLE),
)
async def create_order(request: Request) -> Response:
    """Answer 201 with the order and its accession number; equipment finds it on its worklist."""
    body = await bodies.read(request, OrderBody)
    document = await gate.serve(request, lambda actor: ordering.create(actor, body))
    headers = {"location": f"/api/v1/orders/{document['id']}"}
    return JSONResponse(document, HTTPStatus.CREATED, headers=headers)


@router.get(
    "/orders",
    summary="List orders",
    openapi_extra={
        "parameters": [
            _query("patient_id", "The patient's id."),
            _query("AccessionNumber", "Exact."),
            _query("status", "scheduled, in_progress, completed, discontinued, cancelled; open."),
            _query("Modality", "Of a planned step."),
            *_PAGE,
        ]
    },
)
async def list_orders(request: Request) -> Response:
    """Answer with a page of orders, newest first; `Link: rel="next"` leads to the next page."""
    parameters = dict(request.query_params)
    items, following = await gate.serve(request, lambda actor: ordering.find(actor, parameters))
    return paging.answer(request, items, following)


@router.get("/orders/{order}", summary="One order")
async def get_order(request: Request, order: str) -> Response:
    """Answer with an order, its steps and its studies."""
    return JSONResponse(await gate.serve(request, lambda actor: ordering.order(actor, order)))


@router.post("/orders/{order}/cancel", summary="Take an order off the worklist")
async def cancel_order(request: Request, order: str) -> Response:
    """Answer with the order; 409 when nothing of it is open, or equipment is at work on it."""
    return JSONResponse(await gate.serve(request, lambda actor: ordering.cancel(actor, order)))
