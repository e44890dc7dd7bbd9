"""The outermost layer: lawful hosts, headers on every answer, and frames that are in memory.

A frame that was made before and whose caller was recognised within the last second leaves from
here, in the event loop, without a thread, a database or a router. Other frames and plain searches
pass no router. Everything else goes on to FastAPI, which decides the same by the same functions.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from django.conf import settings
from django.http.request import split_domain_port, validate_host
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from archive import correlation, link_texts, problems, retrieve
from archive.access import Actor
from fastapi_app import auth, direct, errors, gate
from fastapi_app.services import dicom_processor
from fastapi_app.services.dicomweb import search
from fastapi_app.services.dicomweb.asking import PREFIX, Asked
from imaging.attributes import IMAGE, SERIES, STUDY

_POLICY = b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
_BASE: list[tuple[bytes, bytes]] = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


_LINK = f"{link_texts.PARAMETER}=".encode()
_LINKED_IMAGES = "/api/v1/radiology/images/"


class Edge:
    """ASGI application around the sidecar's FastAPI application."""

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner
        self._base = list(_BASE)
        if settings.SECURE_HSTS_SECONDS:
            value = f"max-age={settings.SECURE_HSTS_SECONDS}; includeSubDomains"
            self._base.append((b"strict-transport-security", value.encode()))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        direct.note(scope, send)
        scope = _with_link_as_header(scope)
        headers = _wanted(scope["headers"])
        request_id = correlation.begin_request(_text(headers.get(_REQUEST_ID)))
        send = _with_request_id(send, request_id.encode("ascii"))
        if not is_lawful_host(headers.get(b"host", b"").decode("latin-1")):
            problem = problems.problem(
                HTTPStatus.BAD_REQUEST,
                "This site does not go by the name in the request. Add it to ALLOWED_HOSTS.",
            )
            await errors.answer(problem)(scope, receive, self._dressed(send))
            return
        if settings.SECURE_SSL_REDIRECT and not is_secure(scope, headers):
            await _to_https(scope, headers)(scope, receive, self._dressed(send))
            return
        if await self._warm(scope, headers, send) or await self._made(scope, receive, send):
            return
        await self._inner(scope, receive, self._dressed(send))

    def _dressed(self, send: Send) -> Send:
        """Add what every answer carries."""

        async def send_dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *self._base]
                if b"content-security-policy" not in given:
                    message["headers"].append((b"content-security-policy", _POLICY))
                if b"cache-control" not in given:
                    message["headers"].append((b"cache-control", b"no-store"))
            await send(message)

        return send_dressed

    async def _warm(self, scope: Scope, headers: dict[bytes, bytes], send: Send) -> bool:
        """Answer from memory; returns whether that was possible."""
        if scope["method"] != "GET":
            return False
        asked = dicom_processor.asked_by(scope["path"], scope["query_string"])
        if asked is None:
            return False
        image = gate.known_image(asked.image)
        credential = auth.credential_of(
            _text(headers.get(b"authorization")), _text(headers.get(b"cookie"))
        )
        if image is None or credential is None:
            return False
        client = scope.get("client")
        caller = auth.known_caller(credential, client[0] if client else None)
        if (
            caller is None
            or caller.purpose
            or not caller.actor.scope.includes(image.facility_id)
            or not gate.has_viewed(caller.actor, image.series.study_id)
        ):
            return False
        rendered = retrieve.peek(image, asked.frame_number, asked.rendering)
        if rendered is None:
            return False
        tag = dicom_processor.tag_of(image, asked.frame_number, asked.rendering)
        unchanged = dicom_processor.is_unchanged(tag, _text(headers.get(b"if-none-match")))
        status = HTTPStatus.NOT_MODIFIED if unchanged else HTTPStatus.OK
        answer = dicom_processor.frame_headers(
            image, tag, asked.version, None if unchanged else rendered
        )
        answer += self._base
        answer.append((b"content-security-policy", _POLICY))
        await send({"type": "http.response.start", "status": int(status), "headers": answer})
        body = b"" if unchanged else rendered.content
        await send({"type": "http.response.body", "body": body})
        return True

    async def _made(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Answer a plain request for a frame or a search without a router: that takes as long.

        Returns whether that was possible; what is not plain goes on to the routes, which pass the
        same gate and the same work.
        """
        if scope["method"] != "GET":
            return False
        request = Request(scope)
        try:
            work = _plain_work(scope, request)
            if work is None:
                return False
            response = await gate.serve(request, work)
        except Exception as error:  # noqa: BLE001 - the request's edge: what is not meant is logged
            response = errors.answer_of(error, is_browser=errors.is_browser(request))
        await response(scope, receive, self._dressed(send))
        return True


def _with_request_id(send: Send, request_id: bytes) -> Send:
    """Let an answer carry the id of its request."""

    async def send_named(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (_REQUEST_ID, request_id)]
        await send(message)

    return send_named


def _plain_work(scope: Scope, request: Request) -> Callable[[Actor], Response] | None:
    """Return the work of a request that needs no router; None: it is none of these."""
    level = _SEARCHES.get(scope["path"])
    if level is not None and not settings.DICOMWEB_CORS_ORIGINS:
        return search.search(Asked.of(request), level)
    asked = dicom_processor.asked_by(scope["path"], scope["query_string"])
    if asked is None:
        return None
    return dicom_processor.frame(
        str(asked.image),
        str(asked.frame_number),
        asked.form,
        request.query_params,
        request.headers.get("if-none-match"),
        is_for_eyes=dicom_processor.is_for_eyes(request.headers.get("accept")),
    )


def _with_link_as_header(scope: Scope) -> Scope:
    """Return the request with the link of its address in the place of a token.

    So nobody behind here sees it in an address, and searches do not take it for a key. Where a
    header says who asks, that counts; single images have links of their own.
    """
    query: bytes = scope["query_string"]
    if _LINK not in query or scope["path"].startswith(_LINKED_IMAGES):
        return scope
    parts = query.split(b"&")
    texts = [part.removeprefix(_LINK) for part in parts if part.startswith(_LINK)]
    rest = b"&".join(part for part in parts if not part.startswith(_LINK))
    if not texts or any(name == b"authorization" for name, _ in scope["headers"]):
        return scope
    header = (b"authorization", b"Bearer " + unquote_to_bytes(texts[0]))
    return {**scope, "query_string": rest, "headers": [*scope["headers"], header]}


def is_secure(scope: Scope, headers: dict[bytes, bytes]) -> bool:
    """Whether a request came by TLS, as the proxy says it; this machine's own probes need none."""
    if scope.get("scheme") == "https":
        return True
    forwarded = headers.get(b"x-forwarded-proto")
    if forwarded is not None:
        return forwarded.strip() == b"https"
    client = scope.get("client")
    try:
        return client is None or ipaddress.ip_address(client[0]).is_loopback
    except ValueError:
        return False


def _to_https(scope: Scope, headers: dict[bytes, bytes]) -> Response:
    """Send a caller to the same address by TLS; method and body stay (RFC 9110 15.4.9)."""
    host = headers.get(b"host", b"").decode("latin-1")
    query = scope.get("query_string", b"").decode("latin-1")
    path = quote(scope["path"], safe="/:@!$&'()*+,;=~")
    location = f"https://{host}{path}{'?' if query else ''}{query}"
    return Response(status_code=HTTPStatus.PERMANENT_REDIRECT, headers={"location": location})


_SEARCHES = {f"{PREFIX}/studies": STUDY, f"{PREFIX}/series": SERIES, f"{PREFIX}/instances": IMAGE}
_REQUEST_ID = correlation.HEADER.lower().encode("ascii")
_WANTED = frozenset(
    {_REQUEST_ID, b"host", b"authorization", b"cookie", b"if-none-match", b"x-forwarded-proto"}
)


def _wanted(headers: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    return {name: value for name, value in headers if name in _WANTED}


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


@lru_cache(maxsize=1024)
def is_lawful_host(host: str) -> bool:
    """Whether the site goes by this name; Django's rule for its pages."""
    domain, _ = split_domain_port(host)
    allowed: list[Any] = settings.ALLOWED_HOSTS
    return bool(domain) and validate_host(domain, allowed)
