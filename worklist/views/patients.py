"""Patients that are one person: what is suggested, what is linked, what was kept apart."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext, gettext_noop
from django.views.decorators.http import require_GET, require_POST

from accounts import preferences
from archive import facilities, patients
from archive.errors import ConflictError, InvalidInputError, NotFoundError
from worklist.views.guards import administrator_of

_STATES = {
    "suggested": gettext_noop("Suggested"),
    "linked": gettext_noop("Linked"),
    "apart": gettext_noop("Kept apart"),
}
_MOST_SHOWN = 200


@login_required
@require_GET
def link_list(request: HttpRequest) -> HttpResponse:
    """Show the suggestions, the links or what was kept apart."""
    return render(request, "worklist/patient_links.html", _context(request))


@login_required
@require_POST
def add_link(request: HttpRequest) -> HttpResponse:
    """Link two patients, named by our ids or by facility and Patient IDs."""
    actor = administrator_of(request)
    try:
        if "facility" in request.POST:
            facility = _uuid(request, "facility", "Choose a facility.")
            ends = [
                patients.find(actor, facility, request.POST.get(name, "")).pk
                for name in ("patient_identifier", "into_identifier")
            ]
        else:
            ends = [_uuid(request, name, "Name two patients.") for name in ("patient", "into")]
        patients.link(actor, ends[0], ends[1], request.POST.get("reason", ""))
    except (ConflictError, InvalidInputError, NotFoundError) as error:
        context = _context(request) | {"failure": str(error), "given": request.POST}
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        return render(request, "worklist/patient_links.html", context, status=status)
    messages.success(request, gettext("They are one person now: their studies are shown together."))
    return redirect("worklist:patient-links")


@login_required
@require_POST
def keep_apart(request: HttpRequest) -> HttpResponse:
    """Remember that two patients are two people."""
    actor = administrator_of(request)
    ends = [_uuid(request, name, "Name two patients.") for name in ("patient", "into")]
    patients.keep_apart(actor, *ends)
    messages.success(request, gettext("They stay two people and are not suggested again."))
    return redirect("worklist:patient-links")


@login_required
@require_POST
def undo_link(request: HttpRequest, link_id: UUID) -> HttpResponse:
    """Take a link back."""
    try:
        patients.unlink(administrator_of(request), link_id)
    except ConflictError as error:
        context = _context(request) | {"failure": str(error)}
        return render(request, "worklist/patient_links.html", context, status=HTTPStatus.CONFLICT)
    messages.success(request, gettext("They are two patients again, each with its own studies."))
    return redirect("worklist:patient-links")


def _context(request: HttpRequest) -> dict[str, Any]:
    actor = administrator_of(request)
    state = request.GET.get("state", "suggested")
    if state not in _STATES:
        raise InvalidInputError(f"'state' is one of {', '.join(_STATES)}.")
    is_suggested = state == "suggested"
    links = patients.listing(actor, is_undone=state == "apart")
    return {
        "suggestions": patients.suggestions(actor) if is_suggested else [],
        "links": [] if is_suggested else list(links[:_MOST_SHOWN]),
        "state": state,
        "states": _STATES.items(),
        "facilities": list(facilities.listing(actor.scope).filter(is_active=True)),
        "actor": actor,
        "zone": preferences.zone_of(request),
    }


def _uuid(request: HttpRequest, name: str, advice: str) -> UUID:
    try:
        return UUID(request.POST.get(name, ""))
    except ValueError:
        raise InvalidInputError(advice) from None
