"""Programs on the site's own addresses: an API token or HTTP Basic in the place of a session."""

from __future__ import annotations

from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.utils.deprecation import MiddlewareMixin

from accounts import shares
from accounts.auth import usable_token, user_of_basic
from accounts.guards import address_of, problem_response
from archive.errors import TooManyAttemptsError
from noctis_pro.middleware import answer_of

# Signing in, and Django's administration, are for people in browsers.
_PEOPLE = ("/accounts/", "/admin/")
_READING = ("GET", "HEAD", "OPTIONS")


class ProgramIdentity(MiddlewareMixin):
    """Take the person from the Authorization header where there is one.

    A token is sent by nobody's browser by itself, so a change by token needs no CSRF token. A
    browser that was once given a password for HTTP Basic sends it by itself: by Basic only reading
    goes without one.
    """

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        """Set `request.user`, or answer 401."""
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        scheme, secret = scheme.lower(), secret.strip()
        if scheme not in {"bearer", "basic"} or request.path.startswith(_PEOPLE):
            return None
        if scheme == "bearer":
            token = usable_token(secret)
            user = token.user if token is not None else None
            if token is not None and token.is_read_only and request.method not in _READING:
                return problem_response(
                    HTTPStatus.FORBIDDEN,
                    "This token is for reading alone. Ask for one with the scope 'write'.",
                )
            # Django's own mark, read by its CSRF middleware.
            request._dont_enforce_csrf_checks = user is not None  # type: ignore[attr-defined]
        else:
            try:
                user = user_of_basic(secret, address=address_of(request))
            except TooManyAttemptsError as error:
                return answer_of(request, error)
        try:
            if user is None:
                shares.count_stranger(address_of(request))
            else:
                shares.count_person(user.pk)
        except TooManyAttemptsError as error:
            return answer_of(request, error)
        if user is None:
            refusal = problem_response(
                HTTPStatus.UNAUTHORIZED,
                "The token or password is wrong, has expired or was revoked. An account with a "
                "second factor needs a token: its page makes one.",
            )
            refusal["WWW-Authenticate"] = scheme.capitalize()
            return refusal
        request.user = user
        return None
