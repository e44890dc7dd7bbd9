"""Errors as answers: a page with a sentence for people, a problem document for programs."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.db import DataError, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.middleware.locale import LocaleMiddleware
from django.shortcuts import render
from django.utils import translation
from django.utils.deprecation import MiddlewareMixin
from django.utils.translation import gettext_noop

from archive import correlation, database, problems
from archive.errors import ArchiveError, TooManyAttemptsError, TransientError

logger = logging.getLogger(__name__)

_TRY_AGAIN_S = 5
# A server that is down or unreachable, a locked or full file.
_DATABASE_FAILS = (OperationalError, InterfaceError)
_PROGRAMS = (
    "/viewer/api/",
    "/notifications/api/",
    "/worklist/api/",
    "/shared/api/",
    "/api/",
    "/fhir/",
)


class RequestIds:
    """Give each request an id, or keep the one it came with; lines of the log have it too."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer the request."""
        request_id = correlation.begin_request(request.headers.get(correlation.HEADER))
        found = self._get_response(request)
        found[correlation.HEADER] = request_id
        return found


class BorrowedConnection:
    """Lend the request a connection where the database is a server (docs/adr/0066).

    Each request has a thread of its own under ASGI, and would leave a connection of its own behind.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer the request."""
        if not database.is_on_server():
            return self._get_response(request)
        with database.serving():
            return self._get_response(request)


class PageLanguage(LocaleMiddleware):
    """Speak the language of the request, and of no later work in its thread."""

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        """Say which language it was, and return to the site's own."""
        answered = super().process_response(request, response)
        translation.deactivate()
        return answered


class ErrorAnswers(MiddlewareMixin):
    """Translate `ArchiveError` wherever a view raised it."""

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer the archive's own errors, and a database that fails; others are Django's."""
        if isinstance(exception, _DATABASE_FAILS):
            return _unavailable(request, exception)
        if isinstance(exception, DataError):
            logger.warning("The database refuses a value: %s", type(exception.__cause__).__name__)
            detail = problems.UNKEEPABLE
            return answer(request, problems.problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail))
        if not isinstance(exception, ArchiveError):
            return None
        return answer_of(request, exception)

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        """Give a method that an address does not know the words that Django leaves out."""
        if response.status_code != HTTPStatus.METHOD_NOT_ALLOWED or response.content:
            return response
        detail = gettext_noop("This address does not know the method of the request.")
        found = answer(request, problems.problem(HTTPStatus.METHOD_NOT_ALLOWED, detail))
        found["Allow"] = response["Allow"]
        return found


def answer_of(request: HttpRequest, error: ArchiveError) -> HttpResponse:
    """Return one of the archive's own errors; who has to wait is told how long."""
    found = answer(request, problems.problem_of(error))
    if isinstance(error, TooManyAttemptsError):
        found["Retry-After"] = str(error.retry_after_s)
    elif isinstance(error, TransientError):
        found["Retry-After"] = str(_TRY_AGAIN_S)
    return found


def answer(request: HttpRequest, problem: problems.Problem) -> HttpResponse:
    """Return `problem` in the form that the caller reads."""
    if request.path.startswith(_PROGRAMS) or not request.accepts("text/html"):
        return JsonResponse(
            dict(problem), status=problem["status"], content_type=problems.CONTENT_TYPE
        )
    return render(request, "error.html", {"problem": problem}, status=problem["status"])


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer an address that names nothing."""
    detail = gettext_noop(
        "There is nothing at this address. It may have been deleted, or the link is incomplete."
    )
    return answer(request, problems.problem(HTTPStatus.NOT_FOUND, detail))


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer what the role does not allow."""
    detail = str(exception) or gettext_noop("Your role does not allow this. Ask an administrator.")
    return answer(request, problems.problem(HTTPStatus.FORBIDDEN, detail))


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request that cannot be read."""
    return answer(
        request,
        problems.problem(HTTPStatus.BAD_REQUEST, gettext_noop("The request could not be read.")),
    )


def _unavailable(request: HttpRequest, error: BaseException) -> HttpResponse:
    """Say that the database does not answer: the page itself asks it nothing."""
    logger.error("A request waits for the database: %s", str(error).strip())
    detail = gettext_noop(
        "The archive's database does not answer now. Nothing is lost; try again in a moment."
    )
    found = answer(request, problems.problem(HTTPStatus.SERVICE_UNAVAILABLE, detail))
    found["Retry-After"] = str(_TRY_AGAIN_S)
    return found


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer our own failure without a traceback; the log has it."""
    error = sys.exc_info()[1]
    if isinstance(error, _DATABASE_FAILS):
        return _unavailable(request, error)  # it failed outside the view: the session's, say
    detail = gettext_noop(
        "Something failed on our side. It has been logged; try again, or tell your administrator."
    )
    return answer(request, problems.problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail))


def csrf_failure(request: HttpRequest, reason: str = "", **_: Any) -> HttpResponse:  # noqa: ANN401
    """Answer a form that came without its token, or from another site."""
    detail = gettext_noop(
        "The form is too old or came from another site. Go back, reload the page and send again."
    )
    return answer(request, problems.problem(HTTPStatus.FORBIDDEN, detail))
