"""What readers keep: reports, what was shown, their keys; and the page of the test pattern."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from accounts import preferences
from accounts.guards import actor_of, api_login_required, user_of
from archive import problems
from archive.errors import InvalidInputError
from dicom_viewer.bodies import parse
from dicom_viewer.reading_bodies import ReportBody, ShortcutsBody, ShownBody
from reports import services, viewed
from reports.models import Report, ReportRevision
from reports.services import Draft, ReportConflictError
from reports.viewed import Shown


@api_login_required
@require_http_methods(["GET", "PUT"])
@never_cache
def report(request: HttpRequest, study_id: UUID) -> HttpResponse:
    """Answer the present text about a study, or keep another."""
    actor = actor_of(request)
    if request.method == "GET":
        return JsonResponse(_report_document(services.report_of(actor, study_id)))
    body = parse(ReportBody, request.body)
    draft = Draft(
        revision_id=body.revision_id,
        base_version=body.base_version,
        text=body.text,
        references=[entry.model_dump(mode="json") for entry in body.references],
    )
    try:
        return JsonResponse(_report_document(services.save_draft(actor, study_id, draft)))
    except ReportConflictError as error:
        document = {**problems.problem_of(error), "current": _report_document(error.current)}
        return JsonResponse(
            document, status=HTTPStatus.CONFLICT, content_type=problems.CONTENT_TYPE
        )


@api_login_required
@require_GET
@never_cache
def report_revisions(request: HttpRequest, study_id: UUID) -> HttpResponse:
    """Answer when and by whom the report was saved, texts put aside among them."""
    rows = services.revisions_of(actor_of(request), study_id)
    return JsonResponse({"revisions": [_revision_document(row) for row in rows]})


@api_login_required
@require_GET
@never_cache
def report_revision(request: HttpRequest, study_id: UUID, revision_id: UUID) -> HttpResponse:
    """Answer one earlier text."""
    row = services.revision_of(actor_of(request), study_id, revision_id)
    document = {**_revision_document(row), "text": row.text, "references": row.references}
    return JsonResponse(document)


@api_login_required
@require_http_methods(["GET", "POST"])
@never_cache
def shown(request: HttpRequest, study_id: UUID) -> HttpResponse:
    """Answer which frames stood exactly on the person's screen, or enter more of them."""
    actor = actor_of(request)
    if request.method == "POST":
        body = parse(ShownBody, request.body)
        entries = [Shown(*entry) for entry in body.shown]
        count = viewed.note_shown(actor, study_id, body.viewing_id, entries)
        return JsonResponse({"entered": count})
    return JsonResponse({"shown": viewed.shown_to(actor, study_id, _asked_user(request))})


@api_login_required
@require_GET
@never_cache
def shown_people(request: HttpRequest, study_id: UUID) -> HttpResponse:
    """Answer administrators who was shown how much of a study."""
    people = viewed.people_of(actor_of(request), study_id)
    documents = [
        {
            "user": {"id": str(person.user_id) if person.user_id else None, "name": person.name},
            "frame_count": person.frame_count,
            "shown_ms": person.shown_ms,
            "first_at": person.first_at.isoformat(),
            "last_at": person.last_at.isoformat(),
        }
        for person in people
    ]
    return JsonResponse({"people": documents})


@api_login_required
@require_http_methods(["GET", "PUT", "DELETE"])
@never_cache
def shortcuts(request: HttpRequest) -> HttpResponse:
    """Answer, replace or forget the keys that the person chose otherwise."""
    user = user_of(request)
    if request.method == "PUT":
        body = parse(ShortcutsBody, request.body)
        preferences.set_shortcuts(user, body.shortcuts)
    elif request.method == "DELETE":
        preferences.set_shortcuts(user, {})
    return JsonResponse({"shortcuts": preferences.shortcuts_of(user)})


@login_required
@require_GET
def test_pattern(request: HttpRequest) -> HttpResponse:
    """Show the pattern that tells whether a display shows pictures as they are."""
    return render(request, "dicom_viewer/test_pattern.html")


def _asked_user(request: HttpRequest) -> UUID | None:
    text = request.GET.get("user")
    if text is None:
        return None
    try:
        return UUID(text)
    except ValueError:
        raise InvalidInputError("'user' is the id of a person.") from None


def _report_document(row: Report | None) -> dict[str, Any]:
    if row is None:
        return {"version": 0, "text": "", "references": [], "author": None, "updated_by": None}
    return {
        "version": row.version,
        "text": row.text,
        "references": row.references,
        "author": {"name": row.author_name},
        "updated_by": {"name": row.updated_by_name},
        "created_at": row.created_at.isoformat(),
        "updated_at": row.updated_at.isoformat(),
    }


def _revision_document(row: ReportRevision) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "version": row.version,
        "base_version": row.base_version,
        "is_aside": row.version is None,
        "user": {"name": row.user_name},
        "at": row.at.isoformat(),
    }
