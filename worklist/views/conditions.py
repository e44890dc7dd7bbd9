"""The conditions of rules and services, as the forms of both have them."""

from __future__ import annotations

from django.http import HttpRequest

from accounts import preferences
from archive import access
from archive.access import Actor
from archive.rules import Conditions
from worklist.views.forms import read_time, read_uuid


def conditions_of(request: HttpRequest, actor: Actor) -> Conditions:
    """Read what `_conditions.html` lets an administrator say of studies."""
    typed = request.POST
    facility = typed.get("facility", "")
    return Conditions(
        facility=access.facility_for(actor.scope, read_uuid(facility, "facility"))
        if facility
        else None,
        modality=typed.get("modality", ""),
        description_contains=typed.get("description_contains", ""),
        station_name=typed.get("station_name", ""),
        source_ae_title=typed.get("source_ae_title", ""),
        hours_from=read_time(typed.get("hours_from", "")),
        hours_to=read_time(typed.get("hours_to", "")),
        time_zone=str(preferences.zone_of(request)),
    )
