"""Every error as a problem document (RFC 9457), by the same table as the pages."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus

from django.db import DatabaseError, DataError
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from archive import problems
from archive.errors import ArchiveError, TooManyAttemptsError, TransientError
from archive.problems import Problem
from fastapi_app.auth import NotSignedInError

logger = logging.getLogger(__name__)

_TRY_AGAIN_S = 5
_MOST_COMPLAINTS = 5
_WORDS = {
    HTTPStatus.NOT_FOUND: "There is nothing at this address. Look at /api/docs.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address does not know the method. Look at /api/docs.",
}


def answer(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """Return a problem document."""
    return Response(
        json.dumps(problem),
        status_code=problem["status"],
        media_type=problems.CONTENT_TYPE,
        headers={"cache-control": "no-store", **(headers or {})},
    )


def answer_of(error: Exception, *, is_browser: bool = False) -> Response:
    """Return the answer for an error that was meant, or else for one of ours, which is logged.

    Parameters
    ----------
    is_browser : without an identity, a browser must not be asked for HTTP Basic: it would open a
        window of its own
    """
    if isinstance(error, NotSignedInError):
        challenge = "Bearer" if is_browser else 'Bearer, Basic realm="NoctisPro", charset="UTF-8"'
        problem = problems.problem(HTTPStatus.UNAUTHORIZED, str(error))
        return answer(problem, {"www-authenticate": challenge})
    if isinstance(error, TooManyAttemptsError):
        return answer(problems.problem_of(error), {"retry-after": str(error.retry_after_s)})
    if isinstance(error, TransientError):
        return answer(problems.problem_of(error), {"retry-after": str(_TRY_AGAIN_S)})
    if isinstance(error, ArchiveError):
        return answer(problems.problem_of(error))
    if isinstance(error, RequestValidationError):
        return answer(problems.problem(HTTPStatus.UNPROCESSABLE_ENTITY, _complaints(error)))
    if isinstance(error, HTTPException):
        status = HTTPStatus(error.status_code)
        detail = _WORDS.get(status) or str(error.detail)
        return answer(problems.problem(status, detail), error.headers)
    if isinstance(error, DatabaseError):
        return _of_database(error)
    logger.error("A request failed.", exc_info=error)
    detail = "Something failed on our side. It has been logged; try again, or tell your "
    return answer(problems.problem(HTTPStatus.INTERNAL_SERVER_ERROR, f"{detail}administrator."))


def _of_database(error: DatabaseError) -> Response:
    """Return the answer where the database does not answer, or refuses a value."""
    if isinstance(error, DataError):
        logger.warning("The database refuses a value: %s", type(error.__cause__).__name__)
        return answer(problems.problem(HTTPStatus.UNPROCESSABLE_ENTITY, problems.UNKEEPABLE))
    logger.error("A request failed.", exc_info=error)
    problem = problems.problem(
        HTTPStatus.SERVICE_UNAVAILABLE, "The database does not answer now. Try again later."
    )
    return answer(problem, {"retry-after": str(_TRY_AGAIN_S)})


def is_browser(request: Request) -> bool:
    """Whether a page asks: browsers say how a fetch came about, programs do not."""
    return "sec-fetch-mode" in request.headers


def _complaints(error: RequestValidationError) -> str:
    """Say what is wrong with which parameter; values are not repeated."""
    lines = []
    for complaint in error.errors()[:_MOST_COMPLAINTS]:
        where = " ".join(str(part) for part in complaint["loc"][1:]) or "the request"
        lines.append(f"{where}: {complaint['msg']}")
    return f"{'. '.join(lines)}."


def install(app: FastAPI) -> None:
    """Register the handlers."""

    async def handle(request: Request, error: Exception) -> Response:
        return answer_of(error, is_browser=is_browser(request))

    for kind in (
        NotSignedInError,
        ArchiveError,
        RequestValidationError,
        HTTPException,
        DatabaseError,
        Exception,
    ):
        app.add_exception_handler(kind, handle)
