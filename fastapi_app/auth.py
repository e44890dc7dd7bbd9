"""Who calls the sidecar: the site's session cookie, an API token, or HTTP Basic.

A caller that was just recognised is remembered for a second, so that the three hundred frames of a
series cost one look into the database; what ends a session or a token is felt a second later.
"""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

from cachetools import TTLCache
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.core.exceptions import ValidationError
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, parse_cookie
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.crypto import constant_time_compare

from accounts import sessions
from accounts.auth import usable_token, user_of_basic
from accounts.models import User
from archive import access, link_visits, links
from archive.access import Actor
from archive.errors import ForbiddenError
from archive.link_rows import LinkPurpose
from fastapi_app import link_doors

_REMEMBERED_S = 1.0
_LONGEST_CREDENTIAL = 8192
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_ENDING = ("DELETE", "/api/v1/auth/token")

By = Literal["session", "token", "basic", "link", "visit"]
_SCHEMES: dict[str, By] = {"bearer": "token", "basic": "basic"}
_COOKIES: tuple[tuple[By, str], ...] = (
    ("session", settings.SESSION_COOKIE_NAME),
    ("visit", settings.LINK_COOKIE_NAME),
)


class NotSignedInError(Exception):
    """The request carries nothing that says who sends it, or nothing that is valid."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request, and by what they were recognised."""

    actor: Actor
    by: By
    is_read_only: bool = False
    # What the link is for by which somebody came.
    purpose: str = ""


@dataclass(frozen=True, slots=True)
class Credential:
    """What a request carries; `name` is a digest under which the caller is remembered."""

    by: By
    value: str
    name: bytes


NOBODY = "Sign in first, or send a token: 'Authorization: Bearer <token>' or HTTP Basic."

_known: TTLCache[tuple[bytes, str | None], Caller] = TTLCache(maxsize=4096, ttl=_REMEMBERED_S)
_lock = threading.Lock()


def credential_of(authorization: str | None, cookie: str | None) -> Credential | None:
    """Return what a request carries; a header counts before a cookie.

    Parameters
    ----------
    authorization, cookie : the headers' values
    """
    if authorization:
        scheme, _, value = authorization.partition(" ")
        by = _SCHEMES.get(scheme.lower())
        if by is None or not value or len(value) > _LONGEST_CREDENTIAL:
            return None
        value = value.strip()
        if by == "token" and value.startswith(links.PREFIX):
            by = "link"
        return Credential(by, value, _digest(authorization))
    if cookie and len(cookie) <= _LONGEST_CREDENTIAL:
        cookies = parse_cookie(cookie)
        # Whoever is signed in is not less for having opened a link before.
        for by, name in _COOKIES:
            key = cookies.get(name, "")
            if key:
                return Credential(by, key, _digest(f"{by} {key}"))
    return None


def known_caller(credential: Credential, address: str | None) -> Caller | None:
    """Return a caller who was recognised within the last second."""
    with _lock:
        return _known.get((credential.name, address))


def caller_of(credential: Credential, address: str | None) -> Caller:
    """Return who sent a request.

    Parameters
    ----------
    credential : from :func:`credential_of`
    address : the sender's, for the audit trail and the limit on wrong passwords

    Raises
    ------
    NotSignedInError
        When it says nobody, or nobody who may come in.
    TooManyAttemptsError
        After too many wrong passwords.
    """
    caller = known_caller(credential, address)
    if caller is not None:
        return caller
    caller = _linked(credential, address) or _signed_in(credential, address)
    with _lock:
        _known[credential.name, address] = caller
    return caller


def _linked(credential: Credential, address: str | None) -> Caller | None:
    """Return who came by a link; None: the credential is none of a link's."""
    if credential.by == "link":
        actor = links.fetching_actor(credential.value, address=address)
        return Caller(actor, "link", is_read_only=True, purpose=LinkPurpose.ANALYSIS)
    if credential.by == "visit":
        visitor = link_visits.visitor_of(credential.value, address=address)
        if visitor is None:
            raise NotSignedInError("There is no such visit. Open the link again.")
        return Caller(visitor.actor, "visit", is_read_only=True, purpose=visitor.link.purpose)
    return None


