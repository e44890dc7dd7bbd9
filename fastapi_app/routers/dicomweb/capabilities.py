"""Retrieve Capabilities: OPTIONS at every address of the service (PS3.18 section 8.9)."""

from __future__ import annotations

import json
from collections.abc import Iterable

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from fastapi_app import gate
from fastapi_app.services.dicomweb import capabilities
from fastapi_app.services.dicomweb.asking import Asked
from fastapi_app.services.dicomweb.capabilities import JSON, OFFERS, WADL, Resource


def add_to(router: APIRouter, parts: Iterable[APIRouter]) -> None:
    """Add the transaction to a router, for the routes of its parts."""
    routes = [route for part in parts for route in part.routes if isinstance(route, APIRoute)]
    root = capabilities.resources(routes)
    for path in dict.fromkeys(("", "/", *(route.path for route in routes))):
        _add(router, path, capabilities.at(root, path))


def _add(router: APIRouter, path: str, resource: Resource) -> None:
    allowed = sorted({method.name for method in resource.methods} | {"OPTIONS"})

    async def describe(request: Request) -> Response:
        await gate.admit(request)
        asked = Asked.of(request)
        kind = asked.choose(OFFERS).offer.media_type
        if kind == JSON:
            document = {"base": asked.base_url, "resource": resource.document()}
            content = json.dumps(document).encode()
        else:
            content = capabilities.wadl(asked.base_url, resource)
        return Response(
            content,
            media_type=WADL if kind == WADL else kind,
            headers={"allow": ", ".join(allowed), "vary": "Accept, Authorization, Cookie"},
        )

    router.options(
        path,
        summary="What the service can do",
        tags=["DICOMweb: capabilities"],
        operation_id="capabilities",
        include_in_schema=not path,
    )(describe)
    if not path.strip("/"):
        router.get(path, include_in_schema=False)(describe)
