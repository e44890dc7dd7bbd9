"""What the queues of analyses and of forwarding share: a page by state, and its buttons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render

from accounts import preferences
from archive.access import Actor
from archive.errors import ConflictError, InvalidInputError
from worklist.views.guards import actor_of

MOST_SHOWN = 200
Row = TypeVar("Row")


def listed(
    request: HttpRequest, rows: QuerySet[Any], states: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """Return what a page shows of a queue: its entries in the state that the address names.

    Parameters
    ----------
    states : values and plain names, in the order of their tabs
    """
    state = request.GET.get("state", "")
    if state and state not in dict(states):
        raise InvalidInputError(f"'state' is one of {', '.join(dict(states))}.")
    counts = [(value, name, rows.filter(state=value).count()) for value, name in states]
    return {
        "entries": list((rows.filter(state=state) if state else rows)[:MOST_SHOWN]),
        "most_shown": MOST_SHOWN,
        "state": state,
        "tabs": [("", "All", rows.count()), *counts],
        "actor": actor_of(request),
        "zone": preferences.zone_of(request),
    }


def page(request: HttpRequest, name: str, context: dict[str, Any]) -> HttpResponse:
    """Answer with a page, or with its entries alone, whose template has an underscore before it."""
    is_bare = request.GET.get("part") == "queue"
    return render(request, f"worklist/{'_' if is_bare else ''}{name}.html", context)


def change(
    request: HttpRequest,
    act: Callable[[Actor, Row], None],
    entry: Row,
    text: str,
    *,
    page: str,
    in_place: tuple[type[Exception], ...] = (ConflictError,),
) -> HttpResponse:
    """Do something to an entry, and answer its script, or lead back to the page.

    Parameters
    ----------
    in_place : errors that the page shows; scripts get them as they are
    """
    is_script = not request.accepts("text/html")
    try:
        act(actor_of(request), entry)
    except in_place as error:
        if is_script:
            raise
        messages.error(request, str(error))
        return redirect(page)
    if is_script:
        return JsonResponse({"message": text})
    messages.success(request, text)
    return redirect(page)
