"""Whoever came by a link to one study and has no account: which pages are open to them, and how.

A view names the purposes of links that it is open to (`open_to_links`); every other view asks them
to sign in. What they see of a study behind such a view, the actor's scope decides.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from http.cookies import Morsel
from typing import Any, Concatenate, ParamSpec, cast

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from accounts.guards import address_of, problem_response
from archive import link_visits
from archive.errors import ForbiddenError
from archive.link_visits import Visit, Visitor
from archive.links import LinkEndedError

P = ParamSpec("P")
_View = Callable[Concatenate[HttpRequest, P], HttpResponse]

# Python 3.14 knows the attribute by itself.
_morsel = cast("Any", Morsel)
_morsel._reserved.setdefault("partitioned", "Partitioned")
_morsel._flags.add("partitioned")


def visitor_of(request: HttpRequest) -> Visitor | None:
    """Return who came by a link; None for a person with a session and for nobody.

    Raises
    ------
    LinkEndedError
        When the link or the visit is over.
    """
    if request.user.is_authenticated:
        return None
    secret = request.COOKIES.get(settings.LINK_COOKIE_NAME, "")
    return link_visits.visitor_of(secret, address=address_of(request))


def open_to_links(*purposes: str, is_page: bool = False) -> Callable[[_View[P]], _View[P]]:
    """Open a view to links of some purposes, beside everybody who is signed in.

    Parameters
    ----------
    purposes : of `LinkPurpose`
    is_page : strangers are led to the sign-in page, and told in a page what is over; programs and
        scripts get problem documents
    """

    def decorate(view: _View[P]) -> _View[P]:
        @wraps(view)
        def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            if request.user.is_authenticated:
                return view(request, *args, **kwargs)
            try:
                visitor = visitor_of(request)
            except LinkEndedError as error:
                if is_page:
                    return ended_page(request, str(error))
                raise
            if visitor is None:
                if is_page:
                    return redirect_to_login(request.get_full_path())
                return problem_response(
                    HTTPStatus.UNAUTHORIZED, "Sign in first: there is no session, or it is over."
                )
            if visitor.link.purpose not in purposes:
                raise ForbiddenError("The link that you came by does not open this.")
            request.visitor = visitor  # type: ignore[attr-defined]
            return dress(view(request, *args, **kwargs))

        return guarded

    return decorate


def ended_page(request: HttpRequest, detail: str) -> HttpResponse:
    """Answer that a link opens nothing any more."""
    context = {"detail": detail}
    return dress(render(request, "sharing/ended.html", context, status=HTTPStatus.FORBIDDEN))


def dress(response: HttpResponse) -> HttpResponse:
    """Add what every answer to a link's visitor carries: no Referer, and who may frame it."""
    response["Referrer-Policy"] = "no-referrer"
    if settings.EMBED_ORIGINS:
        response.xframe_options_exempt = True
        response._csp_replace = {"frame-ancestors": list(settings.EMBED_ORIGINS)}  # type: ignore[attr-defined]
    return response


def keep_visit(request: HttpRequest, response: HttpResponse, visit: Visit) -> None:
    """Give the visit's secret to the browser.

    Only behind HTTPS, and only where pages of other sites may frame ours, the cookie is one that
    browsers send from within such a frame; then it is kept apart by the site around it (CHIPS).
    """
    is_framed = bool(settings.EMBED_ORIGINS) and request.is_secure()
    name = settings.LINK_COOKIE_NAME
    response.set_cookie(
        name,
        visit.secret,
        expires=visit.ends_at,
        httponly=True,
        secure=request.is_secure(),
        samesite="None" if is_framed else "Lax",
    )
    if is_framed:
        response.cookies[name]["partitioned"] = True
