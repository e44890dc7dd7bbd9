"""The audit trail: who did what to which patient's data, for administrators."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts import preferences
from archive import trail
from archive.errors import InvalidInputError, TooBroadError
from archive.trail import TrailQuery
from worklist.models import Facility
from worklist.views import search
from worklist.views.guards import administrator_of

# Some 10 MB of CSV. `manage.py export_audit` has no limit.
_MOST_LINES = 50_000
_LONGEST = 128
_FIELDS = ("when", "who", "what", "about", "facility", "address", "outcome")
_OUTCOMES = {"yes": True, "no": False}
# How events begin, for the field's list of proposals.
_KINDS = (
    "audit", "conflict", "destination", "facility", "hanging", "image", "import", "instance",
    "knock", "measurement", "mpps", "order", "password", "patient", "query", "result", "rule",
    "series", "session", "studies", "study", "study.delete", "study.export", "study.open", "token",
    "transmission", "upload", "user", "workitem", "worklist",
)  # fmt: skip


@login_required
@require_GET
def trail_list(request: HttpRequest) -> HttpResponse:
    """Show the trail, newest first."""
    actor = administrator_of(request)
    context: dict[str, Any] = {
        "values": _values(request),
        "facilities": Facility.objects.order_by("name"),
        "kinds": _KINDS,
        "zone": preferences.zone_of(request),
        "most_lines": _MOST_LINES,
    }
    context["address"] = urlencode(context["values"])
    try:
        context["page"] = trail.page(actor, _query(request, context["values"]))
    except (InvalidInputError, TooBroadError) as error:
        context["failure"] = str(error)
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        return render(request, "worklist/trail_list.html", context, status=status)
    context["is_first"] = not request.GET.get("cursor")
    return render(request, "worklist/trail_list.html", context)


@login_required
@require_GET
def trail_csv(request: HttpRequest) -> HttpResponse:
    """Return what the page shows, all of its pages, as CSV."""
    actor = administrator_of(request)
    query = _query(request, _values(request))
    answer = HttpResponse(
        "".join(trail.lines(actor, query, most=_MOST_LINES)), content_type="text/csv; charset=utf-8"
    )
    name = f"audit-trail-{timezone.now():%Y%m%d-%H%M%S}.csv"
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    answer["Cache-Control"] = "no-store"
    return answer


def _values(request: HttpRequest) -> dict[str, str]:
    values = {
        key: " ".join(request.GET.get(key, "").replace("\0", "").split())[:_LONGEST]
        for key in _FIELDS
    }
    return {key: value for key, value in values.items() if value}


def _query(request: HttpRequest, values: dict[str, str]) -> TrailQuery:
    since, before = _times(request, values.get("when", ""))
    outcome = values.get("outcome", "")
    if outcome and outcome not in _OUTCOMES:
        raise InvalidInputError("The outcome is yes or no.")
    facility = None
    if code := values.get("facility"):
        facility = Facility.objects.filter(code=code).first()
        if facility is None:
            raise InvalidInputError(f"There is no facility with the code “{code}”.")
    return TrailQuery(
        since=since,
        before=before,
        actor=values.get("who", ""),
        verb=values.get("what", ""),
        facility_id=facility.pk if facility else None,
        about=values.get("about", ""),
        address=values.get("address", ""),
        is_success=_OUTCOMES.get(outcome),
        cursor=request.GET.get("cursor", ""),
    )


def _times(request: HttpRequest, text: str) -> tuple[datetime | None, datetime | None]:
    if not text:
        return None, None
    zone = preferences.zone_of(request)
    try:
        return search.parse_moments(text, timezone.now().astimezone(zone).date(), zone)
    except (ValueError, OverflowError) as error:
        raise InvalidInputError(
            f"“{text[:40]}” is no time. Write today, 7d, 2026-01-31, 2026-01-01..2026-01-31 or "
            "2026-01-31T08:30..2026-01-31T09:00."
        ) from error
