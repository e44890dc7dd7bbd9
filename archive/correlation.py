"""What a line of the log belongs to: a request, an association or a job.

A request keeps the `X-Request-ID` that it came with, if that is a plain word, and gets one
otherwise; the answer carries it. Threads and tasks that a request starts inherit it, and so do the
jobs that follow from it: events and jobs are written with their origin. A job that several asked
for while it waited belongs to the first of them.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

HEADER = "X-Request-ID"
# Nothing that could break a line, a header or somebody else's log.
_SANE = re.compile(r"[A-Za-z0-9._:+/=-]{8,128}")

_VARIABLES: dict[str, ContextVar[str]] = {
    name: ContextVar(name, default="") for name in ("request_id", "association_id", "job_id")
}


Origin = Mapping[str, str]
_ORIGINS = ("request_id", "association_id")
_NO_CAUSES: Mapping[str, Origin] = {}
_CAUSES: ContextVar[Mapping[str, Origin]] = ContextVar("causes", default=_NO_CAUSES)


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


@contextmanager
def of_job(job_id: str, origin: Mapping[str, str]) -> Iterator[None]:
    """Let what the block does belong to a job, and to the request or association it follows from.

    Parameters
    ----------
    origin : from :func:`origin`, of whoever asked for the job
    """
    values = {"job_id": job_id, **{name: origin.get(name, "") for name in _ORIGINS}}
    tokens = [(variable, variable.set(values[name])) for name, variable in _VARIABLES.items()]
    try:
        yield
    finally:
        for variable, token in tokens:
            variable.reset(token)


def origin(*subjects: object) -> Origin:
    """Return the request or association that present work follows from; empty where it has none.

    Parameters
    ----------
    subjects : ids of what the work is about: the origin of an event about one of them counts while
        events are being dispatched
    """
    found = {name: value for name in _ORIGINS if (value := _VARIABLES[name].get())}
    if found:
        return found
    causes = _CAUSES.get()
    return next((causes[str(subject)] for subject in subjects if str(subject) in causes), {})


@contextmanager
def caused_by(causes: Mapping[str, Origin]) -> Iterator[None]:
    """Let jobs that the block queues follow from events, not from who happens to dispatch them.

    Parameters
    ----------
    causes : the origins of the events, by the ids of what they are about
    """
    token = _CAUSES.set(causes)
    origins = [(_VARIABLES[name], _VARIABLES[name].set("")) for name in _ORIGINS]
    try:
        yield
    finally:
        _CAUSES.reset(token)
        for variable, previous in origins:
            variable.reset(previous)


def current() -> dict[str, str]:
    """Return what the present line belongs to; what it does not is left out."""
    found = {name: variable.get() for name, variable in _VARIABLES.items()}
    return {name: value for name, value in found.items() if value}
