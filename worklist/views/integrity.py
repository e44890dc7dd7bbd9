"""What administrators decide about stored data: conflicts, deletions, patients that are one."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_GET, require_POST

from accounts import preferences
from archive import conflicts, deletions
from archive.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    PermanentError,
)
from archive.models import DeletionState
from worklist.views.guards import administrator_of, api_login_required

_MOST_SHOWN = 200


# Conflicts ---------------------------------------------------------------------------------------


@login_required
@require_GET
def conflict_list(request: HttpRequest) -> HttpResponse:
    """Show the conflicts that wait, or those that were decided."""
    return render(request, "worklist/conflict_list.html", _conflicts(request))


@api_login_required
@require_GET
def conflict_rows(request: HttpRequest) -> HttpResponse:
    """Return the list as a fragment, for the open page."""
    return render(request, "worklist/_conflict_rows.html", _conflicts(request))


@login_required
@require_GET
def conflict_detail(request: HttpRequest, conflict_id: UUID) -> HttpResponse:
    """Show both sides and what they say differently."""
    return render(request, "worklist/conflict_detail.html", _conflict(request, conflict_id))


@login_required
@require_GET
def conflict_picture(request: HttpRequest, conflict_id: UUID, side: str) -> HttpResponse:
    """Return a picture of one side."""
    try:
        picture = conflicts.picture(administrator_of(request), conflict_id, side)
    except conflicts.UnreadableError as error:
        raise NotFoundError(str(error)) from error
    answer = HttpResponse(picture.content, content_type=picture.content_type)
    # A decision turns the sides round.
    answer["Cache-Control"] = "private, no-cache"
    return answer


@login_required
@require_POST
def decide_conflict(request: HttpRequest, conflict_id: UUID) -> HttpResponse:
    """Decide which side is shown."""
    actor = administrator_of(request)
    keep, reason = request.POST.get("keep", ""), request.POST.get("reason", "")
    try:
        conflicts.decide(actor, conflict_id, keep, reason)
    except NotFoundError:
        raise
    except PermanentError as error:
        context = _conflict(request, conflict_id) | {"failure": str(error), "reason": reason}
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        return render(request, "worklist/conflict_detail.html", context, status=status)
    what = "What came later is shown now" if keep == "new" else "What came first stays"
    messages.success(request, gettext("{what}; the other one is kept aside.").format(what=what))
    return redirect("worklist:conflict-list")


def _conflicts(request: HttpRequest) -> dict[str, Any]:
    actor = administrator_of(request)
    is_decided = _choice(request, ("waiting", "decided")) == "decided"
    return {
        "rows": list(conflicts.listing(actor, is_decided=is_decided)[:_MOST_SHOWN]),
        "state": "decided" if is_decided else "waiting",
        "waiting": conflicts.listing(actor, is_decided=False).count(),
        "most_shown": _MOST_SHOWN,
        "actor": actor,
        "zone": preferences.zone_of(request),
    }


def _conflict(request: HttpRequest, conflict_id: UUID) -> dict[str, Any]:
    actor = administrator_of(request)
    context: dict[str, Any] = {"actor": actor, "zone": preferences.zone_of(request)}
    try:
        found = conflicts.compare(actor, conflict_id)
    except conflicts.UnreadableError as error:
        conflict = conflicts.conflict_for(actor, conflict_id)
        return context | {"conflict": conflict, "study": conflict.kept.series.study,
                          "unreadable": str(error)}  # fmt: skip
    return context | {"conflict": found.conflict, "study": found.study, "found": found}


# Deletions ---------------------------------------------------------------------------------------


@login_required
@require_GET
def deletion_list(request: HttpRequest) -> HttpResponse:
    """Show what is deleted and can be restored, or what became of it."""
    return render(request, "worklist/deletion_list.html", _deletions(request))


@login_required
@require_POST
def delete_study(request: HttpRequest, study_id: UUID) -> HttpResponse:
    """Delete a study; the reason is kept."""
    return _delete(request, deletions.delete_study, study_id)


@login_required
@require_POST
def delete_series(request: HttpRequest, series_id: UUID) -> HttpResponse:
    """Delete a series; the reason is kept."""
    return _delete(request, deletions.delete_series, series_id)


def _delete(request: HttpRequest, act: Any, key: UUID) -> HttpResponse:  # noqa: ANN401
    actor = administrator_of(request)
    try:
        deletion = act(actor, key, request.POST.get("reason", ""))
    except InvalidInputError as error:
        messages.error(request, str(error))
        study_id = request.POST.get("study", "")
        return redirect(reverse("worklist:study-list") + (f"{UUID(study_id)}/" if study_id else ""))
    messages.success(
        request,
        f"The {deletion.get_level_display().lower()} is deleted: {deletion.instance_count} images. "
        f"It can be restored here until {deletion.keep_until:%Y-%m-%d}.",
    )
    return redirect("worklist:deletion-list")


@login_required
@require_POST
def restore_deletion(request: HttpRequest, deletion_id: UUID) -> HttpResponse:
    """Show again what was deleted."""
    return _end(request, deletions.restore, deletion_id, "It is back where it was.")


@login_required
@require_POST
def destroy_deletion(request: HttpRequest, deletion_id: UUID) -> HttpResponse:
    """Destroy what was deleted, so that it may be sent again."""
    said = "It is destroyed, and may be sent again."
    return _end(request, deletions.destroy, deletion_id, said)


def _end(request: HttpRequest, act: Any, deletion_id: UUID, said: str) -> HttpResponse:  # noqa: ANN401
    actor = administrator_of(request)
    try:
        act(actor, deletion_id)
    except ConflictError as error:
        context = _deletions(request) | {"failure": str(error)}
        return render(request, "worklist/deletion_list.html", context, status=HTTPStatus.CONFLICT)
    messages.success(request, said)
    return redirect("worklist:deletion-list")


def _deletions(request: HttpRequest) -> dict[str, Any]:
    actor = administrator_of(request)
    state = DeletionState(_choice(request, tuple(DeletionState.values)))
    found = list(deletions.listing(actor, state)[:_MOST_SHOWN])
    studies = deletions.studies_of(found)
    return {
        "rows": [(deletion, studies.get(deletion.study_id)) for deletion in found],
        "state": state,
        "states": DeletionState.choices,
        "held": deletions.listing(actor, DeletionState.HELD).count(),
        "most_shown": _MOST_SHOWN,
        "actor": actor,
        "zone": preferences.zone_of(request),
    }


def _choice(request: HttpRequest, values: tuple[str, ...]) -> str:
    """Return the chosen tab; the first one by default."""
    chosen = request.GET.get("state", values[0])
    if chosen not in values:
        raise InvalidInputError(f"'state' is one of {', '.join(values)}.")
    return chosen
