"""Retrieve Capabilities: OPTIONS at every address of the service (PS3.18 section 8.9)."""

from __future__ import annotations

import json

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from fastapi_app import gate
from fastapi_app.services.dicomweb import capabilities
from fastapi_app.services.dicomweb.asking import PREFIX, Asked
from fastapi_app.services.dicomweb.capabilities import JSON, OFFERS, WADL, Resource


def add_to(router: APIRouter) -> None:
    """Add the transaction to a router that has all its other routes."""
    root = capabilities.resources(router.routes)
    paths = {route.path: None for route in router.routes if isinstance(route, APIRoute)}
    for path in (PREFIX, f"{PREFIX}/", *paths):
        _add(router, path, capabilities.at(root, path), is_root=path.rstrip("/") == PREFIX)


def _add(router: APIRouter, path: str, resource: Resource, *, is_root: bool) -> None:
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

    relative = path.removeprefix(PREFIX)
    router.options(
        relative,
        summary="What the service can do",
        tags=["DICOMweb: capabilities"],
        operation_id="capabilities",
        include_in_schema=path == PREFIX,
    )(describe)
    if is_root:
        router.get(relative, include_in_schema=False)(describe)
