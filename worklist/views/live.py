"""Small answers for open pages: counts of the tabs, the site's state, studies for the palette."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django.views.decorators.http import require_GET

from accounts import preferences
from accounts.guards import user_of
from archive import conflicts, query, state
from archive.errors import TooBroadError
from archive.query import StudyQuery
from worklist.templatetags.worklist_text import person_name
from worklist.views import listing
from worklist.views.guards import actor_of, api_login_required

_MOST_FOUND = 8
_LONGEST_TEXT = 200


@api_login_required
@require_GET
def counts(request: HttpRequest) -> HttpResponse:
    """Count the studies of every tab, up to a cap: `{"views": [{"name", "count", "more"}]}`.

    A tab whose studies cannot be counted in time is left out.
    """
    actor = actor_of(request)
    choices = listing.choices_of(actor.scope)
    answer = []
    for view, _ in listing.views_of(user_of(request)):
        found = listing.read(request, view.query, choices)
        try:
            count = query.count_studies(actor.scope, found.query)
        except TooBroadError:
            # The other tabs have theirs.
            continue
        answer.append({"name": view.name, "count": count, "more": count >= query.COUNT_CAP})
    return JsonResponse({"views": answer})


@api_login_required
@require_GET
def site_state(request: HttpRequest) -> HttpResponse:
    """Say how receiver, queue and disk are: `{"level", "parts": [...]}`.

    Each part has `name`, `level`, `text`, and `since` when the receiver was first found down.
    Administrators also hear how many `conflicts` wait.
    """
    parts = state.site_state()
    shown = [
        {
            "name": part.name,
            "level": part.level,
            "text": part.text,
            "since": part.since.isoformat() if part.since else None,
        }
        for part in parts
    ]
    answer: dict[str, Any] = {"level": state.worst(parts), "parts": shown}
    if actor_of(request).is_administrator:
        answer["conflicts"] = conflicts.waiting().filter(kept__deletion_id=None).count()
    return JsonResponse(answer)


@api_login_required
@require_GET
def find(request: HttpRequest) -> HttpResponse:
    """Find studies for the command palette: `?q=` -> `{"studies": [...]}`."""
    text = " ".join(request.GET.get("q", "").replace("\0", "").split())[:_LONGEST_TEXT]
    if not text:
        return JsonResponse({"studies": []})
    actor = actor_of(request)
    choices = listing.choices_of(actor.scope)
    current = preferences.facility_of(user_of(request))
    is_narrowed = current is not None and current in {facility.pk for facility in choices}
    asked = StudyQuery(
        text=text, limit=_MOST_FOUND, facility_ids=(current,) if is_narrowed and current else ()
    )
    page = query.find_studies(actor.scope, asked)
    studies = [
        {
            "id": str(study.pk),
            "patient": person_name(study.patient_name),
            "patient_id": study.patient_identifier,
            "accession": study.accession_number,
            "date": study.study_date.isoformat() if study.study_date else "",
            "modalities": study.modality_codes,
            "description": study.study_description,
            "page": reverse("worklist:study-detail", args=[study.pk]),
            "viewer": reverse("dicom_viewer:viewer", args=[study.pk]),
        }
        for study in page.items
    ]
    return JsonResponse({"studies": studies})
