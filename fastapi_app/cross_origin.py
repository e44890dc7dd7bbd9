"""Pages of other sites that may read DICOMweb, such as a viewer on an address of its own.

None by default. A page there signs in by a token or a password: cookies of this site are never
taken from another one.
"""

from __future__ import annotations

from functools import lru_cache

from django.conf import settings
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

_PATHS = ("/dicom-web", "/wado")
_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE")
_TOLD = ("Content-Disposition", "Content-Location", "Content-Range", "ETag", "Warning")
_KEPT_S = 600


class CrossOrigin:
    """ASGI application that lets the named origins read what DICOMweb answers (Fetch standard)."""

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner
        self._opened = lru_cache(maxsize=4)(self._open)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        origins = tuple(settings.DICOMWEB_CORS_ORIGINS)
        is_open = origins and scope["type"] == "http" and scope["path"].startswith(_PATHS)
        application = self._opened(origins) if is_open else self._inner
        await application(scope, receive, send)

    def _open(self, origins: tuple[str, ...]) -> ASGIApp:
        return CORSMiddleware(
            self._inner,
            allow_origins=origins,
            allow_methods=_METHODS,
            allow_headers=("*",),
            allow_credentials=False,
            expose_headers=_TOLD,
            max_age=_KEPT_S,
        )
