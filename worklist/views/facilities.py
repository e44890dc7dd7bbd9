"""Facilities: the list, one facility's page, and what an administrator changes there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import preferences
from archive import access, destinations, facilities
from archive.access import Actor
from archive.errors import ArchiveError, ConflictError, InvalidInputError, NotFoundError
from archive.facilities import FacilityDraft
from worklist.models import Facility, FacilityAE, UserIdentity
from worklist.views.guards import actor_of, administrator_of, api_login_required
from worklist.views.reach import reach_of

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_MOST_CALLS = 20
# What a person can put right in the form; everything else is another page's answer.
_IN_PLACE = (InvalidInputError, ConflictError, NotFoundError)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the list."""

    facility: Facility
    ae_titles: list[FacilityAE]
    member_count: int
    lately: int
    last_association_at: datetime | None
    last_store_at: datetime | None
    error: FacilityAE | None


@dataclass(frozen=True, slots=True)
class FormError:
    """What is wrong with which form, and what was typed."""

    form: str
    message: str
    typed: dict[str, str]


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def facility_list(request: HttpRequest) -> HttpResponse:
    """Show the facilities in scope; an administrator creates one by POST."""
    if request.method != "POST":
        return _list(request)
    actor = administrator_of(request)
    try:
        code = request.POST.get("code", "").strip()
        if facilities.listing(actor.scope).filter(code__iexact=code).exists():
            raise ConflictError(f"There is a facility with the code {code} already.")
        facility = facilities.save_facility(
            actor,
            FacilityDraft(
                code=code,
                name=request.POST.get("name", "").strip(),
                ae_titles=_lines(request.POST.get("ae_titles", "")),
                address_ranges=_lines(request.POST.get("address_ranges", "")),
            ),
        )
    except _IN_PLACE as error:
        return _list(request, _form_error(request, "facility", error))
    messages.success(request, gettext("{facility} is set up.").format(facility=facility.name))
    return redirect("worklist:facility-detail", facility.pk)


def _list(request: HttpRequest, form_error: FormError | None = None) -> HttpResponse:
    actor = actor_of(request)
    shown = list(facilities.listing(actor.scope).annotate(member_count=Count("users")))
    lately = facilities.instances_since([f.pk for f in shown], timezone.now() - _DAY)
    context = {
        "rows": [_row(facility, lately.get(facility.pk, 0)) for facility in shown],
        "actor": actor,
        "zone": preferences.zone_of(request),
        "form_error": form_error,
    }
    return render(request, "worklist/facility_list.html", context, status=_status(form_error))


def _row(facility: Facility, lately: int) -> Row:
    entries = list(facility.ae_titles.all())
    return Row(
        facility=facility,
        ae_titles=entries,
        member_count=facility.member_count,  # type: ignore[attr-defined]
        lately=lately,
        last_association_at=_latest([e.last_association_at for e in entries]),
        last_store_at=_latest([e.last_store_at for e in entries]),
        error=_last_error(entries),
    )


def _latest(moments: list[datetime | None]) -> datetime | None:
    return max((moment for moment in moments if moment is not None), default=None)


def _last_error(entries: list[FacilityAE]) -> FacilityAE | None:
    """Return the AE whose last error nothing good has followed."""
    troubled = [
        (entry.last_error_at, entry)
        for entry in entries
        if entry.last_error_at is not None
        and (entry.last_store_at is None or entry.last_store_at < entry.last_error_at)
    ]
    return max(troubled, key=lambda pair: pair[0])[1] if troubled else None


@login_required
@require_GET
def facility_detail(request: HttpRequest, facility_id: UUID) -> HttpResponse:
    """Show one facility: equipment, live test, destinations, members, settings."""
    return _detail(request, facility_id)


def _detail(
    request: HttpRequest, facility_id: UUID, form_error: FormError | None = None
) -> HttpResponse:
    actor = actor_of(request)
    facility = access.facility_for(actor.scope, facility_id)
    now = timezone.now()
    entries = list(facility.ae_titles.all())
    context = {
        "facility": facility,
        "entries": entries,
        "error": _last_error(entries),
        "last_association_at": _latest([e.last_association_at for e in entries]),
        "last_store_at": _latest([e.last_store_at for e in entries]),
        "last_day": facilities.instances_since([facility.pk], now - _DAY).get(facility.pk, 0),
        "last_hour": facilities.instances_since([facility.pk], now - _HOUR).get(facility.pk, 0),
        "destinations": list(destinations.of_facility(facility)),
        "members": list(facility.users.order_by("username")),
        "reach": reach_of(request),
        "actor": actor,
        "zone": preferences.zone_of(request),
        "identities": UserIdentity.choices,
        "form_error": form_error,
    }
    return render(request, "worklist/facility_detail.html", context, status=_status(form_error))


