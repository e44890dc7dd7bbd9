"""Errors as RFC 9457 problem details: one table for Django's pages and for the sidecar."""

from __future__ import annotations

from http import HTTPStatus
from typing import TypedDict

from archive import errors
from archive.sentences import spoken

CONTENT_TYPE = "application/problem+json"

# The first class that fits decides: subclasses stand before their bases.
_STATUS: tuple[tuple[type[errors.ArchiveError], HTTPStatus], ...] = (
    (errors.NotFoundError, HTTPStatus.NOT_FOUND),
    (errors.ForbiddenError, HTTPStatus.FORBIDDEN),
    (errors.TooLargeError, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (errors.NotDicomError, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    (errors.InvalidInputError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (errors.UndecodableError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (errors.ConflictError, HTTPStatus.CONFLICT),
    (errors.TooManyAttemptsError, HTTPStatus.TOO_MANY_REQUESTS),
    (errors.StoreUnavailableError, HTTPStatus.SERVICE_UNAVAILABLE),
    (errors.TransientError, HTTPStatus.SERVICE_UNAVAILABLE),
    (errors.ArchiveError, HTTPStatus.INTERNAL_SERVER_ERROR),
)


# What a server's database refuses of a value: it holds NUL, is too long or too large a number.
UNKEEPABLE = "The request holds a value that cannot be kept: too long, too large, or with a NUL."


class Problem(TypedDict):
    """The document; `detail` is a sentence that a person can act on."""

    type: str
    title: str
    status: int
    detail: str


# What a page of an error is headed with; documents of programs have it in English.
TITLES = (
    spoken("Bad Request"),
    spoken("Unauthorized"),
    spoken("Forbidden"),
    spoken("Not Found"),
    spoken("Method Not Allowed"),
    spoken("Conflict"),
    spoken("Request Entity Too Large"),
    spoken("Unsupported Media Type"),
    spoken("Unprocessable Entity"),
    spoken("Too Many Requests"),
    spoken("Internal Server Error"),
    spoken("Service Unavailable"),
)


def problem(status: HTTPStatus, detail: str) -> Problem:
    """Return the document for `status`."""
    return {"type": "about:blank", "title": status.phrase, "status": status, "detail": detail}


def problem_of(error: errors.ArchiveError) -> Problem:
    """Return the document for an error of the archive."""
    for kind, status in _STATUS:
        if isinstance(error, kind):
            return problem(status, str(error))
    raise AssertionError("ArchiveError ends the table")
