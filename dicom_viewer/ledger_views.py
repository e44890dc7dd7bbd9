"""Pages of the ledger of what was shown: to administrators all of it, to others their own."""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from accounts import preferences
from accounts.guards import actor_of
from archive import access
from dicom_viewer import ledger
from reports import ledger as shown_ledger


@login_required
@require_GET
@never_cache
def study_page(request: HttpRequest, study_id: UUID) -> HttpResponse:
    """Show who was shown what of a study."""
    actor = actor_of(request)
    shown = shown_ledger.of_study(actor, study_id)
    study = access.study_for(actor.scope, study_id)
    context = {
        "study": study,
        "people": ledger.people(study, shown),
        "is_administrator": actor.is_administrator,
        "zone": preferences.zone_of(request),
    }
    return render(request, "dicom_viewer/shown_study.html", context)


@login_required
@require_GET
@never_cache
def study_csv(request: HttpRequest, study_id: UUID) -> HttpResponse:
    """Return the same by frame as CSV."""
    actor = actor_of(request)
    shown = shown_ledger.of_study(actor, study_id, verb="viewed.export")
    study = access.study_for(actor.scope, study_id)
    answer = HttpResponse(
        "".join(ledger.lines(study, shown)), content_type="text/csv; charset=utf-8"
    )
    name = f"images-shown-{timezone.now():%Y%m%d-%H%M%S}.csv"
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


@login_required
@require_GET
@never_cache
def person_page(request: HttpRequest) -> HttpResponse:
    """Show of which studies somebody was shown something; administrators ask for others."""
    actor = actor_of(request)
    username = " ".join(request.GET.get("who", "").replace("\0", "").split())[:150]
    cursor = request.GET.get("cursor", "")
    context = {
        "page": shown_ledger.of_person(actor, username, cursor=cursor),
        "who": username,
        "is_first": not cursor,
        "is_administrator": actor.is_administrator,
        "zone": preferences.zone_of(request),
    }
    return render(request, "dicom_viewer/shown_list.html", context)