def _signed_in(credential: Credential, address: str | None) -> Caller:
    user, is_read_only = _user_of(credential, address)
    if user is None:
        raise NotSignedInError(
            {
                "session": "The session is over. Sign in again.",
                "token": "This token is unknown, expired or revoked. Ask for a new one.",
                "basic": "User name or password is wrong. An account with a second factor needs a "
                "token: its page makes one.",
            }[credential.by]
        )
    return Caller(access.actor_of(user, address=address), credential.by, is_read_only)


def forget() -> None:
    """Forget everybody who was recognised; they are looked up again."""
    with _lock:
        _known.clear()


def check_origin(scope: Mapping[str, Any], caller: Caller) -> None:
    """Refuse a change that a foreign page makes in the name of a signed-in browser.

    Browsers send cookies by themselves, tokens and passwords not: with a cookie a change needs the
    site's CSRF token in `X-CSRFToken` and an origin of ours, by Django's own rules.

    Parameters
    ----------
    scope : of the ASGI request

    Raises
    ------
    ForbiddenError
        When either is missing or wrong.
    """
    if scope["method"] in _SAFE_METHODS or caller.by != "session":
        return
    # Without the body's type Django does not look for a token in a form.
    headers = [(name, value) for name, value in scope["headers"] if not name.startswith(b"content")]
    request = ASGIRequest({**scope, "headers": headers}, io.BytesIO())
    check = CsrfViewMiddleware(lambda _: HttpResponse())
    check.process_request(request)
    if check.process_view(request, _any_view, (), {}) is not None:
        raise ForbiddenError(
            "The request came without the site's CSRF token or from another site. Send the header "
            "X-CSRFToken, or use an API token."
        )


def _any_view(request: HttpRequest) -> HttpResponse:
    """Stand for the view that Django's check asks about: it is not exempt."""
    return HttpResponse()


def _user_of(credential: Credential, address: str | None) -> tuple[User | None, bool]:
    """Return who it is, and whether the credential is for reading alone."""
    if credential.by == "token":
        token = usable_token(credential.value)
        return (None, False) if token is None else (token.user, token.is_read_only)
    if credential.by == "basic":
        return user_of_basic(credential.value, address=address), False
    return _user_of_session(credential.value), False


def check_door(scope: Mapping[str, Any], caller: Caller) -> None:
    """Refuse what a link does not open, whatever study it is of.

    Raises
    ------
    ForbiddenError
    """
    if caller.purpose:
        link_doors.check(caller.purpose, scope["method"], scope["path"])


def check_may_change(scope: Mapping[str, Any], caller: Caller) -> None:
    """Refuse a change by a token that is for reading alone; ending itself is none.

    Raises
    ------
    ForbiddenError
    """
    if not caller.is_read_only or scope["method"] in _SAFE_METHODS:
        return
    if (scope["method"], scope["path"]) == _ENDING:
        return
    raise ForbiddenError("This token is for reading alone. Ask for one with the scope 'write'.")


def _user_of_session(key: str) -> User | None:
    """Return the person of a session, as `django.contrib.auth.get_user` decides it."""
    session: Mapping[str, Any] = import_module(settings.SESSION_ENGINE).SessionStore(key)
    user_id, backend = session.get(SESSION_KEY), session.get(BACKEND_SESSION_KEY)
    if user_id is None or backend not in settings.AUTHENTICATION_BACKENDS:
        return None
    if sessions.is_over(session):
        return None
    try:
        user = User.objects.filter(pk=user_id, is_active=True).first()
    except ValidationError:
        return None
    # A changed password ends the session.
    known = session.get(HASH_SESSION_KEY) or ""
    if user is None or not constant_time_compare(known, user.get_session_auth_hash()):
        return None
    return user


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).digest()
