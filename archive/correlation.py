"""What a line of the log belongs to: a request, an association or a job.

A request keeps the `X-Request-ID` that it came with, if that is a plain word, and gets one
otherwise; the answer carries it. Threads and tasks that a request starts inherit it.
"""

from __future__ import annotations

import re
import secrets
from contextvars import ContextVar

HEADER = "X-Request-ID"
# Nothing that could break a line, a header or somebody else's log.
_SANE = re.compile(r"[A-Za-z0-9._:+/=-]{8,128}")

_VARIABLES: dict[str, ContextVar[str]] = {
    name: ContextVar(name, default="") for name in ("request_id", "association_id", "job_id")
}


def begin_request(given: str | None) -> str:
    """Return the id of a request that begins, and let what follows in it be known by it.

    A request is a task with a context of its own under ASGI: nothing has to be undone.

    Parameters
    ----------
    given : the header, as it came
    """
    request_id = given if given and _SANE.fullmatch(given) else secrets.token_hex(16)
    _VARIABLES["request_id"].set(request_id)
    return request_id


def begin_association(name: str) -> None:
    """Let what follows in this thread belong to an association."""
    _VARIABLES["association_id"].set(name)


def begin_job(job_id: str) -> None:
    """Let what follows in this thread belong to a job; empty: to none any more."""
    _VARIABLES["job_id"].set(job_id)


def current() -> dict[str, str]:
    """Return what the present line belongs to; what it does not is left out."""
    found = {name: variable.get() for name, variable in _VARIABLES.items()}
    return {name: value for name, value in found.items() if value}