@login_required
@require_GET
def facility_sheet(request: HttpRequest, facility_id: UUID) -> HttpResponse:
    """Show what a technician types into the equipment, on one page that prints well."""
    facility = access.facility_for(actor_of(request).scope, facility_id)
    context = {
        "facility": facility,
        "entries": list(facility.ae_titles.all()),
        "destinations": list(destinations.of_facility(facility)),
        "reach": reach_of(request),
        "scu_ae_title": settings.DICOM_SCU_AE_TITLE,
        "now": timezone.now(),
        "zone": preferences.zone_of(request),
    }
    return render(request, "worklist/facility_sheet.html", context)


@api_login_required
@require_GET
def facility_live(request: HttpRequest, facility_id: UUID) -> HttpResponse:
    """Say who called since a moment: `?since=` -> `{"now", "heard", "equipment", "calls"}`.

    `heard` lists the facility's AE titles that called, `equipment` and `calls` are fragments of the
    page. Refused callers are for administrators.
    """
    actor = actor_of(request)
    facility = access.facility_for(actor.scope, facility_id)
    now = timezone.now()
    since = _moment(request.GET.get("since", "")) or now
    entries = list(facility.ae_titles.all())
    context = {
        "facility": facility,
        "entries": entries,
        "actor": actor,
        "zone": preferences.zone_of(request),
        "knocks": _knocks_since(actor, since),
    }
    return JsonResponse(
        {
            "now": now.isoformat(),
            "heard": [heard for entry in entries for heard in _heard(entry, since)],
            "equipment": render_to_string("worklist/facility_equipment.html", context, request),
            "calls": render_to_string("worklist/facility_calls.html", context, request),
        }
    )


def _knocks_since(actor: Actor, since: datetime) -> list[Any]:
    if not actor.is_administrator:
        return []
    return list(facilities.open_knocks().filter(last_at__gte=since)[:_MOST_CALLS])


def _heard(entry: FacilityAE, since: datetime) -> list[dict[str, str]]:
    calls = (
        ("echo", entry.last_echo_at),
        ("store", entry.last_store_at),
        ("association", entry.last_association_at),
    )
    return [
        {
            "ae_title": entry.ae_title,
            "service": service,
            "address": entry.last_address or "",
            "at": at.isoformat(),
        }
        for service, at in calls
        if at is not None and at >= since
    ]


@login_required
@require_POST
def change_facility(request: HttpRequest, facility_id: UUID) -> HttpResponse:
    """Set name, networks and whether it may send."""
    actor = administrator_of(request)
    facility = access.facility_for(actor.scope, facility_id)
    try:
        facilities.change_facility(
            actor,
            facility,
            name=request.POST.get("name", ""),
            address_ranges=_lines(request.POST.get("address_ranges", "")),
            is_active=request.POST.get("is_active") == "on",
            user_identity=request.POST.get("user_identity", ""),
            requires_tls=request.POST.get("requires_tls") == "on",
        )
    except _IN_PLACE as error:
        return _detail(request, facility_id, _form_error(request, "settings", error))
    messages.success(request, gettext("Saved. The receiver follows within two seconds."))
    return redirect("worklist:facility-detail", facility_id)


@login_required
@require_POST
def add_ae_title(request: HttpRequest, facility_id: UUID) -> HttpResponse:
    """Let one more AE title send."""
    actor = administrator_of(request)
    facility = access.facility_for(actor.scope, facility_id)
    try:
        entry = facilities.add_ae_title(
            actor,
            facility,
            request.POST.get("ae_title", ""),
            description=request.POST.get("description", ""),
        )
    except _IN_PLACE as error:
        return _detail(request, facility_id, _form_error(request, "ae-title", error))
    messages.success(
        request,
        gettext("{ae_title} may send to {facility}.").format(
            ae_title=entry.ae_title, facility=facility.name
        ),
    )
    return redirect("worklist:facility-detail", facility_id)


@login_required
@require_POST
def bind_certificate(request: HttpRequest, facility_id: UUID, entry_id: UUID) -> HttpResponse:
    """Let only the holder of a certificate call by an AE title, or anybody again."""
    actor = administrator_of(request)
    facility = access.facility_for(actor.scope, facility_id)
    try:
        entry = facilities.bind_certificate(
            actor, facility, entry_id, request.POST.get("certificate", "")
        )
    except _IN_PLACE as error:
        return _detail(request, facility_id, _form_error(request, "ae-title", error))
    if entry.certificate:
        messages.success(
            request,
            gettext("{ae_title} may call with its certificate alone.").format(
                ae_title=entry.ae_title
            ),
        )
    else:
        messages.success(
            request,
            gettext("{ae_title} may call without a certificate again.").format(
                ae_title=entry.ae_title
            ),
        )
    return redirect("worklist:facility-detail", facility_id)


