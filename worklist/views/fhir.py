"""The audit trail for programs, as FHIR R4: search and read of AuditEvent, for administrators."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import wraps
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from accounts.models import User
from archive import audit_fhir, trail
from archive.audit_facts import facts_of
from archive.errors import ArchiveError, InvalidInputError
from archive.problems import problem_of
from archive.trail import TrailQuery
from worklist.views.guards import administrator_of

_CONTENT_TYPE = "application/fhir+json; fhirVersion=4.0"
_KNOWN = ("date", "patient", "patient:identifier", "agent", "outcome", "_count", "_cursor")
_MOST = 500
_DATE = re.compile(r"(eq|ge|gt|le|lt)?(\d{4})(?:-(\d\d)(?:-(\d\d)(T.+)?)?)?")
_View = Callable[..., HttpResponse]


def _fhir(view: _View) -> _View:
    """Answer errors as FHIR does, and who is nobody by 401."""

    @wraps(view)
    def answer(request: HttpRequest, **parts: Any) -> HttpResponse:  # noqa: ANN401 - of the address
        if not isinstance(request.user, User):
            text = "Sign in, or send the token of an administrator."
            refusal = _outcome(HTTPStatus.UNAUTHORIZED, "login", text)
            refusal["WWW-Authenticate"] = "Bearer"
            return refusal
        try:
            return view(request, **parts)
        except ArchiveError as error:
            status = HTTPStatus(problem_of(error)["status"])
            return _outcome(status, _ISSUES.get(status, "processing"), str(error))

    return answer


_ISSUES = {
    HTTPStatus.FORBIDDEN: "forbidden",
    HTTPStatus.NOT_FOUND: "not-found",
    HTTPStatus.UNPROCESSABLE_ENTITY: "invalid",
}


@require_safe
@_fhir
def search_events(request: HttpRequest) -> HttpResponse:
    """Answer a page of the trail as a Bundle, newest first."""
    actor = administrator_of(request)
    page = trail.page(actor, _query(request))
    found = facts_of([entry.event for entry in page.entries])
    here = request.build_absolute_uri(reverse("fhir-audit"))
    asked = [(key, value) for key in request.GET for value in request.GET.getlist(key)]
    links = [{"relation": "self", "url": f"{here}?{urlencode(asked)}" if asked else here}]
    if page.cursor:
        rest = [pair for pair in asked if pair[0] != "_cursor"]
        following = urlencode([*rest, ("_cursor", page.cursor)])
        links.append({"relation": "next", "url": f"{here}?{following}"})
    bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset", "link": links}
    # An empty array is none in FHIR.
    if found:
        bundle["entry"] = [
            {
                "fullUrl": f"{here}/{one.event.pk}",
                "resource": audit_fhir.audit_event(one),
                "search": {"mode": "match"},
            }
            for one in found
        ]
    return _answer(bundle)


@require_safe
@_fhir
def read_event(request: HttpRequest, event_id: UUID) -> HttpResponse:
    """Answer one event."""
    event = trail.event_for(administrator_of(request), event_id)
    return _answer(audit_fhir.audit_event(facts_of([event])[0]))


def _query(request: HttpRequest) -> TrailQuery:
    unknown = sorted(set(request.GET) - set(_KNOWN))
    if unknown:
        raise InvalidInputError(f"“{unknown[0][:40]}” is no parameter. Known: {', '.join(_KNOWN)}.")
    since, before = _times(request.GET.getlist("date"))
    patient = request.GET.get("patient:identifier") or request.GET.get("patient", "")
    count = request.GET.get("_count", "100")
    if not re.fullmatch(r"[1-9]\d{0,5}", count):
        raise InvalidInputError("“_count” is a whole number from 1.")
    outcome = request.GET.get("outcome", "")
    if outcome not in {"", "0", "4"}:
        raise InvalidInputError("“outcome” is 0 (success) or 4 (refused or failed).")
    return TrailQuery(
        since=since,
        before=before,
        actor=request.GET.get("agent", ""),
        # As an identifier may be given with its system: `system|value`.
        about=patient.rpartition("|")[2].removeprefix("Patient/").replace("\0", ""),
        is_success={"": None, "0": True, "4": False}[outcome],
        cursor=request.GET.get("_cursor", ""),
        limit=min(int(count), _MOST),
    )


def _times(texts: list[str]) -> tuple[datetime | None, datetime | None]:
    """Return the first moment that is part of all `date` parameters, and the first after."""
    since: datetime | None = None
    before: datetime | None = None
    for text in texts:
        prefix, begin, end = _span(text)
        if prefix in {"eq", "ge", "gt"}:
            first = end if prefix == "gt" else begin
            since = max(since, first) if since else first
        if prefix in {"eq", "le", "lt"}:
            last = begin if prefix == "lt" else end
            before = min(before, last) if before else last
    return since, before


def _span(text: str) -> tuple[str, datetime, datetime]:
    """Return the prefix of a date, its first moment and the first after it (R4 3.1.1.4.7)."""
    found = _DATE.fullmatch(text)
    if found is None:
        raise _no_date(text)
    prefix, year, month, day, time = found.groups()
    try:
        if time:
            # A plus sign that was not encoded has become a space.
            begin = datetime.fromisoformat(f"{year}-{month}-{day}{time.replace(' ', '+')}")
            begin = (begin if begin.tzinfo else begin.replace(tzinfo=UTC)).astimezone(UTC)
            return prefix or "eq", begin, begin + timedelta(seconds=1)
        begin = datetime(int(year), int(month or 1), int(day or 1), tzinfo=UTC)
        if day:
            end = begin + timedelta(days=1)
        elif month:
            end = (begin + timedelta(days=31)).replace(day=1)
        else:
            end = begin.replace(year=begin.year + 1)
    except (ValueError, OverflowError) as error:
        raise _no_date(text) from error
    return prefix or "eq", begin, end


def _no_date(text: str) -> InvalidInputError:
    return InvalidInputError(
        f"“{text[:40]}” is no date. Write ge2026-01-31 or lt2026-02-01T08:00Z."
    )


def _answer(resource: dict[str, Any], status: HTTPStatus = HTTPStatus.OK) -> HttpResponse:
    answer = HttpResponse(
        json.dumps(resource, ensure_ascii=False), content_type=_CONTENT_TYPE, status=status
    )
    answer["Cache-Control"] = "no-store"
    return answer


def _outcome(status: HTTPStatus, code: str, text: str) -> HttpResponse:
    issue = {"severity": "error", "code": code, "diagnostics": text}
    return _answer({"resourceType": "OperationOutcome", "issue": [issue]}, status)
