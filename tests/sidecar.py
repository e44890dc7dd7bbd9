"""The sidecar as callers meet it: real requests against the application, in this process."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal
from django.conf import settings
from django.core.cache import cache
from django.test import Client

from accounts.models import ApiToken, User
from fastapi_app import auth, gate, limits
from fastapi_app.main import app

ORIGIN = "http://testserver"
PROBLEM = "application/problem+json"


class Caller:
    """Somebody who sends requests; keeps no cookies that it was not given."""

    def __init__(self, portal: BlockingPortal, headers: dict[str, str]) -> None:
        self.portal = portal
        self.headers = headers

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {**self.headers, **options.pop("headers", {})}

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)  # type: ignore[arg-type]
            async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as client:
                return await client.request(method, path, headers=headers, **options)

        return self.portal.call(send)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)

    def as_(self, **headers: str) -> Caller:
        """The same with other headers."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Caller(self.portal, named)


class Sidecar:
    """Callers of every kind."""

    def __init__(self, portal: BlockingPortal) -> None:
        self.nobody = Caller(portal, {})

    def by_token(self, user: User, **options: Any) -> Caller:
        _, secret = ApiToken.issue(user, expires_at=options.get("expires_at"))
        return self.nobody.as_(Authorization=f"Bearer {secret}")

    def by_session(self, user: User, **headers: str) -> Caller:
        """A browser in which `user` is signed in."""
        client = Client()
        client.force_login(user)
        cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
        return self.nobody.as_(Cookie=f"{settings.SESSION_COOKIE_NAME}={cookie}", **headers)


@contextmanager
def running() -> Iterator[Sidecar]:
    """A sidecar that has just started."""
    auth.forget()
    gate.forget()
    limits.forget()
    cache.clear()
    with start_blocking_portal() as portal:
        yield Sidecar(portal)


def records(body: bytes) -> list[tuple[dict[str, Any], bytes]]:
    """The records of a batch answer, as docs/api/viewer.md describes them."""
    found = []
    at = 0
    while at < len(body):
        (length,) = struct.unpack_from("<I", body, at)
        head = json.loads(body[at + 4 : at + 4 + length])
        at += 4 + length
        (length,) = struct.unpack_from("<I", body, at)
        found.append((head, body[at + 4 : at + 4 + length]))
        assert len(found[-1][1]) == length
        at += 4 + length
    return found


def assert_problem(response: httpx.Response, status: int, words: str = "") -> None:
    """The answer is a problem document (RFC 9457) with a sentence for people."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == PROBLEM
    document = response.json()
    assert document["status"] == status
    assert set(document) == {"type", "title", "status", "detail"}
    assert document["detail"].rstrip().endswith("."), document["detail"]
    assert words in document["detail"]