@login_required
@require_POST
def remove_ae_title(request: HttpRequest, facility_id: UUID, entry_id: UUID) -> HttpResponse:
    """Take an AE title away."""
    actor = administrator_of(request)
    facility = access.facility_for(actor.scope, facility_id)
    try:
        facilities.remove_ae_title(actor, facility, entry_id)
    except _IN_PLACE as error:
        return _detail(request, facility_id, _form_error(request, "ae-title", error))
    messages.success(request, gettext("The AE title is removed; what it sent stays here."))
    return redirect("worklist:facility-detail", facility_id)


@login_required
@require_POST
def add_member(request: HttpRequest, facility_id: UUID) -> HttpResponse:
    """Let a person see the facility's studies."""
    actor = administrator_of(request)
    facility = access.facility_for(actor.scope, facility_id)
    try:
        member = facilities.add_member(actor, facility, request.POST.get("username", ""))
    except _IN_PLACE as error:
        return _detail(request, facility_id, _form_error(request, "member", error))
    messages.success(
        request,
        gettext("{member} sees the studies of {facility}.").format(
            member=member, facility=facility.name
        ),
    )
    return redirect("worklist:facility-detail", facility_id)


@login_required
@require_POST
def remove_member(request: HttpRequest, facility_id: UUID, user_id: UUID) -> HttpResponse:
    """Let a person no longer see the facility's studies."""
    actor = administrator_of(request)
    facility = access.facility_for(actor.scope, facility_id)
    try:
        facilities.remove_member(actor, facility, user_id)
    except _IN_PLACE as error:
        return _detail(request, facility_id, _form_error(request, "member", error))
    messages.success(request, gettext("Removed from {facility}.").format(facility=facility.name))
    return redirect("worklist:facility-detail", facility_id)


@login_required
@require_POST
def add_destination(request: HttpRequest, facility_id: UUID) -> HttpResponse:
    """Register equipment of the facility that we may send to."""
    actor = administrator_of(request)
    facility = access.facility_for(actor.scope, facility_id)
    try:
        destination = destinations.save_destination(
            actor,
            destinations.DestinationDraft(
                ae_title=request.POST.get("ae_title", ""),
                host=request.POST.get("host", ""),
                port=_port(request.POST.get("port", "")),
                uses_tls=request.POST.get("uses_tls") == "on",
                facility=facility,
            ),
        )
    except _IN_PLACE as error:
        return _detail(request, facility_id, _form_error(request, "destination", error))
    messages.success(
        request,
        gettext("{destination} is registered. Send it an echo.").format(destination=destination),
    )
    return redirect("worklist:facility-detail", facility_id)


@login_required
@require_POST
def remove_destination(
    request: HttpRequest, facility_id: UUID, destination_id: UUID
) -> HttpResponse:
    """Forget equipment that we might send to."""
    actor = administrator_of(request)
    destination = destinations.destination_for(actor, destination_id)
    destinations.remove_destination(actor, destination)
    messages.success(
        request, gettext("{ae_title} is removed.").format(ae_title=destination.ae_title)
    )
    return redirect("worklist:facility-detail", facility_id)


@api_login_required
@require_http_methods(["GET", "POST"])
def destination_echo(request: HttpRequest, destination_id: UUID) -> HttpResponse:
    """Have an echo sent (POST, administrators), or say what the last one found (GET)."""
    actor = administrator_of(request) if request.method == "POST" else actor_of(request)
    destination = destinations.destination_for(actor, destination_id)
    if request.method == "POST":
        destinations.request_echo(actor, destination)
    at = destination.last_echo_at
    return JsonResponse(
        {
            "is_pending": destinations.is_echo_pending(destination),
            "at": at.isoformat() if at else None,
            "is_success": destination.last_echo_is_ok,
            "message": destination.last_echo_message,
        }
    )


def _form_error(request: HttpRequest, form: str, error: ArchiveError) -> FormError:
    typed = {key: str(value) for key, value in request.POST.items() if key != "csrfmiddlewaretoken"}
    return FormError(form=form, message=str(error), typed=typed)


def _status(form_error: FormError | None) -> HTTPStatus:
    return HTTPStatus.UNPROCESSABLE_ENTITY if form_error else HTTPStatus.OK


def _lines(text: str) -> list[str]:
    """Return the entries of a text field: one a line, commas do as well."""
    return [entry.strip() for entry in text.replace(",", "\n").splitlines() if entry.strip()]


def _port(text: str) -> int:
    try:
        return int(text.strip())
    except ValueError:
        raise InvalidInputError(
            "A port is a number from 1 to 65535; most DICOM nodes use 104."
        ) from None


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = parse_datetime(text)
        if moment and moment.tzinfo:
            # In UTC, as databases compare them: the year 1 begins earlier in the east.
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise InvalidInputError("'since' is a time such as 2026-01-02T03:04:05+00:00.")
