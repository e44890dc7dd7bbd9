"""Orders: the list, a new one, one order's page, and what is decided about its studies."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import preferences
from accounts.guards import actor_of, user_of
from archive import access, audit
from archive.access import Actor
from archive.errors import ConflictError, ForbiddenError, InvalidInputError
from orders import arrivals, forms, services
from orders.models import MatchState, OrderStatus
from worklist.models import Facility, Modality

# Technologists and administrators, and who else brings studies in, may order.
_IN_PLACE = (InvalidInputError, ConflictError)
_FILTERS = ("q", "status", "modality", "from", "to", "facility")


@login_required
@require_GET
def order_list(request: HttpRequest) -> HttpResponse:
    """Show the orders in scope, newest first."""
    actor = actor_of(request)
    query = forms.read_query(request.GET, preferences.facility_of(user_of(request)))
    page = services.find_orders(actor.scope, query)
    audit.record(actor, "order.list", count=len(page.items))
    asked = {name: request.GET.get(name, "").strip() for name in _FILTERS}
    kept = {name: value for name, value in asked.items() if value}
    context = {
        "actor": actor,
        "orders": page.items,
        "asked": asked,
        "is_narrowed": bool(kept) or query.before is not None,
        "next": urlencode({**kept, "before": str(page.cursor)}) if page.cursor else "",
        "statuses": OrderStatus.choices,
        "facilities": _facilities(actor),
        "modality_codes": Modality.objects.values_list("code", flat=True),
        "zone": preferences.zone_of(request),
    }
    return render(request, "orders/order_list.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def order_new(request: HttpRequest) -> HttpResponse:
    """Show the form of a new order; make it by POST."""
    actor = actor_of(request)
    if not actor.can_upload:
        raise ForbiddenError("Your role does not allow orders. Ask an administrator.")
    typed: dict[str, Any] = {}
    failure = ""
    if request.method == "POST":
        typed = {name: str(value) for name, value in request.POST.items()}
        try:
            facility = access.facility_for_upload(actor, typed.get("facility") or None)
            order = services.create_order(actor, facility, forms.read_draft(typed))
        except _IN_PLACE as error:
            failure = str(error)
        else:
            messages.success(
                request,
                gettext("Order {accession_number} is on the worklist of {facility}.").format(
                    accession_number=order.accession_number, facility=facility.name
                ),
            )
            return redirect("orders:order-detail", order.pk)
    context = {
        "actor": actor,
        "typed": typed or {"start_date": timezone.localdate().isoformat()},
        "failure": failure,
        "facilities": _facilities(actor),
        "modality_codes": Modality.objects.values_list("code", "name"),
    }
    status = HTTPStatus.UNPROCESSABLE_ENTITY if failure else HTTPStatus.OK
    return render(request, "orders/order_new.html", context, status=status)


@login_required
@require_GET
def order_detail(request: HttpRequest, order_id: UUID) -> HttpResponse:
    """Show one order: patient, steps, what was performed, its studies."""
    actor = actor_of(request)
    order = services.order_for(actor.scope, order_id)
    audit.record(actor, "order.look", order)
    matches = order.matches.exclude(state=MatchState.REJECTED).select_related("study")
    context = {
        "actor": actor,
        "order": order,
        "steps": list(order.steps.all()),
        "performed": services.performed_of(order),
        "matches": [match for match in matches if match.study.deletion_id is None],
        "zone": preferences.zone_of(request),
    }
    return render(request, "orders/order_detail.html", context)


@login_required
@require_POST
def order_cancel(request: HttpRequest, order_id: UUID) -> HttpResponse:
    """Take an order off the worklist."""
    try:
        order = services.cancel_order(actor_of(request), order_id)
    except ConflictError as error:
        messages.error(request, str(error))
    else:
        messages.success(
            request,
            gettext("Order {accession_number} is cancelled.").format(
                accession_number=order.accession_number
            ),
        )
    return redirect("orders:order-detail", order_id)


@login_required
@require_POST
def match_decide(request: HttpRequest, match_id: UUID) -> HttpResponse:
    """Confirm or reject that a study belongs to an order; leads back to where it was asked."""
    is_match = request.POST.get("answer") == "yes"
    order_id = None
    try:
        match = arrivals.decide(actor_of(request), match_id, is_match=is_match)
        order_id = match.order_id
    except ConflictError as error:
        messages.error(request, str(error))
    else:
        number = match.order.accession_number
        said = f"The study belongs to order {number}." if is_match else "The suggestion is gone."
        messages.success(request, said)
    back = request.POST.get("next", "")
    if url_has_allowed_host_and_scheme(back, {request.get_host()}, request.is_secure()):
        return redirect(back)
    return redirect("orders:order-detail", order_id) if order_id else redirect("orders:order-list")


def _facilities(actor: Actor) -> list[Facility]:
    return list(actor.scope.filter(Facility.objects.filter(is_active=True), "pk"))
