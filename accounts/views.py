"""Signing in and out, the person's own page."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth import views as auth_views
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import AuthenticationForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse, reverse_lazy
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from accounts import pending, people, preferences, second_factor, sessions, throttle
from accounts.forms import SignInForm
from accounts.guards import actor_of, address_of, api_login_required, user_of
from accounts.models import User
from archive import audit
from archive.access import Actor, Scope
from archive.errors import ForbiddenError, InvalidInputError, NotFoundError

_THEME_KEPT_S = 365 * 24 * 3600
_TOKEN_DAYS = (30, 90, 365)


def open_session(
    request: HttpRequest,
    user: User,
    target: str,
    **detail: Any,  # noqa: ANN401 - of the event, as `audit.record` takes it
) -> HttpResponseRedirect:
    """Open a session under a new id, note it, and lead on."""
    login(request, user, backend=settings.AUTHENTICATION_BACKENDS[0])
    audit.record(actor_of(request), "session.open", user, **detail)
    response = HttpResponseRedirect(target)
    _send_theme(response, str(user.preferences.get("theme", "")))
    _send_language(response, str(user.preferences.get("language", "")))
    return response


class SignIn(auth_views.LoginView):
    """The sign-in page."""

    template_name = "accounts/login.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True

    def form_valid(self, form: Any) -> HttpResponse:  # noqa: ANN401 - Django's own type is wider
        """Open a session, or ask for the second factor first."""
        user = form.get_user()
        if second_factor.stands_before(user):
            pending.begin(self.request, user, self.get_success_url())
            return redirect("accounts:second-factor")
        return open_session(self.request, user, self.get_success_url())

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        """Show what was wrong; past the limit the answer says so to programs as well."""
        response = super().form_invalid(form)
        name = str(form.data.get("username", ""))[:150].replace("\0", "")
        stranger = Actor(name=name, scope=Scope(frozenset()), address=address_of(self.request))
        audit.record(stranger, "session.refuse", is_success=False)
        codes = {error.code for error in form.non_field_errors().as_data()}
        if "throttled" in codes:
            response.status_code = HTTPStatus.TOO_MANY_REQUESTS
            response["Retry-After"] = str(throttle.WINDOW_S)
        return response


class ChangePassword(auth_views.PasswordChangeView):
    """The password page; other sessions of the person end."""

    template_name = "accounts/password_change.html"
    success_url = reverse_lazy("accounts:profile")

    def form_valid(self, form: Any) -> HttpResponse:  # noqa: ANN401 - Django's own type is wider
        """Keep the new password."""
        response = super().form_valid(form)
        audit.record(actor_of(self.request), "password.change", user_of(self.request))
        messages.success(
            self.request, gettext("The password is changed. Other devices have to sign in again.")
        )
        return response


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """Close the session."""
    if isinstance(request.user, User):
        audit.record(actor_of(request), "session.close", request.user)
    return auth_views.LogoutView.as_view()(request)


@never_cache
def administration_sign_in(request: HttpRequest) -> HttpResponse:
    """Lead to the one sign-in page: Django's own for administration knows no limit on guesses."""
    if request.user.is_authenticated:
        raise ForbiddenError("Administration is for administrators. Ask one of them.")
    target = request.GET.get("next", "")
    if not url_has_allowed_host_and_scheme(target, allowed_hosts={request.get_host()}):
        target = reverse("admin:index")
    return HttpResponseRedirect(f"{reverse('accounts:login')}?{urlencode({'next': target})}")


@login_required
@require_GET
def profile(request: HttpRequest) -> HttpResponse:
    """Show who one is here, and one's API tokens."""
    user = user_of(request)
    context = {
        "facilities": user.facilities.order_by("name"),
        "tokens": user.tokens.filter(revoked_at=None),
        "token_days": _TOKEN_DAYS,
        "has_second_factor": second_factor.is_set_up(user),
        "codes_left": second_factor.codes_left(user),
        "zone": preferences.zone_of(request),
        "now": timezone.now(),
    }
    return render(request, "accounts/profile.html", context)


@login_required
@require_POST
def create_token(request: HttpRequest) -> HttpResponse:
    """Make an API token and show it this once."""
    known = {str(count): count for count in _TOKEN_DAYS}
    token, secret = people.issue_token(
        actor_of(request),
        user_of(request).username,
        days=known.get(request.POST.get("days", ""), _TOKEN_DAYS[0]),
        name=request.POST.get("name", "").strip()[:64],
    )
    context = {"token": token, "secret": secret, "back": reverse("accounts:profile")}
    response = render(request, "accounts/token_created.html", context)
    response["Cache-Control"] = "no-store"
    return response


@login_required
@require_POST
def revoke_token(request: HttpRequest, token_id: UUID) -> HttpResponse:
    """End an API token of one's own."""
    token = user_of(request).tokens.filter(pk=token_id).first()
    if token is None:
        raise NotFoundError("You have no such token.")
    people.revoke_token(actor_of(request), token)
    messages.success(
        request, gettext("The token {hint}… no longer opens anything.").format(hint=token.hint)
    )
    return redirect("accounts:profile")


@api_login_required
@require_POST
def set_theme(request: HttpRequest) -> HttpResponse:
    """Keep the theme: `{"theme": "dark" | "light" | "auto"}`."""
    try:
        theme = str(json.loads(request.body)["theme"])
    except (ValueError, KeyError, TypeError, RecursionError):
        theme = ""
    preferences.set_theme(user_of(request), theme)
    response = JsonResponse({"theme": theme})
    _send_theme(response, theme)
    return response


@require_POST
def set_language(request: HttpRequest) -> HttpResponse:
    """Show the pages in the form's `language` from now on, and lead back to `next`."""
    language = request.POST.get("language", "")
    if isinstance(request.user, User):
        preferences.set_language(request.user, language)
    elif language not in dict(settings.LANGUAGES):
        raise InvalidInputError(f"'language' is one of {', '.join(dict(settings.LANGUAGES))}.")
    target = request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(target, allowed_hosts={request.get_host()}):
        target = reverse("worklist:study-list")
    response = HttpResponseRedirect(target)
    _send_language(response, language)
    return response


@api_login_required
@require_POST
def here(request: HttpRequest) -> HttpResponse:
    """Hear that somebody is at the screen."""
    sessions.note_use(request.session)
    return HttpResponse(status=HTTPStatus.NO_CONTENT)


def _send_theme(response: HttpResponse, theme: str) -> None:
    """Let the browser remember it: the page before signing in has it too."""
    if theme in preferences.THEMES:
        response.set_cookie(preferences.THEME_COOKIE, theme, max_age=_THEME_KEPT_S, samesite="Lax")


def _send_language(response: HttpResponse, language: str) -> None:
    """Let the browser remember it: pages know it without asking the database."""
    if language in dict(settings.LANGUAGES):
        response.set_cookie(
            settings.LANGUAGE_COOKIE_NAME,
            language,
            max_age=settings.LANGUAGE_COOKIE_AGE,
            samesite="Lax",
        )
