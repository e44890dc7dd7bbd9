"""Which list of studies a request asks for: filters, switched facility, the reader's today."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

from django.http import HttpRequest, QueryDict
from django.utils import timezone
from django.utils.translation import gettext_noop

from accounts import preferences
from accounts.guards import user_of
from accounts.models import User
from accounts.preferences import View
from archive import facilities
from archive.access import Scope
from worklist.models import Facility
from worklist.views import search
from worklist.views.search import Search

BUILT_IN_VIEWS = (
    View(gettext_noop("All"), ""),
    View(gettext_noop("Unread"), "status=unread"),
    View(gettext_noop("Today"), "date=today"),
    View(gettext_noop("Last 7 days"), "date=7d"),
)


def today_of(request: HttpRequest) -> date:
    """Return the day in the reader's zone."""
    return timezone.localdate(timezone=preferences.zone_of(request))


def choices_of(scope: Scope) -> list[Facility]:
    """Return the facilities that the reader may choose from."""
    return list(facilities.listing(scope).prefetch_related(None))


def read(request: HttpRequest, address: str | None, choices: Sequence[Facility]) -> Search:
    """Return the list that the request, or another list's `address`, names.

    It is narrowed to the facility that the person switched to, unless it names one itself.
    """
    params = request.GET.dict() if address is None else params_of(address)
    found = search.read(
        params,
        today=today_of(request),
        facilities=choices,
        zone=preferences.zone_of(request),
    )
    current = preferences.facility_of(user_of(request))
    if current is None or found.query.facility_ids or current not in {f.pk for f in choices}:
        return found
    return replace(found, query=replace(found.query, facility_ids=(current,)))


def params_of(address: str) -> dict[str, str]:
    """Return the parameters of a query string."""
    return {key: str(value) for key, value in QueryDict(address).dict().items()}


def views_of(user: User) -> list[tuple[View, bool]]:
    """Return the views that stand as tabs, and whether each is the person's own."""
    own = [(view, True) for view in preferences.views_of(user)]
    return [*((view, False) for view in BUILT_IN_VIEWS), *own]


def is_same_list(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether two lists have the same filters; their order may differ."""
    order = {"sort", "dir"}
    return {k: v for k, v in one.items() if k not in order} == {
        k: v for k, v in other.items() if k not in order
    }
