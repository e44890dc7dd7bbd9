"""The sidecar's application: `uvicorn fastapi_app.main:app`, or mounted by `noctis_pro.asgi`.

`cd fastapi_app; uvicorn main:app` works as well. Nothing waits for ASGI's lifespan events, which
Daphne does not send: Django is set up on import, everything else with the first request for it.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

_PROJECT = str(Path(__file__).resolve().parent.parent)
if _PROJECT not in sys.path:
    sys.path.insert(0, _PROJECT)
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "noctis_pro.settings")  # noqa: TID251

import django
from django.apps import apps

if not apps.ready:
    django.setup()

from fastapi import FastAPI
from starlette.types import ASGIApp

from archive import problems
from fastapi_app import access_log, docs_page, errors, examples, heads
from fastapi_app.cross_origin import CrossOrigin
from fastapi_app.edge import Edge
from fastapi_app.routers import (
    analyses,
    dicom,
    dicom_production,
    dicomweb,
    exports,
    radiology,
    reconstructions,
    registry,
    resumable,
    tokens,
    wado,
)

_DESCRIPTION = (
    "Pictures and the EHR interface. Sign in with the site's session cookie, with "
    "'Authorization: Bearer <token>' or with HTTP Basic; a token comes from POST "
    "/api/v1/auth/token. Changes by cookie carry X-CSRFToken. Errors are problem documents "
    "(RFC 9457). Everybody sees the studies of their facilities, nothing else."
)
_SCHEMES: dict[str, Any] = {
    "session": {"type": "apiKey", "in": "cookie", "name": "noctis_session"},
    "token": {"type": "http", "scheme": "bearer"},
    "basic": {"type": "http", "scheme": "basic"},
}
_WITHOUT_IDENTITY = frozenset({("/api/v1/auth/token", "post")})


class _Api(FastAPI):
    """FastAPI whose document names the ways to sign in and the form of errors."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document, made once."""
        if self.openapi_schema is None:
            document = super().openapi()
            parts = document.setdefault("components", {})
            parts["securitySchemes"] = _SCHEMES
            for name, known in examples.components().items():
                parts[name] = parts.get(name, {}) | known
            ways: list[dict[str, list[str]]] = [{name: []} for name in _SCHEMES]
            for path, operations in document["paths"].items():
                for method, operation in operations.items():
                    _name_path_parameters(path, operation)
                    operation["responses"].pop("422", None)
                    operation["responses"]["default"] = {
                        "description": "A problem document",
                        "content": {
                            problems.CONTENT_TYPE: {
                                "schema": {"$ref": "#/components/schemas/Problem"}
                            }
                        },
                    }
                    examples.exemplify(path, method, operation)
                    if (path, method) not in _WITHOUT_IDENTITY:
                        operation["security"] = ways
        assert self.openapi_schema is not None  # noqa: S101 - set by the base class
        return self.openapi_schema


def _name_path_parameters(path: str, operation: dict[str, Any]) -> None:
    """Describe the parts of an address that a route reads from the request itself."""
    parameters = operation.setdefault("parameters", [])
    named = {one["name"] for one in parameters if one["in"] == "path"}
    for name in re.findall(r"{(\w+)", path):
        if name not in named:
            schema = {"type": "string"}
            parameters.append({"name": name, "in": "path", "required": True, "schema": schema})


def create() -> FastAPI:
    """Build the application with its routes and error handlers."""
    api = _Api(
        title="NoctisPro PACS",
        version="1",
        description=_DESCRIPTION,
        openapi_url="/api/openapi.json",
        # FastAPI's own pages load scripts from a public network; ours needs none.
        docs_url=None,
        redoc_url=None,
    )
    errors.install(api)
    # Pictures first: `/studies/{study}/thumbnail` and `/studies/{study}` do not meet anyway.
    routers = (
        analyses,
        dicom_production,
        dicom,
        registry,
        resumable,
        dicomweb,
        wado,
        exports,
        reconstructions,
        radiology,
        tokens,
        docs_page,
    )
    for module in routers:
        api.include_router(module.router)
    return api


heads.bound()
access_log.hide_queries()
api = create()
app: ASGIApp = Edge(CrossOrigin(api))
