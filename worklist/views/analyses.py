"""Analyses: which programs run on what, the queue, and what a study's programs found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext, gettext_noop
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import preferences
from archive import access, analyses, audit, facilities, findings, remote_programs, rules
from archive.access import Actor
from archive.analyses import ServiceDraft
from archive.errors import ArchiveError, ConflictError, ForbiddenError, InvalidInputError
from archive.models import (
    AnalysisRun,
    AnalysisService,
    AnalysisState,
    FindingDecision,
    RemoteProgram,
)
from archive.rules import Preview
from worklist.models import Modality
from worklist.views import queues
from worklist.views.conditions import conditions_of
from worklist.views.guards import actor_of, administrator_of

_IN_PLACE = (ConflictError, InvalidInputError, ForbiddenError)


@dataclass(frozen=True, slots=True)
class ServiceLine:
    """One service and its sentence; with what it would have been run on when that was asked."""

    service: AnalysisService
    sentence: str
    preview: Preview | None = None


@login_required
@require_safe
def queue_page(request: HttpRequest) -> HttpResponse:
    """Show what is, was and will be analysed, why, and what went wrong."""
    actor = actor_of(request)
    context = queues.listed(request, analyses.queue(actor), AnalysisState.choices)
    audit.record(actor, "analysis.list", count=len(context["entries"]))
    return queues.page(request, "analysis_queue", context)


@login_required
@require_POST
def retry(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """Run an analysis again that failed or was cancelled."""
    return _change(request, run_id, analyses.retry, gettext_noop("It is run again."))


@login_required
@require_POST
def cancel(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """End an analysis that waits or runs."""
    return _change(request, run_id, analyses.cancel, gettext_noop("It is cancelled."))


def _change(
    request: HttpRequest, run_id: UUID, act: Callable[[Actor, AnalysisRun], None], text: str
) -> HttpResponse:
    run = analyses.run_for(actor_of(request), run_id)
    page = "worklist:analysis-queue"
    return queues.change(request, act, run, gettext(text), page=page, in_place=_IN_PLACE)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def service_page(request: HttpRequest) -> HttpResponse:
    """Show the services; by POST, save a new one."""
    actor = administrator_of(request)
    if request.method != "POST":
        return services(request)
    try:
        analyses.add_service(actor, _draft(request))
    except InvalidInputError as error:
        return services(request, failure=error)
    messages.success(
        request, gettext("It is saved. Look at what it would have been run on, then switch it on.")
    )
    return redirect("worklist:analysis-services")


@login_required
@require_POST
def change_service(request: HttpRequest, service_id: UUID) -> HttpResponse:
    """Try, switch on, switch off or remove a service, as the button `do` says."""
    actor = administrator_of(request)
    service = analyses.service_for(actor, service_id)
    do = request.POST.get("do", "")
    if do == "try":
        return services(request, looked_at=(service.pk, rules.preview(actor, service)))
    if do in ("on", "off"):
        analyses.switch_service(actor, service, is_active=do == "on")
        words = gettext("Switched on: {what}") if do == "on" else gettext("Switched off: {what}")
        messages.success(request, words.format(what=analyses.sentence(service)))
    elif do == "remove":
        analyses.remove_service(actor, service)
        messages.success(request, gettext("It is removed. What it found stays."))
    else:
        raise InvalidInputError("'do' is one of try, on, off, remove.")
    return redirect("worklist:analysis-services")


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def finding_page(request: HttpRequest, study_id: UUID) -> HttpResponse:
    """Show what programs found in a study; by POST, start one."""
    actor = actor_of(request)
    study = access.study_for(actor.scope, study_id)
    if request.method == "POST":
        try:
            analyses.run_by_hand(actor, study, request.POST.get("program", ""))
        except _IN_PLACE as error:
            messages.error(request, str(error))
        else:
            messages.success(request, gettext("It is on its way. The page shows when it is done."))
        return redirect("worklist:finding-list", study.pk)
    audit.record(actor, "study.view", study, by="findings")
    context = {
        "study": study,
        "runs": list(findings.runs_of(actor, study)[: queues.MOST_SHOWN]),
        "programs": list(analyses.programs(study.facility_id).values()),
        "actor": actor,
        "zone": preferences.zone_of(request),
    }
    name = "_findings" if request.GET.get("part") == "list" else "findings"
    return render(request, f"worklist/{name}.html", context)


@login_required
@require_POST
def decide(request: HttpRequest, finding_id: UUID) -> HttpResponse:
    """Accept or reject a finding, or take that back."""
    actor = actor_of(request)
    said = request.POST.get("decision", "")
    if said not in FindingDecision.values:
        raise InvalidInputError(f"'decision' is one of {', '.join(FindingDecision.values)}.")
    finding = findings.decide(actor, finding_id, FindingDecision(said))
    decision = gettext(finding.get_decision_display())
    text = f"{finding.label}: {decision.lower()}."
    if not request.accepts("text/html"):
        return JsonResponse({"message": text})
    messages.success(request, text)
    return redirect("worklist:finding-list", finding.run.study_id)


def services(
    request: HttpRequest,
    *,
    looked_at: tuple[UUID, Preview] | None = None,
    failure: ArchiveError | None = None,
    remote_failure: ArchiveError | None = None,
    secret: tuple[RemoteProgram, str] | None = None,
) -> HttpResponse:
    """Show the page of services, with what was asked of it.

    Parameters
    ----------
    looked_at : a service, and what it would have been run on
    failure, remote_failure : why a service, or a program elsewhere, was not saved
    secret : of a program, shown this once
    """
    actor = administrator_of(request)
    context: dict[str, Any] = {
        "lines": [
            ServiceLine(
                service,
                analyses.sentence(service),
                looked_at[1] if looked_at and looked_at[0] == service.pk else None,
            )
            for service in analyses.services(actor)
        ],
        "failure": failure,
        "typed": request.POST if failure or remote_failure else {},
        "remote_failure": remote_failure,
        "remote_programs": list(remote_programs.listing(actor)),
        "networks": settings.ANALYSIS_NETWORKS,
        "secret": secret,
        "programs": list(analyses.programs().values()),
        "facilities": list(facilities.listing(actor.scope)),
        "modality_codes": list(Modality.objects.values_list("code", flat=True)),
        "zone_name": str(preferences.zone_of(request)),
        "actor": actor,
        "zone": preferences.zone_of(request),
    }
    is_refused = failure or remote_failure
    status = HTTPStatus.UNPROCESSABLE_ENTITY if is_refused else HTTPStatus.OK
    return render(request, "worklist/analysis_services.html", context, status=status)


def _draft(request: HttpRequest) -> ServiceDraft:
    typed = request.POST
    return ServiceDraft(
        program=typed.get("program", ""),
        time_limit_s=_whole(typed.get("time_limit_s", ""), 300, "time limit"),
        memory_mib=_whole(typed.get("memory_mib", ""), 4096, "memory limit"),
        conditions=conditions_of(request, administrator_of(request)),
    )


def _whole(text: str, default: int, what: str) -> int:
    if not text.strip():
        return default
    if not (text.isascii() and text.strip().isdigit() and len(text) <= 6):
        raise InvalidInputError(f"The {what} is a whole number.")
    return int(text)
