"""What stands before a view: a signed-in person, and the actor that they are."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Concatenate, ParamSpec

from django.http import HttpRequest, HttpResponse, JsonResponse

from accounts.models import User
from archive import access, problems
from archive.access import Actor
from archive.errors import ForbiddenError
from archive.link_visits import Visitor

P = ParamSpec("P")


def problem_response(status: HTTPStatus, detail: str) -> JsonResponse:
    """Answer a program with a problem document (RFC 9457)."""
    document = problems.problem(status, detail)
    return JsonResponse(dict(document), status=status, content_type=problems.CONTENT_TYPE)


def api_login_required(
    view: Callable[Concatenate[HttpRequest, P], HttpResponse],
) -> Callable[Concatenate[HttpRequest, P], HttpResponse]:
    """Answer 401 with a problem document instead of leading a program to the sign-in page."""

    @wraps(view)
    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        if not request.user.is_authenticated:
            return problem_response(
                HTTPStatus.UNAUTHORIZED, "Sign in first: there is no session, or it is over."
            )
        return view(request, *args, **kwargs)

    return guarded


def user_of(request: HttpRequest) -> User:
    """Return the signed-in person."""
    if not isinstance(request.user, User):
        raise ForbiddenError("Sign in first.")
    return request.user


def actor_of(request: HttpRequest) -> Actor:
    """Return the actor that the caller is, with the address they come from.

    Whoever came by a link is one only where `guests.open_to_links` has let them in.
    """
    visitor: Visitor | None = getattr(request, "visitor", None)
    if visitor is not None:
        return visitor.actor
    return access.actor_of(user_of(request), address=address_of(request))


def address_of(request: HttpRequest) -> str | None:
    """Return the caller's address; behind a Unix socket there is none."""
    try:
        return str(ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")))
    except ValueError:
        return None
