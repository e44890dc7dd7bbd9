"""Forwarding: rules that read like sentences, the queue, and sending a study by hand."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import preferences
from archive import access, destinations, facilities, routing, rules
from archive.access import Actor
from archive.errors import ArchiveError, ConflictError, InvalidInputError
from archive.models import Destination, ForwardRule, TransmissionState
from archive.rules import Preview, RuleDraft
from worklist.models import Modality
from worklist.views import queues
from worklist.views.bodies import json_object
from worklist.views.conditions import conditions_of
from worklist.views.forms import read_uuid
from worklist.views.guards import actor_of, administrator_of, api_login_required


@dataclass(frozen=True, slots=True)
class RuleLine:
    """One rule and its sentence; with what it would have sent when that was asked."""

    rule: ForwardRule
    sentence: str
    preview: Preview | None = None


@login_required
@require_safe
def queue_page(request: HttpRequest) -> HttpResponse:
    """Show what is, was and will be sent, why, and what went wrong."""
    actor = actor_of(request)
    context = queues.listed(request, routing.queue(actor), _TABS)
    context["may_send"] = routing.may_send(actor)
    return queues.page(request, "forwarding_queue", context)


_TABS = [
    (TransmissionState.WAITING.value, "Waiting"),
    (TransmissionState.SENDING.value, "Sending"),
    (TransmissionState.FAILED.value, "Failed"),
    (TransmissionState.SENT.value, "Sent"),
    (TransmissionState.CANCELLED.value, "Cancelled"),
]


@login_required
@require_POST
def retry_entry(request: HttpRequest, entry_id: UUID) -> HttpResponse:
    """Send now."""
    entry = routing.entry_for(actor_of(request), entry_id)
    text = f"It is sent to {entry.destination.ae_title} now."
    return queues.change(request, routing.retry, entry, text, page="worklist:forwarding-queue")


@login_required
@require_POST
def cancel_entry(request: HttpRequest, entry_id: UUID) -> HttpResponse:
    """Send no more of it."""
    entry = routing.entry_for(actor_of(request), entry_id)
    text = f"No more of it is sent to {entry.destination.ae_title}."
    return queues.change(request, routing.cancel, entry, text, page="worklist:forwarding-queue")


@api_login_required
@require_POST
def find_choices(request: HttpRequest) -> HttpResponse:
    """Say where studies may be sent: `{"ids": [...]}` -> `{"destinations": [{id, name}]}`."""
    found = routing.choices_for_studies(actor_of(request), _ids(json_object(request)))
    return JsonResponse(
        {
            "destinations": [
                {"id": str(row.pk), "name": f"{row.ae_title} at {row.host}"} for row in found
            ]
        }
    )


@api_login_required
@require_POST
def send_studies(request: HttpRequest) -> HttpResponse:
    """Send studies by hand: `{"ids": [...], "destination": id}` -> `{"sent": [...], "not": [...]}`.

    What is on its way there already stands under `not`, with the reason.
    """
    body = json_object(request)
    key = read_uuid(str(body.get("destination", "")), "destination")
    outcomes = routing.send_studies(actor_of(request), _ids(body), key)
    return JsonResponse(
        {
            "sent": [str(pk) for pk, reason in outcomes if not reason],
            "not": [{"id": str(pk), "reason": reason} for pk, reason in outcomes if reason],
        }
    )


def _ids(body: dict[str, Any]) -> list[UUID]:
    ids = body.get("ids")
    try:
        return [UUID(str(key)) for key in ids] if isinstance(ids, list) else []
    except ValueError:
        raise InvalidInputError("Studies are named by their ids (UUID).") from None


@login_required
@require_POST
def send_study(request: HttpRequest, study_id: UUID) -> HttpResponse:
    """Send a study somewhere by hand, through the queue."""
    actor = actor_of(request)
    study = access.study_for(actor.scope, study_id)
    try:
        destination = _destination(request)
        routing.send_by_hand(actor, study, destination)
    except (ConflictError, InvalidInputError) as error:
        messages.error(request, str(error))
    else:
        messages.success(
            request,
            gettext("The study is on its way to {ae_title}.").format(ae_title=destination.ae_title),
        )
    return redirect("worklist:study-detail", study.pk)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def rule_page(request: HttpRequest) -> HttpResponse:
    """Show the rules; by POST, say what a new one would have sent, or save it."""
    actor = administrator_of(request)
    if request.method != "POST":
        return _rules(request, actor)
    try:
        draft = _draft(request)
        if request.POST.get("do") != "save":
            drafted = rules.draft_rule(draft)
            line = RuleLine(drafted, rules.sentence(drafted), rules.preview(actor, drafted))
            return _rules(request, actor, tried=line)
        rules.add_rule(actor, draft)
    except InvalidInputError as error:
        return _rules(request, actor, failure=error)
    messages.success(
        request, gettext("The rule is saved. Look at what it would have sent, then switch on.")
    )
    return redirect("worklist:forwarding-rules")


@login_required
@require_POST
def change_rule(request: HttpRequest, rule_id: UUID) -> HttpResponse:
    """Try, switch on, switch off or remove a rule, as the button `do` says."""
    actor = administrator_of(request)
    rule = rules.rule_for(actor, rule_id)
    do = request.POST.get("do", "")
    if do == "try":
        return _rules(request, actor, looked_at=(rule.pk, rules.preview(actor, rule)))
    if do in ("on", "off"):
        rules.switch_rule(actor, rule, is_active=do == "on")
        words = gettext("Switched on: {what}") if do == "on" else gettext("Switched off: {what}")
        messages.success(request, words.format(what=rules.sentence(rule)))
    elif do == "remove":
        rules.remove_rule(actor, rule)
        messages.success(
            request, gettext("The rule is removed. What it has queued stays in the queue.")
        )
    else:
        raise InvalidInputError("'do' is one of try, on, off, remove.")
    return redirect("worklist:forwarding-rules")


def _rules(
    request: HttpRequest,
    actor: Actor,
    *,
    tried: RuleLine | None = None,
    looked_at: tuple[UUID, Preview] | None = None,
    failure: ArchiveError | None = None,
) -> HttpResponse:
    lines = [
        RuleLine(
            rule,
            rules.sentence(rule),
            looked_at[1] if looked_at and looked_at[0] == rule.pk else None,
        )
        for rule in rules.listing()
    ]
    context: dict[str, Any] = {
        "lines": lines,
        "tried": tried,
        "failure": failure,
        "typed": request.POST if tried or failure else {},
        "destinations": list(destinations.everywhere()),
        "facilities": list(facilities.listing(actor.scope)),
        "modality_codes": list(Modality.objects.values_list("code", flat=True)),
        "zone_name": str(preferences.zone_of(request)),
        "quiet_s": settings.FORWARD_WHEN_QUIET_S,
        "actor": actor,
        "zone": preferences.zone_of(request),
    }
    status = HTTPStatus.UNPROCESSABLE_ENTITY if failure else HTTPStatus.OK
    return render(request, "worklist/forwarding_rules.html", context, status=status)


def _draft(request: HttpRequest) -> RuleDraft:
    conditions = conditions_of(request, administrator_of(request))
    return RuleDraft(destination=_destination(request), **vars(conditions))


def _destination(request: HttpRequest) -> Destination:
    key = read_uuid(request.POST.get("destination", ""), "destination")
    found = destinations.everywhere().filter(pk=key).first()
    if found is None:
        raise InvalidInputError("This destination was removed. Choose another one.")
    return found
