"""Callers that were refused: who, from where, why; admitted or dismissed by one button."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext
from django.views.decorators.http import require_GET, require_POST

from accounts import preferences
from archive import access, facilities
from archive.errors import ConflictError, InvalidInputError
from archive.models import Knock, KnockState
from worklist.models import Facility
from worklist.views.guards import administrator_of, api_login_required

_MOST_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Row:
    """One refused caller, with the facility that it probably belongs to."""

    knock: Knock
    suggested: Facility | None
    owner: Facility | None

    @property
    def is_admissible(self) -> bool:
        """Whether a button here can let it in."""
        if self.knock.reason_code == "certificate":
            return bool(self.knock.certificate) and self.owner is not None
        return self.knock.reason_code in {"calling-ae", "address"}


@login_required
@require_GET
def knock_list(request: HttpRequest) -> HttpResponse:
    """Show the callers that wait, or those once admitted or dismissed."""
    return render(request, "worklist/knock_list.html", _context(request))


@api_login_required
@require_GET
def knock_rows(request: HttpRequest) -> HttpResponse:
    """Return the list as a fragment, for the open page."""
    return render(request, "worklist/knock_rows.html", _context(request))


@login_required
@require_POST
def admit_knock(request: HttpRequest, knock_id: UUID) -> HttpResponse:
    """Let a caller in as a facility's."""
    actor = administrator_of(request)
    knock = facilities.knock_for(actor, knock_id)
    try:
        facility = access.facility_for(actor.scope, _facility_id(request))
        facilities.admit_knock(actor, knock, facility)
    except (ConflictError, InvalidInputError) as error:
        context = _context(request) | {"failed": knock, "failure": str(error)}
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        return render(request, "worklist/knock_list.html", context, status=status)
    messages.success(
        request,
        gettext("{calling_ae_title} may send to {facility} from its next call on.").format(
            calling_ae_title=knock.calling_ae_title, facility=facility.name
        ),
    )
    return redirect(_back(request))


@login_required
@require_POST
def dismiss_knock(request: HttpRequest, knock_id: UUID) -> HttpResponse:
    """Hide a caller from the list; it stays refused."""
    actor = administrator_of(request)
    knock = facilities.knock_for(actor, knock_id)
    facilities.dismiss_knock(actor, knock)
    messages.success(
        request,
        gettext("{calling_ae_title} stays refused and is off the list.").format(
            calling_ae_title=knock.calling_ae_title
        ),
    )
    return redirect(_back(request))


def _context(request: HttpRequest) -> dict[str, Any]:
    actor = administrator_of(request)
    state = request.GET.get("state", KnockState.OPEN)
    if state not in KnockState.values:
        raise InvalidInputError(f"'state' is one of {', '.join(KnockState.values)}.")
    shown = list(facilities.knocks(KnockState(state))[:_MOST_SHOWN])
    choices = list(facilities.listing(actor.scope).filter(is_active=True))
    owners = facilities.owners_of([knock.calling_ae_title for knock in shown])
    return {
        "rows": [
            Row(knock, _suggestion(knock, choices), owners.get(knock.calling_ae_title))
            for knock in shown
        ],
        "facilities": choices,
        "state": state,
        "states": KnockState.choices,
        "waiting": facilities.open_knocks().count(),
        "most_shown": _MOST_SHOWN,
        "actor": actor,
        "zone": preferences.zone_of(request),
    }


def _suggestion(knock: Knock, choices: list[Facility]) -> Facility | None:
    """Return the facility whose networks hold the caller, or the only one there is."""
    address = ipaddress.ip_address(knock.address)
    for facility in choices:
        if facility.address_ranges and facility.allows_address(str(address)):
            return facility
    return choices[0] if len(choices) == 1 else None


def _facility_id(request: HttpRequest) -> UUID:
    try:
        return UUID(request.POST.get("facility", ""))
    except ValueError:
        raise InvalidInputError("Choose the facility that the caller belongs to.") from None


def _back(request: HttpRequest) -> str:
    """Return where the form stood, on this site."""
    back = request.POST.get("next", "")
    if url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=False):
        return back
    return "worklist:knock-list"
