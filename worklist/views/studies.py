"""The worklist, a study's page, and what moves a study from unread to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.functional import SimpleLazyObject
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from accounts import preferences
from accounts.guards import user_of
from archive import access, audit, overview, query, reading, routing
from archive.errors import InvalidInputError, TooBroadError
from archive.overview import Overview
from archive.query import Page, StudyQuery
from orders import arrivals
from worklist.models import Modality, Study, StudyStatus
from worklist.views import columns, listing
from worklist.views.bodies import json_object
from worklist.views.guards import actor_of, api_login_required
from worklist.views.search import Search

_MOST_IDS = 200


@login_required
@require_GET
def study_list(request: HttpRequest) -> HttpResponse:
    """Show the worklist with its first page of rows."""
    context = _results(request)
    user = user_of(request)
    found: Search = context["search"]
    hidden = columns.hidden_from(user, has_facilities=len(context["facilities"]) > 1)
    context |= {
        "views": [
            {
                "name": view.name,
                "query": view.query,
                "is_own": is_own,
                "is_current": listing.is_same_list(listing.params_of(view.query), found.fields),
            }
            for view, is_own in listing.views_of(user)
        ],
        "columns": [
            {
                "column": column,
                "is_hidden": column.key in hidden,
                "is_optional": column.key in columns.OPTIONAL,
                "address": found.sorted_by(column.sort) if column.sort else "",
                "order": _order(found.query, column.sort),
                "value": found.fields.get(column.field, ""),
            }
            for column in columns.COLUMNS
        ],
        "hidden": hidden,
        "statuses": StudyStatus.choices,
        "may_send": routing.may_send(context["actor"]),
        "modality_codes": Modality.objects.values_list("code", flat=True),
    }
    return render(request, "worklist/study_list.html", context)


@login_required
@require_GET
def study_rows(request: HttpRequest) -> HttpResponse:
    """Return a fragment: the results of a changed filter, the next page, or single rows.

    `part=rows` leaves out what stands around the rows; `ids` asks for some rows of the list, which
    come only when they match its filters.
    """
    context = _results(request)
    is_bare = request.GET.get("part") == "rows"
    template = "worklist/_rows.html" if is_bare else "worklist/_results.html"
    return render(request, template, context)


@login_required
@require_GET
def study_detail(request: HttpRequest, study_id: UUID) -> HttpResponse:
    """Show one study: facts, series, warnings, the patient's other studies, history."""
    return _study(request, study_id, "worklist/study_detail.html")


@login_required
@require_GET
def study_preview(request: HttpRequest, study_id: UUID) -> HttpResponse:
    """Return the drawer's content for one study."""
    return _study(request, study_id, "worklist/_preview.html")


@api_login_required
@require_GET
@never_cache
def studies_beside(request: HttpRequest, study_id: UUID) -> HttpResponse:
    """Answer which studies stand before and after one in the list that the address names."""
    actor = actor_of(request)
    study = access.study_for(actor.scope, study_id)
    asked = listing.read(request, None, listing.choices_of(actor.scope)).query
    before, after = query.beside(actor.scope, asked, study)
    return JsonResponse({"previous": _place(before), "next": _place(after)})


def _place(study: Study | None) -> dict[str, str] | None:
    if study is None:
        return None
    return {
        "id": str(study.pk),
        "viewer_url": reverse("dicom_viewer:viewer", args=[study.pk]),
        "ahead_url": reverse("dicom_viewer:ahead", args=[study.pk]),
    }


@login_required
@require_GET
def series_images(request: HttpRequest, series_id: UUID) -> HttpResponse:
    """Return the table of a series' files."""
    actor = actor_of(request)
    images, is_cut = overview.images_of_series(actor.scope, series_id)
    context = {"images": images, "is_cut": is_cut, "zone": preferences.zone_of(request)}
    return render(request, "worklist/_series_images.html", context)


@api_login_required
@require_POST
def set_status(request: HttpRequest) -> HttpResponse:
    """Mark studies: `{"ids": [...], "status": "read"}` -> `{"changed": [...]}`."""
    body = json_object(request)
    ids = body.get("ids")
    if not isinstance(ids, list):
        raise InvalidInputError("'ids' is a list of studies' ids.")
    changed = reading.set_status(actor_of(request), _uuids(ids), str(body.get("status", "")))
    return JsonResponse({"changed": [str(study_id) for study_id in changed]})


def _study(request: HttpRequest, study_id: UUID, template: str) -> HttpResponse:
    actor = actor_of(request)
    shown: Overview = overview.study_overview(actor.scope, study_id)
    # The event comes before the answer: if it cannot be written, there is no access.
    audit.record(actor, "study.look", shown.study)
    context = {
        "overview": shown,
        "study": shown.study,
        "actor": actor,
        "history": overview.history(actor, shown.study),
        # Asked by the page that shows them; the preview does not.
        "destinations": routing.choices_for(actor, shown.study),
        "transmissions": routing.queue(actor).filter(study=shown.study)[:5],
        "order_matches": SimpleLazyObject(lambda: arrivals.matches_of(shown.study)),
        "statuses": StudyStatus.choices,
        "zone": preferences.zone_of(request),
        "today": listing.today_of(request),
    }
    return render(request, template, context)


def _results(request: HttpRequest) -> dict[str, Any]:
    actor = actor_of(request)
    choices = listing.choices_of(actor.scope)
    found = listing.read(request, None, choices)
    asked = found.query
    if "ids" in request.GET:
        ids = _uuids(request.GET["ids"].split(",")[:_MOST_IDS])
        asked = replace(asked, study_ids=tuple(ids), limit=_MOST_IDS)
    too_broad = ""
    try:
        page = query.find_studies(actor.scope, asked)
    except TooBroadError as error:
        if asked.cursor or asked.study_ids is not None:
            raise
        # In the place of the rows, where the search can be narrowed.
        page, too_broad = Page(items=[], cursor=""), str(error)
    return {
        "actor": actor,
        "search": found,
        "studies": page.items,
        "too_broad": too_broad,
        "suggested": arrivals.with_suggestions([study.pk for study in page.items]),
        "cursor": page.cursor,
        "facilities": choices,
        "our_host": request.get_host().rsplit(":", 1)[0],
        "zone": preferences.zone_of(request),
        "today": listing.today_of(request),
    }


def _order(asked: StudyQuery, sort: str) -> str:
    """Return how a column is sorted, in ARIA's words."""
    if not sort or asked.sort != sort:
        return ""
    return "descending" if asked.descending else "ascending"


def _uuids(texts: Sequence[object]) -> list[UUID]:
    try:
        return [UUID(str(text)) for text in texts]
    except ValueError:
        raise InvalidInputError("Studies are named by their ids (UUID).") from None
