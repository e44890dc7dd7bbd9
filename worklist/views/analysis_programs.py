"""Programs elsewhere that analyse studies by HTTP: registered, switched, removed."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext
from django.views.decorators.http import require_POST

from archive import access, remote_programs, webhooks
from archive.errors import InvalidInputError
from archive.remote_programs import RemoteDraft
from worklist.views.analyses import services
from worklist.views.forms import read_uuid
from worklist.views.guards import administrator_of


@login_required
@require_POST
def add_program(request: HttpRequest) -> HttpResponse:
    """Register a program, and show its secret this once."""
    actor = administrator_of(request)
    typed = request.POST
    try:
        facility = typed.get("facility", "")
        draft = RemoteDraft(
            name=typed.get("name", ""),
            url=typed.get("url", ""),
            version=typed.get("version", ""),
            manufacturer=typed.get("manufacturer", ""),
            purpose=typed.get("purpose", ""),
            facility=access.facility_for(actor.scope, read_uuid(facility, "facility"))
            if facility
            else None,
        )
        row = remote_programs.add(actor, draft)
    except InvalidInputError as error:
        return services(request, remote_failure=error)
    return services(request, secret=(row, webhooks.secret_text(remote_programs.secret_of(row))))


@login_required
@require_POST
def change_program(request: HttpRequest, program_id: UUID) -> HttpResponse:
    """Switch a program on or off, change its secret or remove it, as the button `do` says."""
    actor = administrator_of(request)
    row = remote_programs.program_for(actor, program_id)
    do = request.POST.get("do", "")
    if do == "secret":
        return services(request, secret=(row, remote_programs.change_secret(actor, row)))
    if do in ("on", "off"):
        remote_programs.switch(actor, row, is_active=do == "on")
        words = gettext("Switched on: {what}") if do == "on" else gettext("Switched off: {what}")
        messages.success(request, words.format(what=row.name))
    elif do == "remove":
        remote_programs.remove(actor, row)
        messages.success(request, gettext("It is removed. What it found stays."))
    else:
        raise InvalidInputError("'do' is one of on, off, secret, remove.")
    return redirect("worklist:analysis-services")
