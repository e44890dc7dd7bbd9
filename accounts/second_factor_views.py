"""The pages of the second factor: asked for, set up, removed."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from accounts import auth, pending, second_factor, throttle
from accounts.guards import actor_of, address_of, user_of
from accounts.models import User
from accounts.views import open_session
from archive import access, audit
from archive.access import Actor, Scope
from archive.errors import InvalidInputError, TooManyAttemptsError

_LONGEST = 64


@never_cache
@require_http_methods(["GET", "POST"])
def ask(request: HttpRequest) -> HttpResponse:
    """Ask for the code after the password; whoever must have one and has none sets it up here."""
    waiting = pending.look(request)
    if waiting is None:
        messages.info(request, "That took too long. Sign in again.")
        return redirect("accounts:login")
    user, target = waiting
    is_new = not second_factor.is_set_up(user)
    if request.method != "POST":
        return _ask_page(request, user, is_new=is_new)
    code = request.POST.get("code", "")[:_LONGEST]
    actor = access.actor_of(user, address=address_of(request))
    try:
        if is_new:
            codes, used = second_factor.confirm(actor, user, code), "app"
        else:
            codes, used = [], second_factor.check(user, code, address=actor.address)
    except (InvalidInputError, TooManyAttemptsError) as error:
        stranger = Actor(name=user.username, scope=Scope(frozenset()), address=actor.address)
        audit.record(stranger, "session.refuse", is_success=False, because="code")
        return _ask_page(request, user, is_new=is_new, failure=error)
    pending.end(request)
    response = open_session(request, user, target, second_factor=used)
    if used != "app":
        left = second_factor.codes_left(user)
        messages.warning(request, f"That recovery code is used up now; {left} are left.")
    return _codes_page(request, codes, back=target) if codes else response


@never_cache
@login_required
@require_http_methods(["GET", "POST"])
def set_up(request: HttpRequest) -> HttpResponse:
    """Set up an app. The password is asked for: whoever finds an open screen must not."""
    user = user_of(request)
    if second_factor.is_set_up(user):
        return redirect("accounts:profile")
    if request.method != "POST":
        return _set_up_page(request, user)
    try:
        _check_password(request, user)
        codes = second_factor.confirm(
            actor_of(request), user, request.POST.get("code", "")[:_LONGEST]
        )
    except (InvalidInputError, TooManyAttemptsError) as error:
        return _set_up_page(request, user, failure=error)
    return _codes_page(request, codes, back=reverse("accounts:profile"))


@never_cache
@login_required
@require_POST
def renew_codes(request: HttpRequest) -> HttpResponse:
    """Show new recovery codes, once, for a code of the app."""
    try:
        codes = second_factor.renew_codes(
            actor_of(request), user_of(request), request.POST.get("code", "")[:_LONGEST]
        )
    except (InvalidInputError, TooManyAttemptsError) as error:
        messages.error(request, str(error))
        return redirect("accounts:profile")
    return _codes_page(request, codes, back=reverse("accounts:profile"))


@login_required
@require_POST
def remove(request: HttpRequest) -> HttpResponse:
    """Take the second factor away, with a code of it."""
    user = user_of(request)
    try:
        code = request.POST.get("code", "")[:_LONGEST]
        second_factor.check(user, code, address=address_of(request))
    except (InvalidInputError, TooManyAttemptsError) as error:
        messages.error(request, str(error))
        return redirect("accounts:profile")
    second_factor.remove(actor_of(request), user)
    messages.success(
        request, gettext("The second factor is removed: your password alone lets you in.")
    )
    return redirect("accounts:profile")


def _check_password(request: HttpRequest, user: User) -> None:
    password = request.POST.get("password", "")
    if auth.user_of_password(user.username, password, address=address_of(request)) != user:
        raise InvalidInputError("This is not your password.")


def _ask_page(
    request: HttpRequest, user: User, *, is_new: bool, failure: Exception | None = None
) -> HttpResponse:
    context: dict[str, Any] = {"person": user, "failure": failure}
    if is_new:
        context |= _device_of(user)
    return _answer(request, "accounts/second_factor.html", context, failure)


def _set_up_page(
    request: HttpRequest, user: User, *, failure: Exception | None = None
) -> HttpResponse:
    context = {"failure": failure, **_device_of(user)}
    return _answer(request, "accounts/second_factor_set_up.html", context, failure)


def _device_of(user: User) -> dict[str, Any]:
    device = second_factor.begin(user)
    return {
        "picture": second_factor.picture_of(device),
        "secret": second_factor.text_of(device),
    }


def _codes_page(request: HttpRequest, codes: list[str], *, back: str) -> HttpResponse:
    context = {"codes": codes, "back": back}
    return _answer(request, "accounts/recovery_codes.html", context, None)


def _answer(
    request: HttpRequest, template: str, context: dict[str, Any], failure: Exception | None
) -> HttpResponse:
    is_throttled = isinstance(failure, TooManyAttemptsError)
    status = HTTPStatus.TOO_MANY_REQUESTS if is_throttled else HTTPStatus.OK
    response = render(request, template, context, status=status)
    if is_throttled:
        response["Retry-After"] = str(throttle.WINDOW_S)
    return response
