"""QIDO-RS: search for studies, series and instances."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from fastapi_app import gate
from fastapi_app.services.dicomweb import search
from fastapi_app.services.dicomweb.asking import Asked
from imaging.attributes import IMAGE, SERIES, STUDY

router = APIRouter(tags=["DICOMweb: search"])


def _parameter(name: str, kind: str, description: str) -> dict[str, Any]:
    schema = {"type": kind}
    return {"name": name, "in": "query", "description": description, "schema": schema}


_EXTRA = {
    "parameters": [
        _parameter("PatientID", "string", "Any attribute by keyword or tag matches like this."),
        _parameter("includefield", "string", "Further attributes, parted by commas, or 'all'."),
        _parameter("fuzzymatching", "boolean", "Words of names match by their beginning."),
        _parameter("limit", "integer", "At most so many."),
        _parameter("offset", "integer", "Leave out the first so many."),
    ]
}


def _add(path: str, level: str, summary: str, name: str) -> None:
    async def find(request: Request) -> Response:
        asked = Asked.of(request)
        names = request.path_params
        study, series = names.get("study", ""), names.get("series", "")
        return await gate.serve(request, search.search(asked, level, study=study, series=series))

    router.head(path, include_in_schema=False)(find)
    router.get(path, summary=summary, operation_id=name, openapi_extra=_EXTRA)(find)


_add("/studies", STUDY, "Search for studies", "qido_studies")
_add("/series", SERIES, "Search for series", "qido_series")
_add("/instances", IMAGE, "Search for instances", "qido_instances")
_add("/studies/{study}/series", SERIES, "Search a study for series", "qido_study_series")
_add("/studies/{study}/instances", IMAGE, "Search a study for instances", "qido_study_instances")
_add(
    "/studies/{study}/series/{series}/instances",
    IMAGE,
    "Search a series for instances",
    "qido_series_instances",
)
