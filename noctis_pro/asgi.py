"""The web process: Django's pages, Channels' sockets and, in one origin, the sidecar's routes."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "noctis_pro.settings")  # noqa: TID251

from django.core.asgi import get_asgi_application

_django = get_asgi_application()

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator

from fastapi_app.main import app as sidecar
from notifications.routing import SUBSCRIBERS, subscriber_urlpatterns, websocket_urlpatterns

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_SIDECAR_PATHS = ("/api/", "/dicom-web", "/wado")


async def _http(scope: _Scope, receive: _Receive, send: _Send) -> None:
    application: Any = sidecar if scope["path"].startswith(_SIDECAR_PATHS) else _django
    await application(scope, receive, send)


_pages = AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(websocket_urlpatterns)))
# Programs have no origin; who comes from a page must come from one of ours, as the socket sees to.
_programs = URLRouter(subscriber_urlpatterns)


async def _websocket(scope: _Scope, receive: _Receive, send: _Send) -> None:
    is_program = scope["path"].startswith(SUBSCRIBERS)
    await (_programs if is_program else _pages)(scope, receive, send)


application = ProtocolTypeRouter({"http": _http, "websocket": _websocket})
